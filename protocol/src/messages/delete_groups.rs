//! DeleteGroups (42): removes empty groups and their offsets.

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=2, flexible = 2)]
pub struct DeleteGroupsRequest {
    pub groups_names: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=2, flexible = 2)]
pub struct DeleteGroupsResponse {
    pub throttle_time_ms: i32,
    pub results: Vec<DeletableGroupResult>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct DeletableGroupResult {
    pub group_id: String,
    pub error_code: ErrorCode,
}
