//! The groups of one shard: which there are, and who gets a request, a record or a deadline.

use std::collections::HashMap;
use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::list_groups::ListedGroup;
use stratalog_protocol::messages::{consumer_group_describe, describe_groups};
use uuid::Uuid;

use super::classic::{CONSUMER_PROTOCOL_TYPE, ClassicGroup, ExpireFrom};
use super::consumer::{self, Assigned, AssignmentJob, ConsumerGroup, Downgrade, Presence, Replayed, Settings, Turn};
use super::offsets::Offsets;
use super::timers::Deadlines;
use crate::machine::{Caller, IdSource, Machine, Reply, Request, Step, Ticket, View};
use crate::records::Record;

/// Groups that one tick looks at; the next follows at once.
const GROUPS_PER_TICK: usize = 500;
/// Since this version DescribeGroups says that it does not know a group; before, the group was dead.
const NOT_FOUND_SINCE: i16 = 6;

/// A group of either protocol.
#[derive(Debug)]
pub(super) enum Group {
    Classic(Box<ClassicGroup>),
    Consumer(Box<ConsumerGroup>),
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Group::Classic(group) => group.is_empty(),
            Group::Consumer(group) => group.is_empty(),
        }
    }

    pub(super) fn offsets_expire(&self) -> ExpireFrom {
        match self {
            Group::Classic(group) => group.offsets_expire(),
            Group::Consumer(_) => ExpireFrom::Commit,
        }
    }

    pub(super) fn is_subscribed_to(&self, topic: &str) -> bool {
        match self {
            Group::Classic(group) => group.is_subscribed_to(topic),
            Group::Consumer(group) => group.is_subscribed_to(topic),
        }
    }

    /// What makes the group go, its offsets apart.
    pub(super) fn tombstones(&self, id: &str) -> Vec<Record> {
        match self {
            Group::Classic(_) => vec![Record::GroupMetadata { group: id.to_owned(), value: None }],
            Group::Consumer(group) => group.deletion(),
        }
    }

    pub(super) fn check_delete(&self) -> Result<(), ErrorCode> {
        match self {
            Group::Classic(group) => group.check_delete(),
            Group::Consumer(group) => group.check_delete(),
        }
    }

    fn listed(&self, id: &str) -> ListedGroup {
        match self {
            Group::Classic(group) => group.listed(),
            Group::Consumer(group) => ListedGroup {
                group_id: id.to_owned(),
                protocol_type: CONSUMER_PROTOCOL_TYPE.to_owned(),
                group_state: group.state().name().to_owned(),
                group_type: "consumer".to_owned(),
            },
        }
    }
}

/// One shard of groups.
pub struct GroupMachine {
    pub(super) groups: HashMap<Arc<str>, Group>,
    pub(super) offsets: Offsets,
    pub(super) new_id: IdSource,
    /// Who is alive, and who waits, in groups of the `consumer` protocol.
    pub(super) presences: HashMap<Arc<str>, Presence>,
    /// Consumer groups without members whose place a classic one took, until its record is in the log.
    pub(super) replaced: HashMap<Arc<str>, Box<ConsumerGroup>>,
    /// Groups that become classic ones with the records that are being appended.
    downgrades: HashMap<Arc<str>, Downgrade>,
    /// Answers that a replay led to.
    answers: Vec<(Ticket, Reply)>,
    deadlines: Deadlines<Arc<str>>,
    /// When offsets are looked at again; `None` before the shard is loaded.
    expiry_ms: Option<i64>,
}

impl Machine for GroupMachine {
    type Record = Record;
    type Reply = Reply;
    type Job = AssignmentJob;

    fn replay(&mut self, offset: i64, producer: Option<i64>, record: Record) {
        GroupMachine::replay(self, offset, producer, record);
    }

    fn end_transaction(&mut self, producer: i64, committed: bool) {
        GroupMachine::end_transaction(self, producer, committed);
    }

    fn next_deadline(&self) -> Option<i64> {
        GroupMachine::next_deadline(self)
    }
}

impl GroupMachine {
    pub fn new(new_id: IdSource) -> GroupMachine {
        GroupMachine {
            groups: HashMap::new(),
            offsets: Offsets::default(),
            new_id,
            presences: HashMap::new(),
            replaced: HashMap::new(),
            downgrades: HashMap::new(),
            answers: Vec::new(),
            deadlines: Deadlines::default(),
            expiry_ms: None,
        }
    }

    /// Groups, whatever their state.
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// Partitions with a committed offset, over all groups.
    pub fn offset_count(&self) -> usize {
        self.offsets.len()
    }

    pub fn handle(&mut self, now_ms: i64, view: &View<'_>, ticket: Ticket, caller: &Caller, request: Request) -> Step {
        match request {
            Request::JoinGroup(request) => self.join(now_ms, view, ticket, caller, &request),
            Request::SyncGroup(request) => self.sync(now_ms, view, ticket, caller, &request),
            Request::Heartbeat(request) => self.heartbeat(now_ms, view, ticket, &request),
            Request::LeaveGroup(request) => self.leave(now_ms, view, ticket, caller, &request),
            Request::ConsumerGroupHeartbeat(request) => self.consumer_heartbeat(now_ms, view, ticket, caller, &request),
            Request::OffsetCommit(request) => self.commit(now_ms, view, ticket, caller, request),
            Request::OffsetFetch { group, require_stable } => {
                read(ticket, Reply::OffsetFetch(self.fetch(group, require_stable)))
            }
            Request::OffsetDelete(request) => self.delete_offsets(ticket, request),
            Request::DeleteGroup { group_id } => self.delete_group(ticket, &group_id),
            Request::DescribeClassic { group_id } => {
                read(ticket, Reply::DescribeClassic(self.describe_classic(caller, group_id)))
            }
            Request::DescribeConsumer { group_id } => {
                read(ticket, Reply::DescribeConsumer(self.describe_consumer(view, group_id)))
            }
            Request::ListGroups { states, types } => read(ticket, self.list(&states, &types)),
        }
    }

    /// A record of the log comes in: one that was just appended, or one of an earlier life. `producer` is that of a
    /// transactional batch.
    pub fn replay(&mut self, offset: i64, producer: Option<i64>, record: Record) {
        match record {
            Record::OffsetCommit { group, topic, partition, value } => {
                if value.is_some() && !self.groups.contains_key(group.as_str()) {
                    // Nobody of its members ever joined: a group that is nothing but its offsets.
                    self.groups.insert(group.as_str().into(), Group::Classic(Box::new(ClassicGroup::new(&group, 0))));
                }
                self.offsets.replay(offset, producer, (&group, &topic, partition), value);
            }
            Record::GroupMetadata { group, value: Some(value) } => {
                if let Some(Group::Classic(known)) = self.groups.get_mut(group.as_str()) {
                    known.replay(&value);
                } else {
                    let made = ClassicGroup::from_record(&group, &value);
                    self.groups.insert(group.as_str().into(), Group::Classic(Box::new(made)));
                }
                self.settle(&group);
            }
            Record::GroupMetadata { group, value: None } => {
                if let Some(Group::Classic(classic)) = self.groups.get_mut(group.as_str()) {
                    // Replaced by a group of the other protocol, or empty: whoever waits is to come again.
                    self.answers.extend(classic.close(ErrorCode::REBALANCE_IN_PROGRESS).replies);
                    self.forget(&group);
                }
            }
            of_consumer_group => self.replay_consumer(&of_consumer_group),
        }
    }

    fn replay_consumer(&mut self, record: &Record) {
        let id = record.group();
        match self.groups.get(id) {
            Some(Group::Consumer(_)) => {}
            // The end of a group that is no more.
            _ if record.is_tombstone() => return,
            _ => {
                let id: Arc<str> = id.into();
                self.groups.insert(id.clone(), Group::Consumer(Box::new(ConsumerGroup::new(id))));
            }
        }
        let Some(Group::Consumer(group)) = self.groups.get_mut(id) else { return };
        match group.replay(record) {
            Replayed::Kept => self.settle(id),
            Replayed::Deleted => self.forget(id),
        }
    }

    /// After the replay of records that were just appended: what follows from it.
    pub fn replayed(&mut self, now_ms: i64, view: &View<'_>) -> Step {
        let mut step = Step { replies: std::mem::take(&mut self.answers), ..Step::default() };
        self.replaced.clear();
        for (id, downgrade) in std::mem::take(&mut self.downgrades) {
            if let Some(Group::Classic(group)) = self.groups.get_mut(&id) {
                step.then(group.loaded(now_ms, view.config).into_step(&id));
                if let Some(reason) = &downgrade.rebalance {
                    step.then(group.rebalance(now_ms, view.config, reason).into_step(&id));
                }
            }
            self.settle(&id);
        }
        step
    }

    /// A transaction's marker comes in.
    pub fn end_transaction(&mut self, producer: i64, committed: bool) {
        self.offsets.end_transaction(producer, committed);
    }

    /// The whole log was replayed: time begins.
    pub fn loaded(&mut self, now_ms: i64, view: &View<'_>) -> Step {
        let mut step = Step::default();
        let ids: Vec<Arc<str>> = self.groups.keys().cloned().collect();
        for id in ids {
            match self.groups.get_mut(&id) {
                Some(Group::Classic(group)) => step.then(group.loaded(now_ms, view.config).into_step(&id)),
                Some(Group::Consumer(group)) => {
                    let mut presence = Presence::default();
                    presence.start(group, Settings::of(&id, view.config), now_ms);
                    self.presences.insert(id.clone(), presence);
                }
                None => {}
            }
            self.settle(&id);
        }
        self.answers.clear();
        self.expiry_ms = Some(now_ms.saturating_add(view.config.offsets_retention_check_interval_ms));
        step
    }

    /// When `tick` may have something to do.
    pub fn next_deadline(&self) -> Option<i64> {
        [self.deadlines.next(), self.expiry_ms].into_iter().flatten().min()
    }

    /// Acts on deadlines that have passed. If some are left, `next_deadline` says so.
    pub fn tick(&mut self, now_ms: i64, view: &View<'_>) -> Step {
        let mut step = Step::default();
        let mut due = Vec::new();
        while due.len() < GROUPS_PER_TICK
            && let Some(id) = self.deadlines.pop_due(now_ms)
        {
            due.push(id);
        }
        for id in due {
            if let Some(Group::Classic(group)) = self.groups.get_mut(&id) {
                step.then(group.tick(now_ms, view.config).into_step(&id));
                self.settle(&id);
            } else {
                step.then(self.in_turn(now_ms, view, &id, consumer::tick));
            }
        }
        if step.records.is_empty() && self.expiry_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            let (records, more) = self.expire(now_ms, view.config);
            step.records = records;
            let next_ms = now_ms.saturating_add(view.config.offsets_retention_check_interval_ms);
            self.expiry_ms = Some(if more { now_ms } else { next_ms });
        }
        step
    }

    /// Topics are gone, by name and id: so are their offsets.
    pub fn topics_deleted(&mut self, topics: &[(String, Uuid)]) -> Step {
        Step { records: self.deleted_topics(topics), ..Step::default() }
    }

    /// A job that was given out is done.
    pub fn assigned(&mut self, now_ms: i64, view: &View<'_>, assigned: Assigned) -> Step {
        let id = assigned.group_id.clone();
        self.in_turn(now_ms, view, &id, |group, presence, turn| {
            consumer::assigned(group, presence, turn, assigned);
            None
        })
    }

    /// An input of a consumer group that is there.
    pub(super) fn in_turn(
        &mut self,
        now_ms: i64,
        view: &View<'_>,
        id: &str,
        input: impl FnOnce(&ConsumerGroup, &mut Presence, &mut Turn<'_>) -> Option<Downgrade>,
    ) -> Step {
        let mut step = Step::default();
        if let Some((id, Group::Consumer(group))) = self.groups.get_key_value(id) {
            let id = id.clone();
            let presence = self.presences.entry(id.clone()).or_default();
            let mut turn = Turn { now_ms, view: *view, ids: &mut *self.new_id, step: &mut step };
            let downgrade = input(group, presence, &mut turn);
            self.note_downgrade(&id, downgrade, &mut step);
            self.settle(&id);
        }
        // What the answers show may not be committed yet.
        step.after_appended = true;
        step
    }

    /// The group becomes a classic one when the records of the step are replayed.
    pub(super) fn note_downgrade(&mut self, id: &Arc<str>, downgrade: Option<Downgrade>, step: &mut Step) {
        let Some(mut downgrade) = downgrade else { return };
        if let Some((ticket, response)) = downgrade.joined.take() {
            step.replies.push((ticket, Reply::JoinGroup(response)));
        }
        self.downgrades.insert(id.clone(), downgrade);
    }

    /// The records of a step are not in the log. Its replies are answered already; these groups asked to be told.
    pub fn append_failed(&mut self, now_ms: i64, view: &View<'_>, watching: &[Arc<str>], error: ErrorCode) -> Step {
        let mut step = Step::default();
        for id in watching {
            self.downgrades.remove(id);
            if let Some(Group::Classic(group)) = self.groups.get_mut(id) {
                step.then(group.append_failed(now_ms, view.config, error).into_step(id));
            }
            if let Some(presence) = self.presences.get_mut(id) {
                let group = match self.groups.get(id) {
                    Some(Group::Consumer(group)) => Some(group.as_ref()),
                    _ => None,
                };
                let mut turn = Turn { now_ms, view: *view, ids: &mut *self.new_id, step: &mut step };
                consumer::append_failed(group, presence, &mut turn, error);
                if group.is_none() {
                    self.presences.remove(id);
                }
            }
            self.settle(id);
            if let Some(replaced) = self.replaced.remove(id) {
                self.groups.insert(id.clone(), Group::Consumer(replaced));
            }
        }
        step
    }

    /// After an input of a group: its deadline, or its end.
    pub(super) fn settle(&mut self, id: &str) {
        let Some((id, group)) = self.groups.get_key_value(id) else { return };
        let next_ms = match group {
            Group::Classic(classic) if classic.is_void() => {
                self.forget(&id.clone());
                return;
            }
            Group::Classic(classic) => classic.next_deadline_ms(),
            Group::Consumer(_) => self.presences.get(id).and_then(Presence::next_deadline),
        };
        match next_ms {
            Some(at_ms) => self.deadlines.set(id, at_ms),
            None => {
                self.deadlines.remove(id.as_ref());
            }
        }
    }

    fn forget(&mut self, id: &str) {
        let gone = self.groups.remove(id);
        self.deadlines.remove(id);
        if matches!(gone, Some(Group::Consumer(_))) {
            self.presences.remove(id);
        }
    }

    fn delete_group(&mut self, ticket: Ticket, id: &str) -> Step {
        let Some(group) = self.groups.get(id) else {
            return read(ticket, Reply::DeleteGroup(ErrorCode::GROUP_ID_NOT_FOUND));
        };
        if let Err(error) = group.check_delete() {
            return read(ticket, Reply::DeleteGroup(error));
        }
        let mut records = self.offset_tombstones(id);
        records.extend(group.tombstones(id));
        Step { records, ..Step::reply(ticket, Reply::DeleteGroup(ErrorCode::NONE)) }
    }

    fn describe_classic(&self, caller: &Caller, id: String) -> describe_groups::DescribedGroup {
        let problem = match self.groups.get(id.as_str()) {
            Some(Group::Classic(group)) => return group.described(),
            Some(Group::Consumer(_)) => format!("Group {id} is not a classic group."),
            None => format!("Group {id} not found."),
        };
        let (error_code, error_message) = if caller.api_version >= NOT_FOUND_SINCE {
            (ErrorCode::GROUP_ID_NOT_FOUND, Some(problem))
        } else {
            (ErrorCode::NONE, None)
        };
        describe_groups::DescribedGroup {
            error_code,
            error_message,
            group_id: id,
            group_state: "Dead".to_owned(),
            ..describe_groups::DescribedGroup::default()
        }
    }

    fn describe_consumer(&self, view: &View<'_>, id: String) -> consumer_group_describe::DescribedGroup {
        let problem = match self.groups.get(id.as_str()) {
            Some(Group::Consumer(group)) => return group.describe(*view),
            Some(Group::Classic(_)) => format!("Group {id} is not a consumer group."),
            None => format!("Group {id} not found."),
        };
        consumer_group_describe::DescribedGroup {
            error_code: ErrorCode::GROUP_ID_NOT_FOUND,
            error_message: Some(problem),
            group_id: id,
            ..consumer_group_describe::DescribedGroup::default()
        }
    }

    fn list(&self, states: &[String], types: &[String]) -> Reply {
        let has = |wanted: &[String], name: &str| {
            wanted.is_empty() || wanted.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(name))
        };
        let listed = self.groups.iter().map(|(id, group)| group.listed(id));
        let wanted = listed.filter(|group| has(states, &group.group_state) && has(types, &group.group_type));
        Reply::ListGroups(wanted.collect())
    }
}

/// An answer from replayed state: it must not show what a power cut could take back.
pub(super) fn read(ticket: Ticket, reply: Reply) -> Step {
    Step { after_appended: true, ..Step::reply(ticket, reply) }
}
