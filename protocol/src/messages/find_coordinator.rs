//! FindCoordinator (10): the broker that coordinates a group or a transactional id; several keys at a time since
//! version 4.

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=6, flexible = 3)]
pub struct FindCoordinatorRequest {
    #[field(until = 3)]
    pub key: String,
    /// 0: group; 1: transaction; 2: share.
    #[field(since = 1)]
    pub key_type: i8,
    /// For a share coordinator: group:topicId:partition.
    #[field(since = 4)]
    pub coordinator_keys: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=6, flexible = 3)]
pub struct FindCoordinatorResponse {
    #[field(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    #[field(until = 3)]
    pub error_code: ErrorCode,
    #[field(since = 1, until = 3, ignorable)]
    pub error_message: Option<String>,
    #[field(until = 3)]
    pub node_id: i32,
    #[field(until = 3)]
    pub host: String,
    #[field(until = 3)]
    pub port: i32,
    #[field(since = 4)]
    pub coordinators: Vec<Coordinator>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct Coordinator {
    pub key: String,
    pub node_id: i32,
    pub host: String,
    pub port: i32,
    pub error_code: ErrorCode,
    pub error_message: Option<String>,
}
