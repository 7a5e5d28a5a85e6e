//! Produce (0): record batches for partitions. With acks 0 there is no answer.

use stratalog_protocol_derive::Message;
use uuid::Uuid;

use crate::codec::Records;
use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 3..=13, flexible = 9)]
pub struct ProduceRequest {
    #[field(default = None)]
    pub transactional_id: Option<String>,
    /// 0: no answer; 1: the leader has it; -1: all in-sync replicas have it.
    pub acks: i16,
    pub timeout_ms: i32,
    pub topic_data: Vec<TopicProduceData>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicProduceData {
    #[field(until = 12, ignorable)]
    pub name: String,
    #[field(since = 13, ignorable)]
    pub topic_id: Uuid,
    pub partition_data: Vec<PartitionProduceData>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct PartitionProduceData {
    pub index: i32,
    /// Exactly one batch of magic 2.
    pub records: Records,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 3..=13, flexible = 9)]
pub struct ProduceResponse {
    pub responses: Vec<TopicProduceResponse>,
    pub throttle_time_ms: i32,
    /// Of the leaders named in `current_leader` (KIP-951).
    #[field(tag = 0, since = 10)]
    pub node_endpoints: Vec<NodeEndpoint>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicProduceResponse {
    #[field(until = 12, ignorable)]
    pub name: String,
    #[field(since = 13, ignorable)]
    pub topic_id: Uuid,
    pub partition_responses: Vec<PartitionProduceResponse>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct PartitionProduceResponse {
    pub index: i32,
    pub error_code: ErrorCode,
    pub base_offset: i64,
    /// -1 unless the topic uses LogAppendTime.
    #[field(default = -1)]
    pub log_append_time_ms: i64,
    #[field(since = 5, default = -1, ignorable)]
    pub log_start_offset: i64,
    #[field(since = 8, ignorable)]
    pub record_errors: Vec<BatchIndexAndErrorMessage>,
    #[field(since = 8, default = None, ignorable)]
    pub error_message: Option<String>,
    #[field(tag = 0, since = 10)]
    pub current_leader: LeaderIdAndEpoch,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct BatchIndexAndErrorMessage {
    /// The place of the record in its batch, from 0.
    pub batch_index: i32,
    #[field(default = None)]
    pub batch_index_error_message: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct LeaderIdAndEpoch {
    #[field(default = -1)]
    pub leader_id: i32,
    #[field(default = -1)]
    pub leader_epoch: i32,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct NodeEndpoint {
    pub node_id: i32,
    pub host: String,
    pub port: i32,
    #[field(default = None)]
    pub rack: Option<String>,
}
