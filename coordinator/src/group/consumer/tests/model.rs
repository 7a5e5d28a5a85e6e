//! Random histories: members of both protocols that come, go, crash, stall and retry; topics that come, grow and go;
//! answers that are lost, appends that fail, brokers that restart. A checker looks at every step, and every now and then
//! all is quiet for a while, after which the group has to have converged.
//!
//! What is checked: no partition has two owners, neither in the group's state nor among its members' own; epochs only
//! grow; the log gives the same state again, compacted too; every request is answered; once quiet, every partition of a
//! subscribed topic has an owner, everybody has what it should have, and those who subscribe alike have equally much.
//!
//! `GROUPS_STEPS` sets the length (a million for the long form), `GROUPS_SEED` the seed, which is printed.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use stratalog_protocol::ErrorCode;
use stratalog_protocol::codec::{Encoder, Message};
use stratalog_protocol::messages::consumer_group_heartbeat::TopicPartitions;
use stratalog_protocol::messages::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};
use stratalog_protocol::messages::join_group::JoinGroupRequestProtocol;
use stratalog_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, JoinGroupRequest, JoinGroupResponse,
    SyncGroupRequest,
};
use stratalog_protocol::part::Part;
use uuid::Uuid;

use super::world::{GROUP, REBALANCE_MS, SESSION_MS, World, beating, compacted, joining, replayed};
use crate::group::consumer::{GroupState, Member, MemberState};
use crate::machine::{MigrationPolicy, Ticket};

const CLIENTS: usize = 6;
const TOPICS: [&str; 3] = ["alpha", "beta", "gamma"];
const STEPS_PER_EPISODE: u64 = 400;

/// Small, and the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.below(of.len() as u64)).expect("an index")]
    }
}

pub type Owned = BTreeSet<(Uuid, i32)>;

#[derive(Debug, Clone, Default)]
struct Client {
    alive: bool,
    classic: bool,
    instance_id: Option<String>,
    member_id: String,
    epoch: i32,
    topics: Vec<&'static str>,
    regex: Option<&'static str>,
    assignor: Option<&'static str>,
    owned: Owned,
    /// What it was told to have and has not got to yet.
    told: Option<Owned>,
    /// What it last said that it has.
    said: Owned,
    /// It does not know whether its last heartbeat got through.
    unsure: bool,
    waits: Option<Ticket>,
    /// Of a classic member: it has to join.
    must_join: bool,
    /// It does not get to what it is told.
    stalled: bool,
    /// It was taken out of the group and does not know: what it thinks that it has counts no more.
    zombie: bool,
}

struct Model {
    world: World,
    random: Random,
    clients: Vec<Client>,
    names: u64,
    /// Epochs as they were: group, target, and of each member.
    epochs: (i32, i32, BTreeMap<String, i32>),
    eager: bool,
    trace: Vec<String>,
}

/// Runs histories; the number of steps taken.
pub fn run(seed: u64, steps: u64) {
    let mut done = 0;
    let mut episode = 0;
    while done < steps {
        let mut model = Model::new(seed.wrapping_add(episode));
        done += model.episodes(3);
        episode += 1;
    }
}

impl Model {
    fn new(seed: u64) -> Model {
        let mut random = Random::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let mut world = World::new();
        world.eager = random.one_in(2);
        // Classic members come and go; the group stays one of the consumer protocol.
        world.config.migration_policy = MigrationPolicy::Upgrade;
        world.config.consumer_assignment_interval_ms = if random.one_in(2) { 0 } else { 1_000 };
        world.topics.set("alpha", 4);
        world.topics.set("beta", 3);
        let eager = world.eager;
        Model {
            world,
            random,
            clients: vec![Client::default(); CLIENTS],
            names: 0,
            epochs: (0, 0, BTreeMap::new()),
            eager,
            trace: vec![format!("seed {seed}")],
        }
    }

    fn episodes(&mut self, count: u64) -> u64 {
        let mut steps = 0;
        for _ in 0..count {
            let length = 1 + self.random.below(STEPS_PER_EPISODE);
            for _ in 0..length {
                self.step();
                self.check();
                steps += 1;
            }
            self.quiet();
        }
        steps
    }

    fn note(&mut self, what: String) {
        if self.trace.len() > 60 {
            self.trace.remove(1);
        }
        self.trace.push(what);
    }

    fn fail(&self, why: &str) -> ! {
        let group = self.world.group.as_ref();
        panic!("{why}\n{}\n{group:#?}\n{:#?}", self.trace.join("\n"), self.clients);
    }

    fn step(&mut self) {
        let index = usize::try_from(self.random.below(CLIENTS as u64)).expect("an index");
        match self.random.below(100) {
            0..=54 => self.act(index),
            55..=64 => self.reach(index),
            65..=69 => self.go(index),
            70..=75 => self.change_mind(index),
            76..=79 => {
                let stalled = self.random.one_in(3);
                self.clients[index].stalled = stalled;
            }
            80..=87 => self.run_job(),
            88..=92 => {
                let ms = *self.random.pick(&[10, 500, 1_100, 6_000, 12_000, 31_000, 46_000]);
                self.note(format!("pass {ms}"));
                self.world.pass(ms);
            }
            93..=94 => self.change_topics(),
            95..=96 => {
                self.note("the next append fails".to_owned());
                self.world.fail_append = true;
            }
            97 => {
                self.note("restart".to_owned());
                self.restart();
            }
            _ => {
                self.note("settle".to_owned());
                self.world.settle();
            }
        }
        self.collect();
    }

    fn restart(&mut self) {
        self.world.restart();
        for client in &mut self.clients {
            // Connections break: what was asked is not answered.
            if client.waits.take().is_some() {
                client.unsure = true;
            }
        }
    }

    fn run_job(&mut self) {
        if let Some(job) = self.world.jobs.pop_front() {
            match self.random.below(12) {
                // Lost, or so late that others came before it.
                0 => self.note("a job is lost".to_owned()),
                1 => self.world.jobs.push_back(job),
                _ => {
                    self.note("a job is done".to_owned());
                    self.world.finish(job);
                }
            }
        }
    }

    fn change_topics(&mut self) {
        let name = *self.random.pick(&TOPICS);
        let known = self.world.topics.topics.get(name).map_or(0, |topic| topic.partitions);
        if known > 0 && self.random.one_in(4) {
            self.note(format!("{name} goes"));
            self.world.topics.remove(name);
        } else if known < 9 {
            let more = known + 1 + i32::try_from(self.random.below(3)).expect("small");
            self.note(format!("{name} has {more}"));
            self.world.topics.set(name, more);
        }
    }

    fn new_name(&mut self) -> String {
        self.names += 1;
        format!("m{}-{}", self.random.below(10), self.names)
    }

    fn subscribe(&mut self, index: usize) {
        let topics = TOPICS.into_iter().filter(|_| self.random.one_in(2)).collect();
        let client = &mut self.clients[index];
        client.topics = topics;
        client.regex = None;
        if !client.classic && self.random.one_in(5) {
            client.regex = Some(*self.random.pick(&["alpha|beta", ".*a", "g.*", "[ab].*"]));
            if self.random.one_in(2) {
                client.topics.clear();
            }
        }
        client.assignor = (!client.classic && self.random.one_in(4)).then(|| *self.random.pick(&["uniform", "range"]));
    }

    /// A member says something: joins, heartbeats, syncs.
    fn act(&mut self, index: usize) {
        if self.clients[index].waits.is_some() {
            return;
        }
        if !self.clients[index].alive {
            let (classic, is_static) = (self.random.one_in(4), self.random.one_in(4));
            let instance_id = is_static.then(|| format!("i{index}"));
            let member_id = if classic && is_static { String::new() } else { self.new_name() };
            self.clients[index] = Client { alive: true, classic, instance_id, member_id, ..Client::default() };
            self.clients[index].must_join = classic;
            self.subscribe(index);
        }
        if self.clients[index].classic {
            self.act_classic(index);
        } else {
            self.act_consumer(index);
        }
    }

    fn act_consumer(&mut self, index: usize) {
        let lost = self.random.one_in(15);
        let client = &mut self.clients[index];
        let mut request = if client.epoch == 0 {
            client.owned.clear();
            client.told = None;
            joining(&client.member_id, &client.topics)
        } else {
            beating(&client.member_id, client.epoch)
        };
        request.instance_id.clone_from(&client.instance_id);
        if client.epoch == 0 || client.unsure {
            request.rebalance_timeout_ms = REBALANCE_MS;
            request.subscribed_topic_names = Some(client.topics.iter().map(|name| (*name).to_owned()).collect());
            request.subscribed_topic_regex = Some(client.regex.unwrap_or("").to_owned());
            request.server_assignor = client.assignor.map(str::to_owned);
            request.topic_partitions = Some(to_wire(&client.owned));
            // It said that it has no more than this, so it may not take up what it was told before: the answer says
            // what it has now.
            client.told = None;
        } else if client.owned != client.said {
            request.topic_partitions = Some(to_wire(&client.owned));
        }
        client.said.clone_from(&client.owned);
        let what = format!("{index} {request:?} lost {lost}");
        self.note(what);
        let ticket = self.world.send(&request);
        if lost {
            self.clients[index].unsure = true;
        } else {
            self.clients[index].waits = Some(ticket);
        }
    }

    fn act_classic(&mut self, index: usize) {
        let client = self.clients[index].clone();
        if client.must_join {
            let request = classic_join(&client, &self.world);
            self.note(format!("{index} joins as {:?} {:?} {:?}", client.member_id, client.topics, client.owned));
            let ticket = self.world.send_join(&request);
            self.clients[index].waits = Some(ticket);
            return;
        }
        let error = self.world.classic_heartbeat(&client.member_id, client.epoch);
        self.note(format!("{index} classic heartbeat {} {}: {error}", client.member_id, client.epoch));
        match error {
            ErrorCode::NONE => {}
            ErrorCode::REBALANCE_IN_PROGRESS => self.clients[index].must_join = true,
            _ => self.clients[index].reset(),
        }
    }

    /// Takes what was answered since.
    fn collect(&mut self) {
        for index in 0..CLIENTS {
            let Some(ticket) = self.clients[index].waits else { continue };
            if self.clients[index].classic {
                if let Some(response) = self.world.taken_join(ticket) {
                    self.clients[index].waits = None;
                    self.take_join(index, response);
                }
            } else if let Some(response) = self.world.taken(ticket) {
                self.clients[index].waits = None;
                self.take_heartbeat(index, response);
            }
        }
        if self.clients.iter().all(|client| client.waits.is_none()) && self.world.presence.waiting.is_empty() {
            // Answers to those who are not there any more.
            self.world.replies.clear();
        }
    }

    fn take_heartbeat(&mut self, index: usize, response: ConsumerGroupHeartbeatResponse) {
        self.note(format!("{index} gets {response:?}"));
        let client = &mut self.clients[index];
        match response.error_code {
            ErrorCode::NONE => {
                assert!(response.member_epoch > 0, "{response:?}");
                client.unsure = false;
                client.epoch = response.member_epoch;
                if let Some(assignment) = response.assignment {
                    let told: Owned = assignment
                        .topic_partitions
                        .iter()
                        .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.topic_id, *partition)))
                        .collect();
                    client.told = Some(told);
                }
            }
            ErrorCode::FENCED_MEMBER_EPOCH | ErrorCode::UNKNOWN_MEMBER_ID => client.reset(),
            ErrorCode::UNRELEASED_INSTANCE_ID | ErrorCode::FENCED_INSTANCE_ID | ErrorCode::GROUP_ID_NOT_FOUND => {
                *client = Client::default();
            }
            ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS => client.unsure = true,
            other => panic!("{other}"),
        }
    }

    fn take_join(&mut self, index: usize, response: JoinGroupResponse) {
        self.note(format!("{index} joined {response:?}"));
        match response.error_code {
            ErrorCode::NONE => {
                let client = &mut self.clients[index];
                client.member_id.clone_from(&response.member_id);
                client.epoch = response.generation_id;
                client.must_join = false;
                let request = SyncGroupRequest {
                    group_id: GROUP.to_owned(),
                    generation_id: client.epoch,
                    member_id: client.member_id.clone(),
                    group_instance_id: client.instance_id.clone(),
                    protocol_type: response.protocol_type,
                    protocol_name: response.protocol_name,
                    assignments: Vec::new(),
                };
                let synced = self.world.sync(&request);
                let told = match synced.error_code {
                    ErrorCode::NONE => read_assignment(synced.assignment, &self.world),
                    ErrorCode::REBALANCE_IN_PROGRESS => {
                        self.clients[index].must_join = true;
                        return;
                    }
                    _ => return self.clients[index].reset(),
                };
                self.note(format!("{index} synced {told:?}"));
                let client = &mut self.clients[index];
                // A cooperative consumer gives up at once, and joins again to say so.
                client.must_join = !client.owned.is_subset(&told);
                client.zombie = false;
                client.owned = told;
            }
            ErrorCode::MEMBER_ID_REQUIRED => self.clients[index].member_id = response.member_id,
            ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS => {}
            ErrorCode::INCONSISTENT_GROUP_PROTOCOL => self.clients[index] = Client::default(),
            _ => self.clients[index].reset(),
        }
    }

    /// A member gets to what it was told.
    fn reach(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if client.stalled {
            return;
        }
        if let Some(told) = client.told.take() {
            client.owned = told;
            let what = format!("{index} has {:?}", client.owned);
            self.note(what);
        }
    }

    /// A member leaves, for good or for a while, or crashes.
    fn go(&mut self, index: usize) {
        let client = self.clients[index].clone();
        if !client.alive {
            return;
        }
        self.note(format!("{index} goes"));
        self.clients[index] = Client::default();
        if client.waits.is_some() || client.epoch == 0 || client.classic || self.random.one_in(3) {
            return;
        }
        let member_epoch = if client.instance_id.is_some() && self.random.one_in(2) { -2 } else { -1 };
        self.note(format!("{index} leaves with {member_epoch}"));
        let instance_id = client.instance_id;
        let request = ConsumerGroupHeartbeatRequest { instance_id, ..beating(&client.member_id, member_epoch) };
        let ticket = self.world.send(&request);
        assert!(self.world.replies.remove(&ticket).is_some());
    }

    fn change_mind(&mut self, index: usize) {
        let client = &self.clients[index];
        if client.alive && client.waits.is_none() && client.epoch > 0 {
            self.subscribe(index);
            let client = &mut self.clients[index];
            client.unsure = true;
            client.must_join = client.classic;
        }
    }

    /// What has to hold after each step.
    fn check(&mut self) {
        let Some(group) = &self.world.group else {
            self.epochs = (0, 0, BTreeMap::new());
            return;
        };
        let mut owners: BTreeMap<(Uuid, i32), String> = BTreeMap::new();
        for member in group.members() {
            for held in [&member.assigned, &member.pending_revocation] {
                for (topic, partitions) in held.iter() {
                    for partition in partitions.keys() {
                        if owners.insert((topic.0, *partition), member.member_id.to_string()).is_some() {
                            self.fail(&format!("{topic}-{partition} has two owners in the group"));
                        }
                    }
                }
            }
        }
        for client in &mut self.clients {
            client.zombie |= client.epoch > 0 && group.member(&client.member_id).is_none();
        }
        let mut owners: BTreeMap<(Uuid, i32), usize> = BTreeMap::new();
        for (index, client) in self.clients.iter().enumerate() {
            let in_group = group.member(&client.member_id).is_some_and(|member| member.member_epoch >= 0);
            if !client.alive || !in_group || client.zombie {
                continue;
            }
            for owned in &client.owned {
                if owners.insert(*owned, index).is_some() {
                    self.fail(&format!("{owned:?} has two owners among the members"));
                }
            }
        }
        if group.epoch() < self.epochs.0 || group.target_epoch() < self.epochs.1 {
            self.fail("an epoch went back");
        }
        if group.target_epoch() > group.epoch() {
            self.fail("the target is ahead of the group");
        }
        let mut epochs = BTreeMap::new();
        for member in group.members() {
            let before = self.epochs.2.get(&*member.member_id).copied();
            let rejoins = member.member_epoch <= 0 || before.is_some_and(|before| before < 0);
            if !rejoins && before.is_some_and(|before| member.member_epoch < before) {
                self.fail(&format!("the epoch of {} went back", member.member_id));
            }
            if member.member_epoch > group.epoch() {
                self.fail(&format!("{} is ahead of its group", member.member_id));
            }
            epochs.insert(member.member_id.to_string(), member.member_epoch);
        }
        self.epochs = (group.epoch(), group.target_epoch(), epochs);
    }

    /// Nobody comes, goes or changes any more: the group converges, and what it comes to is right.
    fn quiet(&mut self) {
        self.note("quiet".to_owned());
        self.world.fail_append = false;
        self.world.eager = true;
        // Since when members have had to give up something.
        let mut since: BTreeMap<String, i64> = BTreeMap::new();
        for round in 0..60 {
            if round == 30 {
                for client in &mut self.clients {
                    client.stalled = false;
                }
            }
            let givers = self.world.group.iter().flat_map(|group| group.members()).filter(|member| gives_up(member));
            let givers: BTreeSet<String> = givers.map(|member| member.member_id.to_string()).collect();
            // Those who went without a word have their session, classic ones are told to join.
            let beats = |id: &String| self.clients.iter().any(|client| client.member_id == *id && !client.classic);
            let givers: BTreeSet<String> = givers.into_iter().filter(beats).collect();
            since.retain(|member_id, _| givers.contains(member_id));
            for member_id in givers {
                let first = *since.entry(member_id.clone()).or_insert(self.world.now_ms);
                if self.world.now_ms - first > i64::from(REBALANCE_MS) {
                    self.fail(&format!("{member_id} has held on to what it has to give up"));
                }
            }
            self.world.pass(3_000);
            self.collect();
            for index in 0..CLIENTS {
                if self.clients[index].alive {
                    self.reach(index);
                    self.act(index);
                    self.world.settle();
                    self.collect();
                    self.check();
                }
            }
        }
        // Whoever crashed is gone by now, and whoever asked has its answer.
        const { assert!(60 * 3_000 > 2 * SESSION_MS) };
        if let Some(waiting) = self.clients.iter().find(|client| client.waits.is_some()) {
            self.fail(&format!("{} was never answered", waiting.member_id));
        }
        self.check_converged();
        self.check_replay();
        self.world.eager = self.eager;
    }

    fn check_converged(&self) {
        let Some(group) = &self.world.group else {
            if self.clients.iter().any(|client| client.alive) {
                self.fail("the group is gone");
            }
            return;
        };
        let alive = || self.clients.iter().filter(|client| client.alive);
        if group.members().count() != alive().count() {
            self.fail("members that are not there, or not in the group");
        }
        if group.state() != GroupState::Stable && group.state() != GroupState::Empty {
            self.fail("not stable");
        }
        let mut all = Owned::new();
        for client in alive() {
            let Some(member) = group.member(&client.member_id) else { self.fail("a member is not in the group") };
            let assigned: Owned = member
                .assigned
                .iter()
                .flat_map(|(topic, partitions)| partitions.keys().map(|partition| (topic.0, *partition)))
                .collect();
            if assigned != client.owned {
                self.fail(&format!("{} does not have what it was given", client.member_id));
            }
            all.extend(assigned);
        }
        let mut expected = Owned::new();
        for name in TOPICS {
            if let Some(topic) = self.world.topics.topics.get(name)
                && alive().any(|client| client.subscribes(name))
            {
                expected.extend((0..topic.partitions).map(|partition| (topic.id, partition)));
            }
        }
        if all != expected {
            self.fail(&format!("assigned are {all:?}, subscribed {expected:?}"));
        }
        let sizes: Vec<usize> = alive().map(|client| client.owned.len()).collect();
        let alike = alive().all(|client| {
            let first = alive().next();
            first.is_some_and(|first| first.topics == client.topics && first.regex == client.regex)
        });
        let uniform = alive().all(|client| client.assignor.is_none());
        if let (true, true, Some(most), Some(least)) = (alike, uniform, sizes.iter().max(), sizes.iter().min())
            && most - least > 1
        {
            self.fail(&format!("members with the same subscription have {sizes:?}"));
        }
    }

    fn check_replay(&self) {
        if replayed(&self.world.log) != self.world.group {
            self.fail("the log gives another state");
        }
        let compacted = replayed(compacted(&self.world.log));
        if compacted != self.world.group {
            self.fail(&format!("the compacted log gives another state: {compacted:#?}"));
        }
    }
}

impl Client {
    /// It was fenced: it has nothing any more and joins again.
    fn reset(&mut self) {
        self.epoch = 0;
        self.zombie = false;
        self.owned.clear();
        self.said.clear();
        self.told = None;
        self.unsure = false;
        self.must_join = self.classic;
        if self.classic && self.instance_id.is_some() {
            self.member_id.clear();
        }
    }

    fn subscribes(&self, topic: &str) -> bool {
        let by_regex = match self.regex {
            None => false,
            Some("alpha|beta") => topic != "gamma",
            Some(".*a") => true,
            Some("g.*") => topic == "gamma",
            Some("[ab].*") => topic != "gamma",
            Some(other) => panic!("{other}"),
        };
        by_regex || self.topics.contains(&topic)
    }
}

fn gives_up(member: &Member) -> bool {
    member.state == MemberState::UnrevokedPartitions
}

pub fn to_wire(owned: &Owned) -> Vec<TopicPartitions> {
    let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in owned {
        topics.entry(*topic).or_default().push(*partition);
    }
    topics.into_iter().map(|(topic_id, partitions)| TopicPartitions { topic_id, partitions }).collect()
}

fn classic_join(client: &Client, world: &World) -> JoinGroupRequest {
    let mut named: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in &client.owned {
        if let Some(info) = world.topics.topics.values().find(|info| info.id == *topic) {
            named.entry(&info.name).or_default().push(*partition);
        }
    }
    let owned: Vec<(&str, &[i32])> = named.iter().map(|(name, partitions)| (*name, partitions.as_slice())).collect();
    let mut request = classic_join_of(&client.member_id, &client.topics);
    request.group_instance_id.clone_from(&client.instance_id);
    request.protocols[0].metadata = subscription_of(&client.topics, &owned);
    request
}

/// A join of a member that has nothing.
pub fn classic_join_of(member_id: &str, topics: &[&str]) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: GROUP.to_owned(),
        session_timeout_ms: i32::try_from(SESSION_MS).expect("small"),
        rebalance_timeout_ms: REBALANCE_MS,
        member_id: member_id.to_owned(),
        group_instance_id: None,
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "cooperative-sticky".to_owned(),
            metadata: subscription_of(topics, &[]),
        }],
        reason: None,
    }
}

pub fn sync_of(member_id: &str, generation_id: i32) -> SyncGroupRequest {
    SyncGroupRequest {
        group_id: GROUP.to_owned(),
        generation_id,
        member_id: member_id.to_owned(),
        ..SyncGroupRequest::default()
    }
}

pub fn subscription_of(topics: &[&str], owned: &[(&str, &[i32])]) -> Bytes {
    let owned = owned.iter();
    let subscription = ConsumerProtocolSubscription {
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        user_data: None,
        owned_partitions: owned
            .map(|(topic, partitions)| TopicPartition { topic: (*topic).to_owned(), partitions: partitions.to_vec() })
            .collect(),
        generation_id: -1,
        rack_id: None,
    };
    let mut encoder = Encoder::new();
    encoder.write_i16(1);
    subscription.encode(&mut encoder, 1).expect("encodes");
    let mut bytes = Vec::new();
    for part in encoder.into_parts() {
        if let Part::Bytes(part) = part {
            bytes.extend_from_slice(&part);
        }
    }
    bytes.into()
}

fn read_assignment(bytes: Bytes, world: &World) -> Owned {
    let topics = named_assignment(bytes).into_iter();
    topics
        .flat_map(|topic| {
            let id = world.topics.id(&topic.topic);
            topic.partitions.into_iter().map(move |partition| (id, partition))
        })
        .collect()
}

/// What of this topic is in it.
pub fn read_assignment_of(bytes: Bytes, topic: &str) -> Vec<i32> {
    let topics = named_assignment(bytes).into_iter().filter(|named| named.topic == topic);
    topics.flat_map(|named| named.partitions).collect()
}

pub fn named_assignment(bytes: Bytes) -> Vec<TopicPartition> {
    let mut decoder = stratalog_protocol::codec::Decoder::new(bytes);
    assert_eq!(decoder.read_i16(), Ok(1));
    ConsumerProtocolAssignment::decode(&mut decoder, 1).expect("decodes").assigned_partitions
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn random_histories_keep_every_promise() {
    let (seed, steps) = (setting("GROUPS_SEED", 1), setting("GROUPS_STEPS", 20_000));
    println!("GROUPS_SEED={seed} GROUPS_STEPS={steps}");
    run(seed, steps);
}

#[test]
#[ignore = "a million steps: minutes in a debug build"]
fn a_million_steps_keep_every_promise() {
    let (seed, steps) = (setting("GROUPS_SEED", 1), setting("GROUPS_STEPS", 1_000_000));
    println!("GROUPS_SEED={seed} GROUPS_STEPS={steps}");
    run(seed, steps);
}
