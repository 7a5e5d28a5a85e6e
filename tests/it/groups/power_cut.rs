//! Power cuts in the middle of commits and of rebalances: after each, on what the disk has then, every acknowledged
//! commit is there, nothing is there that was never sent, no generation comes twice, and members join again.

use std::path::Path;
use std::sync::{Arc, Mutex};

use stratalog::platform::disk::Disk;
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity};

use super::faults::{commit_as, connect, start};
use super::members::{heartbeat, join, join_of, sync_of};
use super::offsets::{commit, commit_of, fetch};
use super::restarts::fetched;
use super::wire::Wire;
use crate::log::crash_disk::{CrashDisk, Dice, Unsynced};

const REBALANCES: usize = 12;
const COMMITTERS: usize = 3;
const CUTS: usize = 20;

/// What a client did or was told, and how many operations the disk had seen then.
#[derive(Debug, Clone, Copy)]
enum Event {
    Sent {
        group: usize,
        offset: i64,
    },
    Acknowledged {
        group: usize,
        offset: i64,
    },
    /// The generation's assignment was handed out.
    Synced {
        generation: i32,
    },
}

#[derive(Clone)]
struct History {
    disk: Arc<CrashDisk>,
    events: Arc<Mutex<Vec<(usize, Event)>>>,
}

impl History {
    fn note(&self, event: Event) {
        let operations = self.disk.operations();
        self.events.lock().unwrap().push((operations, event));
    }

    fn found(&self, pick: impl Fn(usize, Event) -> Option<i64>) -> i64 {
        self.events.lock().unwrap().iter().filter_map(|(at, event)| pick(*at, *event)).max().unwrap_or(-1)
    }

    /// What the group must have at least after a cut behind `operations`, and what it may have at most.
    fn bounds(&self, group: usize, operations: usize) -> (i64, i64) {
        let least = self.found(|at, event| match event {
            Event::Acknowledged { group: of, offset } if of == group && at <= operations => Some(offset),
            _ => None,
        });
        let most = self.found(|at, event| match event {
            Event::Sent { group: of, offset } if of == group && at < operations => Some(offset),
            _ => None,
        });
        (least, most)
    }

    fn generation(&self, operations: usize) -> i64 {
        self.found(|at, event| match event {
            Event::Synced { generation } if at <= operations => Some(i64::from(generation)),
            _ => None,
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_take_no_acknowledged_commit() {
    let seed = rand_seed();
    println!("seed {seed}");
    let dir = tempfile::tempdir().unwrap();
    let history = History { disk: Arc::default(), events: Arc::default() };
    let running = start(dir.path(), Disk::observed(history.disk.clone())).await;
    let mut wire = connect(&running).await;
    let (topic, _) = wire.topic("t", 1).await;
    let mut groups = Vec::new();
    for number in 0..=COMMITTERS {
        groups.push(wire.group(&format!("g{number}")).await);
    }
    let begun = history.disk.operations();
    // Group 0 has members; the others only commit.
    let (stop, _) = tokio::sync::watch::channel(false);
    let mut committers = Vec::new();
    for (number, group) in groups.iter().enumerate().skip(1) {
        let (mut wire, group, topic) = (wire.another().await, group.clone(), topic.clone());
        let (history, stopped) = (history.clone(), stop.subscribe());
        committers.push(tokio::spawn(async move {
            for offset in 0.. {
                if *stopped.borrow() {
                    break;
                }
                history.note(Event::Sent { group: number, offset });
                assert_eq!(
                    commit(&mut wire, &commit_of(&group, &topic, &[(0, offset)]), 9).await,
                    [(0, ErrorCode::NONE)]
                );
                history.note(Event::Acknowledged { group: number, offset });
            }
        }));
    }
    let members = rebalance(&mut wire, &groups[0], &topic, &history).await;
    stop.send_replace(true);
    for committer in committers {
        committer.await.unwrap();
    }
    let ended = history.disk.operations();
    drop(wire);
    running.stop().await.unwrap();

    // Half of the cuts come right behind an acknowledgement.
    let told: Vec<usize> = {
        let events = history.events.lock().unwrap();
        let told = events.iter().filter(|(_, event)| !matches!(event, Event::Sent { .. }));
        told.map(|(at, _)| *at).collect()
    };
    let mut dice = Dice(seed | 1);
    for cut in 0..CUTS {
        let operations = match cut % 2 {
            0 => told[dice.below(told.len() as u64) as usize],
            _ => begun + dice.below((ended - begun) as u64) as usize,
        };
        let unsynced = if cut % 4 < 2 { Unsynced::Lost } else { Unsynced::Torn(seed ^ cut as u64) };
        let what =
            format!("cut {cut} behind operation {operations}, {unsynced:?}: {}", history.disk.describe(operations));
        let image = tempfile::tempdir().unwrap();
        history.disk.build_image(dir.path(), operations, unsynced, image.path());
        // The metadata is a file of its own, and does not change while groups do.
        let metadata = "stratalog-metadata.redb";
        std::fs::copy(dir.path().join(metadata), image.path().join(metadata)).unwrap();
        check(image.path(), &groups, &topic, &members, &history, operations, &what).await;
    }
}

/// A member stays; others come and go, and it commits in every generation. Answers every member id.
async fn rebalance(wire: &mut Wire, group: &str, topic: &str, history: &History) -> Vec<String> {
    let mut staying = join(wire, group, topic).await;
    let mut ids = vec![staying.member_id.clone()];
    let mut offset = 0;
    for _ in 0..REBALANCES {
        let all: [(&str, &[u8]); 1] = [(&staying.member_id, b"all")];
        assert_eq!(wire.ask(&sync_of(group, &staying, &all), 5).await.error_code, ErrorCode::NONE);
        history.note(Event::Synced { generation: staying.generation_id });
        commit_next(wire, &staying, group, topic, &mut offset, history).await;
        // One comes,
        let mut other = wire.another().await;
        let coming = other.ask(&join_of(group, "", topic), 9).await;
        ids.push(coming.member_id.clone());
        let join_other = join_of(group, &coming.member_id, topic);
        let joining = tokio::spawn(async move {
            let joined = other.ask(&join_other, 9).await;
            (other, joined)
        });
        until_rebalance(wire, group, &staying).await;
        staying = wire.ask(&join_of(group, &staying.member_id, topic), 9).await;
        assert_eq!(staying.error_code, ErrorCode::NONE);
        let (mut other, joined) = joining.await.unwrap();
        let parts: [(&str, &[u8]); 2] = [(&staying.member_id, b"first"), (&joined.member_id, b"second")];
        let (of_one, of_other) = (sync_of(group, &staying, &parts), sync_of(group, &joined, &[]));
        let (one, two) = tokio::join!(wire.ask(&of_one, 5), other.ask(&of_other, 5));
        assert_eq!((one.error_code, two.error_code), (ErrorCode::NONE, ErrorCode::NONE));
        history.note(Event::Synced { generation: staying.generation_id });
        commit_next(wire, &staying, group, topic, &mut offset, history).await;
        // and goes.
        leave(&mut other, group, std::slice::from_ref(&joined.member_id)).await;
        until_rebalance(wire, group, &staying).await;
        staying = wire.ask(&join_of(group, &staying.member_id, topic), 9).await;
        assert_eq!(staying.error_code, ErrorCode::NONE);
    }
    ids
}

type Joined = stratalog_protocol::messages::join_group::JoinGroupResponse;

async fn commit_next(wire: &mut Wire, member: &Joined, group: &str, topic: &str, next: &mut i64, history: &History) {
    let offset = *next;
    *next += 1;
    history.note(Event::Sent { group: 0, offset });
    assert_eq!(commit(wire, &commit_as(member, group, topic, offset), 9).await, [(0, ErrorCode::NONE)]);
    history.note(Event::Acknowledged { group: 0, offset });
}

async fn until_rebalance(wire: &mut Wire, group: &str, member: &Joined) {
    while heartbeat(wire, group, &member.member_id, member.generation_id).await != ErrorCode::REBALANCE_IN_PROGRESS {
        tokio::task::yield_now().await;
    }
}

async fn leave(wire: &mut Wire, group: &str, ids: &[String]) {
    let leaving = |id: &String| MemberIdentity { member_id: id.clone(), ..MemberIdentity::default() };
    let members = ids.iter().map(leaving).collect();
    let request = LeaveGroupRequest { group_id: group.to_owned(), members, ..LeaveGroupRequest::default() };
    assert_eq!(wire.ask(&request, 5).await.error_code, ErrorCode::NONE);
}

/// Starts a broker on what a cut left.
async fn check(
    image: &Path,
    groups: &[String],
    topic: &str,
    members: &[String],
    history: &History,
    operations: usize,
    what: &str,
) {
    let running = start(image, Disk::default()).await;
    let mut wire = connect(&running).await;
    for (number, group) in groups.iter().enumerate() {
        let found = fetched(&mut wire, group, topic).await;
        let (least, most) = history.bounds(number, operations);
        assert!((least..=most).contains(&found), "group {number} is at {found}, not in {least}..={most}; {what}");
    }
    // Those who came and went are gone for good; the one that stayed joins again, with the id that it has, or anew.
    let group = &groups[0];
    let (staying, others) = members.split_first().unwrap();
    leave(&mut wire, group, others).await;
    let mut joined = wire.ask(&join_of(group, staying, topic), 9).await;
    if joined.error_code == ErrorCode::UNKNOWN_MEMBER_ID {
        joined = join(&mut wire, group, topic).await;
    }
    assert_eq!(joined.error_code, ErrorCode::NONE, "{what}");
    let told = history.generation(operations);
    assert!(i64::from(joined.generation_id) > told, "generation {} after {told}; {what}", joined.generation_id);
    let all: [(&str, &[u8]); 1] = [(&joined.member_id, b"all")];
    assert_eq!(wire.ask(&sync_of(group, &joined, &all), 5).await.error_code, ErrorCode::NONE, "{what}");
    assert_eq!(commit(&mut wire, &commit_as(&joined, group, topic, 1 << 40), 9).await, [(0, ErrorCode::NONE)]);
    assert_eq!(fetch(&mut wire, group, topic, &[0]).await[0].0, 1 << 40, "{what}");
    drop(wire);
    running.stop().await.unwrap();
}

fn rand_seed() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}
