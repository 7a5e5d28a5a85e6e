//! The cleaner of a running broker: whom it takes, whom it sets aside, and what changes under it.

use std::collections::BTreeMap;
use std::future::ready;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stratalog::broker::{self, Running};
use stratalog::clock::Clock;
use stratalog::config::{self, CleanerConfig, Sources};
use stratalog::metrics::Metrics;
use stratalog::net::client::{
    Client, ClientConfig, OffsetSpec, OutgoingRecord, Producer, ProducerSettings, parse_bootstrap,
};
use stratalog::partition::{Cleaner, Partition};
use stratalog::platform::disk::Disk;
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use stratalog_protocol::records::BatchIter;
use stratalog_types::Offset;
use tokio::sync::watch;

use super::tier_lifecycle::{set, until};
use super::tiering::{SMALL_SEGMENTS, compare, each_record, offset_of, produce, timestamp};
use super::{client, topic};
use crate::api::{BROKER, Fixture};

/// Of the broker's clock, which stands still.
pub(super) const NOW_MS: i64 = 1_700_100_000_000;
const HOUR_MS: i64 = 3_600_000;
/// The broker's own cleaner rests: the rounds here are the test's.
const STILL: &[(&str, &str)] = &[
    ("log.cleaner.enable", "false"),
    ("log.retention.check.interval.ms", "20"),
    ("remote.log.manager.task.interval.ms", "20"),
    ("log.retention.ms", "-1"),
];
pub(super) const COMPACT: &[(&str, &str)] =
    &[("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0"), ("segment.bytes", "1048576")];
/// Records of one batch of writes: a little more than two segments.
pub(super) const RECORDS: i64 = 2500;
pub(super) const KEYS: i64 = 10;

fn settings() -> CleanerConfig {
    CleanerConfig {
        enable: true,
        threads: 1,
        backoff: Duration::from_millis(20),
        dedupe_buffer_bytes: 16 << 20,
        load_factor: 0.9,
        io_buffer_bytes: 512 << 10,
        io_bytes_per_second: f64::MAX,
    }
}

async fn start_at(dir: &Path, clock: &Clock) -> Running {
    start_on(dir, clock, Disk::default()).await
}

pub(super) async fn start_on(dir: &Path, clock: &Clock, disk: Disk) -> Running {
    let mut flags = vec![
        ("listeners".to_owned(), "PLAINTEXT://127.0.0.1:0".to_owned()),
        ("log.dirs".to_owned(), dir.display().to_string()),
        ("stratalog.admin.listener".to_owned(), String::new()),
    ];
    flags.extend(STILL.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    let loaded = config::load(&Sources { flags, ..Sources::default() }).unwrap();
    broker::start_with(loaded.config, clock.clone(), disk).await.unwrap()
}

pub(super) fn partition(running: &Running, name: &str) -> Arc<Partition> {
    let id = running.node.image().topic(name).unwrap().id;
    running.node.partitions.get(id, 0).unwrap()
}

/// Appends the records at these offsets: their keys repeat every `keys`.
pub(super) async fn write(client: &mut Client, name: &str, offsets: Range<i64>, keys: i64, timestamp_ms: i64) {
    let settings = ProducerSettings { batch_bytes: 64 << 10, create_topic: false, ..ProducerSettings::default() };
    let mut producer = Producer::open(client, name, settings).await.unwrap();
    for offset in offsets {
        let (key, value) = (format!("{keys}/{}", offset % keys), vec![offset as u8; 1000]);
        let record = OutgoingRecord {
            partition: Some(0),
            key: Some(key.as_bytes()),
            value: Some(&value),
            headers: &[],
            timestamp_ms,
        };
        producer.send(client, record).await.unwrap();
    }
    producer.flush(client).await.unwrap();
}

/// The offsets that a consumer sees.
pub(super) async fn seen(client: &mut Client, name: &str, from: i64, to: i64) -> Vec<i64> {
    let mut offsets = Vec::new();
    each_record(client, name, from, to, |record| offsets.push(record.offset)).await;
    offsets
}

/// The last offset of each key that [`write`] gave to these.
pub(super) fn last_of(offsets: Range<i64>, keys: i64) -> Vec<i64> {
    let last: BTreeMap<i64, i64> = offsets.map(|offset| (offset % keys, offset)).collect();
    let mut last: Vec<i64> = last.into_values().collect();
    last.sort_unstable();
    last
}

/// Closes the active segment, and waits until all of it may be cleaned.
pub(super) async fn close_segment(partition: &Partition) {
    partition.log().roll().unwrap();
    partition.high_watermark().wait_for(partition.log().log_end_offset()).await.unwrap();
}

pub(super) fn cleaner(running: &Running) -> Arc<Cleaner> {
    Cleaner::new(running.node.partitions.clone(), running.node.metrics.clone(), Box::new(settings))
}

/// Rounds until there is nothing to clean; answers how many there were.
pub(super) async fn clean_all(cleaner: &Arc<Cleaner>) -> usize {
    let cleaner = cleaner.clone();
    let rounds = move || (0..).take_while(|_| cleaner.clean_dirtiest(&settings())).count();
    tokio::task::spawn_blocking(rounds).await.unwrap()
}

/// A byte of a segment that is wrong until this is mended.
struct Flipped {
    file: PathBuf,
    at: u64,
}

impl Flipped {
    /// A byte of the second segment's third batch.
    fn in_second_segment(partition: &Partition, byte: usize) -> Flipped {
        let base = partition.log().closed_segments()[1].base_offset;
        let file = partition.log().path().join(format!("{:020}.log", base.0));
        let bytes = std::fs::read(&file).unwrap();
        let before: usize = BatchIter::new(&bytes).take(2).map(|batch| batch.unwrap().bytes.len()).sum();
        let flipped = Flipped { file, at: (before + byte) as u64 };
        flipped.flip();
        flipped
    }

    /// The file stays the one that the broker has open.
    fn flip(&self) {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&self.file).unwrap();
        let at = self.at;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        byte[0] ^= 8;
        file.write_all_at(&byte, at).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_with_a_bad_batch_is_set_aside_and_the_others_are_cleaned() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(NOW_MS);
    let running = start_at(dir.path(), &clock).await;
    let mut one = client(&running);
    for name in ["a", "bad", "worse", "z"] {
        one.create_topic(&topic(name, COMPACT), false).await.unwrap();
        write(&mut one, name, 0..RECORDS, KEYS, NOW_MS).await;
        close_segment(&partition(&running, name)).await;
    }
    // In a record; and in the base offset, which no checksum covers.
    let flipped =
        [("bad", 100), ("worse", 7)].map(|(name, byte)| Flipped::in_second_segment(&partition(&running, name), byte));
    let cleaner = cleaner(&running);
    assert_eq!(clean_all(&cleaner).await, 4);
    let metrics = running.node.metrics.clone();
    let counted = || (metrics.log_cleaner_runs.get(), metrics.log_cleaner_uncleanable_partitions.get());
    assert_eq!(counted(), (2, 2));
    let waiting_bytes = metrics.log_cleaner_uncleanable_bytes.get();
    assert!(waiting_bytes > 4_000_000, "{waiting_bytes} bytes");
    assert_eq!(metrics.log_segments_damaged.get(), 2);
    for name in ["a", "z"] {
        assert_eq!(seen(&mut one, name, 0, RECORDS).await, last_of(0..RECORDS, KEYS), "{name}");
    }
    // Nothing of it was changed.
    for name in ["bad", "worse"] {
        assert!(partition(&running, name).log().closed_segments().iter().all(|segment| segment.bytes > 400_000));
    }

    // Mended, it waits: for a change, or for ten minutes.
    flipped.iter().for_each(Flipped::flip);
    assert_eq!(clean_all(&cleaner).await, 0);
    assert_eq!(counted(), (2, 2));
    write(&mut one, "worse", RECORDS..RECORDS + 1, KEYS, NOW_MS).await;
    close_segment(&partition(&running, "worse")).await;
    assert_eq!(clean_all(&cleaner).await, 1);
    assert_eq!(counted(), (3, 1));
    assert_eq!(seen(&mut one, "worse", 0, RECORDS + 1).await, last_of(0..RECORDS + 1, KEYS));
    clock.advance_ms(600_000 - 1);
    assert_eq!(clean_all(&cleaner).await, 0);
    clock.advance_ms(1);
    assert_eq!(clean_all(&cleaner).await, 1);
    assert_eq!(counted(), (4, 0));
    assert_eq!(metrics.log_cleaner_uncleanable_bytes.get(), 0);
    assert_eq!(seen(&mut one, "bad", 0, RECORDS).await, last_of(0..RECORDS, KEYS));
    running.stop().await.unwrap();
}

/// How nice a thread is: field 19 of all, the 17th behind the name.
#[cfg(target_os = "linux")]
fn niceness(stat: &str) -> Option<i32> {
    stat.rsplit_once(") ")?.1.split(' ').nth(16)?.parse().ok()
}

/// Cleaner threads whose priority is lower than the process's; of all brokers in it, and each may have begun just now.
#[cfg(target_os = "linux")]
fn niced_cleaner_threads() -> usize {
    let own = std::fs::read_to_string("/proc/self/stat").unwrap();
    let lower = niceness(&own).unwrap() + 1;
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
    stats.filter(|stat| stat.contains("(log-cleaner)") && niceness(stat).is_some_and(|nice| nice >= lower)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cleaner_follows_its_settings_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let running = start_at(dir.path(), &Clock::manual(NOW_MS)).await;
    // The broker's own cleaner has the broker's.
    let metrics = Arc::new(Metrics::new());
    let mut one = client(&running);
    one.create_topic(&topic("c", COMPACT), false).await.unwrap();
    write(&mut one, "c", 0..RECORDS, KEYS, NOW_MS).await;
    close_segment(&partition(&running, "c")).await;

    let now = Arc::new(Mutex::new(CleanerConfig { enable: false, ..settings() }));
    let looks = Arc::new(AtomicUsize::new(0));
    let told = {
        let (now, looks) = (now.clone(), looks.clone());
        move || {
            looks.fetch_add(1, Ordering::SeqCst);
            *now.lock().unwrap()
        }
    };
    let cleaner = Cleaner::new(running.node.partitions.clone(), metrics.clone(), Box::new(told));
    let (stop, stopped) = watch::channel(false);
    let cleaning = tokio::spawn(cleaner.run(stopped));
    let threads = || metrics.log_cleaner_threads.get();
    let runs = || metrics.log_cleaner_runs.get();
    // The second look comes after all that the first one led to.
    let looked_twice = async || {
        let before = looks.load(Ordering::SeqCst);
        until("the settings were looked at", || ready(looks.load(Ordering::SeqCst) >= before + 2)).await;
    };
    looked_twice().await;
    assert_eq!((threads(), runs(), metrics.log_cleaner_io.get()), (0, 0, 0), "log.cleaner.enable=false");

    // At one byte a second the first piece is paid for in days.
    *now.lock().unwrap() = CleanerConfig { threads: 3, io_bytes_per_second: 1.0, ..settings() };
    until("there are three threads", || ready(threads() == 3)).await;
    until("the first piece was read", || ready(metrics.log_cleaner_io.get() > 0)).await;
    #[cfg(target_os = "linux")]
    until("their priority is low", || ready(niced_cleaner_threads() >= 3)).await;
    looked_twice().await;
    let held = metrics.log_cleaner_io.get();
    assert!(held <= 2 * settings().io_buffer_bytes, "{held} bytes, and no second has gone by for each");
    assert_eq!(runs(), 0, "at one byte a second");
    now.lock().unwrap().io_bytes_per_second = f64::MAX;
    until("it was cleaned", || ready(runs() == 1)).await;
    assert_eq!(seen(&mut one, "c", 0, RECORDS).await, last_of(0..RECORDS, KEYS));
    until("all that it read and wrote was counted", || ready(metrics.log_cleaner_io.get() > 2_500_000)).await;

    now.lock().unwrap().threads = 1;
    until("there is one thread", || ready(threads() == 1)).await;
    now.lock().unwrap().threads = 0;
    until("there is none", || ready(threads() == 0)).await;
    write(&mut one, "c", RECORDS..2 * RECORDS, KEYS, NOW_MS).await;
    close_segment(&partition(&running, "c")).await;
    looked_twice().await;
    assert_eq!((threads(), runs()), (0, 1));
    now.lock().unwrap().threads = 2;
    until("it was cleaned again", || ready(runs() == 2)).await;
    until("there are two threads", || ready(threads() == 2)).await;
    now.lock().unwrap().enable = false;
    until("it is off", || ready(threads() == 0)).await;
    assert_eq!(seen(&mut one, "c", 0, 2 * RECORDS).await, last_of(0..2 * RECORDS, KEYS));
    stop.send(true).unwrap();
    cleaning.await.unwrap();
    running.stop().await.unwrap();
}

/// The broker's own cleaner hears of what IncrementalAlterConfigs changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alterations_of_the_broker_reach_its_cleaner() {
    let settings = [("log.cleaner.io.max.bytes.per.second", "1"), ("log.cleaner.backoff.ms", "20")];
    let mut fixture = Fixture::start_with(&settings).await;
    let node = fixture.node();
    let address = format!("127.0.0.1:{}", fixture.port());
    let mut one = Client::new(ClientConfig::new(parse_bootstrap(&address).unwrap()));
    one.create_topic(&topic("c", COMPACT), false).await.unwrap();
    write(&mut one, "c", 0..RECORDS, KEYS, timestamp(0)).await;
    let id = node.image().topic("c").unwrap().id;
    close_segment(&node.partitions.get(id, 0).unwrap()).await;
    let metrics = node.metrics.clone();
    until("the first piece was read", || ready(metrics.log_cleaner_io.get() > 0)).await;
    assert_eq!((metrics.log_cleaner_runs.get(), metrics.log_cleaner_threads.get()), (0, 1));
    let config = |name: &str, value: &str| AlterableConfig {
        name: name.to_owned(),
        config_operation: 0,
        value: Some(value.to_owned()),
    };
    let configs = vec![config("log.cleaner.io.max.bytes.per.second", "1e9"), config("log.cleaner.threads", "2")];
    let resource =
        AlterConfigsResource { resource_type: BROKER, resource_name: node.config.node_id.to_string(), configs };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let response = fixture.ask(&request, 1).await;
    assert_eq!(response.responses[0].error_code, ErrorCode::NONE, "{:?}", response.responses[0].error_message);
    until("it was cleaned", || ready(metrics.log_cleaner_runs.get() > 0)).await;
    until("there are two threads", || ready(metrics.log_cleaner_threads.get() == 2)).await;
    drop((one, node));
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_rules_of_compact_and_delete_act() {
    let dir = tempfile::tempdir().unwrap();
    // What has no record any more goes by the time of its file.
    let now_ms = Clock::System.now_ms();
    let clock = Clock::manual(now_ms);
    let running = start_at(dir.path(), &clock).await;
    let mut one = client(&running);
    let policy = [("cleanup.policy", "compact,delete"), ("retention.ms", "3600000"), ("segment.ms", "604800000")];
    one.create_topic(&topic("c", &[COMPACT, &policy].concat()), false).await.unwrap();
    let both = partition(&running, "c");
    let end = 2 * RECORDS;
    let cleaner = cleaner(&running);
    // Keys that are nowhere else: only their age takes them away.
    write(&mut one, "c", 0..RECORDS, RECORDS, now_ms - 2 * HOUR_MS).await;
    until("what expired is gone", || ready(both.log_start_offset() == Offset(RECORDS))).await;
    write(&mut one, "c", RECORDS..end, KEYS, now_ms).await;
    close_segment(&both).await;
    until("it was cleaned", || async { clean_all(&cleaner).await > 0 }).await;
    assert_eq!(both.log_start_offset(), Offset(RECORDS));
    assert_eq!(seen(&mut one, "c", RECORDS, end).await, last_of(RECORDS..end, KEYS));
    // What compaction keeps expires in its turn.
    clock.advance_ms(2 * HOUR_MS);
    until("all is gone", || ready(both.log_start_offset() == Offset(end))).await;
    assert_eq!(offset_of(&mut one, "c", OffsetSpec::Earliest).await, end);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_compacted_for_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(NOW_MS);
    let mut running = start_at(dir.path(), &clock).await;
    let mut one = client(&running);
    let deleted = [("cleanup.policy", "delete"), ("remote.storage.enable", "false")];
    one.create_topic(&topic("c", &[COMPACT, &deleted].concat()), false).await.unwrap();
    write(&mut one, "c", 0..RECORDS, KEYS, NOW_MS).await;
    close_segment(&partition(&running, "c")).await;
    let first = cleaner(&running);
    assert_eq!(clean_all(&first).await, 0);
    assert_eq!(seen(&mut one, "c", 0, RECORDS).await.len() as i64, RECORDS);

    one.alter_topic_configs("c", &[set("cleanup.policy", "compact")], false).await.unwrap();
    assert_eq!(clean_all(&first).await, 1);
    let compacted = last_of(0..RECORDS, KEYS);
    assert_eq!(seen(&mut one, "c", 0, RECORDS).await, compacted);

    one.alter_topic_configs("c", &[set("cleanup.policy", "delete")], false).await.unwrap();
    write(&mut one, "c", RECORDS..2 * RECORDS, KEYS, NOW_MS).await;
    close_segment(&partition(&running, "c")).await;
    assert_eq!(clean_all(&first).await, 0);
    let all: Vec<i64> = compacted.into_iter().chain(RECORDS..2 * RECORDS).collect();
    drop(first);
    // Its holes are holes, also to a broker that never saw it compacted.
    for restart in [false, true] {
        if restart {
            drop(one);
            running.stop().await.unwrap();
            running = start_at(dir.path(), &clock).await;
            one = client(&running);
        }
        assert_eq!(seen(&mut one, "c", 0, 2 * RECORDS).await, all, "restarted: {restart}");
        assert_eq!(offset_of(&mut one, "c", OffsetSpec::Timestamp(NOW_MS)).await, all[0]);
    }
    assert_eq!(running.node.metrics.log_segments_damaged.get(), 0);
    one.alter_topic_configs("c", &[set("retention.bytes", "1")], false).await.unwrap();
    let last = partition(&running, "c");
    until("retention acts on it", || ready(last.log_start_offset() > Offset(RECORDS))).await;
    running.stop().await.unwrap();
}

/// What was copied stays readable, nothing more is copied; and copying goes on where it stopped, over what compaction
/// left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tiered_topic_that_becomes_compacted_stops_copying_for_as_long() {
    const TIERED: i64 = 2000;
    let dir = tempfile::tempdir().unwrap();
    let running = start_at(dir.path(), &Clock::manual(NOW_MS)).await;
    let mut one = client(&running);
    let ratio = [("min.cleanable.dirty.ratio", "0")];
    one.create_topic(&topic("t", &[SMALL_SEGMENTS, &ratio].concat()), false).await.unwrap();
    produce(&mut one, "t", 0, TIERED).await;
    assert!(running.control.flush("t".to_owned(), true).await.unwrap().complete);
    let both = partition(&running, "t");
    assert_eq!(both.tiered_end_offset(), Some(Offset(TIERED)));

    one.alter_topic_configs("t", &[set("cleanup.policy", "compact")], false).await.unwrap();
    // One key of its own, then few keys: the segment keeps its first record, and a hole behind it.
    let end = TIERED + 1 + RECORDS;
    write(&mut one, "t", TIERED..TIERED + 1, i64::MAX, NOW_MS).await;
    write(&mut one, "t", TIERED + 1..end, KEYS, NOW_MS).await;
    close_segment(&both).await;
    assert!(both.upload_next().await.unwrap().is_none());
    assert_eq!(clean_all(&cleaner(&running)).await, 1);
    let cleaned = both.log().closed_segments();
    let holed = cleaned.iter().find(|segment| segment.base_offset == Offset(TIERED)).unwrap();
    let inside = TIERED + 500;
    assert!(holed.bytes > 1000 && holed.bytes < 3000 && holed.end_offset.0 > inside, "{holed:?}");
    assert!(both.upload_next().await.unwrap().is_none());
    assert_eq!(both.tiered_end_offset(), Some(Offset(TIERED)));
    compare(&mut one, "t", 0, TIERED).await;
    running.control.evict("t".to_owned()).await.unwrap();
    assert_eq!(both.log().local_log_start_offset(), Offset(TIERED));
    compare(&mut one, "t", 0, TIERED).await;
    let kept = last_of(TIERED + 1..end, KEYS);
    let all: Vec<i64> = (0..=TIERED).chain(kept.iter().copied()).collect();
    assert_eq!(seen(&mut one, "t", 0, end).await, all);

    // The log start lies in the hole, and copying goes on behind it.
    both.log().set_log_start_offset(Offset(inside)).unwrap();
    let again = [set("cleanup.policy", "delete"), set("remote.log.copy.disable", "false")];
    one.alter_topic_configs("t", &again, false).await.unwrap();
    let flushed = running.control.flush("t".to_owned(), true).await.unwrap();
    assert!(flushed.complete, "{flushed:?}");
    assert_eq!(both.tiered_end_offset(), Some(Offset(end)));
    running.control.evict("t".to_owned()).await.unwrap();
    assert_eq!(both.log().local_log_start_offset(), Offset(end));
    assert_eq!(seen(&mut one, "t", inside, end).await, kept);
    running.stop().await.unwrap();
}
