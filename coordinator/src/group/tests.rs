//! A shard's offsets against a plain map, over commits, deletions, expiry and reloads; and which group gets a request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use stratalog_protocol::messages::offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use stratalog_protocol::messages::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use stratalog_protocol::messages::{
    ConsumerGroupHeartbeatRequest, JoinGroupRequest, OffsetCommitRequest, OffsetDeleteRequest,
    join_group::JoinGroupRequestProtocol,
};
use uuid::Uuid;

use super::GroupMachine;
use crate::machine::{Caller, GroupConfig, Reply, Request, Step, Ticket, TopicInfo, Topics, View};
use crate::records::{OffsetCommitValue, Record};

const TOPICS: [&str; 3] = ["a", "b", "c"];

struct ThreeTopics;

fn id_of(name: &str) -> Uuid {
    Uuid::from_u128(u128::from(name.as_bytes()[0]))
}

impl Topics for ThreeTopics {
    fn by_name(&self, name: &str) -> Option<TopicInfo> {
        TOPICS.contains(&name).then(|| TopicInfo { name: name.into(), id: id_of(name), partitions: 4 })
    }

    fn by_id(&self, id: Uuid) -> Option<TopicInfo> {
        TOPICS.iter().find(|name| id_of(name) == id).and_then(|name| self.by_name(name))
    }

    fn all(&self) -> Vec<TopicInfo> {
        TOPICS.iter().filter_map(|name| self.by_name(name)).collect()
    }

    fn revision(&self) -> u64 {
        1
    }
}

/// A machine with its log, as the runtime drives it.
struct Shard {
    machine: GroupMachine,
    log: Vec<(Option<i64>, Record)>,
    config: GroupConfig,
    now_ms: i64,
    next_ticket: u64,
}

fn machine() -> GroupMachine {
    let mut next = 0u128;
    GroupMachine::new(Box::new(move || {
        next += 1;
        Uuid::from_u128(next << 64)
    }))
}

impl Shard {
    fn new() -> Shard {
        let mut shard = Shard {
            machine: machine(),
            log: Vec::new(),
            config: GroupConfig { initial_rebalance_delay_ms: 0, ..GroupConfig::default() },
            now_ms: 1_000,
            next_ticket: 0,
        };
        shard.input(|machine, now_ms, view| machine.loaded(now_ms, view));
        shard
    }

    /// Step by step, bytes and all.
    fn carry_out(&mut self, mut step: Step) -> Vec<(Ticket, Reply)> {
        let mut replies = Vec::new();
        loop {
            let appended = !step.records.is_empty();
            for record in std::mem::take(&mut step.records) {
                let (key, value) = record.encode().unwrap();
                self.replay(None, Record::decode(key, value).unwrap());
            }
            replies.append(&mut step.replies);
            if !appended {
                return replies;
            }
            let config = self.config.clone();
            step = self.machine.replayed(self.now_ms, &View { config: &config, topics: &ThreeTopics });
        }
    }

    fn replay(&mut self, producer: Option<i64>, record: Record) {
        self.machine.replay(i64::try_from(self.log.len()).unwrap(), producer, record.clone());
        self.log.push((producer, record));
    }

    fn input(&mut self, input: impl FnOnce(&mut GroupMachine, i64, &View<'_>) -> Step) -> Vec<(Ticket, Reply)> {
        let config = self.config.clone();
        let step = input(&mut self.machine, self.now_ms, &View { config: &config, topics: &ThreeTopics });
        self.carry_out(step)
    }

    fn ask_all(&mut self, version: i16, request: Request) -> Vec<(Ticket, Reply)> {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        let caller = Caller { client_id: "c".into(), client_host: "/h".into(), api_version: version };
        self.input(|machine, now_ms, view| machine.handle(now_ms, view, ticket, &caller, request))
    }

    /// The answer to the request itself.
    fn ask(&mut self, version: i16, request: Request) -> Reply {
        let replies = self.ask_all(version, request);
        let own = Ticket(self.next_ticket);
        let mut mine = replies.into_iter().filter(|(ticket, _)| *ticket == own);
        mine.next().unwrap_or_else(|| panic!("no answer")).1
    }

    fn reload(&mut self) {
        self.machine = machine();
        for (offset, (producer, record)) in self.log.iter().enumerate() {
            self.machine.replay(i64::try_from(offset).unwrap(), *producer, record.clone());
        }
        self.input(|machine, now_ms, view| machine.loaded(now_ms, view));
    }

    fn advance(&mut self, by_ms: i64) -> Vec<(Ticket, Reply)> {
        self.now_ms += by_ms;
        let mut replies = Vec::new();
        while self.machine.next_deadline().is_some_and(|at_ms| at_ms <= self.now_ms) {
            replies.extend(self.input(|machine, now_ms, view| machine.tick(now_ms, view)));
        }
        replies
    }

    fn commit(&mut self, group: &str, topic: &str, partition: i32, offset: i64, metadata: &str) -> ErrorCode {
        self.commit_as(group, "", -1, (topic, partition, offset, metadata))
    }

    fn commit_as(
        &mut self,
        group: &str,
        member_id: &str,
        epoch: i32,
        (topic, partition, offset, metadata): (&str, i32, i64, &str),
    ) -> ErrorCode {
        let partition = OffsetCommitRequestPartition {
            partition_index: partition,
            committed_offset: offset,
            committed_leader_epoch: 3,
            committed_metadata: Some(metadata.to_owned()),
        };
        let request = OffsetCommitRequest {
            group_id: group.to_owned(),
            generation_id_or_member_epoch: epoch,
            member_id: member_id.to_owned(),
            topics: vec![OffsetCommitRequestTopic {
                name: topic.to_owned(),
                topic_id: Uuid::nil(),
                partitions: vec![partition],
            }],
            ..OffsetCommitRequest::default()
        };
        let Reply::OffsetCommit(response) = self.ask(9, Request::OffsetCommit(request)) else { panic!() };
        response.topics[0].partitions[0].error_code
    }

    fn fetch(&mut self, group: &str, topic: &str, partition: i32, require_stable: bool) -> (i64, ErrorCode) {
        let topics = vec![OffsetFetchRequestTopics {
            name: topic.to_owned(),
            topic_id: Uuid::nil(),
            partition_indexes: vec![partition],
        }];
        let asked = OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            topics: Some(topics),
            ..OffsetFetchRequestGroup::default()
        };
        let Reply::OffsetFetch(answer) = self.ask(9, Request::OffsetFetch { group: asked, require_stable }) else {
            panic!()
        };
        let found = &answer.topics[0].partitions[0];
        (found.committed_offset, found.error_code)
    }

    fn fetch_all(&mut self, group: &str) -> BTreeMap<(String, i32), i64> {
        let asked =
            OffsetFetchRequestGroup { group_id: group.to_owned(), topics: None, ..OffsetFetchRequestGroup::default() };
        let Reply::OffsetFetch(answer) = self.ask(9, Request::OffsetFetch { group: asked, require_stable: false })
        else {
            panic!()
        };
        let topics = answer.topics.into_iter();
        let of_topic = |topic: stratalog_protocol::messages::offset_fetch::OffsetFetchResponseTopics| {
            let name = topic.name;
            let one = topic.partitions.into_iter();
            one.map(move |found| ((name.clone(), found.partition_index), found.committed_offset)).collect::<Vec<_>>()
        };
        topics.flat_map(of_topic).collect()
    }

    fn delete(&mut self, group: &str, topic: &str, partition: i32) -> ErrorCode {
        let partitions = vec![OffsetDeleteRequestPartition { partition_index: partition }];
        let topics = vec![OffsetDeleteRequestTopic { name: topic.to_owned(), partitions }];
        let request = OffsetDeleteRequest { group_id: group.to_owned(), topics };
        let Reply::OffsetDelete(response) = self.ask(0, Request::OffsetDelete(request)) else { panic!() };
        response.error_code
    }

    fn delete_group(&mut self, group: &str) -> ErrorCode {
        let Reply::DeleteGroup(code) = self.ask(2, Request::DeleteGroup { group_id: group.to_owned() }) else {
            panic!()
        };
        code
    }

    fn groups(&mut self) -> BTreeSet<(String, String)> {
        let Reply::ListGroups(groups) = self.ask(5, Request::ListGroups { states: Vec::new(), types: Vec::new() })
        else {
            panic!()
        };
        groups.into_iter().map(|group| (group.group_id, group.group_type)).collect()
    }

    fn join(&mut self, group: &str, member_id: &str) -> Vec<(Ticket, Reply)> {
        let protocol = JoinGroupRequestProtocol { name: "range".to_owned(), ..JoinGroupRequestProtocol::default() };
        let request = JoinGroupRequest {
            group_id: group.to_owned(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 60_000,
            member_id: member_id.to_owned(),
            protocol_type: "consumer".to_owned(),
            protocols: vec![protocol],
            ..JoinGroupRequest::default()
        };
        let mut replies = self.ask_all(3, Request::JoinGroup(request));
        replies.extend(self.advance(0));
        replies
    }

    fn join_consumer(&mut self, group: &str) -> Vec<(Ticket, Reply)> {
        let request = ConsumerGroupHeartbeatRequest {
            group_id: group.to_owned(),
            member_id: "m".to_owned(),
            member_epoch: 0,
            rebalance_timeout_ms: 60_000,
            subscribed_topic_names: Some(vec!["a".to_owned()]),
            topic_partitions: Some(Vec::new()),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        self.ask_all(1, Request::ConsumerGroupHeartbeat(request))
    }
}

/// What a group has committed: offset and time by topic and partition.
type Held = BTreeMap<(String, i32), (i64, i64)>;

#[derive(Debug, Clone)]
enum Op {
    Commit(u8, u8, i32, i64),
    Delete(u8, u8, i32),
    DeleteGroup(u8),
    DeleteTopic(u8),
    /// In minutes; the retention is an hour.
    Advance(i64),
    Reload,
    FetchAll(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let (group, topic, partition) = (0u8..3, 0u8..3, 0i32..4);
    prop_oneof![
        8 => (group.clone(), topic.clone(), partition.clone(), 0i64..1000)
            .prop_map(|(g, t, p, offset)| Op::Commit(g, t, p, offset)),
        2 => (group.clone(), topic.clone(), partition).prop_map(|(g, t, p)| Op::Delete(g, t, p)),
        1 => group.clone().prop_map(Op::DeleteGroup),
        1 => topic.prop_map(Op::DeleteTopic),
        2 => (1i64..40).prop_map(Op::Advance),
        1 => Just(Op::Reload),
        4 => group.prop_map(Op::FetchAll),
    ]
}

proptest! {
    #[test]
    fn offsets_are_as_in_a_plain_map(ops in prop::collection::vec(op(), 1..120)) {
        const HOUR_MS: i64 = 60 * 60_000;
        let mut shard = Shard::new();
        shard.config.offsets_retention_ms = HOUR_MS;
        shard.config.offsets_retention_check_interval_ms = 60_000;
        shard.machine = machine();
        shard.input(|machine, now_ms, view| machine.loaded(now_ms, view));
        // A group without offsets stays until it is looked at.
        let mut model: BTreeMap<String, Held> = BTreeMap::new();
        for op in ops {
            let name = |group: u8| format!("g{group}");
            match op {
                Op::Commit(g, t, p, offset) => {
                    let topic = TOPICS[usize::from(t)];
                    prop_assert_eq!(shard.commit(&name(g), topic, p, offset, ""), ErrorCode::NONE);
                    model.entry(name(g)).or_default().insert((topic.to_owned(), p), (offset, shard.now_ms));
                }
                Op::Delete(g, t, p) => {
                    let topic = TOPICS[usize::from(t)];
                    let code = shard.delete(&name(g), topic, p);
                    match model.get_mut(&name(g)) {
                        Some(offsets) => {
                            prop_assert_eq!(code, ErrorCode::NONE);
                            offsets.remove(&(topic.to_owned(), p));
                        }
                        None => prop_assert_eq!(code, ErrorCode::GROUP_ID_NOT_FOUND),
                    }
                }
                Op::DeleteGroup(g) => {
                    let expected = match model.remove(&name(g)) {
                        Some(_) => ErrorCode::NONE,
                        None => ErrorCode::GROUP_ID_NOT_FOUND,
                    };
                    prop_assert_eq!(shard.delete_group(&name(g)), expected);
                }
                Op::DeleteTopic(t) => {
                    let topic = TOPICS[usize::from(t)];
                    let gone = [(topic.to_owned(), id_of(topic))];
                    shard.input(|machine, _, _| machine.topics_deleted(&gone));
                    model.values_mut().for_each(|offsets| offsets.retain(|(name, _), _| name != topic));
                }
                Op::Advance(minutes) => {
                    shard.advance(minutes * 60_000);
                    // The last look was at the last whole minute of the shard's time.
                    for offsets in model.values_mut() {
                        offsets.retain(|_, (_, at_ms)| shard.now_ms - *at_ms < HOUR_MS);
                    }
                    model.retain(|_, offsets| !offsets.is_empty());
                }
                Op::Reload => {
                    // A group that nothing tells of any more: only its offsets did.
                    shard.reload();
                    let alive = shard.groups();
                    model.retain(|group, _| alive.iter().any(|(id, _)| id == group));
                }
                Op::FetchAll(g) => {
                    let offsets = model.get(&name(g)).into_iter().flatten();
                    let expected: BTreeMap<(String, i32), i64> =
                        offsets.map(|(key, (offset, _))| (key.clone(), *offset)).collect();
                    prop_assert_eq!(shard.fetch_all(&name(g)), expected);
                }
            }
            let committed: usize = model.values().map(BTreeMap::len).sum();
            prop_assert_eq!(shard.machine.offset_count(), committed);
            prop_assert_eq!(shard.machine.group_count(), model.len());
        }
    }
}

#[test]
fn a_group_that_never_was_has_no_offsets() {
    let mut shard = Shard::new();
    assert_eq!(shard.fetch("never", "a", 0, true), (-1, ErrorCode::NONE));
    assert!(shard.fetch_all("never").is_empty());
    assert!(shard.groups().is_empty());
    assert_eq!(shard.commit_as("never", "m", 3, ("a", 0, 1, "")), ErrorCode::GROUP_ID_NOT_FOUND);
    assert!(shard.log.is_empty());
}

#[test]
fn metadata_is_bounded_in_utf16_units() {
    let mut shard = Shard::new();
    shard.config.offset_metadata_max_bytes = 4;
    assert_eq!(shard.commit("g", "a", 0, 1, "\u{20ac}\u{20ac}\u{20ac}\u{20ac}"), ErrorCode::NONE);
    assert_eq!(shard.commit("g", "a", 0, 2, "12345"), ErrorCode::OFFSET_METADATA_TOO_LARGE);
    assert_eq!(shard.fetch("g", "a", 0, false), (1, ErrorCode::NONE));
}

fn transactional(offset: i64) -> Record {
    let value = OffsetCommitValue { offset, metadata: String::new(), ..OffsetCommitValue::default() };
    Record::OffsetCommit { group: "g".to_owned(), topic: "a".to_owned(), partition: 0, value: Some(value) }
}

#[test]
fn a_transactions_offsets_count_when_it_commits() {
    let mut shard = Shard::new();
    shard.replay(Some(7), transactional(10));
    assert_eq!(shard.fetch("g", "a", 0, false), (-1, ErrorCode::NONE));
    assert_eq!(shard.fetch("g", "a", 0, true), (-1, ErrorCode::UNSTABLE_OFFSET_COMMIT));
    shard.machine.end_transaction(7, true);
    assert_eq!(shard.fetch("g", "a", 0, true), (10, ErrorCode::NONE));
    // One that is aborted never counts, and one that ends late does not undo what came after it.
    shard.replay(Some(8), transactional(20));
    shard.machine.end_transaction(8, false);
    assert_eq!(shard.fetch("g", "a", 0, true), (10, ErrorCode::NONE));
    shard.replay(Some(9), transactional(30));
    assert_eq!(shard.commit("g", "a", 0, 40, ""), ErrorCode::NONE);
    shard.machine.end_transaction(9, true);
    assert_eq!(shard.fetch("g", "a", 0, true), (40, ErrorCode::NONE));
}

#[test]
fn an_offset_of_another_topic_of_the_same_name_is_not_shown() {
    let mut shard = Shard::new();
    let value = OffsetCommitValue { offset: 5, topic_id: Uuid::from_u128(77), ..OffsetCommitValue::default() };
    let record =
        Record::OffsetCommit { group: "g".to_owned(), topic: "a".to_owned(), partition: 0, value: Some(value) };
    shard.replay(None, record);
    let mut fetch = |topic_id| {
        let topics = vec![OffsetFetchRequestTopics { name: "a".to_owned(), topic_id, partition_indexes: vec![0] }];
        let group = OffsetFetchRequestGroup {
            group_id: "g".to_owned(),
            topics: Some(topics),
            ..OffsetFetchRequestGroup::default()
        };
        let Reply::OffsetFetch(answer) = shard.ask(10, Request::OffsetFetch { group, require_stable: false }) else {
            panic!()
        };
        answer.topics[0].partitions[0].committed_offset
    };
    assert_eq!(fetch(Uuid::from_u128(77)), 5);
    assert_eq!(fetch(Uuid::from_u128(78)), -1);
    assert_eq!(fetch(Uuid::nil()), 5);
    // Nor does it go with the other topic.
    shard.input(|machine, _, _| machine.topics_deleted(&[("a".to_owned(), Uuid::from_u128(78))]));
    assert_eq!(shard.machine.offset_count(), 1);
    shard.input(|machine, _, _| machine.topics_deleted(&[("a".to_owned(), Uuid::from_u128(77))]));
    assert_eq!(shard.machine.offset_count(), 0);
}

#[test]
fn offsets_of_a_group_in_use_stay() {
    let mut shard = Shard::new();
    let joined = shard.join("g", "");
    let [(_, Reply::JoinGroup(joined))] = joined.as_slice() else { panic!("{joined:?}") };
    assert_eq!(joined.error_code, ErrorCode::NONE);
    let (id, generation) = (joined.member_id.clone(), joined.generation_id);
    assert_eq!(shard.commit("g", "a", 0, 9, ""), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(shard.commit_as("g", &id, generation + 1, ("a", 0, 9, "")), ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(shard.commit_as("g", &id, generation, ("a", 0, 9, "")), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(shard.delete_group("g"), ErrorCode::NON_EMPTY_GROUP);
    // Nobody syncs or is heard of any more: the group is empty, and goes with its record after the check.
    shard.advance(120_000);
    assert_eq!(shard.groups(), BTreeSet::from([("g".to_owned(), "classic".to_owned())]));
    assert_eq!(shard.commit("g", "a", 0, 9, ""), ErrorCode::NONE);
    shard.advance(6 * 24 * 60 * 60_000);
    assert_eq!(shard.fetch("g", "a", 0, false), (9, ErrorCode::NONE));
    shard.advance(2 * 24 * 60 * 60_000);
    assert_eq!(shard.fetch("g", "a", 0, false), (-1, ErrorCode::NONE));
    assert!(shard.groups().is_empty());
}

#[test]
fn an_empty_group_changes_protocol_with_its_next_member() {
    let mut shard = Shard::new();
    assert_eq!(shard.commit("g", "a", 0, 9, ""), ErrorCode::NONE);
    let of = |kind: &str| BTreeSet::from([("g".to_owned(), kind.to_owned())]);
    assert_eq!(shard.groups(), of("classic"));
    shard.join_consumer("g");
    assert_eq!(shard.groups(), of("consumer"));
    assert_eq!(shard.fetch("g", "a", 0, false), (9, ErrorCode::NONE));
    let before = shard.log.len();
    shard.reload();
    assert_eq!((shard.groups(), shard.log.len()), (of("consumer"), before));
    // Its only member is never heard of again.
    shard.advance(120_000);
    assert_eq!(shard.groups(), of("consumer"));
    let joined = shard.join("g", "");
    assert!(matches!(joined.as_slice(), [(_, Reply::JoinGroup(joined))] if joined.error_code.is_none()), "{joined:?}");
    assert_eq!(shard.groups(), of("classic"));
    assert_eq!(shard.fetch("g", "a", 0, false), (9, ErrorCode::NONE));
    shard.reload();
    assert_eq!(shard.groups(), of("classic"));
}

#[test]
fn a_failed_append_leaves_the_group_that_was() {
    let mut shard = Shard::new();
    shard.join_consumer("g");
    shard.advance(120_000);
    let of = |kind: &str| BTreeSet::from([("g".to_owned(), kind.to_owned())]);
    assert_eq!(shard.groups(), of("consumer"));
    // A classic member joins, and its record does not get into the log.
    let config = shard.config.clone();
    let view = View { config: &config, topics: &ThreeTopics };
    let caller = Caller { client_id: "c".into(), client_host: "/h".into(), api_version: 3 };
    let request = JoinGroupRequest {
        group_id: "g".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".to_owned(), ..Default::default() }],
        ..JoinGroupRequest::default()
    };
    let step = shard.machine.handle(shard.now_ms, &view, Ticket(900), &caller, Request::JoinGroup(request));
    assert!(!step.records.is_empty());
    assert_eq!(step.watching, [Arc::<str>::from("g")]);
    let next = shard.machine.append_failed(shard.now_ms, &view, &step.watching, ErrorCode::NOT_COORDINATOR);
    assert!(next.records.is_empty());
    assert_eq!(shard.groups(), of("consumer"));
    shard.reload();
    assert_eq!(shard.groups(), of("consumer"));
}
