//! AlterConfigs (33): replaces all configs of a resource.

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=2, flexible = 2)]
pub struct AlterConfigsRequest {
    pub resources: Vec<AlterConfigsResource>,
    pub validate_only: bool,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct AlterConfigsResource {
    pub resource_type: i8,
    pub resource_name: String,
    pub configs: Vec<AlterableConfig>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AlterableConfig {
    pub name: String,
    #[field(secret)]
    pub value: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=2, flexible = 2)]
pub struct AlterConfigsResponse {
    pub throttle_time_ms: i32,
    pub responses: Vec<AlterConfigsResourceResponse>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct AlterConfigsResourceResponse {
    pub error_code: ErrorCode,
    pub error_message: Option<String>,
    pub resource_type: i8,
    pub resource_name: String,
}
