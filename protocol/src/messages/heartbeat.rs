//! Heartbeat (12): a member of a classic group is alive.

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=4, flexible = 4)]
pub struct HeartbeatRequest {
    pub group_id: String,
    pub generation_id: i32,
    pub member_id: String,
    /// Of a static member (KIP-345).
    #[field(since = 3, default = None)]
    pub group_instance_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=4, flexible = 4)]
pub struct HeartbeatResponse {
    #[field(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
}
