//! DeleteTopics (20): by name, and by id since version 6.

use stratalog_protocol_derive::Message;
use uuid::Uuid;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=6, flexible = 4)]
pub struct DeleteTopicsRequest {
    #[field(since = 6)]
    pub topics: Vec<DeleteTopicState>,
    #[field(until = 5, ignorable)]
    pub topic_names: Vec<String>,
    pub timeout_ms: i32,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct DeleteTopicState {
    #[field(default = None)]
    pub name: Option<String>,
    pub topic_id: Uuid,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=6, flexible = 4)]
pub struct DeleteTopicsResponse {
    pub throttle_time_ms: i32,
    pub responses: Vec<DeletableTopicResult>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct DeletableTopicResult {
    #[field(nullable = 6)]
    pub name: Option<String>,
    #[field(since = 6, ignorable)]
    pub topic_id: Uuid,
    pub error_code: ErrorCode,
    #[field(since = 5, default = None, ignorable)]
    pub error_message: Option<String>,
}
