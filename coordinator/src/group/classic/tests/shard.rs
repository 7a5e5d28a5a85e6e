//! One group over a log that a test commits, cuts and refuses to append to.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use stratalog_protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use stratalog_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use stratalog_protocol::messages::{HeartbeatRequest, JoinGroupResponse, SyncGroupResponse};
use uuid::Uuid;

use crate::group::classic::timers::Timer;
use crate::group::classic::{ClassicGroup, Outcome, State, check_join};
use crate::machine::{Caller, GroupConfig, Reply, Ticket};
use crate::records::{GroupMetadataValue, Record};

pub const GROUP: &str = "g";
pub const SESSION_MS: i32 = 10_000;
pub const REBALANCE_MS: i32 = 60_000;

pub struct Shard {
    pub now_ms: i64,
    pub config: GroupConfig,
    pub group: Option<ClassicGroup>,
    pub log: Vec<Record>,
    /// Records below this survive a crash, and their answers are out.
    pub committed: usize,
    /// Commits by itself whatever it appends.
    pub commits_at_once: bool,
    /// The next append fails.
    pub fail_next: bool,
    /// Until how much of the log is committed, and then.
    pub held: Vec<(usize, Ticket, Reply)>,
    pub answers: HashMap<Ticket, Reply>,
    /// Tickets in the order of their answers.
    pub order: Vec<Ticket>,
    tickets: u64,
    ids: u128,
}

impl Shard {
    pub fn new() -> Shard {
        Shard {
            now_ms: 1_000_000,
            config: GroupConfig::default(),
            group: None,
            log: Vec::new(),
            committed: 0,
            commits_at_once: true,
            fail_next: false,
            held: Vec::new(),
            answers: HashMap::new(),
            order: Vec::new(),
            tickets: 0,
            ids: 0,
        }
    }

    pub fn group(&mut self) -> &mut ClassicGroup {
        self.group.as_mut().unwrap()
    }

    pub fn state(&self) -> State {
        self.group.as_ref().map_or(State::Dead, ClassicGroup::state)
    }

    pub fn last_value(&self) -> Option<&GroupMetadataValue> {
        value(self.log.last()?)
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    pub fn join(&mut self, version: i16, request: &JoinGroupRequest) -> Ticket {
        let ticket = self.ticket();
        let caller = Caller { client_id: "client".into(), client_host: "/127.0.0.1".into(), api_version: version };
        if let Err(error) = check_join(request, &self.config) {
            self.answer(ticket, Reply::JoinGroup(super::super::refused_join(&request.member_id, error)));
            return ticket;
        }
        if self.group.is_none() && !request.member_id.is_empty() {
            let refused = super::super::refused_join(&request.member_id, ErrorCode::UNKNOWN_MEMBER_ID);
            self.answer(ticket, Reply::JoinGroup(refused));
            return ticket;
        }
        self.ids += 1;
        let id = Uuid::from_u128(self.ids);
        let now_ms = self.now_ms;
        let group = self.group.get_or_insert_with(|| ClassicGroup::for_join(GROUP, now_ms));
        let out = group.join(now_ms, &self.config, &caller, ticket, request, || id);
        self.apply(out);
        ticket
    }

    pub fn sync(&mut self, request: &SyncGroupRequest) -> Ticket {
        let ticket = self.ticket();
        match &mut self.group {
            Some(group) => {
                let out = group.sync(self.now_ms, ticket, request);
                self.apply(out);
            }
            None => {
                self.answer(ticket, Reply::SyncGroup(super::super::refused_sync(ErrorCode::UNKNOWN_MEMBER_ID)));
            }
        }
        ticket
    }

    pub fn heartbeat(&mut self, member_id: &str, instance_id: Option<&str>, generation: i32) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: GROUP.into(),
            generation_id: generation,
            member_id: member_id.into(),
            group_instance_id: instance_id.map(str::to_owned),
        };
        match &mut self.group {
            Some(group) => {
                let error = group.heartbeat(self.now_ms, &request);
                group.check();
                error
            }
            None => ErrorCode::UNKNOWN_MEMBER_ID,
        }
    }

    pub fn leave(&mut self, version: i16, members: &[(&str, Option<&str>)]) -> Ticket {
        let ticket = self.ticket();
        let members = members.iter().map(|(member_id, instance_id)| MemberIdentity {
            member_id: (*member_id).to_owned(),
            group_instance_id: instance_id.map(str::to_owned),
            reason: None,
        });
        let mut request =
            LeaveGroupRequest { group_id: GROUP.into(), members: members.collect(), ..Default::default() };
        if version < 3 {
            request.member_id = request.members.remove(0).member_id;
        }
        match &mut self.group {
            Some(group) => {
                let out = group.leave(self.now_ms, &self.config, version, ticket, &request);
                self.apply(out);
            }
            None => {
                let answer = super::super::left_without_group(&request, version);
                self.answer(ticket, Reply::LeaveGroup(answer));
            }
        }
        ticket
    }

    /// Time passes; whatever is due happens at its own time.
    pub fn advance(&mut self, by_ms: i64) {
        let until_ms = self.now_ms + by_ms;
        while let Some(group) = &mut self.group
            && let Some(next_ms) = group.next_deadline_ms()
            && next_ms <= until_ms
        {
            self.now_ms = self.now_ms.max(next_ms);
            let out = group.tick(self.now_ms, &self.config);
            self.apply(out);
        }
        self.now_ms = until_ms;
    }

    fn apply(&mut self, mut out: Outcome) {
        if let Some(value) = out.record.take() {
            if std::mem::take(&mut self.fail_next) {
                for (ticket, mut reply) in out.replies {
                    reply.fail(ErrorCode::COORDINATOR_NOT_AVAILABLE);
                    self.answer(ticket, reply);
                }
                let now_ms = self.now_ms;
                let group = self.group.as_mut().unwrap();
                let failed = group.append_failed(now_ms, &self.config, ErrorCode::COORDINATOR_NOT_AVAILABLE);
                if group.is_void() {
                    self.group = None;
                }
                assert!(failed.record.is_none(), "a failed append led to another");
                self.apply(failed);
                return;
            }
            self.group().replay(&value);
            self.log.push(Record::GroupMetadata { group: GROUP.into(), value: Some(value) });
            self.held.extend(out.replies.drain(..).map(|(ticket, reply)| (self.log.len(), ticket, reply)));
            self.compare_with_loaded();
        } else if out.after_appended {
            self.held.extend(out.replies.drain(..).map(|(ticket, reply)| (self.log.len(), ticket, reply)));
        }
        for (ticket, reply) in out.replies {
            self.answer(ticket, reply);
        }
        if self.commits_at_once {
            self.committed = self.log.len();
        }
        self.release();
        if let Some(group) = &self.group {
            group.check();
        }
    }

    /// A load of the log would give what is here, as far as it is replayed state.
    fn compare_with_loaded(&self) {
        let (Some(group), Some(value)) = (&self.group, self.last_value()) else { return };
        let loaded = ClassicGroup::from_record(GROUP, value);
        if !matches!(group.state(), State::Stable | State::Empty) {
            return;
        }
        let members = |group: &ClassicGroup| {
            let strategy = group.strategy().unwrap_or_default().to_owned();
            let mut members: Vec<_> = group
                .members()
                .iter()
                .map(|member| {
                    let said = member.metadata(&strategy);
                    let timeouts = (member.session_timeout_ms, member.rebalance_timeout_ms);
                    (member.id.clone(), member.instance_id.clone(), said, member.assignment.clone(), timeouts)
                })
                .collect();
            members.sort();
            members
        };
        assert_eq!(loaded.state(), group.state());
        assert_eq!(loaded.generation(), group.generation());
        assert_eq!(loaded.leader(), group.leader());
        assert_eq!(loaded.strategy(), group.strategy());
        assert_eq!(members(&loaded), members(group));
        if value.protocol_type.is_empty() {
            return;
        }
        assert_eq!(loaded.protocol_type(), group.protocol_type());
        assert_eq!(loaded.subscribed_topics(), group.subscribed_topics());
        assert_eq!(loaded.offsets_expire(), group.offsets_expire());
    }

    pub fn commit(&mut self, until: usize) {
        self.committed = self.committed.max(until.min(self.log.len()));
        self.release();
    }

    fn release(&mut self) {
        let committed = self.committed;
        let (out, held) = std::mem::take(&mut self.held).into_iter().partition(|(until, _, _)| *until <= committed);
        self.held = held;
        let out: Vec<(usize, Ticket, Reply)> = out;
        for (_, ticket, reply) in out {
            self.answer(ticket, reply);
        }
    }

    fn answer(&mut self, ticket: Ticket, reply: Reply) {
        assert!(self.answers.insert(ticket, reply).is_none(), "{ticket:?} was answered twice");
        self.order.push(ticket);
    }

    /// The coordinator dies with only `kept` records in the log, and is loaded anew from their bytes.
    pub fn restart(&mut self, kept: usize) {
        assert!(kept >= self.committed && kept <= self.log.len());
        self.log.truncate(kept);
        self.committed = kept;
        self.held.clear();
        self.group = None;
        for record in &self.log {
            let (key, value) = record.encode().unwrap();
            let Record::GroupMetadata { value: Some(value), .. } = Record::decode(key, value).unwrap() else {
                panic!("not a group's record: {record:?}");
            };
            let group = self.group.get_or_insert_with(|| ClassicGroup::new(GROUP, 0));
            group.replay(&value);
        }
        self.compare_with_loaded();
        if let Some(group) = &mut self.group {
            let out = group.loaded(self.now_ms, &self.config);
            self.apply(out);
        }
    }

    pub fn joined(&self, ticket: Ticket) -> &JoinGroupResponse {
        match self.answers.get(&ticket) {
            Some(Reply::JoinGroup(response)) => response,
            other => panic!("{ticket:?}: {other:?}"),
        }
    }

    pub fn synced(&self, ticket: Ticket) -> &SyncGroupResponse {
        match self.answers.get(&ticket) {
            Some(Reply::SyncGroup(response)) => response,
            other => panic!("{ticket:?}: {other:?}"),
        }
    }

    /// Per member; the request's own error if there is one.
    pub fn left(&self, ticket: Ticket) -> Vec<ErrorCode> {
        match self.answers.get(&ticket) {
            Some(Reply::LeaveGroup(response)) if response.error_code == ErrorCode::NONE => {
                response.members.iter().map(|member| member.error_code).collect()
            }
            Some(Reply::LeaveGroup(response)) => vec![response.error_code],
            other => panic!("{ticket:?}: {other:?}"),
        }
    }

    pub fn waits(&self, ticket: Ticket) -> bool {
        !self.answers.contains_key(&ticket)
    }
}

fn value(record: &Record) -> Option<&GroupMetadataValue> {
    match record {
        Record::GroupMetadata { value, .. } => value.as_ref(),
        _ => None,
    }
}

pub fn join_request(member_id: &str, instance_id: Option<&str>, strategies: &[(&str, &[u8])]) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: GROUP.into(),
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: REBALANCE_MS,
        member_id: member_id.into(),
        group_instance_id: instance_id.map(str::to_owned),
        protocol_type: "consumer".into(),
        protocols: strategies
            .iter()
            .map(|(name, metadata)| JoinGroupRequestProtocol {
                name: (*name).to_owned(),
                metadata: Bytes::copy_from_slice(metadata),
            })
            .collect(),
        reason: None,
    }
}

pub fn sync_request(
    member_id: &str,
    instance_id: Option<&str>,
    generation: i32,
    assignments: &[(&str, &[u8])],
) -> SyncGroupRequest {
    SyncGroupRequest {
        group_id: GROUP.into(),
        generation_id: generation,
        member_id: member_id.into(),
        group_instance_id: instance_id.map(str::to_owned),
        protocol_type: None,
        protocol_name: None,
        assignments: assignments
            .iter()
            .map(|(member_id, assignment)| SyncGroupRequestAssignment {
                member_id: (*member_id).to_owned(),
                assignment: Bytes::copy_from_slice(assignment),
            })
            .collect(),
    }
}

/// A consumer's subscription, version 0.
pub fn subscription(topics: &[&str]) -> Vec<u8> {
    let mut bytes = vec![0, 0];
    bytes.extend(u32::try_from(topics.len()).unwrap().to_be_bytes());
    for topic in topics {
        bytes.extend(u16::try_from(topic.len()).unwrap().to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend((-1i32).to_be_bytes());
    bytes
}

impl ClassicGroup {
    /// What always holds between two inputs.
    pub fn check(&self) {
        let members = self.members();
        assert!(self.appending.is_none(), "a record is neither replayed nor failed");
        assert_eq!(members.joining(), members.iter().filter(|member| member.join.is_some()).count());
        assert_eq!(members.owing_sync(), members.iter().filter(|member| member.owes_sync).count());
        for member in members.iter() {
            assert_eq!(members.get(&member.id).map(|found| &found.id), Some(&member.id));
            if let Some(instance_id) = &member.instance_id {
                assert_eq!(members.id_of_instance(instance_id), Some(&member.id));
            }
            let session = self.deadlines.get(&Timer::Session(Arc::clone(&member.id)));
            assert!(session.is_some() || member.wait_is_heartbeat(), "{} can never expire", member.id);
            match self.state() {
                State::PreparingRebalance => assert!(member.sync.is_none()),
                State::CompletingRebalance => assert!(member.join.is_none()),
                State::Stable => assert!(member.join.is_none() && member.sync.is_none()),
                State::Empty | State::Dead => panic!("a member in an empty group"),
            }
        }
        for id in &self.pending {
            assert!(!members.contains(id));
            assert!(self.deadlines.get(&Timer::Session(Arc::clone(id))).is_some());
        }
        match self.leader() {
            Some(leader) => assert!(members.contains(leader), "led by one who is not there"),
            None => assert!(members.is_empty()),
        }
    }
}
