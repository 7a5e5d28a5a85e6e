//! Random histories: consumers that come, go, crash, stall and retry, a log that lags, fails and is cut, and a checker that
//! knows the promises only.
//!
//! `GROUPS_STEPS` sets the length (1,000,000 and more for the long form), `GROUPS_SEED` the seed, which is printed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::{JoinGroupResponse, SyncGroupResponse};

use crate::group::classic::{ClassicGroup, State};
use crate::machine::{Reply, Ticket};
use crate::records::Record;

use super::shard::{SESSION_MS, Shard, join_request, subscription, sync_request};

const PARTITIONS: u8 = 8;
const CLIENTS: usize = 6;
/// Steps between two times of quiet, in which everything has to settle.
const STEPS_PER_EPISODE: u64 = 1_500;
const QUIET_MS: i64 = 900_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Has not begun, has ended, or was fenced.
    Away,
    Join,
    Sync,
    Member,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Join,
    Sync,
}

#[derive(Debug, Clone)]
struct Client {
    instance_id: Option<String>,
    phase: Phase,
    member_id: String,
    generation: i32,
    /// Of the leader: who is there. None if it is to keep what is there.
    members: Option<Vec<String>>,
    owned: BTreeSet<u8>,
    waits: Option<(Ticket, Asked)>,
    /// It has been in a generation under this member id.
    known: bool,
    /// Joins and heartbeats, and never syncs.
    mute: bool,
    /// Takes its time with an assignment, heartbeating meanwhile.
    slow: bool,
    version: i16,
    topics: u8,
    strategies: u8,
}

pub struct World {
    pub shard: Shard,
    random: Random,
    clients: Vec<Client>,
    /// Whom each partition was given to, by generation.
    owners: HashMap<(i32, u8), String>,
    /// The generation of the last assignment that anybody saw.
    assigned: i32,
    /// The last that was announced since the coordinator was loaded.
    announced: i32,
    /// The id under which each instance joined last.
    instances: BTreeMap<String, String>,
    /// Member ids of the past with their instance and generation.
    past: Vec<(String, Option<String>, i32)>,
    unanswered: BTreeMap<Ticket, (usize, Asked, bool)>,
    seen: usize,
    pub violations: Vec<String>,
    pub counts: BTreeMap<&'static str, u64>,
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut random = Random(seed);
        let mut shard = Shard::new();
        shard.commits_at_once = false;
        shard.config.initial_rebalance_delay_ms = if random.one_in(2) { 0 } else { 3_000 };
        World {
            clients: (0..CLIENTS).map(|index| client(index, &mut random)).collect(),
            shard,
            random,
            owners: HashMap::new(),
            assigned: -1,
            announced: -1,
            instances: BTreeMap::new(),
            past: Vec::new(),
            unanswered: BTreeMap::new(),
            seen: 0,
            violations: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Random steps, then quiet; stops at the first violation.
    pub fn run(&mut self, steps: u64) {
        for step in 1..=steps {
            self.step();
            if step.is_multiple_of(STEPS_PER_EPISODE) || step == steps {
                self.settle();
            }
            if !self.violations.is_empty() {
                return;
            }
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn step(&mut self) {
        let index = self.random.index(CLIENTS);
        match self.random.below(100) {
            0..60 => self.act(index),
            60..75 => {
                let by_ms = match self.random.below(20) {
                    0 => i64::from(SESSION_MS) + 5_000,
                    1 => 65_000,
                    _ => i64::try_from(self.random.below(4_000)).unwrap(),
                };
                self.shard.advance(by_ms);
            }
            75..87 => {
                let behind = self.random.index(3);
                let until = self.shard.log.len().saturating_sub(behind);
                self.shard.commit(until);
            }
            87..89 => self.stop(index),
            89..91 => self.leave(index),
            91..93 => self.give_up_waiting(index),
            93..96 => self.haunt(),
            96 => self.change_subscription(index),
            97 => self.shard.fail_next = true,
            98 if self.random.one_in(6) => self.restart_coordinator(),
            _ => {
                if self.clients[index].phase == Phase::Away {
                    self.clients[index] = client(index, &mut self.random);
                }
            }
        }
        self.hear();
    }

    /// What a consumer does next by itself.
    fn act(&mut self, index: usize) {
        let client = self.clients[index].clone();
        if client.waits.is_some() {
            return;
        }
        match client.phase {
            Phase::Away => {
                if self.random.one_in(4) {
                    self.clients[index].phase = Phase::Join;
                }
            }
            Phase::Join => self.ask_join(index),
            Phase::Sync if client.mute => self.beat(index),
            Phase::Sync if client.slow && !self.random.one_in(12) => self.beat(index),
            Phase::Sync => self.ask_sync(index),
            Phase::Member if self.random.one_in(3) => self.commit_offsets(index),
            Phase::Member => self.beat(index),
        }
    }

    fn ask_join(&mut self, index: usize) {
        let client = &self.clients[index];
        let topics: Vec<&str> = ["a", "b", "c"].into_iter().take(usize::from(client.topics)).collect();
        let said = subscription(&topics);
        let strategies: &[(&str, &[u8])] = match client.strategies {
            0 => &[("range", &said)],
            1 => &[("sticky", &said), ("range", &said)],
            _ => &[("range", &said), ("sticky", &said)],
        };
        let mut request = join_request(&client.member_id, client.instance_id.as_deref(), strategies);
        request.rebalance_timeout_ms = if index.is_multiple_of(2) { 20_000 } else { 40_000 };
        let ticket = self.shard.join(client.version, &request);
        self.ask(index, ticket, Asked::Join);
    }

    fn ask_sync(&mut self, index: usize) {
        let client = &self.clients[index];
        let mut shares: Vec<(String, Vec<u8>)> = Vec::new();
        if let Some(members) = &client.members {
            let mut order = members.clone();
            order.sort();
            // Which member comes first depends on more than the members, as with sticky assignors.
            let turn = self.random.index(order.len());
            order.rotate_left(turn);
            shares = order.into_iter().map(|member_id| (member_id, Vec::new())).collect();
            for partition in 0..PARTITIONS {
                let to = usize::from(partition) % shares.len();
                shares[to].1.push(partition);
            }
        }
        let client = &self.clients[index];
        let shares: Vec<(&str, &[u8])> = shares.iter().map(|(id, share)| (id.as_str(), share.as_slice())).collect();
        let request = sync_request(&client.member_id, client.instance_id.as_deref(), client.generation, &shares);
        let ticket = self.shard.sync(&request);
        self.ask(index, ticket, Asked::Sync);
    }

    fn ask(&mut self, index: usize, ticket: Ticket, asked: Asked) {
        let parked = self.shard.waits(ticket);
        self.unanswered.insert(ticket, (index, asked, parked && self.clients[index].known));
        self.clients[index].waits = Some((ticket, asked));
        self.hear();
    }

    fn beat(&mut self, index: usize) {
        let client = self.clients[index].clone();
        let error = self.shard.heartbeat(&client.member_id, client.instance_id.as_deref(), client.generation);
        self.count("heartbeats");
        self.check_let_in("heartbeat", &client.member_id, client.instance_id.as_deref(), client.generation, error);
        match error {
            ErrorCode::NONE => {}
            ErrorCode::FENCED_INSTANCE_ID => self.end(index),
            _ if client.mute => self.end(index),
            ErrorCode::UNKNOWN_MEMBER_ID => self.reset(index),
            _ => self.clients[index].phase = Phase::Join,
        }
    }

    fn commit_offsets(&mut self, index: usize) {
        let client = self.clients[index].clone();
        let Some(group) = &mut self.shard.group else { return };
        let (now_ms, instance_id) = (self.shard.now_ms, client.instance_id.as_deref());
        let result = group.check_commit(&client.member_id, instance_id, client.generation, false);
        if result.is_ok() {
            group.committed(&client.member_id, now_ms);
        }
        self.count("commits");
        let error = result.err().unwrap_or(ErrorCode::NONE);
        self.check_let_in("commit", &client.member_id, instance_id, client.generation, error);
    }

    /// Requests of generations and incarnations that are over.
    fn haunt(&mut self) {
        if self.past.is_empty() {
            return;
        }
        let which = self.random.index(self.past.len());
        let (member_id, instance_id, generation) = self.past[which].clone();
        let instance = instance_id.as_deref();
        self.count("stale requests");
        let (what, error) = match self.random.below(3) {
            0 => ("heartbeat", self.shard.heartbeat(&member_id, instance, generation)),
            1 => {
                let ticket = self.shard.sync(&sync_request(&member_id, instance, generation, &[]));
                if self.shard.waits(ticket) {
                    // It is of this generation after all, and its own client will ask again.
                    self.unanswered.insert(ticket, (usize::MAX, Asked::Sync, false));
                    return;
                }
                ("sync", self.shard.synced(ticket).error_code)
            }
            _ => {
                let Some(group) = &self.shard.group else { return };
                let checked = group.check_commit(&member_id, instance, generation, false);
                ("commit", checked.err().unwrap_or(ErrorCode::NONE))
            }
        };
        self.check_let_in(what, &member_id, instance, generation, error);
    }

    /// A request that was let in is of the last generation that was announced, and of an instance's last member.
    fn check_let_in(
        &mut self,
        what: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        error: ErrorCode,
    ) {
        if error != ErrorCode::NONE {
            return;
        }
        if generation != self.announced {
            self.violations.push(format!("stale {what} of {member_id} in {generation}, announced {}", self.announced));
        }
        if let Some(latest) = instance_id.and_then(|instance_id| self.instances.get(instance_id))
            && latest != member_id
        {
            self.violations.push(format!("unfenced {what} of {member_id}, its instance is {latest}"));
        }
    }

    /// The process dies without a word; the same instance may come back.
    fn stop(&mut self, index: usize) {
        if self.clients[index].phase == Phase::Away {
            return;
        }
        self.count("clients killed");
        self.end(index);
        self.clients[index] = client(index, &mut self.random);
        if self.random.one_in(2) {
            self.clients[index].phase = Phase::Join;
        }
    }

    fn leave(&mut self, index: usize) {
        let client = self.clients[index].clone();
        if client.waits.is_some() || client.member_id.is_empty() {
            return;
        }
        let by_instance = client.instance_id.is_some() && self.random.one_in(2);
        let member_id = if by_instance { "" } else { &client.member_id };
        if by_instance {
            // Whoever holds the instance now has to go, also one that waits.
            self.unanswered.values_mut().for_each(|(_, _, must_wait)| *must_wait = false);
        }
        self.shard.leave(5, &[(member_id, client.instance_id.as_deref())]);
        self.count("leaves");
        self.end(index);
    }

    /// The client's request times out: it asks again, on another connection.
    fn give_up_waiting(&mut self, index: usize) {
        if let Some((ticket, _)) = self.clients[index].waits.take() {
            self.count("requests given up");
            // It may leave meanwhile.
            if let Some((_, _, must_wait)) = self.unanswered.get_mut(&ticket) {
                *must_wait = false;
            }
            if self.clients[index].phase == Phase::Sync {
                self.clients[index].phase = Phase::Join;
            }
        }
    }

    fn change_subscription(&mut self, index: usize) {
        let client = &mut self.clients[index];
        client.topics = 1 + client.topics % 3;
        if client.phase == Phase::Member && client.waits.is_none() {
            client.phase = Phase::Join;
        }
    }

    fn restart_coordinator(&mut self) {
        self.count("coordinator restarts");
        let (committed, end) = (self.shard.committed, self.shard.log.len());
        let kept = committed + self.random.index(end - committed + 1);
        self.seen = self.shard.order.len();
        // Connections are gone: who waited asks again.
        self.unanswered.clear();
        for client in &mut self.clients {
            if client.waits.take().is_some() && client.phase == Phase::Sync {
                client.phase = Phase::Join;
            }
        }
        self.shard.restart(kept);
        self.announced = self.shard.group.as_ref().map_or(-1, ClassicGroup::generation);
        self.instances.clear();
        if let Some(Record::GroupMetadata { value: Some(value), .. }) = self.shard.log.last() {
            for member in &value.members {
                if let Some(instance_id) = &member.group_instance_id {
                    self.instances.insert(instance_id.clone(), member.member_id.clone());
                }
            }
        }
    }

    fn end(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if client.generation >= 0 {
            self.past.push((client.member_id.clone(), client.instance_id.clone(), client.generation));
        }
        if self.past.len() > 200 {
            self.past.remove(0);
        }
        client.phase = Phase::Away;
        client.member_id.clear();
        client.generation = -1;
        client.owned.clear();
        client.waits = None;
        client.known = false;
        client.mute = false;
    }

    fn reset(&mut self, index: usize) {
        self.end(index);
        self.clients[index].phase = Phase::Join;
    }

    /// Answers reach their clients, and the checker.
    fn hear(&mut self) {
        // A generation that ended with the last member is told to nobody, but in the log.
        if let Some(group) = &self.shard.group
            && group.state() == State::Empty
        {
            self.announced = self.announced.max(group.generation());
        }
        let first = self.seen;
        while let Some(ticket) = self.shard.order.get(self.seen).copied() {
            self.seen += 1;
            let Some(reply) = self.shard.answers.get(&ticket).cloned() else { continue };
            if let Reply::JoinGroup(response) = &reply {
                self.check_join(first, ticket, response);
            }
            if let Reply::SyncGroup(response) = &reply {
                self.check_sync(ticket, response);
            }
            self.unanswered.remove(&ticket);
            let Some(index) = self.clients.iter().position(|client| client.waits.is_some_and(|(of, _)| of == ticket))
            else {
                continue;
            };
            self.clients[index].waits = None;
            match reply {
                Reply::JoinGroup(response) => self.hear_join(index, &response),
                Reply::SyncGroup(response) => self.hear_sync(index, &response),
                other => panic!("{other:?}"),
            }
        }
        if self.shard.order.len() == self.seen && self.seen > 10_000 {
            self.shard.order.clear();
            self.shard.answers.clear();
            self.seen = 0;
        }
    }

    fn check_join(&mut self, first: usize, ticket: Ticket, response: &JoinGroupResponse) {
        let parked = self.unanswered.get(&ticket).is_some_and(|(_, _, parked)| *parked);
        if response.error_code == ErrorCode::UNKNOWN_MEMBER_ID && parked {
            self.violations.push(format!("a member that waited was dropped: {ticket:?}"));
        }
        if response.error_code != ErrorCode::NONE {
            return;
        }
        if response.generation_id > self.announced && !response.members.is_empty() {
            // Everybody whom the leader is told of has joined: they are told in the same breath.
            let told: BTreeSet<&str> = self.shard.order[first..]
                .iter()
                .filter_map(|ticket| match self.shard.answers.get(ticket) {
                    Some(Reply::JoinGroup(told)) if told.error_code == ErrorCode::NONE => Some(told.member_id.as_str()),
                    _ => None,
                })
                .collect();
            for member in &response.members {
                if member.group_instance_id.is_none() && !told.contains(member.member_id.as_str()) {
                    self.violations.push(format!("{} is counted in and has not joined", member.member_id));
                }
            }
        }
        // The answer to a static member that was replaced waits for its record; a rebalance may overtake it.
        if response.generation_id < self.announced {
            return;
        }
        self.announced = response.generation_id;
        let asker = self.clients.iter().find(|client| client.waits.is_some_and(|(waiting, _)| waiting == ticket));
        if let Some(instance_id) = asker.and_then(|client| client.instance_id.clone()) {
            self.instances.insert(instance_id, response.member_id.clone());
        }
    }

    fn check_sync(&mut self, ticket: Ticket, response: &SyncGroupResponse) {
        if response.error_code != ErrorCode::NONE {
            return;
        }
        let Some((index, _, _)) = self.unanswered.get(&ticket) else { return };
        let Some(client) = self.clients.get(*index) else { return };
        if client.waits.is_none_or(|(waiting, _)| waiting != ticket) {
            return;
        }
        let who = client.instance_id.clone().unwrap_or_else(|| client.member_id.clone());
        let generation = client.generation;
        for partition in &response.assignment {
            let owner = self.owners.entry((generation, *partition)).or_insert_with(|| who.clone());
            if *owner != who {
                self.violations.push(format!("{partition} of generation {generation} is {owner}'s and {who}'s"));
            }
        }
        if generation < self.assigned {
            self.violations.push(format!("an assignment of {generation} after one of {}", self.assigned));
        }
        self.assigned = self.assigned.max(generation);
    }

    fn hear_join(&mut self, index: usize, response: &JoinGroupResponse) {
        match response.error_code {
            ErrorCode::NONE => {
                self.count("joins");
                let client = &mut self.clients[index];
                client.member_id.clone_from(&response.member_id);
                client.generation = response.generation_id;
                client.known = true;
                client.phase = Phase::Sync;
                client.owned.clear();
                client.members = None;
                if response.leader == response.member_id && !response.skip_assignment {
                    client.members = Some(response.members.iter().map(|member| member.member_id.clone()).collect());
                }
                if self.random.one_in(4) {
                    let (member_id, instance_id) = (response.member_id.clone(), client.instance_id.clone());
                    self.past.push((member_id, instance_id, response.generation_id));
                }
            }
            ErrorCode::MEMBER_ID_REQUIRED => self.clients[index].member_id.clone_from(&response.member_id),
            // A loaded group knows of each member only the strategy that was elected.
            ErrorCode::FENCED_INSTANCE_ID | ErrorCode::INCONSISTENT_GROUP_PROTOCOL => self.end(index),
            ErrorCode::UNKNOWN_MEMBER_ID => self.reset(index),
            ErrorCode::REBALANCE_IN_PROGRESS | ErrorCode::COORDINATOR_NOT_AVAILABLE => {}
            other => self.violations.push(format!("a join was refused with {other:?}")),
        }
    }

    fn hear_sync(&mut self, index: usize, response: &SyncGroupResponse) {
        match response.error_code {
            ErrorCode::NONE => {
                self.count("syncs");
                let client = &mut self.clients[index];
                client.owned = response.assignment.iter().copied().collect();
                client.phase = Phase::Member;
            }
            ErrorCode::FENCED_INSTANCE_ID => self.end(index),
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::ILLEGAL_GENERATION => self.reset(index),
            ErrorCode::REBALANCE_IN_PROGRESS | ErrorCode::COORDINATOR_NOT_AVAILABLE => {
                self.clients[index].phase = Phase::Join;
            }
            other => self.violations.push(format!("a sync was refused with {other:?}")),
        }
    }

    /// Nothing fails any more and nobody comes or goes: every request is answered, and all is given out.
    fn settle(&mut self) {
        self.shard.fail_next = false;
        let until_ms = self.shard.now_ms + QUIET_MS;
        let mut settled_since = None;
        while self.shard.now_ms < until_ms {
            self.shard.commit(usize::MAX);
            self.hear();
            for index in 0..CLIENTS {
                if self.clients[index].phase != Phase::Away {
                    self.act(index);
                }
            }
            self.shard.advance(1_000);
            self.hear();
            if !self.violations.is_empty() {
                return;
            }
            if self.unsettled().is_some() {
                settled_since = None;
            } else if self.shard.now_ms - *settled_since.get_or_insert(self.shard.now_ms) > 3 * i64::from(SESSION_MS) {
                break;
            }
        }
        if let Some(why) = self.unsettled() {
            self.violations.push(format!("not settled after {QUIET_MS} ms: {why}"));
        }
        if let Some((ticket, what)) = self.unanswered.iter().next() {
            self.violations.push(format!("{ticket:?} was never answered: {what:?}"));
        }
        self.count("times settled");
    }

    fn unsettled(&self) -> Option<String> {
        let here: Vec<&Client> = self.clients.iter().filter(|client| client.phase != Phase::Away).collect();
        let (state, members) = match &self.shard.group {
            Some(group) => (group.state(), group.members().len()),
            None => (State::Empty, 0),
        };
        if members != here.len() {
            return Some(format!("{members} members for {} clients in {state}", here.len()));
        }
        if here.is_empty() {
            return (state != State::Empty).then(|| format!("nobody in {state}"));
        }
        if here.iter().any(|client| client.phase != Phase::Member || client.generation != self.announced) {
            return Some(format!("clients in {state}: {here:?}"));
        }
        let mut owned: Vec<u8> = here.iter().flat_map(|client| client.owned.iter().copied()).collect();
        owned.sort_unstable();
        (owned != (0..PARTITIONS).collect::<Vec<_>>()).then(|| format!("owned: {owned:?}"))
    }
}

fn client(index: usize, random: &mut Random) -> Client {
    Client {
        // Two of them are static, and a third now and then shares an instance with one: then one is fenced.
        instance_id: match index {
            0 | 1 => Some(format!("i{index}")),
            2 if random.one_in(5) => Some("i0".to_owned()),
            _ => None,
        },
        phase: Phase::Away,
        member_id: String::new(),
        generation: -1,
        members: None,
        owned: BTreeSet::new(),
        waits: None,
        known: false,
        mute: random.one_in(12),
        slow: random.one_in(4),
        version: *[0, 3, 4, 5, 8, 9, 9, 9].get(random.index(8)).unwrap(),
        topics: 1 + u8::try_from(random.below(3)).unwrap(),
        strategies: u8::try_from(random.below(3)).unwrap(),
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

#[test]
fn histories_keep_the_promises() {
    let steps = setting("GROUPS_STEPS").unwrap_or(24_000);
    let first = setting("GROUPS_SEED").unwrap_or(1);
    let per_seed = 6_000;
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut done = 0;
    let mut seed = first;
    while done < steps {
        let mut world = World::new(seed);
        world.run(per_seed.min(steps - done));
        assert!(world.violations.is_empty(), "seed {seed}: {:#?}", world.violations);
        for (what, count) in world.counts {
            *counts.entry(what).or_default() += count;
        }
        done += per_seed;
        seed += 1;
    }
    println!("{done} steps, seeds {first}..{seed}: {counts:?}");
}
