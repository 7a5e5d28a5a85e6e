//! DescribeGroups (15): state and members of classic groups.

use bytes::Bytes;
use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=6, flexible = 5)]
pub struct DescribeGroupsRequest {
    pub groups: Vec<String>,
    #[field(since = 3)]
    pub include_authorized_operations: bool,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=6, flexible = 5)]
pub struct DescribeGroupsResponse {
    #[field(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    pub groups: Vec<DescribedGroup>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribedGroup {
    pub error_code: ErrorCode,
    #[field(since = 6, default = None)]
    pub error_message: Option<String>,
    pub group_id: String,
    pub group_state: String,
    pub protocol_type: String,
    pub protocol_data: String,
    pub members: Vec<DescribedGroupMember>,
    /// One bit per operation; `i32::MIN` if it was not asked for.
    #[field(since = 3, default = i32::MIN)]
    pub authorized_operations: i32,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribedGroupMember {
    pub member_id: String,
    /// Of a static member (KIP-345).
    #[field(since = 4, default = None, ignorable)]
    pub group_instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub member_metadata: Bytes,
    pub member_assignment: Bytes,
}
