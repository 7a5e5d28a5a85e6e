//! A heartbeat of a consumer group that changes nothing allocates the same few bytes however large the group is. In a
//! binary of its own, since it counts what the allocator gives out.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use stratalog_coordinator::group::consumer::{ConsumerGroup, Presence, Settings, Turn, assigned, heartbeat, tick};
use stratalog_coordinator::machine::{Caller, GroupConfig, Reply, Step, Ticket, TopicInfo, Topics, View};
use stratalog_protocol::messages::ConsumerGroupHeartbeatRequest;
use uuid::Uuid;

struct Counting;

thread_local! {
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator; counting touches nothing of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = BYTES.try_with(|bytes| bytes.set(bytes.get() + layout.size()));
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct OneTopic(TopicInfo);

impl Topics for OneTopic {
    fn by_name(&self, name: &str) -> Option<TopicInfo> {
        (name == &*self.0.name).then(|| self.0.clone())
    }

    fn by_id(&self, id: Uuid) -> Option<TopicInfo> {
        (id == self.0.id).then(|| self.0.clone())
    }

    fn all(&self) -> Vec<TopicInfo> {
        vec![self.0.clone()]
    }

    fn revision(&self) -> u64 {
        1
    }
}

struct Shard {
    group: ConsumerGroup,
    presence: Presence,
    config: GroupConfig,
    topics: OneTopic,
}

impl Shard {
    fn turn(&mut self, act: impl FnOnce(&ConsumerGroup, &mut Presence, &mut Turn<'_>)) -> Step {
        let mut step = Step::default();
        let mut no_id = || Uuid::nil();
        let view = View { config: &self.config, topics: &self.topics };
        let mut turn = Turn { now_ms: 1_000_000, view, ids: &mut no_id, step: &mut step };
        act(&self.group, &mut self.presence, &mut turn);
        for record in &step.records {
            let _ = self.group.replay(record);
        }
        step
    }

    fn beat(&mut self, member_id: &str, member_epoch: i32, joins: bool) -> Step {
        let request = ConsumerGroupHeartbeatRequest {
            group_id: "group".to_owned(),
            member_id: member_id.to_owned(),
            member_epoch,
            rebalance_timeout_ms: if joins { 30_000 } else { -1 },
            subscribed_topic_names: joins.then(|| vec!["topic".to_owned()]),
            topic_partitions: joins.then(Vec::new),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        let caller = Caller { client_id: Arc::from("client"), client_host: Arc::from("/127.0.0.1"), api_version: 1 };
        self.turn(|group, presence, turn| {
            assert!(heartbeat(group, presence, turn, Ticket(1), &caller, &request).is_none());
        })
    }
}

/// What one quiet heartbeat allocates in a group of so many members, all of whom have their partitions.
fn bytes_of_a_heartbeat(members: i32) -> usize {
    let info = TopicInfo { name: "topic".into(), id: Uuid::from_u128(7), partitions: members };
    let config = GroupConfig { consumer_assignment_interval_ms: 0, ..GroupConfig::default() };
    let group = ConsumerGroup::new("group".into());
    let mut shard = Shard { group, presence: Presence::default(), config, topics: OneTopic(info) };
    shard.presence.start(&shard.group, Settings::of("group", &shard.config), 0);
    for member in 0..members {
        shard.beat(&format!("member-{member:05}"), 0, true);
    }
    let step = shard.turn(|group, presence, turn| {
        let _ = tick(group, presence, turn);
    });
    for job in step.jobs {
        let result = job.run();
        shard.turn(|group, presence, turn| assigned(group, presence, turn, result));
    }
    let epoch = shard.group.epoch();
    // Once to settle in, then for the count.
    for _ in 0..3 {
        shard.beat("member-00003", epoch, false);
    }
    let before = BYTES.with(Cell::get);
    let step = shard.beat("member-00003", epoch, false);
    let bytes = BYTES.with(Cell::get) - before;
    assert!(step.records.is_empty() && step.jobs.is_empty());
    let [(_, Reply::ConsumerGroupHeartbeat(response))] = step.replies.as_slice() else { panic!("no answer") };
    assert_eq!((response.error_code.0, response.member_epoch, &response.assignment), (0, epoch, &None));
    bytes
}

#[test]
fn a_quiet_heartbeat_costs_the_same_in_any_group() {
    let (small, large) = (bytes_of_a_heartbeat(8), bytes_of_a_heartbeat(2_000));
    println!("{small} bytes in a group of 8, {large} in one of 2,000");
    assert_eq!(small, large);
    assert!(large < 2_048, "{large}");
}
