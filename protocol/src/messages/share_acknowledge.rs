//! ShareAcknowledge (79): acknowledges acquired records of a share group.

use stratalog_protocol_derive::Message;
use uuid::Uuid;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=2, flexible = 1)]
pub struct ShareAcknowledgeRequest {
    #[field(default = None)]
    pub group_id: Option<String>,
    pub member_id: Option<String>,
    /// Never 0: an acknowledgement opens no session. -1 closes it.
    pub share_session_epoch: i32,
    #[field(since = 2)]
    pub is_renew_ack: bool,
    pub topics: Vec<AcknowledgeTopic>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct AcknowledgeTopic {
    pub topic_id: Uuid,
    pub partitions: Vec<AcknowledgePartition>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct AcknowledgePartition {
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
#[message(versions = 1..=2, flexible = 1)]
pub struct ShareAcknowledgeResponse {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[field(default = None)]
    pub error_message: Option<String>,
    #[field(since = 2, ignorable)]
    pub acquisition_lock_timeout_ms: i32,
    pub responses: Vec<ShareAcknowledgeTopicResponse>,
    pub node_endpoints: Vec<NodeEndpoint>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ShareAcknowledgeTopicResponse {
    pub topic_id: Uuid,
    pub partitions: Vec<PartitionData>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct PartitionData {
    pub partition_index: i32,
    pub error_code: ErrorCode,
    #[field(default = None)]
    pub error_message: Option<String>,
    pub current_leader: LeaderIdAndEpoch,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct LeaderIdAndEpoch {
    pub leader_id: i32,
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
