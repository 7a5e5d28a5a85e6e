//! CreateTopics (19).

use stratalog_protocol_derive::Message;
use uuid::Uuid;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 2..=7, flexible = 5)]
pub struct CreateTopicsRequest {
    pub topics: Vec<CreatableTopic>,
    #[field(default = 60_000)]
    pub timeout_ms: i32,
    pub validate_only: bool,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct CreatableTopic {
    pub name: String,
    /// -1: the broker's default; also with `assignments`.
    pub num_partitions: i32,
    /// -1: the broker's default; also with `assignments`.
    pub replication_factor: i16,
    pub assignments: Vec<CreatableReplicaAssignment>,
    pub configs: Vec<CreatableTopicConfig>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct CreatableReplicaAssignment {
    pub partition_index: i32,
    pub broker_ids: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct CreatableTopicConfig {
    pub name: String,
    pub value: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 2..=7, flexible = 5)]
pub struct CreateTopicsResponse {
    pub throttle_time_ms: i32,
    pub topics: Vec<CreatableTopicResult>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct CreatableTopicResult {
    pub name: String,
    #[field(since = 7, ignorable)]
    pub topic_id: Uuid,
    pub error_code: ErrorCode,
    pub error_message: Option<String>,
    /// Why `configs` is null, if it is: the client may create but not describe.
    #[field(tag = 0, since = 5, ignorable)]
    pub topic_config_error_code: ErrorCode,
    #[field(since = 5, default = -1, ignorable)]
    pub num_partitions: i32,
    #[field(since = 5, default = -1, ignorable)]
    pub replication_factor: i16,
    #[field(since = 5, ignorable)]
    pub configs: Option<Vec<CreatableTopicConfigs>>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct CreatableTopicConfigs {
    pub name: String,
    pub value: Option<String>,
    pub read_only: bool,
    /// 1: topic; 2: dynamic broker; 3: dynamic default broker; 4: static broker; 5: default; 6: dynamic broker logger;
    /// 7: client metrics; 8: group.
    #[field(default = -1)]
    pub config_source: i8,
    pub is_sensitive: bool,
}
