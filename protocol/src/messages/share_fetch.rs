//! ShareFetch (78): acquires records for a member of a share group, and acknowledges earlier ones.

use stratalog_protocol_derive::Message;
use uuid::Uuid;

use crate::codec::Records;
use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=2, flexible = 1)]
pub struct ShareFetchRequest {
    #[field(default = None)]
    pub group_id: Option<String>,
    pub member_id: Option<String>,
    /// 0 opens a session; -1 closes it.
    pub share_session_epoch: i32,
    pub max_wait_ms: i32,
    pub min_bytes: i32,
    #[field(default = i32::MAX)]
    pub max_bytes: i32,
    pub max_records: i32,
    pub batch_size: i32,
    /// 0: batch-optimized; 1: record limit (KIP-1206).
    #[field(since = 2, ignorable)]
    pub share_acquire_mode: i8,
    #[field(since = 2)]
    pub is_renew_ack: bool,
    pub topics: Vec<FetchTopic>,
    pub forgotten_topics_data: Vec<ForgottenTopic>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct FetchTopic {
    pub topic_id: Uuid,
    pub partitions: Vec<FetchPartition>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct FetchPartition {
    pub partition_index: i32,
    pub acknowledgement_batches: Vec<AcknowledgementBatch>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct AcknowledgementBatch {
    pub first_offset: i64,
    /// Included.
    pub last_offset: i64,
    /// One for all offsets, or one for each. 0: gap; 1: accept; 2: release; 3: reject; 4: renew.
    pub acknowledge_types: Vec<i8>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ForgottenTopic {
    pub topic_id: Uuid,
    pub partitions: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=2, flexible = 1)]
pub struct ShareFetchResponse {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[field(default = None)]
    pub error_message: Option<String>,
    pub acquisition_lock_timeout_ms: i32,
    pub responses: Vec<ShareFetchableTopicResponse>,
    pub node_endpoints: Vec<NodeEndpoint>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ShareFetchableTopicResponse {
    pub topic_id: Uuid,
    pub partitions: Vec<PartitionData>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct PartitionData {
    pub partition_index: i32,
    pub error_code: ErrorCode,
    #[field(default = None)]
    pub error_message: Option<String>,
    pub acknowledge_error_code: ErrorCode,
    #[field(default = None)]
    pub acknowledge_error_message: Option<String>,
    pub current_leader: LeaderIdAndEpoch,
    #[field(not_null)]
    pub records: Records,
    pub acquired_records: Vec<AcquiredRecords>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct LeaderIdAndEpoch {
    pub leader_id: i32,
    pub leader_epoch: i32,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct AcquiredRecords {
    pub first_offset: i64,
    /// Included.
    pub last_offset: i64,
    pub delivery_count: i16,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct NodeEndpoint {
    pub node_id: i32,
    pub host: String,
    pub port: i32,
    #[field(default = None)]
    pub rack: Option<String>,
}
