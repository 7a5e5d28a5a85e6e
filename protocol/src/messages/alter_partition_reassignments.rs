//! AlterPartitionReassignments (45): moves replicas between brokers.

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=1, flexible = 0)]
pub struct AlterPartitionReassignmentsRequest {
    #[field(default = 60_000)]
    pub timeout_ms: i32,
    #[field(since = 1, default = true)]
    pub allow_replication_factor_change: bool,
    pub topics: Vec<ReassignableTopic>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ReassignableTopic {
    pub name: String,
    pub partitions: Vec<ReassignablePartition>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ReassignablePartition {
    pub partition_index: i32,
    /// Null cancels.
    #[field(default = None)]
    pub replicas: Option<Vec<i32>>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=1, flexible = 0)]
pub struct AlterPartitionReassignmentsResponse {
    pub throttle_time_ms: i32,
    #[field(since = 1, default = true, ignorable)]
    pub allow_replication_factor_change: bool,
    pub error_code: ErrorCode,
    pub error_message: Option<String>,
    pub responses: Vec<ReassignableTopicResponse>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ReassignableTopicResponse {
    pub name: String,
    pub partitions: Vec<ReassignablePartitionResponse>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ReassignablePartitionResponse {
    pub partition_index: i32,
    pub error_code: ErrorCode,
    pub error_message: Option<String>,
}
