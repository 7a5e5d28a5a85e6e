mod formats;
mod plans;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stratalog_types::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use uuid::Uuid;

use crate::entry::Entry;
use crate::manifest::head::HEAD_BYTES_MAX;
use crate::manifest::session::{Grace, ManifestConfig, PartitionManifest, Retry};
use crate::manifest::*;
use crate::object_key::TierPartition;
use crate::recovery::{Leadership, Started};
use crate::testing::bucket::{Bucket, Connection, Fault};

fn partition() -> TierPartition {
    TierPartition { topic_id: TopicId::from_bytes([7; 16]), partition: PartitionIndex(3) }
}

fn identity() -> Identity {
    Identity { cluster_id: "cluster-one".to_owned(), of: partition(), topic_name: "orders".to_owned() }
}

/// A checkpoint of this value refuses to be written.
const DISK_FULL: i64 = i64::MIN;

struct Node {
    store: Arc<Connection>,
    manifest: PartitionManifest,
    checkpoint: Arc<AtomicI64>,
}

fn ambient() -> Arc<Ambient> {
    let counter = AtomicU64::new(1);
    Arc::new(Ambient {
        monotonic: Box::new(|| Duration::ZERO),
        wall_ms: Box::new(|| 1_700_000_000_000),
        uuid: Box::new(move || Uuid::from_u128(u128::from(counter.fetch_add(1, Ordering::SeqCst)) << 32)),
    })
}

fn node(bucket: &Arc<Bucket>, directory: &std::path::Path, ambient: &Arc<Ambient>) -> Node {
    let store = bucket.connect();
    let checkpoint = Arc::new(AtomicI64::new(0));
    let hook = Arc::clone(&checkpoint);
    let config = ManifestConfig {
        identity: identity(),
        directory: directory.to_owned(),
        grace: Grace::default(),
        retry: Retry { attempts_max: 5, backoff: Duration::ZERO },
        limits: Limits::DEFAULT,
    };
    let manifest = PartitionManifest::open(
        store.clone(),
        config,
        Arc::clone(ambient),
        PageCache::new(1 << 20),
        Arc::new(move |offset: Offset| {
            if hook.load(Ordering::SeqCst) == DISK_FULL {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            hook.store(offset.get(), Ordering::SeqCst);
            Ok(())
        }),
    )
    .unwrap();
    Node { store, manifest, checkpoint }
}

fn leadership(epoch: i32, log_end: i64) -> Leadership {
    Leadership {
        owner_epoch: 1,
        leader_epoch: LeaderEpoch(epoch),
        clean: true,
        log_end_offset: Offset(log_end),
        topic_is_new: true,
    }
}

fn entry(upload: &PendingUpload, end: i64) -> Entry {
    let name = upload.name();
    Entry {
        base_offset: name.base_offset,
        end_offset: Offset(end),
        leader_epoch: name.leader_epoch,
        uuid: name.uuid,
        object_bytes: 500,
        raw_bytes: 1000,
        footer_position: 400,
        footer_bytes: 80,
        footer_crc: 7,
        min_timestamp: name.base_offset.get() * 10,
        max_timestamp: end * 10 - 1,
        committed_at: 0,
        generation: 0,
    }
}

async fn commit(node: &Node, base: i64, end: i64) -> Result<Committed, ManifestError> {
    let upload = node.manifest.begin_upload(Offset(base)).await?;
    node.manifest.commit_segment(&upload, entry(&upload, end), Offset::ZERO).await
}

#[tokio::test]
async fn commits_survive_a_restart_and_are_read_with_the_bucket_away() {
    let (bucket, ambient) = (Arc::new(Bucket::default()), ambient());
    let directory = crate::testing::directory();
    let one = node(&bucket, directory.path(), &ambient);
    assert_eq!(one.manifest.snapshot().lookup(Offset(0)).await.unwrap(), Lookup::Unknown);
    let started = one.manifest.start(&leadership(0, 100)).await.unwrap();
    assert_eq!(started, Started::Active { log_start_offset: Offset(0), next_offset: Offset(0) });
    for segment in 0..10 {
        let committed = commit(&one, segment * 10, segment * 10 + 10).await.unwrap();
        assert_eq!(committed.durable_next_offset, Offset(segment * 10 + 10));
    }
    drop(one);
    let two = node(&bucket, directory.path(), &ambient);
    two.store.kill();
    let view = two.manifest.snapshot();
    assert_eq!(view.next_offset(), Offset(100));
    assert_eq!(view.totals().segments, 10);
    let entries = view.entries_from(Offset(0), usize::MAX).await.unwrap();
    let Lookup::Found(found) = view.lookup(Offset(55)).await.unwrap() else { panic!("not found") };
    assert_eq!((found.base_offset, found.end_offset), (Offset(50), Offset(60)));
    assert_eq!(view.lookup_timestamp(550, Offset(0)).await.unwrap(), Some(found));
    let newest = |from, below| view.max_timestamp(Offset(from), Offset(below));
    let of_segments = |from: usize, to: usize| entries[from..to].iter().map(|entry| entry.max_timestamp).max();
    assert_eq!(newest(0, 100), of_segments(0, 10));
    assert_eq!(newest(0, 50), of_segments(0, 5));
    assert_eq!(newest(41, 51), of_segments(4, 6));
    assert_eq!(newest(100, 200), None);
    assert_eq!(two.checkpoint.load(Ordering::SeqCst), 0);
}

/// Two thousand segments: three levels of small pages, a head that stays small, every offset found.
#[tokio::test]
async fn many_segments_spill_and_are_found() {
    let (bucket, ambient) = (Arc::new(Bucket::default()), ambient());
    let directory = crate::testing::directory();
    let one = node(&bucket, directory.path(), &ambient);
    one.manifest.start(&leadership(0, 100)).await.unwrap();
    let largest = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&largest);
    bucket.watch(Box::new(move |_, key, _, after| {
        if let (true, Some(bytes)) = (key.ends_with("/head"), after) {
            let mut seen = seen.lock().unwrap();
            *seen = bytes.len().max(*seen);
        }
    }));
    for segment in 0..2000 {
        commit(&one, segment * 10, segment * 10 + 10).await.unwrap();
    }
    assert!(*largest.lock().unwrap() < HEAD_BYTES_MAX / 2);
    let view = one.manifest.snapshot();
    assert_eq!(view.totals().segments, 2000);
    for offset in (0..20_000).step_by(37) {
        let Lookup::Found(found) = view.lookup(Offset(offset)).await.unwrap() else { panic!("{offset}") };
        assert_eq!(found.base_offset.get(), offset / 10 * 10);
        let by_time = view.lookup_timestamp(offset * 10, Offset(0)).await.unwrap().unwrap();
        assert_eq!(by_time.base_offset, found.base_offset);
    }
    let newest = view.lookup(Offset(19_999)).await.unwrap();
    let Lookup::Found(newest) = newest else { panic!("not found") };
    one.store.kill();
    assert_eq!(view.max_timestamp(Offset(0), Offset(20_000)), Some(newest.max_timestamp));
}

#[tokio::test]
async fn a_second_leader_fences_the_first() {
    let (bucket, ambient) = (Arc::new(Bucket::default()), ambient());
    let directories = (crate::testing::directory(), crate::testing::directory());
    let one = node(&bucket, directories.0.path(), &ambient);
    one.manifest.start(&leadership(0, 100)).await.unwrap();
    commit(&one, 0, 10).await.unwrap();
    let two = node(&bucket, directories.1.path(), &ambient);
    two.manifest.start(&leadership(1, 100)).await.unwrap();
    let refused = commit(&one, 10, 20).await.unwrap_err();
    assert!(matches!(refused, ManifestError::Fenced { .. }), "{refused}");
    let stays = one.manifest.begin_upload(Offset(10)).await.unwrap_err();
    assert!(matches!(stays, ManifestError::Fenced { .. }), "{stays}");
    commit(&two, 10, 20).await.unwrap();
    let late = one.manifest.start(&leadership(0, 100)).await.unwrap();
    assert!(matches!(late, Started::Fenced { .. }));
}

#[tokio::test]
async fn lost_and_late_answers_commit_once() {
    for fault in [Fault::LostAnswer, Fault::Late, Fault::Unavailable] {
        let (bucket, ambient) = (Arc::new(Bucket::default()), ambient());
        let directory = crate::testing::directory();
        let one = node(&bucket, directory.path(), &ambient);
        one.store.fault_at(1, fault);
        one.manifest.start(&leadership(0, 100)).await.unwrap();
        one.store.fault_next(fault);
        commit(&one, 0, 10).await.unwrap();
        bucket.land_all();
        commit(&one, 10, 20).await.unwrap();
        let totals = one.manifest.snapshot().totals();
        assert_eq!(totals.segments, 2, "{fault:?}");
    }
}

/// Neither a lost head nor a rolled back bucket is taken for an empty partition.
#[tokio::test]
async fn a_bucket_that_forgot_is_refused_by_name() {
    let (bucket, ambient) = (Arc::new(Bucket::default()), ambient());
    let directory = crate::testing::directory();
    let one = node(&bucket, directory.path(), &ambient);
    one.manifest.start(&leadership(0, 100)).await.unwrap();
    let old = bucket.objects()[&partition().head()].0.clone();
    commit(&one, 0, 10).await.unwrap();
    bucket.insert(&partition().head(), old);
    let two = node(&bucket, directory.path(), &ambient);
    let refused = two.manifest.start(&leadership(1, 100)).await.unwrap_err();
    assert!(matches!(refused, ManifestError::RolledBack { found: 1, known: 2, .. }), "{refused}");
    bucket.remove(&partition().head());
    let refused = two.manifest.start(&leadership(1, 100)).await.unwrap_err();
    assert!(matches!(refused, ManifestError::HeadMissing { .. }), "{refused}");
    // A damaged copy is a copy that existed.
    std::fs::write(directory.path().join("tier-manifest"), b"rot").unwrap();
    let three = node(&bucket, directory.path(), &ambient);
    assert!(!three.manifest.snapshot().is_known());
    let refused = three.manifest.start(&leadership(2, 100)).await.unwrap_err();
    assert!(matches!(refused, ManifestError::HeadMissing { .. }), "{refused}");
}

#[tokio::test]
async fn retention_by_size_and_time_leaves_marks() {
    let (bucket, ambient) = (Arc::new(Bucket::default()), ambient());
    let directory = crate::testing::directory();
    let one = node(&bucket, directory.path(), &ambient);
    one.manifest.start(&leadership(0, 100)).await.unwrap();
    for segment in 0..10 {
        commit(&one, segment * 10, segment * 10 + 10).await.unwrap();
    }
    let keep = |retention_bytes, retention_ms| RetentionPolicy {
        retention_ms,
        retention_bytes,
        now_ms: 1000,
        bytes_beyond_tier: 500,
    };
    let committed = one.manifest.retention(&keep(Some(7500), None), Offset(100)).await.unwrap();
    assert_eq!(committed.log_start_offset, Offset(30));
    assert_eq!(one.checkpoint.load(Ordering::SeqCst), 30);
    let committed = one.manifest.retention(&keep(None, Some(400)), Offset(100)).await.unwrap();
    assert_eq!(committed.log_start_offset, Offset(60));
    let committed = one.manifest.retention(&keep(Some(0), None), Offset(75)).await.unwrap();
    assert_eq!(committed.log_start_offset, Offset(75));
    let view = one.manifest.snapshot();
    assert_eq!((view.marks(), view.totals().segments), (7, 3));
    assert_eq!(view.lookup(Offset(74)).await.unwrap(), Lookup::BelowLogStart { log_start_offset: Offset(75) });
}

#[tokio::test]
async fn a_log_start_is_exposed_only_when_it_is_checkpointed() {
    let (bucket, ambient) = (Arc::new(Bucket::default()), ambient());
    let directory = crate::testing::directory();
    let one = node(&bucket, directory.path(), &ambient);
    one.manifest.start(&leadership(0, 100)).await.unwrap();
    commit(&one, 0, 10).await.unwrap();
    one.checkpoint.store(DISK_FULL, Ordering::SeqCst);
    let refused = one.manifest.advance_log_start(Offset(5)).await.unwrap_err();
    assert!(matches!(refused, ManifestError::Checkpoint { .. }), "{refused}");
    assert_eq!(one.manifest.snapshot().log_start_offset(), Offset(0));
    one.checkpoint.store(0, Ordering::SeqCst);
    let committed = one.manifest.advance_log_start(Offset(5)).await.unwrap();
    assert_eq!(committed.log_start_offset, Offset(5));
    assert_eq!(one.manifest.snapshot().log_start_offset(), Offset(5));
    assert_eq!(one.checkpoint.load(Ordering::SeqCst), 5);
}
