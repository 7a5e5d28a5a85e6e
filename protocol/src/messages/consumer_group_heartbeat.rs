//! ConsumerGroupHeartbeat (68): membership and assignment of consumer groups (KIP-848).

use stratalog_protocol_derive::Message;
use uuid::Uuid;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=1, flexible = 0)]
pub struct ConsumerGroupHeartbeatRequest {
    pub group_id: String,
    pub member_id: String,
    /// 0 joins; -1 leaves; -2 leaves for a while, as a static member does.
    pub member_epoch: i32,
    #[field(default = None)]
    pub instance_id: Option<String>,
    #[field(default = None)]
    pub rack_id: Option<String>,
    /// -1 if it did not change.
    #[field(default = -1)]
    pub rebalance_timeout_ms: i32,
    /// Null if they did not change.
    #[field(default = None)]
    pub subscribed_topic_names: Option<Vec<String>>,
    #[field(since = 1, default = None)]
    pub subscribed_topic_regex: Option<String>,
    #[field(default = None)]
    pub server_assignor: Option<String>,
    /// Null if they did not change.
    #[field(default = None)]
    pub topic_partitions: Option<Vec<TopicPartitions>>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicPartitions {
    pub topic_id: Uuid,
    pub partitions: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=1, flexible = 0)]
pub struct ConsumerGroupHeartbeatResponse {
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
