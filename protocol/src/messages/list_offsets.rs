//! ListOffsets (2): the offset of a timestamp, or of one of the special timestamps -1 to -6.

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=11, flexible = 6)]
pub struct ListOffsetsRequest {
    /// -1 for a client; -2 for a debugging one.
    pub replica_id: i32,
    /// 0: read_uncommitted; 1: read_committed.
    #[field(since = 2)]
    pub isolation_level: i8,
    pub topics: Vec<ListOffsetsTopic>,
    #[field(since = 10, ignorable)]
    pub timeout_ms: i32,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ListOffsetsTopic {
    pub name: String,
    pub partitions: Vec<ListOffsetsPartition>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ListOffsetsPartition {
    pub partition_index: i32,
    #[field(since = 4, default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// Milliseconds, or -1 latest, -2 earliest, -3 maximum timestamp, -4 earliest local, -5 latest tiered, -6 earliest
    /// pending upload.
    pub timestamp: i64,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=11, flexible = 6)]
pub struct ListOffsetsResponse {
    #[field(since = 2, ignorable)]
    pub throttle_time_ms: i32,
    pub topics: Vec<ListOffsetsTopicResponse>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ListOffsetsTopicResponse {
    pub name: String,
    pub partitions: Vec<ListOffsetsPartitionResponse>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ListOffsetsPartitionResponse {
    pub partition_index: i32,
    pub error_code: ErrorCode,
    /// -1 if nothing was found.
    #[field(default = -1)]
    pub timestamp: i64,
    /// -1 if nothing was found.
    #[field(default = -1)]
    pub offset: i64,
    #[field(since = 4, default = -1)]
    pub leader_epoch: i32,
}
