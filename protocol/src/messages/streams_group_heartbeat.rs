//! StreamsGroupHeartbeat (88): membership, topology and tasks of streams groups (KIP-1071).

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=0, flexible = 0)]
pub struct StreamsGroupHeartbeatRequest {
    pub group_id: String,
    pub member_id: String,
    /// 0 joins; -1 leaves; -2 leaves for a while, as a static member does.
    pub member_epoch: i32,
    pub endpoint_information_epoch: i32,
    #[field(default = None)]
    pub instance_id: Option<String>,
    #[field(default = None)]
    pub rack_id: Option<String>,
    #[field(default = -1)]
    pub rebalance_timeout_ms: i32,
    /// Sent when joining; null otherwise.
    #[field(default = None)]
    pub topology: Option<Topology>,
    #[field(default = None)]
    pub active_tasks: Option<Vec<TaskIds>>,
    #[field(default = None)]
    pub standby_tasks: Option<Vec<TaskIds>>,
    #[field(default = None)]
    pub warmup_tasks: Option<Vec<TaskIds>>,
    #[field(default = None)]
    pub process_id: Option<String>,
    #[field(default = None)]
    pub user_endpoint: Option<Endpoint>,
    #[field(default = None)]
    pub client_tags: Option<Vec<KeyValue>>,
    #[field(default = None)]
    pub task_offsets: Option<Vec<TaskOffset>>,
    #[field(default = None)]
    pub task_end_offsets: Option<Vec<TaskOffset>>,
    /// Asks all members to stop.
    pub shutdown_application: bool,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct Topology {
    pub epoch: i32,
    pub subtopologies: Vec<Subtopology>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct Subtopology {
    pub subtopology_id: String,
    pub source_topics: Vec<String>,
    pub source_topic_regex: Vec<String>,
    pub state_changelog_topics: Vec<TopicInfo>,
    pub repartition_sink_topics: Vec<String>,
    pub repartition_source_topics: Vec<TopicInfo>,
    pub copartition_groups: Vec<CopartitionGroup>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct CopartitionGroup {
    pub source_topics: Vec<i16>,
    pub source_topic_regex: Vec<i16>,
    pub repartition_source_topics: Vec<i16>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct KeyValue {
    pub key: String,
    pub value: String,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicInfo {
    pub name: String,
    pub partitions: i32,
    pub replication_factor: i16,
    pub topic_configs: Vec<KeyValue>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct TaskOffset {
    pub subtopology_id: String,
    pub partition: i32,
    pub offset: i64,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct TaskIds {
    pub subtopology_id: String,
    pub partitions: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=0, flexible = 0)]
pub struct StreamsGroupHeartbeatResponse {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[field(default = None)]
    pub error_message: Option<String>,
    pub member_id: String,
    pub member_epoch: i32,
    pub heartbeat_interval_ms: i32,
    pub acceptable_recovery_lag: i32,
    pub task_offset_interval_ms: i32,
    pub status: Option<Vec<Status>>,
    #[field(default = None)]
    pub active_tasks: Option<Vec<TaskIds>>,
    #[field(default = None)]
    pub standby_tasks: Option<Vec<TaskIds>>,
    #[field(default = None)]
    pub warmup_tasks: Option<Vec<TaskIds>>,
    pub endpoint_information_epoch: i32,
    #[field(default = None)]
    pub partitions_by_user_endpoint: Option<Vec<EndpointToPartitions>>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct EndpointToPartitions {
    pub user_endpoint: Endpoint,
    pub active_partitions: Vec<TopicPartition>,
    pub standby_partitions: Vec<TopicPartition>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct Status {
    pub status_code: i8,
    pub status_detail: String,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicPartition {
    pub topic: String,
    pub partitions: Vec<i32>,
}
