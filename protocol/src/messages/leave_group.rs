//! LeaveGroup (13): members leave a classic group; several at a time since version 3.

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=5, flexible = 4)]
pub struct LeaveGroupRequest {
    pub group_id: String,
    #[field(until = 2)]
    pub member_id: String,
    #[field(since = 3)]
    pub members: Vec<MemberIdentity>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct MemberIdentity {
    pub member_id: String,
    /// Of a static member (KIP-345).
    #[field(default = None)]
    pub group_instance_id: Option<String>,
    #[field(since = 5, default = None, ignorable)]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=5, flexible = 4)]
pub struct LeaveGroupResponse {
    #[field(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[field(since = 3)]
    pub members: Vec<MemberResponse>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct MemberResponse {
    pub member_id: String,
    /// Of a static member (KIP-345).
    pub group_instance_id: Option<String>,
    pub error_code: ErrorCode,
}
