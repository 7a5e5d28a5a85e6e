//! A crash at every write, sync, rename and unlink of cleanings, with unsynced operations lost, kept or torn.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use stratalog::log::{CleanOptions, LogConfig};
use stratalog::platform::disk::Disk;
use stratalog_protocol::records::{CodecId, NewRecord};
use stratalog_types::Offset;

use super::{Bench, RETENTION_MS, Seen, config, read_everything, record};
use crate::log::crash_disk::{CrashDisk, Dice, Unsynced};

/// What had been promised after so many operations of the disk.
#[derive(Clone, Copy)]
struct Promise {
    operations: usize,
    flushed: i64,
    now_ms: i64,
}

struct Story {
    disk: Arc<CrashDisk>,
    bench: Bench,
    promises: Vec<Promise>,
}

fn small() -> LogConfig {
    LogConfig { segment_bytes: 400, index_interval_bytes: 60, ..config() }
}

impl Story {
    fn new() -> Story {
        let disk = Arc::new(CrashDisk::default());
        let bench = Bench::on(small(), Disk::observed(disk.clone()));
        let mut story = Story { disk, bench, promises: Vec::new() };
        story.promise();
        story
    }

    fn promise(&mut self) {
        let log = self.bench.log();
        let flushed = log.flushed().get().0;
        let now_ms = self.bench.clock.now_ms();
        self.promises.push(Promise { operations: self.disk.operations(), flushed, now_ms });
    }

    fn run(&mut self, seed: u64) {
        let mut dice = Dice(seed | 1);
        for at in 0..40 {
            let now = self.bench.clock.now_ms();
            let value = format!("value {at}");
            let mut key = || format!("key {}", dice.below(5));
            let keys = [key(), key()];
            let records: [NewRecord; 2] =
                [0, 1].map(|i| record(keys[i].as_bytes(), (at % 3 != i).then_some(value.as_bytes()), now));
            match dice.below(4) {
                0 => {
                    let producer = 100 + at as i64;
                    let first = self.bench.append(&records, CodecId::NONE, Some(producer), true);
                    let committed = dice.below(2) == 0;
                    let marker = self.bench.end_transaction(producer, committed);
                    if !committed {
                        self.bench.aborted.extend([(first, marker), (first + 1, marker)]);
                    }
                }
                1 => drop(self.bench.append(&records, CodecId::LZ4, Some(7), false)),
                _ => drop(self.bench.append(&records, CodecId::NONE, None, false)),
            }
            if at % 8 == 7 {
                self.bench.log().roll().unwrap();
                self.bench.dir().sync_queued();
                self.promise();
                // Groups of several segments: the limit grows.
                let larger = LogConfig { segment_bytes: 400 + 300 * at as u32, ..small() };
                self.bench.log().update_config(larger);
                let memory_bytes = if at == 15 { 20 * 44 } else { 1 << 20 };
                let options =
                    CleanOptions { memory_bytes, load_factor: 0.3, buffer_bytes: 256, ..CleanOptions::default() };
                self.bench.clean(&options).unwrap();
                self.bench.log().update_config(small());
                self.promise();
                self.bench.clock.advance_ms(RETENTION_MS / 2 + 1);
            }
            if at == 25 {
                let log = self.bench.log();
                log.set_log_start_offset(Offset(9)).unwrap();
                log.delete_local_below(Offset(9)).unwrap();
                self.promise();
            }
        }
    }

    /// A group of segments of which nothing stays but what the first has: a value, and behind it the tombstone that takes
    /// it away, gone in the same round.
    fn run_behind_a_cleaned_leader(&mut self) {
        let now = self.bench.clock.now_ms();
        let append = |story: &mut Story, key: &[u8], value: &[u8]| {
            story.bench.append(&[record(key, Some(value), now)], CodecId::NONE, None, false);
            story.bench.log().roll().unwrap();
        };
        append(self, b"first", b"stays");
        append(self, b"gone", b"an older value");
        self.bench.append_aging_tombstone(b"gone", now - 10);
        self.bench.log().roll().unwrap();
        append(self, b"later", &[b'.'; 300]);
        append(self, b"gone too", b"an older value");
        self.bench.append_aging_tombstone(b"gone too", now - 10);
        self.bench.log().roll().unwrap();
        append(self, b"last", b"stays");
        self.bench.dir().sync_queued();
        self.promise();
        let sizes: Vec<u64> = self.bench.log().closed_segments().iter().map(|segment| segment.bytes).collect();
        let segment_bytes = sizes[..3].iter().sum::<u64>() as u32;
        self.bench.log().update_config(LogConfig { segment_bytes, ..small() });
        let cleaned = self.bench.clean(&CleanOptions::default()).unwrap();
        assert!(cleaned.segments_after < cleaned.segments_before, "{cleaned:?}");
        let (_, seen) = read_everything(&self.bench.log(), Offset(0), 300);
        assert_eq!(seen.iter().map(|record| record.offset).collect::<Vec<_>>(), [0, 3, 6]);
        assert!(self.bench.log().closed_segments()[0].end_offset.0 >= 3, "three segments have become one");
        self.promise();
    }

    fn promised(&self, operations: usize) -> Promise {
        let at = self.promises.partition_point(|promise| promise.operations <= operations);
        self.promises[at.saturating_sub(1)]
    }

    fn check(&self, operations: usize, image: &Path, what: &str) {
        let promise = self.promised(operations);
        if !image.join("events-0").exists() {
            assert_eq!(promise.flushed, 0, "{what}: the partition is gone");
            return;
        }
        let options = super::LogDirOptions { clock: super::Clock::manual(promise.now_ms), ..super::manual_options() };
        let dir = super::LogDir::open(image, options).unwrap();
        let log = super::open_log(&dir, &small());
        let end = log.log_end_offset().0;
        assert!(end >= promise.flushed, "{what}: ends at {end}, promised {}", promise.flushed);
        let start = log.local_log_start_offset();
        let (headers, seen) = read_everything(&log, start, 300);
        let told = log.aborted_transactions(start, Offset(end)).unwrap();
        let mut by_key: BTreeMap<&[u8], &Seen> = BTreeMap::new();
        for record in &seen {
            assert_eq!(self.bench.written.get(&record.offset), Some(record), "{what}");
            match self.bench.aborted.get(&record.offset).filter(|marker| **marker < end) {
                None => drop(by_key.insert(record.key.as_deref().unwrap(), record)),
                Some(marker) => {
                    assert!(told.iter().any(|t| t.last_offset == *marker), "{what}: nobody tells of {record:?}");
                }
            }
        }
        let mut last: BTreeMap<&[u8], &Seen> = BTreeMap::new();
        for record in self.bench.written.range(start.0..end).map(|(_, record)| record) {
            if self.bench.aborted.get(&record.offset).is_none_or(|marker| *marker >= end) {
                last.insert(record.key.as_deref().unwrap(), record);
            }
        }
        for (key, record) in &last {
            match by_key.get(key) {
                Some(seen) => assert_eq!(seen, record, "{what}: an older record came back"),
                None => assert!(record.value.is_none(), "{what}: {record:?} is gone"),
            }
        }
        assert!(headers.is_sorted_by(|a, b| a.last_offset() < b.base_offset), "{what}");
        self.clean_again(&dir, &log, what);
    }

    /// The log goes on, and another cleaning leaves nothing that should have gone.
    fn clean_again(&self, dir: &Arc<super::LogDir>, log: &Arc<super::Log>, what: &str) {
        let left = |suffix: &str| {
            let names = std::fs::read_dir(log.path()).unwrap().map(|entry| entry.unwrap().file_name());
            names.filter(|name| name.to_str().unwrap().ends_with(suffix)).count()
        };
        assert_eq!((left(".swap"), left(".cleaned"), left(".deleted")), (0, 0, 0), "{what}");
        super::super::harness::append_as(log, &super::super::harness::batch(&[1], super::NOW_MS, 0), 9).unwrap();
        log.roll().unwrap();
        dir.sync_queued();
        let dirt = log.dirt(log.flushed().get()).unwrap();
        // Not beyond a transaction whose end the crash took.
        let cleaned = log.clean(&dirt, &CleanOptions::default(), &super::Pace::unlimited()).unwrap();
        let (_, seen) = read_everything(log, log.local_log_start_offset(), 300);
        let mut keys: Vec<_> =
            seen.iter().filter(|record| record.offset < cleaned.end_offset.0).map(|record| &record.key).collect();
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count, "{what}: a key has two records after another cleaning");
    }
}

fn crash_everywhere(story: &Story, seed: u64) {
    println!("seed {seed}: {} operations", story.disk.operations());
    for operations in 1..=story.disk.operations() {
        for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Torn(seed * 1000 + operations as u64)] {
            let image = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
            story.disk.build_image(story.bench.directory.path(), operations, unsynced, image.path());
            let described = story.disk.describe(operations);
            let what = format!("seed {seed}, {unsynced:?} after operation {operations}: {described}");
            story.check(operations, image.path(), &what);
        }
    }
}

#[test]
fn a_crash_at_every_operation_of_a_cleaning_loses_nothing() {
    for seed in [1, 4242] {
        let mut story = Story::new();
        story.run(seed);
        crash_everywhere(&story, seed);
    }
}

/// What goes in one round goes oldest first: a value that lost its tombstone would be there for ever.
#[test]
fn a_crash_between_the_removals_of_a_group_brings_no_older_value_back() {
    let mut story = Story::new();
    story.run_behind_a_cleaned_leader();
    crash_everywhere(&story, 1);
}
