//! The records of a group of the `consumer` protocol (KIP-848).

use bytes::Bytes;
use stratalog_protocol::Message;
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=0)]
pub(super) struct MemberKey {
    pub group: String,
    pub member: String,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=0)]
pub(super) struct RegularExpressionKey {
    pub group: String,
    pub regular_expression: String,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=0, flexible = 0)]
pub struct ConsumerGroupMetadataValue {
    pub epoch: i32,
    /// Over all subscribed topics; it changes when one of them does.
    #[field(tag = 0, default = 0)]
    pub metadata_hash: i64,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=0, flexible = 0)]
pub struct ConsumerGroupPartitionMetadataValue {
    pub topics: Vec<TopicMetadata>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicMetadata {
    pub topic_id: Uuid,
    pub topic_name: String,
    pub num_partitions: i32,
    pub partition_metadata: Vec<PartitionMetadata>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct PartitionMetadata {
    pub partition: i32,
    pub racks: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=0, flexible = 0)]
pub struct ConsumerGroupMemberMetadataValue {
    #[field(default = None)]
    pub instance_id: Option<String>,
    #[field(default = None)]
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub subscribed_topic_names: Vec<String>,
    #[field(default = None)]
    pub subscribed_topic_regex: Option<String>,
    #[field(default = -1)]
    pub rebalance_timeout_ms: i32,
    #[field(default = None)]
    pub server_assignor: Option<String>,
    /// Of a member that speaks the classic protocol.
    #[field(tag = 0, default = None)]
    pub classic_member_metadata: Option<ClassicMemberMetadata>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ClassicMemberMetadata {
    pub session_timeout_ms: i32,
    pub supported_protocols: Vec<ClassicProtocol>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ClassicProtocol {
    pub name: String,
    pub metadata: Bytes,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=0, flexible = 0)]
pub struct ConsumerGroupTargetAssignmentMetadataValue {
    pub assignment_epoch: i32,
    /// When its computation ended, in milliseconds since 1970 (KIP-1263).
    #[field(tag = 0, default = 0, ignorable)]
    pub assignment_timestamp: i64,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=0, flexible = 0)]
pub struct ConsumerGroupTargetAssignmentMemberValue {
    pub topic_partitions: Vec<TargetPartitions>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct TargetPartitions {
    pub topic_id: Uuid,
    pub partitions: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=0, flexible = 0)]
pub struct ConsumerGroupCurrentMemberAssignmentValue {
    pub member_epoch: i32,
    pub previous_member_epoch: i32,
    /// Kafka's number of the member's state.
    pub state: i8,
    pub assigned_partitions: Vec<AssignedPartitions>,
    pub partitions_pending_revocation: Vec<AssignedPartitions>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct AssignedPartitions {
    pub topic_id: Uuid,
    pub partitions: Vec<i32>,
    /// The epoch in which each partition was given to the member; as long as `partitions`.
    #[field(tag = 0, default = None)]
    pub assignment_epochs: Option<Vec<i32>>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=0, flexible = 0)]
pub struct ConsumerGroupRegularExpressionValue {
    /// In name order.
    pub topics: Vec<String>,
    /// Of the metadata that the topics were found in.
    pub version: i64,
    pub timestamp: i64,
}
