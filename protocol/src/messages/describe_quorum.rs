//! DescribeQuorum (55): state of the metadata quorum.

use stratalog_protocol_derive::Message;
use uuid::Uuid;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=2, flexible = 0)]
pub struct DescribeQuorumRequest {
    pub topics: Vec<RequestTopicData>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct RequestTopicData {
    pub topic_name: String,
    pub partitions: Vec<RequestPartitionData>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct RequestPartitionData {
    pub partition_index: i32,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=2, flexible = 0)]
pub struct DescribeQuorumResponse {
    pub error_code: ErrorCode,
    #[field(since = 2, ignorable)]
    pub error_message: Option<String>,
    pub topics: Vec<ResponseTopicData>,
    #[field(since = 2)]
    pub nodes: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ResponseTopicData {
    pub topic_name: String,
    pub partitions: Vec<ResponsePartitionData>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ResponsePartitionData {
    pub partition_index: i32,
    pub error_code: ErrorCode,
    #[field(since = 2, ignorable)]
    pub error_message: Option<String>,
    pub leader_id: i32,
    pub leader_epoch: i32,
    pub high_watermark: i64,
    pub current_voters: Vec<ReplicaState>,
    pub observers: Vec<ReplicaState>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct Node {
    pub node_id: i32,
    pub listeners: Vec<Listener>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct Listener {
    pub name: String,
    pub host: String,
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ReplicaState {
    pub replica_id: i32,
    #[field(since = 2)]
    pub replica_directory_id: Uuid,
    pub log_end_offset: i64,
    #[field(since = 1, default = -1, ignorable)]
    pub last_fetch_timestamp: i64,
    #[field(since = 1, default = -1, ignorable)]
    pub last_caught_up_timestamp: i64,
}
