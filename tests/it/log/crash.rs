//! A crash at every operation of append, roll, sync, checkpoint, eviction and clean stop; then the log against a `Vec`.

mod retention;

use std::path::Path;
use std::sync::Arc;

use stratalog::clock::Clock;
use stratalog::log::{Log, LogConfig, LogDir, LogDirOptions, Origin};
use stratalog::platform::disk::Disk;
use stratalog_protocol::records::{BatchHeader, EndTransactionMarker};
use stratalog_types::{LeaderEpoch, Offset};

use super::crash_disk::{CrashDisk, Dice, Unsynced};
use super::harness::*;

const PRODUCER: i64 = 42;
const SESSIONS: i32 = 4;

/// What had been promised after an operation.
#[derive(Debug, Clone, Copy, Default)]
struct Promise {
    operations: usize,
    flushed: i64,
    log_start: i64,
    /// The log start that was being written, if one was.
    log_start_attempted: i64,
    /// Up to where segments were being removed, if any were.
    evicted_attempted: i64,
    records: usize,
    last_batch: Option<(u64, i32, i64)>,
}

/// A run of the log on a recording disk, with what it promised on the way.
struct Story {
    disk: Arc<CrashDisk>,
    directory: tempfile::TempDir,
    clock: Clock,
    config: LogConfig,
    /// The value at each offset; `None`: a control record.
    model: Vec<Option<u64>>,
    promises: Vec<Promise>,
    sequence: i32,
    now: Promise,
}

fn config() -> LogConfig {
    LogConfig { segment_bytes: 700, index_interval_bytes: 100, ..LogConfig::default() }
}

impl Story {
    fn new() -> Story {
        let disk = Arc::new(CrashDisk::default());
        Story {
            disk,
            directory: tempfile::tempdir().unwrap(),
            clock: Clock::manual(NOW_MS),
            config: config(),
            model: Vec::new(),
            promises: vec![Promise::default()],
            sequence: 0,
            now: Promise::default(),
        }
    }

    fn open(&self) -> (Arc<LogDir>, Arc<Log>) {
        let (clock, disk) = (self.clock.clone(), Disk::observed(self.disk.clone()));
        let dir = LogDir::open(self.directory.path(), LogDirOptions { disk, clock, ..manual_options() }).unwrap();
        let log = open_log(&dir, &self.config);
        (dir, log)
    }

    fn promise(&mut self, log: &Log) {
        self.now.flushed = log.flushed().get().0;
        self.now.operations = self.disk.operations();
        self.now.records = self.model.len();
        self.promises.push(self.now);
    }

    fn append(&mut self, log: &Log, records: u64, epoch: i32) {
        let values: Vec<u64> = (0..records).map(|at| self.model.len() as u64 * 10 + at).collect();
        let appended = append_as(log, &idempotent(&values, (PRODUCER, 0, self.sequence)), epoch).unwrap();
        assert_eq!(appended.base_offset.0 as usize, self.model.len());
        if records == 1 {
            self.now.last_batch = Some((values[0], self.sequence, appended.base_offset.0));
        } else {
            self.now.last_batch = None;
        }
        self.model.extend(values.into_iter().map(Some));
        self.sequence += records as i32;
        self.promise(log);
    }

    fn abort_a_transaction(&mut self, log: &Log) {
        let value = self.model.len() as u64;
        let producer_id = 1000 + value as i64;
        append(log, &transactional(&[value], (producer_id, 0, 0))).unwrap();
        self.model.push(Some(value));
        self.promise(log);
        let marker = EndTransactionMarker { committed: false, coordinator_epoch: 3 };
        let batch = marker.batch(0, NOW_MS, producer_id, 0, 1).unwrap();
        let header = BatchHeader::decode(&batch).unwrap();
        let origin = Origin::EndTransaction { epoch_must_rise: false };
        log.append(&batch, header, LeaderEpoch(1), origin).unwrap();
        self.model.push(None);
        self.now.last_batch = None;
        self.promise(log);
    }

    fn sync(&mut self, dir: &LogDir, log: &Log) {
        dir.sync_queued();
        self.promise(log);
    }

    fn move_log_start(&mut self, log: &Log, start: i64) {
        self.now.log_start_attempted = self.now.log_start.max(start);
        self.promise(log);
        log.set_log_start_offset(Offset(start)).unwrap();
        self.now.log_start = self.now.log_start_attempted;
        self.promise(log);
    }

    fn evict(&mut self, log: &Log, below: i64) {
        self.now.evicted_attempted = self.now.evicted_attempted.max(below);
        self.promise(log);
        log.delete_local_below(Offset(below)).unwrap();
        self.promise(log);
    }

    fn run(&mut self, seed: u64) {
        let mut dice = Dice(seed);
        for session in 0..SESSIONS {
            let (dir, log) = self.open();
            assert_eq!(log.log_end_offset().0 as usize, self.model.len());
            for _ in 0..12 {
                match dice.below(10) {
                    0..=4 => {
                        let records = 1 + dice.below(3);
                        self.append(&log, records, 1 + session);
                        if dice.below(2) == 0 {
                            self.sync(&dir, &log);
                        }
                    }
                    5 => self.abort_a_transaction(&log),
                    6 => {
                        log.roll().unwrap();
                        self.promise(&log);
                    }
                    7 => dir.checkpoint_recovery_points().unwrap(),
                    8 => {
                        let start = log.flushed().get().0 - dice.below(5) as i64;
                        self.move_log_start(&log, start);
                    }
                    _ => self.evict(&log, log.log_start_offset().0),
                }
            }
            match dice.below(3) {
                _ if session == SESSIONS - 1 => self.sync(&dir, &log),
                // The process ends, and the system has what it wrote: names and bytes that nobody had synced.
                0 => {}
                // Of a new segment nothing but the name, which looks as good to the next start as a synced one.
                1 => {
                    self.sync(&dir, &log);
                    dir.checkpoint_recovery_points().unwrap();
                    log.roll().unwrap();
                    self.promise(&log);
                }
                // A clean stop syncs that.
                _ => {
                    dir.close().unwrap();
                    self.promise(&log);
                }
            }
        }
    }

    /// The promise in force when the first `operations` had been done, and what may have been attempted since.
    fn promised(&self, operations: usize) -> (Promise, Promise) {
        let at = self.promises.partition_point(|promise| promise.operations <= operations);
        let before = self.promises[at - 1];
        (before, *self.promises.get(at).unwrap_or(&before))
    }

    fn check(&self, operations: usize, unsynced: Unsynced, image: &Path, what: &str) {
        let (promise, attempted) = self.promised(operations);
        let dir = open_dir(image);
        if !dir.contains(&partition()) {
            assert_eq!(promise.flushed, 0, "{what}: the partition is gone");
            return;
        }
        let log = open_log(&dir, &config());
        let end = log.log_end_offset().0;
        let start = log.log_start_offset().0;
        assert!(end >= promise.flushed, "{what}: ends at {end}, promised {}", promise.flushed);
        assert!(end as usize <= attempted.records, "{what}: ends at {end}, {} were written", attempted.records);
        let starts = promise.log_start..=promise.log_start_attempted.max(attempted.log_start_attempted);
        assert!(starts.contains(&start), "{what}: starts at {start}, promised {starts:?}");
        assert_eq!(log.flushed().get().0, end, "{what}");
        let local = log.local_log_start_offset();
        let evicted = promise.evicted_attempted.max(attempted.evicted_attempted);
        assert!(local.0 <= evicted.max(start), "{what}: local start {local}");
        let expected: Vec<(i64, u64)> =
            (local.0..end).filter_map(|offset| self.model[offset as usize].map(|value| (offset, value))).collect();
        assert_eq!(read_all(&log, local, 300), expected, "{what}");
        let aborted = log.aborted_transactions(local, Offset(end)).unwrap();
        let markers = (local.0..end).filter(|offset| self.model[*offset as usize].is_none()).count();
        assert_eq!(aborted.len(), markers, "{what}: {aborted:?}");
        if let Some((value, sequence, offset)) = promise.last_batch.filter(|(_, _, offset)| *offset < end) {
            let is_last_of_log = attempted.last_batch.is_some_and(|(_, last, _)| last == sequence);
            if is_last_of_log && offset >= local.0 {
                let retry = append(&log, &idempotent(&[value], (PRODUCER, 0, sequence))).unwrap();
                assert!(retry.duplicate && retry.base_offset.0 == offset, "{what}: retry got {retry:?}");
            }
        }
        let after = append_as(&log, &batch(&[77], NOW_MS, 0), 9).unwrap();
        assert_eq!(after.base_offset.0, end, "{what}");
        dir.close().unwrap();
        drop((log, dir));
        let dir = open_dir(image);
        let log = open_log(&dir, &config());
        assert!(dir.was_clean() && !log.was_unclean(), "{what}");
        assert_eq!(log.log_end_offset().0, end + 1, "{what}");
        assert_eq!(read_all(&log, Offset(end), 300), [(end, 77)], "{what}");
        let _ = unsynced;
    }
}

/// In memory where the system has a place for it: what is tested is the recorded disk, not this one's speed.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn crash_everywhere(seed: u64, story: &Story, check: impl Fn(usize, Unsynced, &Path, &str)) {
    println!("seed {seed}: {} operations", story.disk.operations());
    for operations in 1..=story.disk.operations() {
        for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Torn(seed * 1000 + operations as u64)] {
            let image = scratch();
            story.disk.build_image(story.directory.path(), operations, unsynced, image.path());
            let what =
                format!("seed {seed}, {unsynced:?} after operation {operations}: {}", story.disk.describe(operations));
            check(operations, unsynced, image.path(), &what);
        }
    }
}

#[test]
fn a_crash_at_every_operation_keeps_what_was_promised() {
    for seed in 1..=6 {
        let mut story = Story::new();
        story.run(seed);
        crash_everywhere(seed, &story, |at, unsynced, image, what| story.check(at, unsynced, image, what));
    }
}

/// A process that ends between the creation of a partition and the sync of its name, then a start, then a power cut.
#[test]
fn a_start_makes_the_names_of_partitions_durable() {
    let root = scratch();
    let recorded = Arc::new(CrashDisk::default());
    let disk = Disk::observed(recorded.clone());
    let open = || LogDir::open(root.path(), LogDirOptions { disk: disk.clone(), ..manual_options() }).unwrap();
    drop(open());
    disk.create_directory(&root.path().join("events-0")).unwrap();
    drop(open());
    let image = scratch();
    recorded.build_image(root.path(), recorded.operations(), Unsynced::Lost, image.path());
    assert!(image.path().join("events-0").exists());
}
