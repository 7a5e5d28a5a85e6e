//! DescribeLogDirs (35): sizes of log directories and replicas.

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=5, flexible = 2)]
pub struct DescribeLogDirsRequest {
    /// Null asks for all.
    pub topics: Option<Vec<DescribableLogDirTopic>>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribableLogDirTopic {
    pub topic: String,
    pub partitions: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=5, flexible = 2)]
pub struct DescribeLogDirsResponse {
    pub throttle_time_ms: i32,
    #[field(since = 3, ignorable)]
    pub error_code: ErrorCode,
    pub results: Vec<DescribeLogDirsResult>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribeLogDirsResult {
    pub error_code: ErrorCode,
    pub log_dir: String,
    pub topics: Vec<DescribeLogDirsTopic>,
    /// Of the volume; -1 if unknown.
    #[field(since = 4, default = -1, ignorable)]
    pub total_bytes: i64,
    /// Of the volume; -1 if unknown.
    #[field(since = 4, default = -1, ignorable)]
    pub usable_bytes: i64,
    #[field(since = 5, ignorable)]
    pub is_cordoned: bool,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribeLogDirsTopic {
    pub name: String,
    pub partitions: Vec<DescribeLogDirsPartition>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribeLogDirsPartition {
    pub partition_index: i32,
    /// Bytes of log segments.
    pub partition_size: i64,
    /// How far behind the high watermark, or behind the current replica for a future one.
    pub offset_lag: i64,
    /// It is about to replace the replica after AlterReplicaLogDirs.
    pub is_future_key: bool,
}
