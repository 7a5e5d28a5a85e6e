//! ConsumerGroupDescribe (69): state and members of consumer groups (KIP-848).

use stratalog_protocol_derive::Message;
use uuid::Uuid;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=1, flexible = 0)]
pub struct ConsumerGroupDescribeRequest {
    pub group_ids: Vec<String>,
    pub include_authorized_operations: bool,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=1, flexible = 0)]
pub struct ConsumerGroupDescribeResponse {
    pub throttle_time_ms: i32,
    pub groups: Vec<DescribedGroup>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribedGroup {
    pub error_code: ErrorCode,
    #[field(default = None)]
    pub error_message: Option<String>,
    pub group_id: String,
    pub group_state: String,
    pub group_epoch: i32,
    pub assignment_epoch: i32,
    pub assignor_name: String,
    pub members: Vec<Member>,
    /// One bit per operation; `i32::MIN` if it was not asked for.
    #[field(default = i32::MIN)]
    pub authorized_operations: i32,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct Member {
    pub member_id: String,
    #[field(default = None)]
    pub instance_id: Option<String>,
    #[field(default = None)]
    pub rack_id: Option<String>,
    pub member_epoch: i32,
    pub client_id: String,
    pub client_host: String,
    pub subscribed_topic_names: Vec<String>,
    #[field(default = None)]
    pub subscribed_topic_regex: Option<String>,
    pub assignment: Assignment,
    pub target_assignment: Assignment,
    #[field(since = 1, default = -1, ignorable)]
    pub member_type: i8,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicPartitions {
    pub topic_id: Uuid,
    pub topic_name: String,
    pub partitions: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct Assignment {
    pub topic_partitions: Vec<TopicPartitions>,
}
