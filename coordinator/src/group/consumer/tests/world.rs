//! A shard of one group without a broker: steps are appended to a list, replayed, answered; appends may fail, jobs
//! wait until they are asked for, time stands until it is moved.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::consumer_group_heartbeat::TopicPartitions;
use stratalog_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use uuid::Uuid;

use crate::group::consumer::{
    AssignmentJob, ConsumerGroup, Downgrade, Presence, Replayed, Settings, Turn, append_failed, assigned,
    check_heartbeat, classic_member, heartbeat, refuse_heartbeat, tick,
};
use crate::machine::{Caller, GroupConfig, Reply, Step, Ticket, TopicInfo, Topics, View};
use crate::records::Record;

pub const GROUP: &str = "group";
pub const SESSION_MS: i64 = 45_000;
pub const REBALANCE_MS: i32 = 30_000;

/// The topics of a cluster.
#[derive(Debug, Default, Clone)]
pub struct TestTopics {
    pub topics: BTreeMap<String, TopicInfo>,
    pub revision: u64,
}

impl TestTopics {
    pub fn set(&mut self, name: &str, partitions: i32) {
        self.revision += 1;
        let id = self.topics.get(name).map_or(Uuid::from_u128(u128::from(self.revision) + 100), |topic| topic.id);
        self.topics.insert(name.to_owned(), TopicInfo { name: name.into(), id, partitions });
    }

    pub fn remove(&mut self, name: &str) {
        self.revision += 1;
        self.topics.remove(name);
    }

    pub fn id(&self, name: &str) -> Uuid {
        self.topics[name].id
    }
}

impl Topics for TestTopics {
    fn by_name(&self, name: &str) -> Option<TopicInfo> {
        self.topics.get(name).cloned()
    }

    fn by_id(&self, id: Uuid) -> Option<TopicInfo> {
        self.topics.values().find(|topic| topic.id == id).cloned()
    }

    fn all(&self) -> Vec<TopicInfo> {
        self.topics.values().cloned().collect()
    }

    fn revision(&self) -> u64 {
        self.revision
    }
}

#[derive(Debug, Default)]
pub struct World {
    pub now_ms: i64,
    pub topics: TestTopics,
    pub config: GroupConfig,
    pub group: Option<ConsumerGroup>,
    pub presence: Presence,
    pub log: Vec<Record>,
    pub jobs: VecDeque<AssignmentJob>,
    pub replies: HashMap<Ticket, Reply>,
    pub tickets: u64,
    ids: u128,
    /// The next append that has records fails.
    pub fail_append: bool,
    pub downgraded: Option<Downgrade>,
    /// Jobs run as soon as they are given out.
    pub eager: bool,
    /// What the last batch of records held.
    pub last_batch: Vec<Record>,
}

impl World {
    pub fn new() -> World {
        World { now_ms: 1_000_000, eager: true, ..World::default() }
    }

    fn caller(api_version: i16) -> Caller {
        Caller { client_id: "client".into(), client_host: "/127.0.0.1".into(), api_version }
    }

    pub fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// Runs a handler on the group and carries out what it says.
    pub fn turn<R>(&mut self, act: impl FnOnce(&ConsumerGroup, &mut Presence, &mut Turn<'_>) -> R) -> R {
        let mut step = Step::default();
        let fresh = ConsumerGroup::new(GROUP.into());
        let (now_ms, ids) = (self.now_ms, &mut self.ids);
        let view = View { config: &self.config, topics: &self.topics };
        let mut new_id = || {
            *ids += 1;
            Uuid::from_u128(*ids << 64 | 0x1234)
        };
        let mut turn = Turn { now_ms, view, ids: &mut new_id, step: &mut step };
        let result = act(self.group.as_ref().unwrap_or(&fresh), &mut self.presence, &mut turn);
        self.carry_out(step);
        result
    }

    fn carry_out(&mut self, step: Step) {
        let fails = self.fail_append && !step.records.is_empty();
        if fails {
            self.fail_append = false;
            for (ticket, mut reply) in step.replies {
                reply.fail(ErrorCode::NOT_COORDINATOR);
                self.answer(ticket, reply);
            }
            self.append_failed();
        } else {
            self.last_batch.clone_from(&step.records);
            for record in step.records {
                self.replay(&record);
                self.log.push(record);
            }
            for (ticket, reply) in step.replies {
                self.answer(ticket, reply);
            }
        }
        // A job that was given out runs whatever became of the records beside it.
        self.jobs.extend(step.jobs);
    }

    fn append_failed(&mut self) {
        let mut step = Step::default();
        let view = View { config: &self.config, topics: &self.topics };
        let mut no_id = || Uuid::nil();
        let mut turn = Turn { now_ms: self.now_ms, view, ids: &mut no_id, step: &mut step };
        append_failed(self.group.as_ref(), &mut self.presence, &mut turn, ErrorCode::NOT_COORDINATOR);
        assert!(step.records.is_empty());
        for (ticket, reply) in step.replies {
            self.answer(ticket, reply);
        }
    }

    fn answer(&mut self, ticket: Ticket, reply: Reply) {
        assert!(self.replies.insert(ticket, reply).is_none(), "{ticket:?} is answered twice");
    }

    fn replay(&mut self, record: &Record) {
        replay_into(&mut self.group, record);
    }

    /// Everything that is due now, jobs too if they are eager.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            if self.eager
                && let Some(job) = self.jobs.pop_front()
            {
                self.finish(job);
                continue;
            }
            if self.presence.next_deadline().is_none_or(|at| at > self.now_ms) {
                return;
            }
            let downgrade = self.turn(tick);
            self.downgraded = downgrade.or(self.downgraded.take());
        }
        panic!("time does not come to rest: {:?}", self.presence);
    }

    pub fn finish(&mut self, job: AssignmentJob) {
        let result = job.run();
        self.turn(|group, presence, turn| assigned(group, presence, turn, result));
    }

    /// Lets time pass, deadline by deadline.
    pub fn pass(&mut self, ms: i64) {
        let end = self.now_ms + ms;
        loop {
            self.settle();
            match self.presence.next_deadline() {
                Some(at) if at <= end => self.now_ms = at.max(self.now_ms),
                _ => break,
            }
        }
        self.now_ms = end;
        self.settle();
    }

    /// The broker restarts: only the log is left.
    pub fn restart(&mut self) {
        self.group = replayed(&self.log);
        self.presence = Presence::default();
        self.jobs.clear();
        if let Some(group) = &self.group {
            self.presence.start(group, Settings::of(GROUP, &self.config), self.now_ms);
        }
    }

    pub fn send_version(&mut self, request: &ConsumerGroupHeartbeatRequest, api_version: i16) -> Ticket {
        let ticket = self.ticket();
        if let Err(refusal) = check_heartbeat(request, api_version, &self.config) {
            self.answer(ticket, refuse_heartbeat(refusal));
            return ticket;
        }
        let downgrade = self.turn(|group, presence, turn| {
            heartbeat(group, presence, turn, ticket, &World::caller(api_version), request)
        });
        self.downgraded = downgrade.or(self.downgraded.take());
        ticket
    }

    pub fn send(&mut self, request: &ConsumerGroupHeartbeatRequest) -> Ticket {
        self.send_version(request, 1)
    }

    pub fn heartbeat(&mut self, request: &ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        let ticket = self.send(request);
        self.settle();
        self.taken(ticket).unwrap_or_else(|| panic!("no answer to {request:?}"))
    }

    pub fn taken(&mut self, ticket: Ticket) -> Option<ConsumerGroupHeartbeatResponse> {
        match self.replies.remove(&ticket)? {
            Reply::ConsumerGroupHeartbeat(response) => Some(response),
            other => panic!("{other:?}"),
        }
    }

    pub fn send_join(&mut self, request: &JoinGroupRequest) -> Ticket {
        let ticket = self.ticket();
        let caller = World::caller(9);
        let downgrade =
            self.turn(|group, presence, turn| classic_member::join(group, presence, turn, ticket, &caller, request));
        self.downgraded = downgrade.or(self.downgraded.take());
        ticket
    }

    pub fn join(&mut self, request: &JoinGroupRequest) -> JoinGroupResponse {
        let ticket = self.send_join(request);
        self.settle();
        self.taken_join(ticket).expect("no answer to a join")
    }

    pub fn taken_join(&mut self, ticket: Ticket) -> Option<JoinGroupResponse> {
        match self.replies.remove(&ticket)? {
            Reply::JoinGroup(response) => Some(response),
            other => panic!("{other:?}"),
        }
    }

    pub fn sync(&mut self, request: &SyncGroupRequest) -> SyncGroupResponse {
        let ticket = self.ticket();
        self.turn(|group, presence, turn| classic_member::sync(group, presence, turn, ticket, request));
        match self.replies.remove(&ticket) {
            Some(Reply::SyncGroup(response)) => response,
            other => panic!("{other:?}"),
        }
    }

    pub fn classic_heartbeat(&mut self, member_id: &str, generation_id: i32) -> ErrorCode {
        let ticket = self.ticket();
        let request = HeartbeatRequest {
            group_id: GROUP.to_owned(),
            generation_id,
            member_id: member_id.to_owned(),
            group_instance_id: None,
        };
        self.turn(|group, presence, turn| classic_member::heartbeat(group, presence, turn, ticket, &request));
        match self.replies.remove(&ticket) {
            Some(Reply::Heartbeat(response)) => response.error_code,
            other => panic!("{other:?}"),
        }
    }

    pub fn the_group(&self) -> &ConsumerGroup {
        self.group.as_ref().expect("there is a group")
    }
}

fn replay_into(group: &mut Option<ConsumerGroup>, record: &Record) {
    // What is in the log is bytes.
    let (key, value) = record.encode().expect("a record encodes");
    let read = Record::decode(key, value).expect("a record decodes");
    assert_eq!(&read, record);
    if group.is_none() && (record.is_tombstone() || matches!(record, Record::GroupMetadata { .. })) {
        return;
    }
    let known = group.get_or_insert_with(|| ConsumerGroup::new(Arc::from(record.group())));
    if known.replay(&read) == Replayed::Deleted {
        *group = None;
    }
}

/// The state that a log makes.
pub fn replayed<'a>(log: impl IntoIterator<Item = &'a Record>) -> Option<ConsumerGroup> {
    let mut group = None;
    for record in log {
        replay_into(&mut group, record);
    }
    group
}

/// The log with only the last record of each key.
pub fn compacted(log: &[Record]) -> Vec<&Record> {
    let mut seen = std::collections::HashSet::new();
    let mut kept: Vec<&Record> = Vec::new();
    for record in log.iter().rev() {
        let (key, _) = record.encode().expect("a record encodes");
        if seen.insert(key) {
            kept.push(record);
        }
    }
    kept.reverse();
    kept
}

/// A heartbeat that joins.
pub fn joining(member_id: &str, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        member_epoch: 0,
        rebalance_timeout_ms: REBALANCE_MS,
        subscribed_topic_names: Some(topics.iter().map(|topic| (*topic).to_owned()).collect()),
        topic_partitions: Some(Vec::new()),
        ..beating(member_id, 0)
    }
}

/// A heartbeat that says nothing new.
pub fn beating(member_id: &str, member_epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: GROUP.to_owned(),
        member_id: member_id.to_owned(),
        member_epoch,
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

/// The same, saying what the member has.
pub fn owning(member_id: &str, member_epoch: i32, owned: Vec<TopicPartitions>) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest { topic_partitions: Some(owned), ..beating(member_id, member_epoch) }
}
