//! ShareGroupHeartbeat (76): membership and assignment of share groups (KIP-932).

use stratalog_protocol_derive::Message;
use uuid::Uuid;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=1, flexible = 1)]
pub struct ShareGroupHeartbeatRequest {
    pub group_id: String,
    pub member_id: String,
    /// 0 joins; -1 leaves.
    pub member_epoch: i32,
    #[field(default = None)]
    pub rack_id: Option<String>,
    /// Null if they did not change.
    #[field(default = None)]
    pub subscribed_topic_names: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=1, flexible = 1)]
pub struct ShareGroupHeartbeatResponse {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[field(default = None)]
    pub error_message: Option<String>,
    #[field(default = None)]
    pub member_id: Option<String>,
    pub member_epoch: i32,
    pub heartbeat_interval_ms: i32,
    /// Null if the member keeps what it has.
    #[field(default = None)]
    pub assignment: Option<Assignment>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct Assignment {
    pub topic_partitions: Vec<TopicPartitions>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicPartitions {
    pub topic_id: Uuid,
    pub partitions: Vec<i32>,
}
