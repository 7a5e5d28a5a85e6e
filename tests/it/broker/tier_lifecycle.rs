//! What a tiered partition goes through besides reads: lost directories, a bucket that does not answer, tiering turned
//! off, topics that come again under their old names.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use stratalog::broker::Running;
use stratalog::clock::Clock;
use stratalog::log::{CleanOptions, Log, LogConfig, LogDir, LogDirOptions, Pace};
use stratalog::metrics::Metrics;
use stratalog::net::client::{ConfigOperation, OffsetSpec};
use stratalog::partition::tier::TierError;
use stratalog::partition::{Counters, Isolation, Partition, ReadError};
use stratalog_protocol::records::{BatchBuilder, BatchHeader, NewRecord};
use stratalog_tiering::format::{Footer, TAIL_BYTES, Tail};
use stratalog_tiering::gc::topic::Marker;
use stratalog_types::{LeaderEpoch, Offset, TopicId, TopicPartition};

use super::tiering::{SMALL_SEGMENTS, compare, moved_up, offset_of, produce, timestamp};
use super::{client, start, topic};

fn soon() -> tokio::time::Instant {
    tokio::time::Instant::now() + std::time::Duration::from_secs(1)
}

/// The records are old: nothing expires unless a test says so.
pub(super) const QUICK: &[(&str, &str)] = &[
    ("remote.log.manager.task.interval.ms", "20"),
    ("log.retention.check.interval.ms", "20"),
    ("log.retention.ms", "-1"),
];

pub(super) fn partition(running: &Running) -> Arc<Partition> {
    let id = running.node.image().topic("t").unwrap().id;
    running.node.partitions.get(id, 0).unwrap()
}

pub(super) fn set(name: &str, value: &str) -> (String, ConfigOperation) {
    (name.to_owned(), ConfigOperation::Set(value.to_owned()))
}

/// Looks until it is so; a test that waits in vain ends by the harness's patience.
pub(super) async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    for _ in 0..1500 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("still not so: {what}");
}

/// The manifest's head in the bucket, which cannot be read while this stands in its place.
struct HiddenHead(PathBuf);

impl HiddenHead {
    fn hide(dir: &Path, running: &Running) -> HiddenHead {
        let id = running.node.image().topic("t").unwrap().id;
        let head = dir.join("tier").join("v1").join(id.to_string()).join("0").join("head");
        assert!(head.is_file(), "{}", head.display());
        HiddenHead(head)
    }

    fn aside(&self) -> PathBuf {
        self.0.with_extension("aside")
    }

    fn take(&self) {
        std::fs::rename(&self.0, self.aside()).unwrap();
        std::fs::create_dir(&self.0).unwrap();
    }

    fn give_back(&self) {
        std::fs::remove_dir(&self.0).unwrap();
        std::fs::rename(self.aside(), &self.0).unwrap();
    }
}

/// Protocol I10 and 3.1: also where the log start lies above 0, and nothing is answered before the tier was asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_directory_keeps_its_log_start_and_answers_nothing_before_the_tier_does() {
    for copy_disable in ["false", "true"] {
        let dir = tempfile::tempdir().unwrap();
        let running = start(dir.path(), QUICK).await;
        let mut one = client(&running);
        one.create_topic(&topic("t", SMALL_SEGMENTS), false).await.unwrap();
        produce(&mut one, "t", 0, 3000).await;
        running.control.flush("t".to_owned(), true).await.unwrap();
        one.alter_topic_configs("t", &[set("remote.log.copy.disable", copy_disable)], false).await.unwrap();
        let before = partition(&running);
        before.log().set_log_start_offset(Offset(1234)).unwrap();
        let epoch = before.leader_epoch();
        // The head learns of it.
        until("the tier's log start moves", || {
            let start = before.tiered().unwrap().view().log_start_offset();
            async move { start == Offset(1234) }
        })
        .await;
        let head = HiddenHead::hide(dir.path(), &running);
        drop((one, before));
        running.stop().await.unwrap();
        std::fs::remove_dir_all(dir.path().join("t-0")).unwrap();
        head.take();

        // A start that ends before the tier could be asked: the next one knows of the loss too.
        let running = start(dir.path(), QUICK).await;
        assert!(partition(&running).is_behind_tier());
        running.stop().await.unwrap();
        let running = start(dir.path(), QUICK).await;
        let held = partition(&running);
        assert!(held.is_behind_tier());
        assert!(held.leader_epoch() > epoch, "what was unsynced may be given out again");
        for at in [0, 1234, 2999, 3000] {
            let located = held.locate(Offset(at), 1000, Isolation::ReadUncommitted, true);
            assert!(matches!(located, Err(ReadError::BehindTier)), "{located:?}");
        }
        let latest =
            held.list_offset(stratalog::partition::OffsetSpec::Latest, Isolation::ReadUncommitted, soon()).await;
        assert!(matches!(latest, Err(ReadError::BehindTier)), "{latest:?}");
        head.give_back();

        let mut two = client(&running);
        produce(&mut two, "t", 3000, 3200).await;
        compare(&mut two, "t", 1234, 3200).await;
        assert_eq!(offset_of(&mut two, "t", OffsetSpec::Earliest).await, 1234);
        drop((two, held));
        running.stop().await.unwrap();
        // And once more, now that all is in place.
        let running = start(dir.path(), QUICK).await;
        let mut three = client(&running);
        compare(&mut three, "t", 1234, 3200).await;
        running.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timestamps_are_found_behind_a_log_start_inside_a_tiered_segment() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path(), &[]).await;
    let mut one = client(&running);
    // One segment of several chunks.
    one.create_topic(&topic("t", &[("segment.bytes", "16777216")]), false).await.unwrap();
    produce(&mut one, "t", 0, 5000).await;
    running.control.flush("t".to_owned(), true).await.unwrap();
    running.control.evict("t".to_owned()).await.unwrap();
    partition(&running).log().set_log_start_offset(Offset(3210)).unwrap();
    for (asked, found) in [(0, 3210), (3210, 3210), (3211, 3211), (4999, 4999)] {
        assert_eq!(offset_of(&mut one, "t", OffsetSpec::Timestamp(timestamp(asked))).await, found);
    }
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_not_in_time_is_not_an_answer_to_a_timestamp() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path(), &[("remote.list.offsets.request.timeout.ms", "100")]).await;
    let mut one = client(&running);
    one.create_topic(&topic("t", SMALL_SEGMENTS), false).await.unwrap();
    produce(&mut one, "t", 0, 3000).await;
    running.control.flush("t".to_owned(), true).await.unwrap();
    running.control.evict("t".to_owned()).await.unwrap();
    // Opening a pipe waits for who opens its other end.
    let listing = running.control.list(Some("t".to_owned())).await.unwrap();
    let object = dir.path().join("tier").join(&listing.partitions[0].segments[0].object);
    let aside = object.with_extension("aside");
    std::fs::rename(&object, &aside).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &object, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    let spec = stratalog::partition::OffsetSpec::Timestamp(timestamp(10));
    let answer = partition(&running).list_offset(spec, Isolation::ReadUncommitted, soon()).await;
    assert!(matches!(answer, Err(ReadError::Tier(TierError::NotInTime))), "{answer:?}");
    let (object, writer) = (object.clone(), object);
    let writer = tokio::task::spawn_blocking(move || std::fs::OpenOptions::new().write(true).open(writer));
    writer.await.unwrap().unwrap();
    std::fs::rename(&aside, &object).unwrap();
    assert_eq!(offset_of(&mut one, "t", OffsetSpec::Timestamp(timestamp(10))).await, 10);
    running.stop().await.unwrap();
}

/// Turned off and restarted before the next round of retention: the objects still go, and no offset is promised that is
/// not there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tiering_turned_off_is_finished_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let slow: &[(&str, &str)] = &[("log.retention.check.interval.ms", "3600000")];
    let running = start(dir.path(), slow).await;
    let mut one = client(&running);
    one.create_topic(&topic("t", SMALL_SEGMENTS), false).await.unwrap();
    produce(&mut one, "t", 0, 3000).await;
    running.control.flush("t".to_owned(), true).await.unwrap();
    running.control.evict("t".to_owned()).await.unwrap();
    produce(&mut one, "t", 3000, 3100).await;
    let off = [
        set("remote.storage.enable", "false"),
        set("remote.log.delete.on.disable", "true"),
        set("remote.log.copy.disable", "true"),
    ];
    one.alter_topic_configs("t", &off, false).await.unwrap();
    drop(one);
    running.stop().await.unwrap();

    let running = start(dir.path(), QUICK).await;
    let after = partition(&running);
    until("the log starts where the local copies start", || {
        let start = after.log_start_offset();
        async move { start == Offset(3000) }
    })
    .await;
    let mut two = client(&running);
    compare(&mut two, "t", 3000, 3100).await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_no_longer_copied_expires_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path(), QUICK).await;
    let mut one = client(&running);
    one.create_topic(&topic("t", SMALL_SEGMENTS), false).await.unwrap();
    produce(&mut one, "t", 0, 2000).await;
    running.control.flush("t".to_owned(), true).await.unwrap();
    let off = [set("remote.log.copy.disable", "true"), set("retention.ms", "-1"), set("retention.bytes", "2000000")];
    one.alter_topic_configs("t", &off, false).await.unwrap();
    produce(&mut one, "t", 2000, 6000).await;
    let after = partition(&running);
    until("the log start passes the end of the tier", || {
        let start = after.log_start_offset();
        async move { start > Offset(2000) }
    })
    .await;
    let start = after.log_start_offset().get();
    compare(&mut one, "t", start, 6000).await;
    running.stop().await.unwrap();
}

/// What is tiered holds the value that the tombstone in the local log took away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_key_stays_deleted_when_local_copies_go() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path(), &[("log.retention.ms", "-1"), ("log.cleaner.enable", "false")]).await;
    let mut one = client(&running);
    one.create_topic(&topic("t", SMALL_SEGMENTS), false).await.unwrap();
    produce(&mut one, "t", 0, 2000).await;
    running.control.flush("t".to_owned(), true).await.unwrap();
    let compacted = [set("cleanup.policy", "compact"), set("delete.retention.ms", "0")];
    one.alter_topic_configs("t", &compacted, false).await.unwrap();
    let after = partition(&running);
    assert_eq!(after.tiered_end_offset(), Some(Offset(2000)));
    assert_eq!(after.log().local_log_start_offset(), Offset(0));
    let append = |key: &[u8], value: Option<&[u8]>| {
        let mut builder = BatchBuilder::new(0);
        builder.append(&NewRecord { timestamp: timestamp(2000), key: Some(key), value, headers: &[] }).unwrap();
        let batch = builder.build().unwrap();
        let header = BatchHeader::decode(&batch).unwrap();
        after.append_own(&batch, header).unwrap().base_offset
    };
    let tombstone = append(b"10", None);
    for round in 0..3 {
        let last = append(format!("new {round}").as_bytes(), Some(b"v"));
        after.log().roll().unwrap();
        after.high_watermark().wait_for(last.next()).await.unwrap();
        let cleaning = after.clone();
        let cleaned = tokio::task::spawn_blocking(move || {
            let dirt = cleaning.log().dirt(cleaning.high_watermark().get()).unwrap();
            cleaning.clean(&dirt, &CleanOptions::default(), &Pace::unlimited()).unwrap()
        });
        assert!(cleaned.await.unwrap().end_offset > last);
    }
    running.control.evict("t".to_owned()).await.unwrap();
    let local_start = after.log().local_log_start_offset();
    assert!(local_start > Offset(10));
    // The value is back, and so its tombstone has to be there.
    compare(&mut one, "t", 0, local_start.get()).await;
    let slice = after.log().read(tombstone, 1, after.log().log_end_offset(), true).unwrap();
    assert_eq!(slice.base_offset, tombstone, "the tombstone is gone");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_refuses_does_not_keep_local_copies_from_going() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path(), QUICK).await;
    let mut one = client(&running);
    one.create_topic(&topic("t", SMALL_SEGMENTS), false).await.unwrap();
    produce(&mut one, "t", 0, 3000).await;
    running.control.flush("t".to_owned(), true).await.unwrap();
    let head = HiddenHead::hide(dir.path(), &running);
    drop(one);
    running.stop().await.unwrap();
    head.take();

    let running = start(dir.path(), QUICK).await;
    let mut two = client(&running);
    two.alter_topic_configs("t", &[set("local.retention.bytes", "1")], false).await.unwrap();
    let after = partition(&running);
    until("local copies go", || {
        let start = after.log().local_log_start_offset();
        async move { start == Offset(3000) }
    })
    .await;
    head.give_back();
    compare(&mut two, "t", 0, 3000).await;
    running.stop().await.unwrap();
}

/// Rounds of upload and retention of the old topic run while the new one of its name is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_comes_again_under_its_name_has_nothing_of_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let quick = [QUICK, &[("log.local.retention.bytes", "1")]].concat();
    let running = start(dir.path(), &quick).await;
    let mut one = client(&running);
    for round in 0..12 {
        one.create_topic(&topic("t", SMALL_SEGMENTS), false).await.unwrap();
        produce(&mut one, "t", 0, 2500 + round * 50).await;
        if round % 3 == 1 {
            running.control.flush("t".to_owned(), false).await.unwrap();
        }
        compare(&mut one, "t", 0, 2500 + round * 50).await;
        if round < 11 {
            one.delete_topic("t").await.unwrap();
        }
    }
    drop(one);
    running.stop().await.unwrap();
    let running = start(dir.path(), &quick).await;
    let mut two = client(&running);
    compare(&mut two, "t", 0, 2500 + 11 * 50).await;
    running.stop().await.unwrap();
}

fn footer_of(object: &Path) -> Footer {
    let bytes = Bytes::from(std::fs::read(object).unwrap());
    let tail = Tail::decode(&bytes.slice(bytes.len() - TAIL_BYTES..), bytes.len() as u64).unwrap();
    let from = tail.footer_position as usize;
    let footer = bytes.slice(from..from + tail.footer_bytes as usize);
    Footer::decode(&footer, tail.footer_crc, tail.footer_position).unwrap()
}

/// The bucket alone says whose it is: names, counts, configuration, and one chain of digests across restarts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_tell_of_their_topic_and_chain_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = start(dir.path(), QUICK).await;
    let mut one = client(&running);
    let mut asked = topic("t", SMALL_SEGMENTS);
    asked.partitions = Some(3);
    one.create_topic(&asked, false).await.unwrap();
    produce(&mut one, "t", 0, 3000).await;
    running.control.flush("t".to_owned(), true).await.unwrap();
    one.create_partitions("t", 4).await.unwrap();
    one.alter_topic_configs("t", &[set("retention.ms", "-1")], false).await.unwrap();
    drop(one);
    running.stop().await.unwrap();
    running = start(dir.path(), QUICK).await;
    let mut two = client(&running);
    produce(&mut two, "t", 3000, 5000).await;
    running.control.flush("t".to_owned(), true).await.unwrap();

    let id = running.node.image().topic("t").unwrap().id;
    let listing = running.control.list(Some("t".to_owned())).await.unwrap();
    let tier = dir.path().join("tier");
    let footers: Vec<Footer> =
        listing.partitions[0].segments.iter().map(|segment| footer_of(&tier.join(&segment.object))).collect();
    assert!(footers.len() >= 5);
    for pair in footers.windows(2) {
        assert_eq!(pair[1].digest.previous, pair[0].digest.chain());
    }
    let configs = |footer: &Footer| footer.topic.config.iter().cloned().collect::<BTreeMap<String, String>>();
    assert_eq!(configs(&footers[0])["segment.bytes"], "1048576");
    assert!(!configs(&footers[0]).contains_key("retention.ms"));
    assert_eq!(configs(footers.last().unwrap())["retention.ms"], "-1");
    let marker = std::fs::read(tier.join(format!("v1/{id}/marker"))).unwrap();
    let marker = Marker::decode(&marker).unwrap();
    assert_eq!((marker.topic_name.as_str(), marker.partitions), ("t", 4));
    running.stop().await.unwrap();
}

/// Protocol 3.2, step 1: also where acknowledgements do not wait for the sync.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_synced_is_not_tiered() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(&dir.path().join("broker"), &[]).await;
    let mut one = client(&running);
    one.create_topic(&topic("t", &[("flush.messages", "1000000")]), false).await.unwrap();
    let config = partition(&running).config();
    let options = LogDirOptions { sync_threads_max: 0, ..LogDirOptions::default() };
    let logs = LogDir::open(dir.path().join("unsynced"), options).unwrap();
    let log = Log::create(
        &logs,
        TopicPartition::new("t", 0),
        TopicId::from_bytes([7; 16]),
        LogConfig { flush_messages: 1_000_000, ..LogConfig::default() },
    );
    let counters = Counters::of(&Metrics::default(), "t");
    let unsynced = Partition::new(log.unwrap(), config, LeaderEpoch(0), Clock::System, counters, false);
    let mut batch = BatchBuilder::new(0);
    batch.append(&NewRecord { timestamp: timestamp(0), value: Some(b"v"), ..NewRecord::default() }).unwrap();
    unsynced.hand_in(&batch.build().unwrap(), true).unwrap();
    unsynced.log().roll().unwrap();
    assert_eq!(unsynced.high_watermark().get(), Offset(1), "acknowledged without a sync");
    assert_eq!(unsynced.tierable_end(), Offset(0));
    logs.sync_queued();
    assert_eq!(unsynced.tierable_end(), Offset(1));
    running.stop().await.unwrap();
}

/// What such a start acknowledged would be set aside by the first one that can ask.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_directory_waits_for_a_start_that_has_its_tier() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path(), QUICK).await;
    drop(moved_up(&running, 1000).await);
    running.stop().await.unwrap();
    std::fs::remove_dir_all(dir.path().join("t-0")).unwrap();
    for _ in 0..2 {
        let without_tier = [QUICK, &[("remote.log.storage.system.enable", "false")]].concat();
        let running = start(dir.path(), &without_tier).await;
        let offline = running.node.partitions.offline();
        assert_eq!(offline.len(), 1);
        assert!(offline[0].reason.contains("stratalog.tier.url"), "{}", offline[0].reason);
        running.stop().await.unwrap();
    }
    let running = start(dir.path(), QUICK).await;
    let mut one = client(&running);
    produce(&mut one, "t", 1000, 1100).await;
    compare(&mut one, "t", 0, 1100).await;
    running.stop().await.unwrap();
}
