//! ListConfigResources (74): resources that have configs; version 0 knows client metrics only.

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=1, flexible = 0)]
pub struct ListConfigResourcesRequest {
    #[field(since = 1)]
    pub resource_types: Vec<i8>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=1, flexible = 0)]
pub struct ListConfigResourcesResponse {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    pub config_resources: Vec<ConfigResource>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ConfigResource {
    pub resource_name: String,
    #[field(since = 1, default = 16, ignorable)]
    pub resource_type: i8,
}
