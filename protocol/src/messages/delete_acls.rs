//! DeleteAcls (31).

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=3, flexible = 2)]
pub struct DeleteAclsRequest {
    pub filters: Vec<DeleteAclsFilter>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct DeleteAclsFilter {
    pub resource_type_filter: i8,
    pub resource_name_filter: Option<String>,
    /// 1: any; 2: match; 3: literal; 4: prefixed.
    #[field(default = 3)]
    pub pattern_type_filter: i8,
    pub principal_filter: Option<String>,
    pub host_filter: Option<String>,
    pub operation: i8,
    /// 1: any; 2: deny; 3: allow.
    pub permission_type: i8,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=3, flexible = 2)]
pub struct DeleteAclsResponse {
    pub throttle_time_ms: i32,
    pub filter_results: Vec<DeleteAclsFilterResult>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct DeleteAclsFilterResult {
    pub error_code: ErrorCode,
    pub error_message: Option<String>,
    pub matching_acls: Vec<DeleteAclsMatchingAcl>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct DeleteAclsMatchingAcl {
    pub error_code: ErrorCode,
    pub error_message: Option<String>,
    pub resource_type: i8,
    pub resource_name: String,
    /// 3: literal; 4: prefixed.
    #[field(default = 3)]
    pub pattern_type: i8,
    pub principal: String,
    pub host: String,
    pub operation: i8,
    /// 1: any; 2: deny; 3: allow.
    pub permission_type: i8,
}
