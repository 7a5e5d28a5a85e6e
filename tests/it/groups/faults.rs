//! A disk that is full or fails under the coordinator: what members and committers are told, and how they go on.
//!
//! Kafka answers NOT_COORDINATOR where a log directory has failed. A full disk fails Kafka's directory too; ours waits
//! for room, so the answer is COORDINATOR_NOT_AVAILABLE: ask again, here.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stratalog::broker::{self, Running};
use stratalog::clock::Clock;
use stratalog::config::{self, Sources};
use stratalog::platform::disk::{Disk, DiskObserver, DiskOp, FileId};
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::join_group::JoinGroupResponse;
use stratalog_protocol::messages::offset_commit::OffsetCommitRequest;
use stratalog_protocol::messages::{ConsumerGroupHeartbeatRequest, HeartbeatRequest};
use stratalog_types::TopicId;

use super::members::{heartbeat, join, join_of, sync_of};
use super::offsets::{commit, commit_of, fetch};
use super::restarts::fetched;
use super::wire::Wire;

/// A broker on `disk`, whose groups are all in one shard.
pub async fn start(data: &Path, disk: Disk) -> Running {
    let settings = [
        ("listeners", "PLAINTEXT://127.0.0.1:0"),
        ("log.dirs", data.to_str().unwrap()),
        ("stratalog.admin.listener", ""),
        ("stratalog.tier.default.enable", "false"),
        ("offsets.topic.num.partitions", "1"),
        ("group.initial.rebalance.delay.ms", "0"),
    ];
    let flags = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let loaded = config::load(&Sources { flags, ..Sources::default() }).unwrap();
    broker::start_with(loaded.config, Clock::System, disk).await.unwrap()
}

pub async fn connect(running: &Running) -> Wire {
    Wire::connect(i32::from(running.address().port())).await
}

const METADATA: FileId = FileId(1);
const OTHER: FileId = FileId(0);

#[derive(Default)]
struct FaultyDisk {
    no_space: AtomicBool,
    /// For changes of the metadata, from the first log that is opened on.
    no_space_for_epochs: AtomicBool,
    has_opened_logs: AtomicBool,
    syncs_fail: AtomicBool,
}

impl DiskObserver for FaultyDisk {
    fn file_id(&self, path: &Path) -> FileId {
        // What the metadata need lies in blocks that they have.
        if path.extension().is_some_and(|suffix| suffix == "redb") { METADATA } else { OTHER }
    }

    fn before(&self, operation: DiskOp<'_>) -> io::Result<()> {
        if matches!(operation, DiskOp::OpenToWrite(path) if path.extension().is_some_and(|suffix| suffix == "log")) {
            self.has_opened_logs.store(true, Ordering::SeqCst);
        }
        let no_epochs = self.no_space_for_epochs.load(Ordering::SeqCst) && self.has_opened_logs.load(Ordering::SeqCst);
        match operation {
            DiskOp::Write { file: METADATA, .. } if no_epochs => Err(io::ErrorKind::StorageFull.into()),
            DiskOp::Sync(_) if self.syncs_fail.load(Ordering::SeqCst) => Err(io::Error::other("input/output error")),
            DiskOp::Write { file: OTHER, .. } | DiskOp::Create(_) if self.no_space.load(Ordering::SeqCst) => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }
}

pub fn commit_as(member: &JoinGroupResponse, group: &str, topic: &str, offset: i64) -> OffsetCommitRequest {
    let mut request = commit_of(group, topic, &[(0, offset)]);
    (request.member_id, request.generation_id_or_member_epoch) = (member.member_id.clone(), member.generation_id);
    request
}

/// A group of two, each on a connection of its own; the first leads.
struct Pair {
    topic: String,
    group: String,
    one: (Wire, JoinGroupResponse),
    two: (Wire, JoinGroupResponse),
}

impl Pair {
    async fn form(wire: &mut Wire) -> Pair {
        let (topic, _) = wire.topic("t", 2).await;
        let group = wire.group("g").await;
        let (mut one, mut two) = (wire.another().await, wire.another().await);
        let first = join(&mut one, &group, &topic).await;
        let all: [(&str, &[u8]); 1] = [(&first.member_id, b"all")];
        assert_eq!(one.ask(&sync_of(&group, &first, &all), 5).await.error_code, ErrorCode::NONE);
        let required = two.ask(&join_of(&group, "", &topic), 9).await;
        let mut pair = Pair { topic, group, one: (one, first), two: (two, required) };
        pair.rejoin().await;
        assert_eq!(pair.sync().await, [ErrorCode::NONE; 2]);
        pair
    }

    /// Both join with the ids that they have, and are in one generation.
    async fn rejoin(&mut self) {
        let join_one = join_of(&self.group, &self.one.1.member_id, &self.topic);
        let join_two = join_of(&self.group, &self.two.1.member_id, &self.topic);
        // The leader's join begins the rebalance; the other may come while it is not heard of yet.
        let (one, two) = tokio::join!(self.one.0.ask(&join_one, 9), async {
            let mut joined = self.two.0.ask(&join_two, 9).await;
            while joined.generation_id <= self.two.1.generation_id {
                joined = self.two.0.ask(&join_two, 9).await;
            }
            joined
        });
        assert_eq!((one.error_code, two.error_code), (ErrorCode::NONE, ErrorCode::NONE));
        assert_eq!(one.generation_id, two.generation_id);
        (self.one.1, self.two.1) = (one, two);
    }

    async fn sync(&mut self) -> [ErrorCode; 2] {
        let parts: [(&str, &[u8]); 2] = [(&self.one.1.member_id, b"first"), (&self.two.1.member_id, b"second")];
        let (of_one, of_two) = match self.one.1.leader == self.one.1.member_id {
            true => (sync_of(&self.group, &self.one.1, &parts), sync_of(&self.group, &self.two.1, &[])),
            false => (sync_of(&self.group, &self.one.1, &[]), sync_of(&self.group, &self.two.1, &parts)),
        };
        let (one, two) = tokio::join!(self.one.0.ask(&of_one, 5), self.two.0.ask(&of_two, 5));
        [one.error_code, two.error_code]
    }

    /// The leader's assignment is not stored: one who waits for it hears why, one who comes later joins again.
    async fn sync_refused(&mut self, refused: ErrorCode) {
        let codes = self.sync().await;
        assert!(codes.contains(&refused), "{codes:?}");
        assert!(codes.iter().all(|code| [refused, ErrorCode::REBALANCE_IN_PROGRESS].contains(code)), "{codes:?}");
    }

    async fn commit(&mut self, offset: i64) -> ErrorCode {
        let request = commit_as(&self.one.1, &self.group, &self.topic, offset);
        commit(&mut self.one.0, &request, 9).await[0].1
    }

    async fn heartbeats(&mut self) -> [ErrorCode; 2] {
        let one = heartbeat(&mut self.one.0, &self.group, &self.one.1.member_id, self.one.1.generation_id).await;
        [one, heartbeat(&mut self.two.0, &self.group, &self.two.1.member_id, self.two.1.generation_id).await]
    }
}

fn consumer(group: &str, topic: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: group.to_owned(),
        member_id: "m".to_owned(),
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(vec![topic.to_owned()]),
        topic_partitions: Some(Vec::new()),
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

#[tokio::test]
async fn a_full_disk_refuses_until_it_has_room() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let running = start(dir.path(), Disk::observed(disk.clone())).await;
    let mut wire = connect(&running).await;
    let mut pair = Pair::form(&mut wire).await;
    let (topic, new, alone) = (pair.topic.clone(), wire.group("new").await, wire.group("alone").await);
    assert_eq!(pair.commit(5).await, ErrorCode::NONE);
    assert_eq!(commit(&mut wire, &commit_of(&alone, &topic, &[(0, 7)]), 9).await, [(0, ErrorCode::NONE)]);

    disk.no_space.store(true, Ordering::SeqCst);
    let refused = ErrorCode::COORDINATOR_NOT_AVAILABLE;
    for _ in 0..2 {
        assert_eq!(pair.commit(6).await, refused);
        assert_eq!(commit(&mut wire, &commit_of(&alone, &topic, &[(0, 8)]), 9).await, [(0, refused)]);
    }
    assert_eq!(wire.ask(&join_of(&new, "", &topic), 9).await.error_code, refused);
    let consumers = wire.name("consumers");
    assert_eq!(wire.ask(&consumer(&consumers, &topic), 1).await.error_code, refused);
    // What is there is read, and members stay alive: nothing of it needs room.
    assert_eq!(fetch(&mut wire, &pair.group, &topic, &[0]).await[0].0, 5);
    assert_eq!(fetch(&mut wire, &alone, &topic, &[0]).await[0].0, 7);
    assert_eq!(pair.heartbeats().await, [ErrorCode::NONE; 2]);
    // A rebalance in the middle of it: both hear that their assignment is not stored, and are to join again.
    pair.rejoin().await;
    pair.sync_refused(refused).await;
    assert_eq!(pair.heartbeats().await, [ErrorCode::REBALANCE_IN_PROGRESS; 2]);
    let generation = pair.one.1.generation_id;

    disk.no_space.store(false, Ordering::SeqCst);
    pair.rejoin().await;
    assert!(pair.one.1.generation_id > generation);
    assert_eq!(pair.sync().await, [ErrorCode::NONE; 2]);
    assert_eq!(pair.heartbeats().await, [ErrorCode::NONE; 2]);
    assert_eq!(fetch(&mut wire, &pair.group, &topic, &[0]).await[0].0, 5);
    assert_eq!(pair.commit(9).await, ErrorCode::NONE);
    assert_eq!(commit(&mut wire, &commit_of(&alone, &topic, &[(0, 10)]), 9).await, [(0, ErrorCode::NONE)]);
    assert_eq!(join(&mut wire, &new, &topic).await.error_code, ErrorCode::NONE);
    assert_eq!(wire.ask(&consumer(&consumers, &topic), 1).await.error_code, ErrorCode::NONE);
    let (group, generation) = (pair.group.clone(), pair.one.1.generation_id);
    drop((pair, wire));
    running.stop().await.unwrap();

    // The log has no trace of what was refused.
    let running = start(dir.path(), Disk::default()).await;
    let mut wire = connect(&running).await;
    assert_eq!(fetched(&mut wire, &group, &topic).await, 9);
    assert_eq!(fetched(&mut wire, &alone, &topic).await, 10);
    assert_eq!(heartbeat(&mut wire, &group, "stranger", generation).await, ErrorCode::UNKNOWN_MEMBER_ID);
    drop(wire);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_failed_sync_acknowledges_nothing_and_members_rejoin_after_the_restart() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let running = start(dir.path(), Disk::observed(disk.clone())).await;
    let mut wire = connect(&running).await;
    let mut pair = Pair::form(&mut wire).await;
    let (group, topic, alone) = (pair.group.clone(), pair.topic.clone(), wire.group("alone").await);
    assert_eq!(pair.commit(5).await, ErrorCode::NONE);
    assert_eq!(commit(&mut wire, &commit_of(&alone, &topic, &[(0, 7)]), 9).await, [(0, ErrorCode::NONE)]);

    disk.syncs_fail.store(true, Ordering::SeqCst);
    let refused = ErrorCode::NOT_COORDINATOR;
    // Both are in the log when their sync fails, or the second finds the directory offline.
    let alone_commit = commit_of(&alone, &topic, &[(0, 8)]);
    let (of_pair, of_alone) = tokio::join!(pair.commit(6), commit(&mut wire, &alone_commit, 9));
    assert_eq!((of_pair, of_alone), (refused, vec![(0, refused)]));
    disk.syncs_fail.store(false, Ordering::SeqCst);
    // A sync that failed is not tried again, and nothing else is accepted.
    assert_eq!(pair.commit(60).await, refused);
    assert_eq!(commit(&mut wire, &commit_of(&alone, &topic, &[(0, 80)]), 9).await, [(0, refused)]);
    // Nor does anybody take this broker for the one that keeps the group.
    assert_eq!(pair.heartbeats().await, [refused; 2]);
    assert_eq!(wire.ask(&join_of(&group, "", &topic), 9).await.error_code, refused);
    assert_eq!(wire.ask(&consumer(&wire.name("consumers"), &topic), 1).await.error_code, refused);
    let seen = pair.one.1.generation_id;
    let ids = (pair.one.1.member_id.clone(), pair.two.1.member_id.clone());
    drop((pair, wire));
    assert!(running.stop().await.is_err(), "a directory that is offline does not close cleanly");

    let running = start(dir.path(), Disk::default()).await;
    let mut wire = connect(&running).await;
    let found = fetched(&mut wire, &group, &topic).await;
    assert!((5..=6).contains(&found), "{found}");
    let found = fetched(&mut wire, &alone, &topic).await;
    assert!((7..=8).contains(&found), "{found}");
    let member = |member_id: String| JoinGroupResponse { member_id, generation_id: seen, ..Default::default() };
    let mut pair = Pair {
        one: (wire.another().await, member(ids.0)),
        two: (wire.another().await, member(ids.1)),
        group: group.clone(),
        topic: topic.clone(),
    };
    pair.rejoin().await;
    assert_eq!(pair.sync().await, [ErrorCode::NONE; 2]);
    assert_eq!(pair.commit(9).await, ErrorCode::NONE);
    assert_eq!(fetch(&mut wire, &group, &topic, &[0]).await[0].0, 9);
    drop((pair, wire));
    running.stop().await.unwrap();
}

/// What cannot be recovered without room is offline, and is served once there is some: its groups, too.
#[tokio::test]
async fn a_start_on_a_full_disk_serves_when_it_has_room() {
    let disk = FaultyDisk::default();
    disk.no_space.store(true, Ordering::SeqCst);
    start_without_room(disk).await;
}

/// The metadata's disk is another one.
#[tokio::test]
async fn a_start_without_room_for_epochs_serves_when_it_has_some() {
    let disk = FaultyDisk::default();
    disk.no_space_for_epochs.store(true, Ordering::SeqCst);
    start_without_room(disk).await;
}

async fn start_without_room(disk: FaultyDisk) {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path(), Disk::default()).await;
    let mut wire = connect(&running).await;
    let (topic, id) = wire.topic("t", 1).await;
    let (lost, lost_id) = wire.topic("lost", 1).await;
    let group = wire.group("g").await;
    assert_eq!(commit(&mut wire, &commit_of(&group, &topic, &[(0, 5)]), 9).await, [(0, ErrorCode::NONE)]);
    drop(wire);
    running.stop().await.unwrap();

    // As after a kill, and everything is to be read again; one is to be made again.
    std::fs::remove_dir_all(dir.path().join(format!("{lost}-0"))).unwrap();
    std::fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
    for partition in ["__consumer_offsets-0".to_owned(), format!("{topic}-0")] {
        std::fs::remove_file(dir.path().join(partition).join("00000000000000000000.index")).unwrap();
    }
    let disk = Arc::new(disk);
    let running = start(dir.path(), Disk::observed(disk.clone())).await;
    let mut wire = connect(&running).await;
    let offline = running.node.partitions.offline();
    assert_eq!(offline.len(), 3, "{offline:?}");
    assert!(offline.iter().all(|partition| partition.reason.contains("as soon as the disk has room")), "{offline:?}");
    assert!(running.node.partitions.get(TopicId(id), 0).is_none());
    let request = HeartbeatRequest { group_id: group.clone(), ..HeartbeatRequest::default() };
    assert_eq!(wire.ask(&request, 4).await.error_code, ErrorCode::NOT_COORDINATOR);

    disk.no_space.store(false, Ordering::SeqCst);
    disk.no_space_for_epochs.store(false, Ordering::SeqCst);
    while wire.ask(&request, 4).await.error_code != ErrorCode::UNKNOWN_MEMBER_ID {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(fetched(&mut wire, &group, &topic).await, 5);
    assert_eq!(commit(&mut wire, &commit_of(&group, &topic, &[(0, 6)]), 9).await, [(0, ErrorCode::NONE)]);
    while !running.node.partitions.offline().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for topic in [id, lost_id] {
        assert!(running.node.partitions.get(TopicId(topic), 0).is_some());
    }
    drop(wire);
    running.stop().await.unwrap();
}
