//! SyncGroup (14): the leader of a classic group gives assignments, each member gets its own.

use bytes::Bytes;
use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=5, flexible = 4)]
pub struct SyncGroupRequest {
    pub group_id: String,
    pub generation_id: i32,
    pub member_id: String,
    /// Of a static member (KIP-345).
    #[field(since = 3, default = None)]
    pub group_instance_id: Option<String>,
    #[field(since = 5, default = None, ignorable)]
    pub protocol_type: Option<String>,
    #[field(since = 5, default = None, ignorable)]
    pub protocol_name: Option<String>,
    pub assignments: Vec<SyncGroupRequestAssignment>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct SyncGroupRequestAssignment {
    pub member_id: String,
    pub assignment: Bytes,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=5, flexible = 4)]
pub struct SyncGroupResponse {
    #[field(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[field(since = 5, default = None, ignorable)]
    pub protocol_type: Option<String>,
    #[field(since = 5, default = None, ignorable)]
    pub protocol_name: Option<String>,
    pub assignment: Bytes,
}
