//! The contract between machines and the runtime.
//!
//! Order in the runtime, under the shard's lock: a handler's [`Step`] comes back, its records are appended as one batch,
//! then replayed, then its replies are registered at the batch's end. A reply leaves when the high watermark passes it,
//! at once if there was nothing to append. A failed append is answered with [`Reply::fail`] and told to the machine.
//!
//! A handler may change soft state: members that are joining, timers, tickets. What it wants to outlive a restart it
//! returns as records, and leaves the change to `replay`.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use stratalog_protocol::ErrorCode;
use stratalog_protocol::codec::EncodeError;
use stratalog_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, HeartbeatRequest, HeartbeatResponse,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, SyncGroupRequest, SyncGroupResponse,
    consumer_group_describe, describe_groups, list_groups, offset_fetch,
};
use uuid::Uuid;

use crate::group::consumer::AssignmentJob;
use crate::records::{NotRead, Record};

/// Names a request that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub client_id: Arc<str>,
    /// The peer's address as Kafka prints it: `/127.0.0.1`.
    pub client_host: Arc<str>,
    /// Of the request.
    pub api_version: i16,
}

/// What may be asked of a shard of groups. Checked already: the caller's rights, and that the group is of this shard.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    JoinGroup(JoinGroupRequest),
    SyncGroup(SyncGroupRequest),
    Heartbeat(HeartbeatRequest),
    LeaveGroup(LeaveGroupRequest),
    ConsumerGroupHeartbeat(ConsumerGroupHeartbeatRequest),
    /// Topic names are filled in where the request came with ids; ids that nobody knows were answered already.
    OffsetCommit(OffsetCommitRequest),
    /// One group. Names are filled in as for a commit.
    OffsetFetch {
        group: offset_fetch::OffsetFetchRequestGroup,
        require_stable: bool,
    },
    OffsetDelete(OffsetDeleteRequest),
    DeleteGroup {
        group_id: String,
    },
    DescribeClassic {
        group_id: String,
    },
    DescribeConsumer {
        group_id: String,
    },
    /// Kafka's filters, lower case; empty is everything.
    ListGroups {
        states: Vec<String>,
        types: Vec<String>,
    },
}

/// What a shard answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    JoinGroup(JoinGroupResponse),
    SyncGroup(SyncGroupResponse),
    Heartbeat(HeartbeatResponse),
    LeaveGroup(LeaveGroupResponse),
    ConsumerGroupHeartbeat(ConsumerGroupHeartbeatResponse),
    OffsetCommit(OffsetCommitResponse),
    OffsetFetch(offset_fetch::OffsetFetchResponseGroup),
    OffsetDelete(OffsetDeleteResponse),
    DeleteGroup(ErrorCode),
    DescribeClassic(describe_groups::DescribedGroup),
    DescribeConsumer(consumer_group_describe::DescribedGroup),
    ListGroups(Vec<list_groups::ListedGroup>),
}

impl Reply {
    /// The same answer as a failure: its records could not be written.
    pub fn fail(&mut self, error: ErrorCode) {
        match self {
            Reply::JoinGroup(response) => {
                let member_id = std::mem::take(&mut response.member_id);
                *response = JoinGroupResponse { error_code: error, member_id, ..JoinGroupResponse::default() };
            }
            Reply::SyncGroup(response) => {
                *response = SyncGroupResponse { error_code: error, ..SyncGroupResponse::default() };
            }
            Reply::Heartbeat(response) => response.error_code = error,
            Reply::LeaveGroup(response) => {
                *response = LeaveGroupResponse { error_code: error, ..LeaveGroupResponse::default() };
            }
            Reply::ConsumerGroupHeartbeat(response) => {
                *response =
                    ConsumerGroupHeartbeatResponse { error_code: error, ..ConsumerGroupHeartbeatResponse::default() };
            }
            Reply::OffsetCommit(response) => {
                for partition in response.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                    if partition.error_code.is_none() {
                        partition.error_code = error;
                    }
                }
            }
            Reply::OffsetFetch(group) => {
                group.topics.clear();
                group.error_code = error;
            }
            Reply::OffsetDelete(response) => {
                *response = OffsetDeleteResponse { error_code: error, ..OffsetDeleteResponse::default() };
            }
            Reply::DeleteGroup(code) => *code = error,
            Reply::DescribeClassic(group) => group.error_code = error,
            Reply::DescribeConsumer(group) => group.error_code = error,
            Reply::ListGroups(groups) => groups.clear(),
        }
    }
}

/// What a shard's log feeds: all that the runtime has to know of groups, and of whatever else keeps its state in an
/// internal topic. Its handlers are its own.
pub trait Machine: Send {
    type Record: Durable;
    type Reply: Send;
    /// Work to be done off the request path.
    type Job: Send;

    /// A record is in the log, at `offset`. `producer` is that of a transactional batch.
    fn replay(&mut self, offset: i64, producer: Option<i64>, record: Self::Record);

    /// The marker of a producer's transaction is in the log.
    fn end_transaction(&mut self, producer: i64, committed: bool);

    /// When it wants to hear the time, in milliseconds since 1970.
    fn next_deadline(&self) -> Option<i64>;
}

/// What a machine does with an input.
pub type StepOf<M> = Step<<M as Machine>::Record, <M as Machine>::Reply, <M as Machine>::Job>;

/// A record of an internal topic.
pub trait Durable: Sized + Send {
    /// Key and value; a tombstone has none.
    fn encode(&self) -> Result<(Bytes, Option<Bytes>), EncodeError>;

    fn decode(key: Bytes, value: Option<Bytes>) -> Result<Self, NotRead>;

    /// Whether what is decoded may stand on the bytes of the value: then they are copied first, so that it does not keep
    /// all that was read with them.
    fn keeps_value(key: &[u8]) -> bool;
}

/// What an input led to; of groups, if nothing else is said.
#[derive(Debug)]
pub struct Step<Written = Record, Answer = Reply, Job = AssignmentJob> {
    /// One batch: all or nothing.
    pub records: Vec<Written>,
    /// Sent when `records` are committed, at once if there are none. Others than the asker may be among them.
    pub replies: Vec<(Ticket, Answer)>,
    /// To do off the request path; each result comes back as an input.
    pub jobs: Vec<Job>,
    /// Groups whose records these are and that want to hear that the append failed: see `append_failed`.
    pub watching: Vec<Arc<str>>,
    /// There are no records, but the replies show what earlier ones say: they wait until all that the shard has appended
    /// is committed, as reads do.
    pub after_appended: bool,
    /// Groups that begin to rebalance and why, for the log.
    pub rebalances: Vec<(Arc<str>, String)>,
}

impl<Written, Answer, Job> Default for Step<Written, Answer, Job> {
    fn default() -> Self {
        let (records, replies, jobs) = (Vec::new(), Vec::new(), Vec::new());
        Step { records, replies, jobs, watching: Vec::new(), after_appended: false, rebalances: Vec::new() }
    }
}

impl<Written, Answer, Job> Step<Written, Answer, Job> {
    pub fn reply(ticket: Ticket, reply: Answer) -> Self {
        Step { replies: vec![(ticket, reply)], ..Step::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.replies.is_empty() && self.jobs.is_empty()
    }

    /// This step, then that one.
    pub fn then(&mut self, next: Self) {
        self.records.extend(next.records);
        self.replies.extend(next.replies);
        self.jobs.extend(next.jobs);
        self.watching.extend(next.watching);
        self.after_appended |= next.after_appended;
        self.rebalances.extend(next.rebalances);
    }
}

/// A topic as machines see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    pub name: Arc<str>,
    pub id: Uuid,
    pub partitions: i32,
}

/// The topics of the cluster at one moment.
pub trait Topics: Send + Sync {
    fn by_name(&self, name: &str) -> Option<TopicInfo>;
    fn by_id(&self, id: Uuid) -> Option<TopicInfo>;
    /// Every topic, in name order: regular expressions are matched against it.
    fn all(&self) -> Vec<TopicInfo>;
    /// Changes whenever a topic came, went or grew.
    fn revision(&self) -> u64;
    /// The racks of a partition's replicas, where brokers have one.
    fn racks(&self, _topic: Uuid, _partition: i32) -> Vec<String> {
        Vec::new()
    }
}

/// Which way a group may change between the protocols while it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationPolicy {
    Disabled,
    Upgrade,
    Downgrade,
    Bidirectional,
}

/// The keys of one group that override the broker's, as they were stored; bounds apply when they are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupOverrides {
    pub session_timeout_ms: Option<i32>,
    pub heartbeat_interval_ms: Option<i32>,
    pub assignment_interval_ms: Option<i32>,
}

/// The broker's keys that coordinators of groups obey, by Kafka's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
    pub classic_enabled: bool,
    pub consumer_enabled: bool,
    pub min_session_timeout_ms: i32,
    pub max_session_timeout_ms: i32,
    pub initial_rebalance_delay_ms: i32,
    pub max_size: i32,
    pub consumer_session_timeout_ms: i32,
    pub consumer_min_session_timeout_ms: i32,
    pub consumer_max_session_timeout_ms: i32,
    pub consumer_heartbeat_interval_ms: i32,
    pub consumer_min_heartbeat_interval_ms: i32,
    pub consumer_max_heartbeat_interval_ms: i32,
    pub consumer_assignment_interval_ms: i32,
    pub consumer_min_assignment_interval_ms: i32,
    pub consumer_max_assignment_interval_ms: i32,
    pub consumer_max_size: i32,
    pub consumer_regex_refresh_interval_ms: i32,
    /// The default first.
    pub consumer_assignors: Vec<String>,
    pub migration_policy: MigrationPolicy,
    pub offset_metadata_max_bytes: usize,
    pub offsets_retention_ms: i64,
    pub offsets_retention_check_interval_ms: i64,
    /// By group.
    pub overrides: HashMap<String, GroupOverrides>,
}

impl Default for GroupConfig {
    /// Kafka's defaults.
    fn default() -> GroupConfig {
        GroupConfig {
            classic_enabled: true,
            consumer_enabled: true,
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            max_size: i32::MAX,
            consumer_session_timeout_ms: 45_000,
            consumer_min_session_timeout_ms: 45_000,
            consumer_max_session_timeout_ms: 60_000,
            consumer_heartbeat_interval_ms: 5_000,
            consumer_min_heartbeat_interval_ms: 5_000,
            consumer_max_heartbeat_interval_ms: 15_000,
            consumer_assignment_interval_ms: 1_000,
            consumer_min_assignment_interval_ms: 0,
            consumer_max_assignment_interval_ms: 15_000,
            consumer_max_size: i32::MAX,
            consumer_regex_refresh_interval_ms: 10 * 60 * 1_000,
            consumer_assignors: vec!["uniform".to_owned(), "range".to_owned()],
            migration_policy: MigrationPolicy::Bidirectional,
            offset_metadata_max_bytes: 4_096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1_000,
            offsets_retention_check_interval_ms: 10 * 60 * 1_000,
            overrides: HashMap::new(),
        }
    }
}

/// What machines may look at while they handle an input.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub config: &'a GroupConfig,
    pub topics: &'a dyn Topics,
}

/// Where new member ids come from.
pub type IdSource = Box<dyn FnMut() -> Uuid + Send>;
