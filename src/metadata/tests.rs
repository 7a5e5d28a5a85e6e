use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rustix::io::Errno;
use stratalog_types::{LeaderEpoch, PartitionIndex};

use super::*;
use crate::platform::disk::{Disk, DiskObserver, DiskOp, FileId};

fn open(dir: &tempfile::TempDir) -> Metadata {
    open_on(&dir.path().join("metadata.redb"), &Disk::default()).unwrap()
}

fn open_on(path: &Path, disk: &Disk) -> Result<Metadata, Error> {
    Metadata::open(path, disk, Broker { id: 1, rack: None })
}

fn new(name: &str, partitions: usize) -> NewTopic {
    let configs = BTreeMap::from([("retention.ms".to_owned(), "5".to_owned())]);
    NewTopic { name: name.to_owned(), assignment: vec![vec![1]; partitions], configs, created_at_ms: 7 }
}

/// Whatever rots, the store says so or what it says is right.
#[test]
fn a_flipped_bit_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metadata.redb");
    let (before, after) = {
        let metadata = open(&dir);
        for topic in 0..40 {
            metadata.create_topic(new(&format!("topic-{topic}"), 3)).unwrap();
        }
        let before = names(&metadata);
        metadata.create_topic(new("the-last", 1)).unwrap();
        (before, names(&metadata))
    };
    let bytes = std::fs::read(&path).unwrap();
    let (mut refused, mut right) = (0, 0);
    for at in (0..320).step_by(7).chain((320..bytes.len()).step_by(1999)) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        std::fs::write(&path, &damaged).unwrap();
        match open_on(&path, &Disk::default()) {
            Err(error) => {
                assert!(error.to_string().contains("metadata"), "{error}");
                refused += 1;
            }
            Ok(metadata) => {
                let found = names(&metadata);
                assert!(found == after || found == before, "byte {at}: {} topics", found.len());
                right += 1;
            }
        }
    }
    assert!(refused > 0 && right > 0, "{refused} refused, {right} right");
}

fn names(metadata: &Metadata) -> Vec<(String, usize)> {
    let image = metadata.image();
    let mut topics: Vec<_> = image.topics().map(|topic| (topic.name.to_string(), topic.partitions.len())).collect();
    topics.sort();
    topics
}

#[test]
fn changes_survive_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let metadata = open(&dir);
    let kept = metadata.create_topic(new("kept", 2)).unwrap();
    let gone = metadata.create_topic(new("gone", 3)).unwrap();
    metadata.add_partitions(kept.id, 2, vec![vec![1]]).unwrap();
    metadata.raise_leader_epochs(&BTreeMap::from([(kept.id, vec![PartitionIndex(1)])])).unwrap();
    metadata.delete_topic(gone.id).unwrap();
    let block = metadata.next_producer_id_block().unwrap();
    metadata.set_node_configs(7, BTreeMap::from([("c".into(), "d".into())])).unwrap();
    metadata.set_broker_configs(BTreeMap::from([("a".into(), "b".into())])).unwrap();
    metadata.set_tier_owner_epoch(4).unwrap();
    let revision = metadata.image().revision;
    drop(metadata);

    let metadata = open(&dir);
    let image = metadata.image();
    assert_eq!(image.revision, revision);
    let topic = image.topic("kept").unwrap();
    assert_eq!((topic.id, topic.partitions.len(), topic.created_at_ms), (kept.id, 3, 7));
    let epochs: Vec<_> = topic.partitions.iter().map(|p| p.leader_epoch).collect();
    assert_eq!(epochs, [LeaderEpoch(0), LeaderEpoch(1), LeaderEpoch(0)]);
    assert_eq!(topic.configs["retention.ms"], "5");
    assert!(image.topic("gone").is_none() && image.topic_by_id(gone.id).is_none());
    assert_eq!(image.deleting[&gone.id], ("gone".into(), 3, false));
    assert_eq!(image.broker_configs["a"], "b");
    assert_eq!(image.node_configs[&7]["c"], "d");
    assert_eq!(image.tier_owner_epoch, Some(4));
    assert_eq!(metadata.next_producer_id_block().unwrap().first, block.end);
    metadata.finish_deletion(gone.id).unwrap();
    drop((metadata, image));
    assert!(open(&dir).image().deleting.is_empty());
}

#[test]
fn names_that_collide_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let metadata = open(&dir);
    let topic = metadata.create_topic(new("a.b", 1)).unwrap();
    assert!(matches!(metadata.create_topic(new("a.b", 1)), Err(Error::TopicExists(_))));
    assert!(matches!(metadata.create_topic(new("a_b", 1)), Err(Error::TopicCollides(_, other)) if other == "a.b"));
    metadata.delete_topic(topic.id).unwrap();
    metadata.create_topic(new("a_b", 1)).unwrap();
}

#[test]
fn illegal_names_are_told_apart() {
    use topic_name::{Illegal, validate};
    assert_eq!(validate(""), Err(Illegal::Empty));
    assert!(matches!(validate(".."), Err(Illegal::Dots(_))));
    assert!(matches!(validate(&"x".repeat(250)), Err(Illegal::TooLong(_))));
    assert!(matches!(validate("a/b"), Err(Illegal::Character(_))));
    assert!(matches!(validate("ä"), Err(Illegal::Character(_))));
    assert_eq!(validate(&"x".repeat(249)), Ok(()));
    assert_eq!(validate("a.b_c-D9"), Ok(()));
}

/// Refuses for a while from one operation on.
struct Refusing {
    /// Operations until then; below zero, those since.
    left: AtomicI64,
    /// So many are refused.
    refused: i64,
    error: Errno,
    of: fn(&DiskOp<'_>) -> bool,
}

impl Refusing {
    fn of(error: Errno, of: fn(&DiskOp<'_>) -> bool, refused: i64) -> Arc<Refusing> {
        Arc::new(Refusing { left: AtomicI64::new(i64::MAX), refused, error, of })
    }
}

impl DiskObserver for Refusing {
    fn file_id(&self, _: &Path) -> FileId {
        FileId::default()
    }

    fn before(&self, operation: DiskOp<'_>) -> io::Result<()> {
        if !(self.of)(&operation) {
            return Ok(());
        }
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        if left <= 0 && left > -self.refused { Err(self.error.into()) } else { Ok(()) }
    }
}

fn writes(operation: &DiskOp<'_>) -> bool {
    matches!(operation, DiskOp::Write { .. } | DiskOp::Truncate { .. })
}

fn syncs(operation: &DiskOp<'_>) -> bool {
    matches!(operation, DiskOp::Sync(_))
}

/// At whatever write the disk is full, for one write or for many: the change is refused and is not there, or it is; the
/// next one is taken without a restart.
#[test]
fn a_full_disk_refuses_a_change_and_takes_the_next() {
    let (mut refusals, mut made) = (0, 0);
    for refused in [1, 3, 1000] {
        for at in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("metadata.redb");
            let disk = Refusing::of(Errno::NOSPC, writes, refused);
            let metadata = open_on(&path, &Disk::observed(disk.clone())).unwrap();
            let kept = metadata.create_topic(new("kept", 2)).unwrap();
            disk.left.store(at, Ordering::SeqCst);
            // Long enough to need room that the file does not have.
            let large = NewTopic { configs: BTreeMap::from([("a".into(), "b".repeat(4 << 20))]), ..new("large", 1) };
            let first = metadata.create_topic(large);
            let never_refused = disk.left.load(Ordering::SeqCst) > 0;
            match &first {
                Ok(_) => made += 1,
                Err(error) => {
                    assert!(error.to_string().contains("is full"), "write {at}: {error}");
                    assert!(metadata.image().topic("large").is_none());
                    refusals += 1;
                }
            }
            disk.left.store(i64::MAX, Ordering::SeqCst);
            metadata.delete_topic(kept.id).unwrap();
            metadata.create_topic(new("after", 1)).unwrap();
            let (shown, revision) = (names(&metadata), metadata.image().revision);
            drop(metadata);
            let again = open(&dir);
            assert_eq!((names(&again), again.image().revision), (shown, revision), "{refused} from write {at} on");
            if never_refused {
                break;
            }
        }
    }
    assert!(refusals > 10 && made >= 3, "{refusals} refused, {made} made");
}

/// What a sync that failed left on the disk is not known while this process runs.
#[test]
fn after_a_failed_sync_nothing_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metadata.redb");
    let disk = Refusing::of(Errno::IO, syncs, 1);
    let metadata = open_on(&path, &Disk::observed(disk.clone())).unwrap();
    metadata.create_topic(new("kept", 1)).unwrap();
    disk.left.store(0, Ordering::SeqCst);
    for name in ["first", "second"] {
        let error = metadata.create_topic(new(name, 1)).unwrap_err().to_string();
        assert!(error.contains("sync") && error.contains("start again"), "{error}");
    }
    assert_eq!(names(&metadata), [("kept".to_owned(), 1)]);
    drop(metadata);
    open(&dir).create_topic(new("third", 1)).unwrap();
}

/// Refuses one write, and from then on so many operations of another kind.
struct Twice {
    writes_left: AtomicI64,
    then: fn(&DiskOp<'_>) -> bool,
    then_left: AtomicI64,
}

impl DiskObserver for Twice {
    fn file_id(&self, _: &Path) -> FileId {
        FileId::default()
    }

    fn before(&self, operation: DiskOp<'_>) -> io::Result<()> {
        if self.writes_left.load(Ordering::SeqCst) < 0 {
            let refuses = (self.then)(&operation) && self.then_left.fetch_sub(1, Ordering::SeqCst) > 0;
            return if refuses { Err(Errno::IO.into()) } else { Ok(()) };
        }
        if writes(&operation) && self.writes_left.fetch_sub(1, Ordering::SeqCst) == 0 {
            return Err(Errno::NOSPC.into());
        }
        Ok(())
    }
}

/// A write fails, and then what finds out what that left: who was answered last knows what is in the store, or nothing is
/// answered any more.
#[test]
fn a_second_fault_leaves_nobody_in_the_dark() {
    let opens = |operation: &DiskOp<'_>| matches!(operation, DiskOp::OpenToWrite(_));
    let kinds: [fn(&DiskOp<'_>) -> bool; 3] = [writes, syncs, opens];
    let (mut ended, mut went_on) = (0, 0);
    for (kind, then) in kinds.into_iter().enumerate() {
        for (shrinks, times) in [(false, 3), (true, 1)] {
            for at in 0.. {
                let what = format!("kind {kind}, {times} times, shrinks: {shrinks}, write {at}");
                let dir = tempfile::tempdir().unwrap();
                let left = |number| AtomicI64::new(number);
                let disk = Arc::new(Twice { writes_left: left(i64::MAX), then, then_left: left(times) });
                let metadata = open_on(&dir.path().join("metadata.redb"), &Disk::observed(disk.clone())).unwrap();
                let large =
                    NewTopic { configs: BTreeMap::from([("a".into(), "b".repeat(1 << 20))]), ..new("large", 1) };
                let there = shrinks.then(|| metadata.create_topic(large.clone()).unwrap());
                disk.writes_left.store(at, Ordering::SeqCst);
                let first = match &there {
                    Some(there) => metadata.delete_topic(there.id).map(drop),
                    None => metadata.create_topic(large).map(drop),
                };
                let after: Vec<bool> =
                    (0..4).map(|number| metadata.create_topic(new(&format!("after-{number}"), 1)).is_ok()).collect();
                let met = disk.writes_left.load(Ordering::SeqCst) < 0;
                let shown = names(&metadata);
                drop(metadata);
                let found = names(&open(&dir));
                let made = |(name, _): &&(String, usize)| name != "large";
                assert!(
                    shown.iter().filter(made).all(|topic| found.contains(topic)),
                    "{what}: {shown:?}, not {found:?}"
                );
                if after.last() == Some(&true) {
                    assert_eq!(found, shown, "{what}: {first:?}, {after:?}");
                }
                match after.last() {
                    Some(true) => went_on += 1,
                    _ => ended += 1,
                }
                if !met {
                    break;
                }
            }
        }
    }
    assert!(ended > 10 && went_on > 10, "{ended} ended, {went_on} went on");
}

/// A disk without any room: the store opens, and what fits into its file is taken.
#[test]
fn a_full_disk_takes_what_fits_into_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metadata.redb");
    let topic = open(&dir).create_topic(new("kept", 1)).unwrap();
    let grows = |operation: &DiskOp<'_>| matches!(operation, DiskOp::Truncate { .. } | DiskOp::Create(_));
    let disk = Refusing::of(Errno::NOSPC, grows, i64::MAX);
    disk.left.store(0, Ordering::SeqCst);
    let metadata = open_on(&path, &Disk::observed(disk)).unwrap();
    for retention in 0..100 {
        let configs = BTreeMap::from([("retention.ms".to_owned(), retention.to_string())]);
        metadata.set_topic_configs(topic.id, configs).unwrap();
    }
    metadata.delete_topic(topic.id).unwrap();
    assert!(room(&path) >= path.metadata().unwrap().len());
}

/// The bytes of the blocks that a file has.
fn room(path: &Path) -> u64 {
    path.metadata().unwrap().blocks() * 512
}

#[test]
fn a_file_that_shrinks_keeps_its_room() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metadata.redb");
    let metadata = open(&dir);
    let large = NewTopic { configs: BTreeMap::from([("a".into(), "b".repeat(8 << 20))]), ..new("large", 1) };
    let large = metadata.create_topic(large).unwrap();
    let longest = path.metadata().unwrap().len();
    metadata.delete_topic(large.id).unwrap();
    for number in 0..20 {
        metadata.create_topic(new(&format!("topic-{number}"), 1)).unwrap();
    }
    let length = path.metadata().unwrap().len();
    assert!(length < longest, "{length} of {longest} bytes: it did not shrink");
    assert!(room(&path) >= longest + (1 << 20), "{} bytes of blocks, it had {longest}", room(&path));
}
