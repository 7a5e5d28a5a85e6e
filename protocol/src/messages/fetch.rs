//! Fetch (1): records from partitions, by consumers and by followers, within fetch sessions (KIP-227).

use stratalog_protocol_derive::Message;
use uuid::Uuid;

use crate::codec::Records;
use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 4..=18, flexible = 12)]
pub struct FetchRequest {
    /// Checked by KRaft controllers only.
    #[field(tag = 0, since = 12, default = None, ignorable)]
    pub cluster_id: Option<String>,
    /// The follower's broker id, or -1 for a consumer. In `replica_state` since version 15.
    #[field(until = 14, default = -1)]
    pub replica_id: i32,
    #[field(tag = 1, since = 15)]
    pub replica_state: ReplicaState,
    pub max_wait_ms: i32,
    pub min_bytes: i32,
    /// Over all partitions; a first batch larger than this is returned all the same.
    #[field(default = i32::MAX)]
    pub max_bytes: i32,
    /// 0: read_uncommitted; 1: read_committed.
    pub isolation_level: i8,
    /// 0 opens a session or goes without one.
    #[field(since = 7, ignorable)]
    pub session_id: i32,
    /// -1: no session; 0: opens one; else the number of the fetch in its session.
    #[field(since = 7, default = -1, ignorable)]
    pub session_epoch: i32,
    pub topics: Vec<FetchTopic>,
    /// Partitions that leave the session.
    #[field(since = 7)]
    pub forgotten_topics_data: Vec<ForgottenTopic>,
    /// Empty when the consumer has none (KIP-392).
    #[field(since = 11, ignorable)]
    pub rack_id: String,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ReplicaState {
    #[field(default = -1)]
    pub replica_id: i32,
    #[field(default = -1)]
    pub replica_epoch: i64,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct FetchTopic {
    #[field(until = 12, ignorable)]
    pub topic: String,
    #[field(since = 13, ignorable)]
    pub topic_id: Uuid,
    pub partitions: Vec<FetchPartition>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct FetchPartition {
    pub partition: i32,
    /// -1 skips the check.
    #[field(since = 9, default = -1, ignorable)]
    pub current_leader_epoch: i32,
    pub fetch_offset: i64,
    /// Of a follower's last record; -1 if it has none or is a consumer.
    #[field(since = 12, default = -1)]
    pub last_fetched_epoch: i32,
    /// Of a follower; -1 from a consumer.
    #[field(since = 5, default = -1, ignorable)]
    pub log_start_offset: i64,
    /// A first batch larger than this is returned all the same.
    pub partition_max_bytes: i32,
    #[field(tag = 0, since = 17, ignorable)]
    pub replica_directory_id: Uuid,
    /// As the follower knows it (KIP-1166).
    #[field(tag = 1, since = 18, default = i64::MAX, ignorable)]
    pub high_watermark: i64,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ForgottenTopic {
    #[field(until = 12, ignorable)]
    pub topic: String,
    #[field(since = 13, ignorable)]
    pub topic_id: Uuid,
    pub partitions: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 4..=18, flexible = 12)]
pub struct FetchResponse {
    pub throttle_time_ms: i32,
    #[field(since = 7, ignorable)]
    pub error_code: ErrorCode,
    #[field(since = 7)]
    pub session_id: i32,
    pub responses: Vec<FetchableTopicResponse>,
    /// Of the leaders named in `current_leader` (KIP-951).
    #[field(tag = 0, since = 16)]
    pub node_endpoints: Vec<NodeEndpoint>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct FetchableTopicResponse {
    #[field(until = 12, ignorable)]
    pub topic: String,
    #[field(since = 13, ignorable)]
    pub topic_id: Uuid,
    pub partitions: Vec<PartitionData>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct PartitionData {
    pub partition_index: i32,
    pub error_code: ErrorCode,
    pub high_watermark: i64,
    /// -1 if the broker does not know.
    #[field(default = -1)]
    pub last_stable_offset: i64,
    #[field(since = 5, default = -1, ignorable)]
    pub log_start_offset: i64,
    /// Where the follower's log leaves the leader's.
    #[field(tag = 0, since = 12)]
    pub diverging_epoch: EpochEndOffset,
    #[field(tag = 1, since = 12)]
    pub current_leader: LeaderIdAndEpoch,
    #[field(tag = 2, since = 12)]
    pub snapshot_id: SnapshotId,
    /// For read_committed: those that overlap the records. Null for read_uncommitted.
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// -1: this broker.
    #[field(since = 11, default = -1)]
    pub preferred_read_replica: i32,
    pub records: Records,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct EpochEndOffset {
    #[field(default = -1)]
    pub epoch: i32,
    /// -1 if unknown.
    #[field(default = -1)]
    pub end_offset: i64,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct LeaderIdAndEpoch {
    #[field(default = -1)]
    pub leader_id: i32,
    #[field(default = -1)]
    pub leader_epoch: i32,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct SnapshotId {
    #[field(default = -1)]
    pub end_offset: i64,
    #[field(default = -1)]
    pub epoch: i32,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct AbortedTransaction {
    pub producer_id: i64,
    pub first_offset: i64,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct NodeEndpoint {
    pub node_id: i32,
    pub host: String,
    pub port: i32,
    #[field(default = None)]
    pub rack: Option<String>,
}
