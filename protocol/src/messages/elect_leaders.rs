//! ElectLeaders (43): elects preferred or unclean leaders.

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=2, flexible = 2)]
pub struct ElectLeadersRequest {
    /// 0: preferred; 1: unclean.
    #[field(since = 1)]
    pub election_type: i8,
    /// Null asks for all.
    pub topic_partitions: Option<Vec<TopicPartitions>>,
    #[field(default = 60_000)]
    pub timeout_ms: i32,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicPartitions {
    pub topic: String,
    pub partitions: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=2, flexible = 2)]
pub struct ElectLeadersResponse {
    pub throttle_time_ms: i32,
    #[field(since = 1)]
    pub error_code: ErrorCode,
    pub replica_election_results: Vec<ReplicaElectionResult>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ReplicaElectionResult {
    pub topic: String,
    pub partition_result: Vec<PartitionResult>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct PartitionResult {
    pub partition_id: i32,
    pub error_code: ErrorCode,
    pub error_message: Option<String>,
}
