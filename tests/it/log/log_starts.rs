//! Log starts of many logs of one directory, moved side by side and together; a crash at every operation of it.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stratalog::log::{Error, Log, LogConfig, LogDir, LogDirOptions};
use stratalog::platform::disk::{Disk, DiskObserver, DiskOp, FileId};
use stratalog_types::{Offset, TopicPartition};

use super::crash_disk::{CrashDisk, Unsynced};
use super::harness::*;

const LOGS: i32 = 4;
const RECORDS: i64 = 6;

fn name(partition: i32) -> TopicPartition {
    TopicPartition::new("events", partition)
}

/// A batch has its segment to itself.
fn config() -> LogConfig {
    LogConfig { segment_bytes: 130, ..LogConfig::default() }
}

fn open(dir: &Arc<LogDir>, partition: i32) -> Arc<Log> {
    Log::open(dir, name(partition), topic_id(), config()).unwrap()
}

/// Logs with records and segments, all of it durable.
fn filled(path: &Path) {
    let dir = open_dir(path);
    for partition in 0..LOGS {
        let log = Log::create(&dir, name(partition), topic_id(), config()).unwrap();
        for value in 0..RECORDS {
            append(&log, &batch(&[value as u64], NOW_MS, 0)).unwrap();
        }
    }
    dir.close().unwrap();
}

/// A disk whose checkpoints of log starts take so long that callers meet.
struct Slow(Arc<CrashDisk>);

impl DiskObserver for Slow {
    fn file_id(&self, path: &Path) -> FileId {
        self.0.file_id(path)
    }

    fn before(&self, operation: DiskOp<'_>) -> io::Result<()> {
        if let DiskOp::Rename { to, .. } = operation
            && to.ends_with("log-start-offset-checkpoint")
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.0.before(operation)
    }
}

/// A log start that holds for every crash behind so many operations.
struct Promise {
    partition: i32,
    operations: usize,
    start: i64,
}

/// Moves log starts on a recording disk, and crashes it everywhere.
fn crash_everywhere(moves: impl Fn(&[Arc<Log>], &(dyn Fn(&Log) + Sync))) {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let disk = Arc::new(CrashDisk::of(directory.path()));
    let options = LogDirOptions { disk: Disk::observed(Arc::new(Slow(disk.clone()))), ..manual_options() };
    let dir = LogDir::open(directory.path(), options).unwrap();
    let logs: Vec<Arc<Log>> = (0..LOGS).map(|partition| open(&dir, partition)).collect();
    let promises: Mutex<Vec<Promise>> = Mutex::default();
    let before = disk.operations();
    let promise = |log: &Log| {
        let start = log.log_start_offset().0;
        let partition = log.topic_partition().partition.0;
        promises.lock().unwrap().push(Promise { partition, operations: disk.operations(), start });
    };
    moves(&logs, &promise);
    let promises = promises.into_inner().unwrap();
    assert!(promises.len() >= LOGS as usize);
    for operations in before..=disk.operations() {
        for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Torn(operations as u64)] {
            let image = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
            disk.build_image(directory.path(), operations, unsynced, image.path());
            let what = format!("{unsynced:?} after operation {operations}: {}", disk.describe(operations));
            let dir = open_dir(image.path());
            for partition in 0..LOGS {
                let log = open(&dir, partition);
                let of_this = promises.iter().filter(|promise| promise.partition == partition);
                let kept = of_this.filter(|promise| promise.operations <= operations).map(|promise| promise.start);
                let promised = kept.max().unwrap_or(0);
                let start = log.log_start_offset();
                assert!(
                    (promised..=RECORDS).contains(&start.0),
                    "{what}: {partition} starts at {start}, not {promised}"
                );
                assert_eq!(log.local_log_start_offset(), start, "{what}: {partition}");
                let expected: Vec<(i64, u64)> = (start.0..RECORDS).map(|at| (at, at as u64)).collect();
                assert_eq!(read_all(&log, start, 500), expected, "{what}: {partition}");
            }
        }
    }
}

#[test]
fn a_crash_between_log_starts_that_move_side_by_side_loses_none() {
    crash_everywhere(|logs, promise| {
        std::thread::scope(|scope| {
            for log in logs {
                scope.spawn(move || {
                    for start in [2, 4] {
                        log.set_log_start_offset(Offset(start)).unwrap();
                        promise(log);
                        log.delete_local_below(Offset(start)).unwrap();
                    }
                });
            }
        });
    });
}

#[test]
fn a_crash_between_log_starts_that_move_together_loses_none() {
    crash_everywhere(|logs, promise| {
        for round in [1, 2] {
            let start = |log: &Arc<Log>| Offset(round + i64::from(log.topic_partition().partition.0));
            let moves: Vec<(Arc<Log>, Offset)> = logs.iter().map(|log| (log.clone(), start(log))).collect();
            assert!(Log::advance_log_starts(&moves).is_empty());
            for log in logs {
                assert_eq!(log.log_start_offset(), start(log));
                promise(log);
                log.set_log_start_offset(start(log)).unwrap();
                log.delete_local_below(start(log)).unwrap();
                assert_eq!(log.leader_epochs()[0].start_offset, start(log));
            }
        }
    });
}

/// What one log cannot do is no reason for the others not to.
#[test]
fn log_starts_that_cannot_move_stay_and_hold_up_nobody() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let dir = open_dir(directory.path());
    let logs: Vec<Arc<Log>> = (0..4).map(|partition| open(&dir, partition)).collect();
    logs[3].set_log_start_offset(Offset(5)).unwrap();
    logs[2].delete().unwrap();
    let starts = [Offset(4), Offset(RECORDS + 1), Offset(4), Offset(4)];
    let moves: Vec<(Arc<Log>, Offset)> = logs.iter().cloned().zip(starts).collect();
    assert!(Log::advance_log_starts(&moves).is_empty());
    let found: Vec<i64> = logs.iter().map(|log| log.log_start_offset().0).collect();
    assert_eq!(found, [4, 0, 0, 5]);
    assert!(matches!(logs[1].set_log_start_offset(starts[1]), Err(Error::StartPastEnd { .. })));
    let text = std::fs::read_to_string(directory.path().join("log-start-offset-checkpoint")).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| line.starts_with("events")).collect();
    assert_eq!(lines, ["events 0 4", "events 3 5"], "{text:?}");
}

/// A disk that refuses the checkpoint of log starts, and lets somebody else act before.
struct Failing<F>(F);

impl<F: Fn() + Send + Sync> DiskObserver for Failing<F> {
    fn file_id(&self, _: &Path) -> FileId {
        FileId::default()
    }

    fn before(&self, operation: DiskOp<'_>) -> io::Result<()> {
        match operation {
            DiskOp::Rename { to, .. } if to.ends_with("log-start-offset-checkpoint") => {
                (self.0)();
                Err(io::Error::other("planted"))
            }
            _ => Ok(()),
        }
    }
}

/// While the log starts of one data directory are written, appends to another's logs go on; nor are its errors theirs.
#[test]
fn the_log_starts_of_one_directory_hold_up_no_append_to_another() {
    let (bad, good) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    filled(bad.path());
    filled(good.path());
    let well = open(&open_dir(good.path()), 0);
    let (appended, appending) = (Arc::new(AtomicBool::new(false)), Arc::clone(&well));
    let during = {
        let appended = Arc::clone(&appended);
        move || {
            let (log, appended) = (Arc::clone(&appending), Arc::clone(&appended));
            let thread = std::thread::spawn(move || {
                append(&log, &batch(&[RECORDS as u64], NOW_MS, 0)).unwrap();
                appended.store(true, Ordering::SeqCst);
            });
            let deadline = Instant::now() + Duration::from_secs(10);
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::yield_now();
            }
        }
    };
    let options = LogDirOptions { disk: Disk::observed(Arc::new(Failing(during))), ..manual_options() };
    let hurt = open(&LogDir::open(bad.path(), options).unwrap(), 0);
    let failed = Log::advance_log_starts(&[(hurt.clone(), Offset(4)), (well.clone(), Offset(4))]);
    assert!(appended.load(Ordering::SeqCst), "an append waited for another directory");
    assert_eq!((hurt.log_start_offset(), well.log_start_offset()), (Offset(0), Offset(4)));
    assert_eq!(failed.iter().map(|(dir, _)| dir.path()).collect::<Vec<_>>(), [bad.path()]);
    assert!(failed.iter().all(|(dir, _)| hurt.is_in(dir) && !well.is_in(dir)));
}
