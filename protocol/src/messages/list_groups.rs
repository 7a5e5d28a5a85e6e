//! ListGroups (16): the groups that a broker coordinates, filtered by state and type.

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=5, flexible = 3)]
pub struct ListGroupsRequest {
    #[field(since = 4)]
    pub states_filter: Vec<String>,
    #[field(since = 5)]
    pub types_filter: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=5, flexible = 3)]
pub struct ListGroupsResponse {
    #[field(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    pub groups: Vec<ListedGroup>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ListedGroup {
    pub group_id: String,
    pub protocol_type: String,
    #[field(since = 4, ignorable)]
    pub group_state: String,
    #[field(since = 5, ignorable)]
    pub group_type: String,
}
