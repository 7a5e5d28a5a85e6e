//! JoinGroup (11): a member of a classic group joins or rejoins.

use bytes::Bytes;
use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=9, flexible = 6)]
pub struct JoinGroupRequest {
    pub group_id: String,
    pub session_timeout_ms: i32,
    /// -1 in version 0: the session timeout holds.
    #[field(since = 1, default = -1, ignorable)]
    pub rebalance_timeout_ms: i32,
    /// Empty for a new member, which is answered with MEMBER_ID_REQUIRED and an id since version 4.
    pub member_id: String,
    /// Of a static member (KIP-345).
    #[field(since = 5, default = None)]
    pub group_instance_id: Option<String>,
    pub protocol_type: String,
    /// In the order of preference.
    pub protocols: Vec<JoinGroupRequestProtocol>,
    #[field(since = 8, default = None, ignorable)]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct JoinGroupRequestProtocol {
    pub name: String,
    pub metadata: Bytes,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=9, flexible = 6)]
pub struct JoinGroupResponse {
    #[field(since = 2, ignorable)]
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[field(default = -1)]
    pub generation_id: i32,
    #[field(since = 7, default = None, ignorable)]
    pub protocol_type: Option<String>,
    #[field(nullable = 7)]
    pub protocol_name: Option<String>,
    pub leader: String,
    /// The leader keeps the assignment that is there (KIP-814).
    #[field(since = 9)]
    pub skip_assignment: bool,
    pub member_id: String,
    /// For the leader only.
    pub members: Vec<JoinGroupResponseMember>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct JoinGroupResponseMember {
    pub member_id: String,
    /// Of a static member (KIP-345).
    #[field(since = 5, default = None, ignorable)]
    pub group_instance_id: Option<String>,
    pub metadata: Bytes,
}
