//! Metadata (3): brokers, topics and who leads their partitions.

use stratalog_protocol_derive::Message;
use uuid::Uuid;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=13, flexible = 9)]
pub struct MetadataRequest {
    /// Null asks for all; so does an empty list in version 0.
    #[field(nullable = 1)]
    pub topics: Option<Vec<MetadataRequestTopic>>,
    /// Version 0 to 3 always allow it.
    #[field(since = 4, default = true)]
    pub allow_auto_topic_creation: bool,
    #[field(since = 8, until = 10)]
    pub include_cluster_authorized_operations: bool,
    #[field(since = 8)]
    pub include_topic_authorized_operations: bool,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct MetadataRequestTopic {
    /// Used if the name is null.
    #[field(since = 10, ignorable)]
    pub topic_id: Uuid,
    #[field(nullable = 10)]
    pub name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=13, flexible = 9)]
pub struct MetadataResponse {
    #[field(since = 3, ignorable)]
    pub throttle_time_ms: i32,
    pub brokers: Vec<MetadataResponseBroker>,
    #[field(since = 2, default = None, ignorable)]
    pub cluster_id: Option<String>,
    /// -1 if there is none.
    #[field(since = 1, default = -1, ignorable)]
    pub controller_id: i32,
    pub topics: Vec<MetadataResponseTopic>,
    /// One bit per operation; `i32::MIN` if it was not asked for.
    #[field(since = 8, until = 10, default = i32::MIN)]
    pub cluster_authorized_operations: i32,
    #[field(since = 13, ignorable)]
    pub error_code: ErrorCode,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct MetadataResponseBroker {
    pub node_id: i32,
    pub host: String,
    pub port: i32,
    #[field(since = 1, default = None, ignorable)]
    pub rack: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct MetadataResponseTopic {
    pub error_code: ErrorCode,
    #[field(nullable = 12)]
    pub name: Option<String>,
    #[field(since = 10, ignorable)]
    pub topic_id: Uuid,
    #[field(since = 1, ignorable)]
    pub is_internal: bool,
    pub partitions: Vec<MetadataResponsePartition>,
    /// One bit per operation; `i32::MIN` if it was not asked for.
    #[field(since = 8, default = i32::MIN)]
    pub topic_authorized_operations: i32,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct MetadataResponsePartition {
    pub error_code: ErrorCode,
    pub partition_index: i32,
    pub leader_id: i32,
    #[field(since = 7, default = -1, ignorable)]
    pub leader_epoch: i32,
    pub replica_nodes: Vec<i32>,
    pub isr_nodes: Vec<i32>,
    #[field(since = 5, ignorable)]
    pub offline_replicas: Vec<i32>,
}
