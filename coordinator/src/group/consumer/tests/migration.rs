//! Random histories of one group that changes over between the protocols, back and forth, while its members work: they
//! come, go, crash and come again speaking the other protocol; brokers restart, appends fail, assignments are late.
//!
//! What is checked: no partition has two owners at a time, nor ever in one generation or member epoch while the group has
//! members; every request is answered; the log gives the same state again; once quiet, the group is of the type that
//! its members' protocols make it, and every partition has an owner who knows.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use bytes::Bytes;
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::sync_group::SyncGroupRequestAssignment;
use stratalog_protocol::messages::{
    ConsumerGroupHeartbeatResponse, HeartbeatRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
    leave_group::MemberIdentity,
};
use stratalog_types::TopicId;
use uuid::Uuid;

use super::model::{Owned, Random, classic_join_of, named_assignment, sync_of, to_wire};
use super::world::{GROUP, REBALANCE_MS, SESSION_MS, TestTopics, beating, compacted, joining};
use crate::group::GroupMachine;
use crate::group::consumer::AssignmentJob;
use crate::group::consumer::consumer_protocol::write_assignment;
use crate::group::consumer::partitions::Partitions;
use crate::group::machine::Group;
use crate::machine::{Caller, GroupConfig, Reply, Request, Step, Ticket, View};
use crate::records::Record;

const CLIENTS: usize = 4;
const TOPICS: [&str; 2] = ["alpha", "beta"];
const QUIET_ROUNDS: usize = 60;

#[derive(Debug, Clone, Default)]
struct Client {
    alive: bool,
    classic: bool,
    member_id: String,
    /// Of a classic member the generation; 0 before it has joined.
    epoch: i32,
    owned: Owned,
    told: Option<Owned>,
    said: Owned,
    /// It says everything in its next heartbeat.
    unsure: bool,
    must_join: bool,
    waits: Option<Ticket>,
    /// It was taken out of the group and does not know.
    zombie: bool,
}

struct Model {
    random: Random,
    now_ms: i64,
    config: GroupConfig,
    topics: TestTopics,
    machine: GroupMachine,
    /// Member ids that brokers have given out: restarts give no id again.
    ids: u64,
    log: Vec<Record>,
    jobs: VecDeque<AssignmentJob>,
    replies: HashMap<Ticket, Reply>,
    tickets: u64,
    fail_append: bool,
    clients: Vec<Client>,
    names: u64,
    /// Who had a partition in an epoch.
    owners: BTreeMap<(i32, Uuid, i32), String>,
    changes: u64,
    was_consumer: bool,
    trace: VecDeque<String>,
}

/// Runs histories; how often the group changed its type.
pub fn run(seed: u64, steps: u64) -> u64 {
    let (mut done, mut changes, mut episode) = (0, 0, 0);
    while done < steps {
        let mut model = Model::new(seed.wrapping_add(episode).wrapping_mul(0x9e37_79b9));
        for _ in 0..3 {
            let length = 1 + model.random.below(300);
            for _ in 0..length {
                model.step();
                model.check();
            }
            model.quiet();
            done += length;
        }
        changes += model.changes;
        episode += 1;
    }
    changes
}

fn machine(first_id: u64) -> GroupMachine {
    let mut next = u128::from(first_id) << 32;
    GroupMachine::new(Box::new(move || {
        next += 1;
        Uuid::from_u128(next << 64 | 0x1234)
    }))
}

fn replayed<'a>(first_id: u64, log: impl IntoIterator<Item = &'a Record>) -> GroupMachine {
    let mut fresh = machine(first_id);
    for (offset, record) in log.into_iter().enumerate() {
        fresh.replay(i64::try_from(offset).expect("small"), None, record.clone());
    }
    fresh
}

impl Model {
    fn new(seed: u64) -> Model {
        let mut topics = TestTopics::default();
        topics.set("alpha", 4);
        topics.set("beta", 3);
        let config = GroupConfig { initial_rebalance_delay_ms: 0, ..GroupConfig::default() };
        let mut model = Model {
            random: Random::new(seed),
            now_ms: 1_000_000,
            config,
            topics,
            machine: machine(0),
            ids: 0,
            log: Vec::new(),
            jobs: VecDeque::new(),
            replies: HashMap::new(),
            tickets: 0,
            fail_append: false,
            clients: vec![Client::default(); CLIENTS],
            names: 0,
            owners: BTreeMap::new(),
            changes: 0,
            was_consumer: false,
            trace: VecDeque::from([format!("seed {seed}")]),
        };
        model.input(|machine, now_ms, view| machine.loaded(now_ms, view));
        model
    }

    fn note(&mut self, what: String) {
        if self.trace.len() > 80 {
            self.trace.pop_front();
        }
        self.trace.push_back(what);
    }

    fn fail(&self, why: &str) -> ! {
        let trace: Vec<&str> = self.trace.iter().map(String::as_str).collect();
        let group = self.machine.groups.get(GROUP);
        panic!("{why}\n{}\n{group:#?}\n{:#?}", trace.join("\n"), self.clients);
    }

    // The runtime.

    fn input(&mut self, input: impl FnOnce(&mut GroupMachine, i64, &View<'_>) -> Step) {
        let mut step = {
            let view = View { config: &self.config, topics: &self.topics };
            input(&mut self.machine, self.now_ms, &view)
        };
        loop {
            self.jobs.extend(std::mem::take(&mut step.jobs));
            let appended = !step.records.is_empty();
            let fails = appended && std::mem::take(&mut self.fail_append);
            if !fails {
                for record in std::mem::take(&mut step.records) {
                    self.append(&record);
                }
            }
            for (ticket, mut reply) in std::mem::take(&mut step.replies) {
                if fails {
                    reply.fail(ErrorCode::NOT_COORDINATOR);
                }
                assert!(self.replies.insert(ticket, reply).is_none(), "{ticket:?} is answered twice");
            }
            if !appended {
                return;
            }
            let view = View { config: &self.config, topics: &self.topics };
            step = if fails {
                self.machine.append_failed(self.now_ms, &view, &step.watching, ErrorCode::NOT_COORDINATOR)
            } else {
                self.machine.replayed(self.now_ms, &view)
            };
        }
    }

    fn append(&mut self, record: &Record) {
        let (key, value) = record.encode().expect("encodes");
        let read = Record::decode(key, value).expect("decodes");
        self.machine.replay(i64::try_from(self.log.len()).expect("small"), None, read.clone());
        self.log.push(read);
    }

    fn restart(&mut self) {
        self.note("restart".to_owned());
        self.ids += 1;
        self.machine = replayed(self.ids, &self.log);
        self.jobs.clear();
        self.replies.clear();
        self.input(|machine, now_ms, view| machine.loaded(now_ms, view));
        for client in &mut self.clients {
            // Connections break: what was asked is not answered.
            if client.waits.take().is_some() {
                client.unsure = true;
                client.must_join = client.classic;
            }
        }
    }

    fn pass(&mut self, ms: i64) {
        let end_ms = self.now_ms + ms;
        for _ in 0..10_000 {
            match self.machine.next_deadline() {
                Some(at_ms) if at_ms <= end_ms => {
                    self.now_ms = at_ms.max(self.now_ms);
                    self.input(|machine, now_ms, view| machine.tick(now_ms, view));
                }
                _ => {
                    self.now_ms = end_ms;
                    return;
                }
            }
        }
        panic!("time does not come to rest");
    }

    fn run_jobs(&mut self, most: usize) {
        for _ in 0..most {
            let Some(job) = self.jobs.pop_front() else { return };
            let result = job.run();
            self.input(|machine, now_ms, view| machine.assigned(now_ms, view, result));
        }
    }

    fn ask(&mut self, version: i16, request: Request) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let caller = Caller { client_id: "client".into(), client_host: "/127.0.0.1".into(), api_version: version };
        self.input(|machine, now_ms, view| machine.handle(now_ms, view, ticket, &caller, request));
        ticket
    }

    fn ask_now(&mut self, version: i16, request: Request) -> Reply {
        let ticket = self.ask(version, request);
        self.replies.remove(&ticket).unwrap_or_else(|| self.fail("no answer at once"))
    }

    // What happens.

    fn step(&mut self) {
        let index = usize::try_from(self.random.below(CLIENTS as u64)).expect("an index");
        match self.random.below(100) {
            0..=59 => self.act(index),
            60..=69 => self.reach(index),
            70..=75 => self.go(index),
            76..=85 => self.run_jobs(1),
            86..=92 => {
                let ms = [10, 600, 3_000, 6_000, 31_000, 46_000][usize::try_from(self.random.below(6)).expect("small")];
                self.note(format!("pass {ms}"));
                self.pass(ms);
            }
            93..=94 => {
                self.note("the next append fails".to_owned());
                self.fail_append = true;
            }
            95..=96 => self.restart(),
            _ => self.run_jobs(10),
        }
        self.collect();
    }

    /// It leaves, or crashes. Who comes in its place speaks either protocol.
    fn go(&mut self, index: usize) {
        let client = std::mem::take(&mut self.clients[index]);
        let crashes = client.waits.is_some() || client.epoch == 0 || self.random.one_in(3);
        self.note(format!("{index} goes, crashes {crashes}"));
        if !client.alive || crashes {
            return;
        }
        if client.classic {
            let identity = MemberIdentity { member_id: client.member_id, ..MemberIdentity::default() };
            let members = vec![identity];
            let request = LeaveGroupRequest { group_id: GROUP.to_owned(), members, ..LeaveGroupRequest::default() };
            self.ask_now(5, Request::LeaveGroup(request));
        } else {
            self.ask_now(1, Request::ConsumerGroupHeartbeat(beating(&client.member_id, -1)));
        }
    }

    fn reach(&mut self, index: usize) {
        if let Some(told) = self.clients[index].told.take() {
            self.note(format!("{index} has {told:?}"));
            self.clients[index].owned = told;
            self.claim(index);
        }
    }

    /// What it has is its own in its epoch.
    fn claim(&mut self, index: usize) {
        let client = self.clients[index].clone();
        if client.zombie {
            return;
        }
        for (topic, partition) in &client.owned {
            let key = (client.epoch, *topic, *partition);
            let owner = self.owners.entry(key).or_insert_with(|| client.member_id.clone());
            if *owner != client.member_id {
                let why = format!("{key:?} was {owner}'s and is {}'s", client.member_id);
                self.fail(&why);
            }
        }
    }

    fn act(&mut self, index: usize) {
        if self.clients[index].waits.is_some() {
            return;
        }
        if !self.clients[index].alive {
            let classic = self.random.one_in(2);
            self.names += 1;
            let member_id = if classic { String::new() } else { format!("m{}", self.names) };
            self.clients[index] = Client { alive: true, classic, must_join: classic, member_id, ..Client::default() };
        }
        if self.clients[index].classic {
            self.act_classic(index);
        } else {
            self.act_consumer(index);
        }
    }

    fn act_consumer(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let mut request = if client.epoch == 0 {
            client.owned.clear();
            client.told = None;
            joining(&client.member_id, &TOPICS)
        } else {
            beating(&client.member_id, client.epoch)
        };
        if client.unsure {
            request.rebalance_timeout_ms = REBALANCE_MS;
            request.subscribed_topic_names = Some(TOPICS.iter().map(|name| (*name).to_owned()).collect());
            request.subscribed_topic_regex = Some(String::new());
            client.told = None;
        }
        if client.unsure || client.owned != client.said {
            request.topic_partitions = Some(to_wire(&client.owned));
        }
        client.said.clone_from(&client.owned);
        let what = format!("{index} {request:?}");
        self.note(what);
        let ticket = self.ask(1, Request::ConsumerGroupHeartbeat(request));
        self.clients[index].waits = Some(ticket);
    }

    /// An eager member: it gives everything up before it joins.
    fn act_classic(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if client.must_join {
            client.owned.clear();
            let mut request = classic_join_of(&client.member_id, &TOPICS);
            request.rebalance_timeout_ms = REBALANCE_MS;
            let what = format!("{index} joins as {:?}", client.member_id);
            self.note(what);
            let ticket = self.ask(9, Request::JoinGroup(request));
            self.clients[index].waits = Some(ticket);
            return;
        }
        let request = HeartbeatRequest {
            group_id: GROUP.to_owned(),
            generation_id: client.epoch,
            member_id: client.member_id.clone(),
            group_instance_id: None,
        };
        let Reply::Heartbeat(response) = self.ask_now(4, Request::Heartbeat(request)) else { panic!("another answer") };
        self.note(format!("{index} beats: {}", response.error_code));
        if response.error_code == ErrorCode::REBALANCE_IN_PROGRESS {
            self.clients[index].must_join = true;
        } else {
            self.take_error(index, response.error_code);
        }
    }

    fn take_error(&mut self, index: usize, error: ErrorCode) {
        let client = &mut self.clients[index];
        match error {
            ErrorCode::NONE => {}
            ErrorCode::NOT_COORDINATOR | ErrorCode::REBALANCE_IN_PROGRESS => {
                client.unsure = true;
                client.must_join = client.classic;
            }
            _ => {
                let member_id = match error {
                    ErrorCode::UNKNOWN_MEMBER_ID if client.classic => String::new(),
                    _ => std::mem::take(&mut client.member_id),
                };
                *client = Client { alive: true, classic: client.classic, member_id, ..Client::default() };
                client.must_join = client.classic;
            }
        }
    }

    fn collect(&mut self) {
        // An answer may lead to the next question, and that to an answer for others.
        while let Some((index, reply)) = self.next_answer() {
            self.note(format!("{index} gets {reply:?}"));
            self.clients[index].waits = None;
            match reply {
                Reply::ConsumerGroupHeartbeat(response) => self.take_heartbeat(index, response),
                Reply::JoinGroup(response) => self.take_join(index, response),
                Reply::SyncGroup(response) if response.error_code.is_none() => {
                    let client = &mut self.clients[index];
                    client.zombie = false;
                    client.owned = owned_of(response.assignment, &self.topics);
                    self.claim(index);
                }
                Reply::SyncGroup(response) => self.take_error(index, response.error_code),
                other => panic!("{other:?}"),
            }
        }
    }

    fn next_answer(&mut self) -> Option<(usize, Reply)> {
        let answered = |client: &Client| client.waits.is_some_and(|ticket| self.replies.contains_key(&ticket));
        let index = self.clients.iter().position(answered)?;
        Some((index, self.replies.remove(&self.clients[index].waits?)?))
    }

    fn take_heartbeat(&mut self, index: usize, response: ConsumerGroupHeartbeatResponse) {
        let client = &mut self.clients[index];
        if !response.error_code.is_none() {
            return self.take_error(index, response.error_code);
        }
        client.unsure = false;
        client.epoch = response.member_epoch;
        if let Some(assignment) = response.assignment {
            let topics = assignment.topic_partitions.iter();
            client.told = Some(
                topics.flat_map(|topic| topic.partitions.iter().map(|number| (topic.topic_id, *number))).collect(),
            );
        }
        self.claim(index);
    }

    fn take_join(&mut self, index: usize, response: JoinGroupResponse) {
        match response.error_code {
            ErrorCode::NONE => {}
            ErrorCode::MEMBER_ID_REQUIRED => {
                self.clients[index].member_id = response.member_id;
                return;
            }
            error => return self.take_error(index, error),
        }
        let client = &mut self.clients[index];
        client.member_id.clone_from(&response.member_id);
        client.epoch = response.generation_id;
        client.must_join = false;
        let request = SyncGroupRequest {
            protocol_type: response.protocol_type.clone(),
            protocol_name: response.protocol_name.clone(),
            assignments: if response.leader == response.member_id { self.share(&response) } else { Vec::new() },
            ..sync_of(&response.member_id, response.generation_id)
        };
        let ticket = self.ask(5, Request::SyncGroup(request));
        self.clients[index].waits = Some(ticket);
    }

    /// The leader's assignment: by turns.
    fn share(&self, response: &JoinGroupResponse) -> Vec<SyncGroupRequestAssignment> {
        let members = &response.members;
        let mut shares = vec![Partitions::new(); members.len()];
        for (turn, (topic, partition)) in self.all().into_iter().enumerate() {
            shares[turn % members.len()].entry(TopicId(topic)).or_default().insert(partition);
        }
        let shares = members.iter().zip(&shares);
        shares
            .map(|(member, share)| SyncGroupRequestAssignment {
                member_id: member.member_id.clone(),
                assignment: write_assignment(share, 1, &self.topics).expect("encodes"),
            })
            .collect()
    }

    fn all(&self) -> Owned {
        let topics = self.topics.topics.values();
        topics.flat_map(|topic| (0..topic.partitions).map(|partition| (topic.id, partition))).collect()
    }

    // What has to hold.

    fn members(&self) -> BTreeSet<String> {
        match self.machine.groups.get(GROUP) {
            Some(Group::Classic(group)) => group.members().iter().map(|member| member.id.to_string()).collect(),
            Some(Group::Consumer(group)) => group.members().map(|member| member.member_id.to_string()).collect(),
            None => BTreeSet::new(),
        }
    }

    fn check(&mut self) {
        let members = self.members();
        let is_consumer = matches!(self.machine.groups.get(GROUP), Some(Group::Consumer(_)));
        if members.is_empty() {
            // The next group is another one.
            self.owners.clear();
        } else if is_consumer != self.was_consumer {
            self.changes += 1;
        }
        self.was_consumer = is_consumer;
        for client in &mut self.clients {
            client.zombie |= client.epoch > 0 && !members.contains(&client.member_id);
        }
        let mut owners: BTreeMap<(Uuid, i32), usize> = BTreeMap::new();
        for (index, client) in self.clients.iter().enumerate().filter(|(_, client)| !client.zombie) {
            for owned in &client.owned {
                if let Some(other) = owners.insert(*owned, index) {
                    self.fail(&format!("{owned:?} is {other}'s and {index}'s"));
                }
            }
        }
    }

    /// Nobody comes or goes any more.
    fn quiet(&mut self) {
        const { assert!(60 * 3_000 > 2 * SESSION_MS) };
        self.note("quiet".to_owned());
        self.fail_append = false;
        for _ in 0..QUIET_ROUNDS {
            self.pass(3_000);
            self.run_jobs(100);
            self.collect();
            for index in 0..CLIENTS {
                if self.clients[index].alive {
                    self.reach(index);
                    self.act(index);
                    self.run_jobs(100);
                    self.collect();
                    self.check();
                }
            }
        }
        if let Some(waiting) = self.clients.iter().find(|client| client.waits.is_some()) {
            self.fail(&format!("{:?} was never answered", waiting.member_id));
        }
        let alive: Vec<&Client> = self.clients.iter().filter(|client| client.alive).collect();
        let members = self.members();
        if members != alive.iter().map(|client| client.member_id.clone()).collect() {
            self.fail(&format!("members are {members:?}"));
        }
        let owned: Owned = alive.iter().flat_map(|client| client.owned.iter().copied()).collect();
        if !alive.is_empty() && owned != self.all() {
            self.fail(&format!("owned are {owned:?}"));
        }
        match self.machine.groups.get(GROUP) {
            Some(Group::Classic(_)) if alive.iter().any(|client| !client.classic) => self.fail("a classic group"),
            Some(Group::Consumer(_)) if !alive.is_empty() && alive.iter().all(|client| client.classic) => {
                self.fail("a group of the consumer protocol");
            }
            _ => {}
        }
        // Nothing is under way now: what is durable is all there is.
        self.check_replay("log", &replayed(0, &self.log));
        self.check_replay("compacted log", &replayed(0, compacted(&self.log)));
    }

    fn check_replay(&self, log: &str, again: &GroupMachine) {
        let (now, then) = (self.machine.groups.get(GROUP), again.groups.get(GROUP));
        let same = match (now, then) {
            (Some(Group::Consumer(now)), Some(Group::Consumer(then))) => now == then,
            (Some(Group::Classic(now)), Some(Group::Classic(then))) => {
                let shares = |group: &crate::group::classic::ClassicGroup| -> BTreeMap<String, Bytes> {
                    let members = group.members().iter();
                    members.map(|member| (member.id.to_string(), member.assignment.clone())).collect()
                };
                now.generation() == then.generation() && shares(now) == shares(then)
            }
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.fail(&format!("the {log} gives {then:#?}"));
        }
    }
}

fn owned_of(assignment: Bytes, topics: &TestTopics) -> Owned {
    if assignment.is_empty() {
        return Owned::new();
    }
    let named = named_assignment(assignment).into_iter();
    named
        .flat_map(|named| named.partitions.into_iter().map(move |partition| (named.topic.clone(), partition)))
        .map(|(name, partition)| (topics.id(&name), partition))
        .collect()
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn groups_change_over_and_keep_every_promise() {
    let (seed, steps) = (setting("GROUPS_SEED", 1), setting("GROUPS_STEPS", 20_000));
    println!("GROUPS_SEED={seed} GROUPS_STEPS={steps}");
    let changes = run(seed, steps);
    println!("{changes} changes of type");
    assert!(changes > steps / 1_000, "{changes} changes: nothing was shown");
}

#[test]
#[ignore = "a million steps: minutes in a debug build"]
fn groups_change_over_in_a_million_steps() {
    let (seed, steps) = (setting("GROUPS_SEED", 1), setting("GROUPS_STEPS", 1_000_000));
    println!("GROUPS_SEED={seed} GROUPS_STEPS={steps}");
    println!("{} changes of type", run(seed, steps));
}
