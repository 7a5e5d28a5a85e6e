//! OffsetCommit (8): a group stores how far it has read.

use stratalog_protocol_derive::Message;
use uuid::Uuid;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 2..=10, flexible = 8)]
pub struct OffsetCommitRequest {
    pub group_id: String,
    /// -1 from outside of the group.
    #[field(default = -1)]
    pub generation_id_or_member_epoch: i32,
    pub member_id: String,
    /// Of a static member (KIP-345).
    #[field(since = 7, default = None)]
    pub group_instance_id: Option<String>,
    /// -1: as the broker is configured.
    #[field(until = 4, default = -1, ignorable)]
    pub retention_time_ms: i64,
    pub topics: Vec<OffsetCommitRequestTopic>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetCommitRequestTopic {
    #[field(until = 9, ignorable)]
    pub name: String,
    #[field(since = 10, ignorable)]
    pub topic_id: Uuid,
    pub partitions: Vec<OffsetCommitRequestPartition>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetCommitRequestPartition {
    pub partition_index: i32,
    pub committed_offset: i64,
    /// -1 if unknown.
    #[field(since = 6, default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    pub committed_metadata: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 2..=10, flexible = 8)]
pub struct OffsetCommitResponse {
    #[field(since = 3, ignorable)]
    pub throttle_time_ms: i32,
    pub topics: Vec<OffsetCommitResponseTopic>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetCommitResponseTopic {
    #[field(until = 9, ignorable)]
    pub name: String,
    #[field(since = 10, ignorable)]
    pub topic_id: Uuid,
    pub partitions: Vec<OffsetCommitResponsePartition>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct OffsetCommitResponsePartition {
    pub partition_index: i32,
    pub error_code: ErrorCode,
}
