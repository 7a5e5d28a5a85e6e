//! DescribeConfigs (32): config values with their sources and synonyms.

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=4, flexible = 4)]
pub struct DescribeConfigsRequest {
    pub resources: Vec<DescribeConfigsResource>,
    pub include_synonyms: bool,
    #[field(since = 3)]
    pub include_documentation: bool,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribeConfigsResource {
    /// 2: topic; 4: broker; 8: broker logger; 16: client metrics; 32: group.
    pub resource_type: i8,
    pub resource_name: String,
    /// Null asks for all.
    pub configuration_keys: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=4, flexible = 4)]
pub struct DescribeConfigsResponse {
    pub throttle_time_ms: i32,
    pub results: Vec<DescribeConfigsResult>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribeConfigsResult {
    pub error_code: ErrorCode,
    pub error_message: Option<String>,
    pub resource_type: i8,
    pub resource_name: String,
    pub configs: Vec<DescribeConfigsResourceResult>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribeConfigsResourceResult {
    pub name: String,
    pub value: Option<String>,
    pub read_only: bool,
    /// 1: topic; 2: dynamic broker; 3: dynamic default broker; 4: static broker; 5: default; 6: dynamic broker logger;
    /// 7: client metrics; 8: group.
    #[field(default = -1)]
    pub config_source: i8,
    pub is_sensitive: bool,
    pub synonyms: Vec<DescribeConfigsSynonym>,
    /// 0: unknown; 1: boolean; 2: string; 3: int; 4: short; 5: long; 6: double; 7: list; 8: class; 9: password.
    #[field(since = 3, ignorable)]
    pub config_type: i8,
    #[field(since = 3, ignorable)]
    pub documentation: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribeConfigsSynonym {
    pub name: String,
    pub value: Option<String>,
    /// As `config_source`.
    pub source: i8,
}
