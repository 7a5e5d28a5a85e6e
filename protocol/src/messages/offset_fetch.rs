//! OffsetFetch (9): how far a group has read; several groups at a time since version 8.

use stratalog_protocol_derive::Message;
use uuid::Uuid;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=10, flexible = 6)]
pub struct OffsetFetchRequest {
    #[field(until = 7)]
    pub group_id: String,
    /// Null asks for all. In `groups` since version 8.
    #[field(until = 7, nullable = 2)]
    pub topics: Option<Vec<OffsetFetchRequestTopic>>,
    #[field(since = 8)]
    pub groups: Vec<OffsetFetchRequestGroup>,
    /// Offsets of open transactions are answered with UNSTABLE_OFFSET_COMMIT (KIP-447).
    #[field(since = 7)]
    pub require_stable: bool,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetFetchRequestTopic {
    pub name: String,
    pub partition_indexes: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetFetchRequestGroup {
    pub group_id: String,
    #[field(since = 9, default = None, ignorable)]
    pub member_id: Option<String>,
    #[field(since = 9, default = -1, ignorable)]
    pub member_epoch: i32,
    /// Null asks for all.
    pub topics: Option<Vec<OffsetFetchRequestTopics>>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetFetchRequestTopics {
    #[field(until = 9, ignorable)]
    pub name: String,
    #[field(since = 10, ignorable)]
    pub topic_id: Uuid,
    pub partition_indexes: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=10, flexible = 6)]
pub struct OffsetFetchResponse {
    #[field(since = 3, ignorable)]
    pub throttle_time_ms: i32,
    #[field(until = 7)]
    pub topics: Vec<OffsetFetchResponseTopic>,
    #[field(since = 2, until = 7, ignorable)]
    pub error_code: ErrorCode,
    #[field(since = 8)]
    pub groups: Vec<OffsetFetchResponseGroup>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetFetchResponseTopic {
    pub name: String,
    pub partitions: Vec<OffsetFetchResponsePartition>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetFetchResponsePartition {
    pub partition_index: i32,
    pub committed_offset: i64,
    #[field(since = 5, default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    pub metadata: Option<String>,
    pub error_code: ErrorCode,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetFetchResponseGroup {
    pub group_id: String,
    pub topics: Vec<OffsetFetchResponseTopics>,
    pub error_code: ErrorCode,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetFetchResponseTopics {
    #[field(until = 9, ignorable)]
    pub name: String,
    #[field(since = 10, ignorable)]
    pub topic_id: Uuid,
    pub partitions: Vec<OffsetFetchResponsePartitions>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetFetchResponsePartitions {
    pub partition_index: i32,
    pub committed_offset: i64,
    #[field(default = -1)]
    pub committed_leader_epoch: i32,
    pub metadata: Option<String>,
    pub error_code: ErrorCode,
}
