//! What a disk or the system refuses, and what goes on all the same.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use rustix::io::Errno;
use stratalog::log::{AppendError, CleanOptions, Log, LogConfig, LogDir, LogDirOptions};
use stratalog::platform::disk::{Disk, DiskObserver, DiskOp, FileId};
use stratalog_protocol::records::CodecId;
use stratalog_types::Offset;

use super::compaction::{self, Bench, record};
use super::harness::*;

const RECORDS: u64 = 60;

#[derive(Default)]
struct Refusing {
    read_only: AtomicBool,
    /// Opens until one is refused; below 0 none is.
    opens_left: AtomicI64,
}

impl Refusing {
    fn nothing() -> Arc<Refusing> {
        Arc::new(Refusing { opens_left: AtomicI64::new(-1), ..Refusing::default() })
    }

    /// The open after `count` others is refused, once.
    fn refuse_open_after(&self, count: i64) {
        self.opens_left.store(count, Ordering::SeqCst);
    }

    fn has_refused_an_open(&self) -> bool {
        self.opens_left.load(Ordering::SeqCst) < 0
    }
}

impl DiskObserver for Refusing {
    fn file_id(&self, _: &Path) -> FileId {
        FileId::default()
    }

    fn before(&self, operation: DiskOp<'_>) -> io::Result<()> {
        // A directory is opened to be synced.
        let opens = matches!(operation, DiskOp::Create(_) | DiskOp::OpenToWrite(_) | DiskOp::SyncDirectory(_));
        if opens && self.opens_left.fetch_sub(1, Ordering::SeqCst) == 0 {
            return Err(Errno::MFILE.into());
        }
        // What is synced on a disk that is read-only was not changed since.
        let changes = !matches!(operation, DiskOp::Sync(_) | DiskOp::SyncDirectory(_));
        if changes && self.read_only.load(Ordering::SeqCst) { Err(Errno::ROFS.into()) } else { Ok(()) }
    }
}

fn config() -> LogConfig {
    LogConfig { segment_bytes: 1000, index_interval_bytes: 100, file_delete_delay_ms: 0, ..LogConfig::default() }
}

fn open_on(path: &Path, disk: &Arc<Refusing>) -> Arc<LogDir> {
    LogDir::open(path, LogDirOptions { disk: Disk::observed(disk.clone()), ..manual_options() }).unwrap()
}

fn add(log: &Log) -> Result<(), AppendError> {
    let next = log.log_end_offset().0;
    append(log, &batch(&[next as u64], NOW_MS + next, 50)).map(drop)
}

fn expected(records: u64) -> Vec<(i64, u64)> {
    (0..records).map(|value| (value as i64, value)).collect()
}

#[test]
fn a_disk_that_became_read_only_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Refusing::nothing();
    let path = {
        let dir = open_on(directory.path(), &disk);
        let log = open_log(&dir, &config());
        (0..RECORDS).for_each(|_| add(&log).unwrap());
        dir.close().unwrap();
        log.path().to_owned()
    };
    let dir = open_on(directory.path(), &disk);
    let log = open_log(&dir, &config());
    // One of the indexes is to be made anew.
    let index = path.join("00000000000000000000.index");
    std::fs::remove_file(&index).unwrap();
    disk.read_only.store(true, Ordering::SeqCst);
    assert_eq!(read_all(&log, Offset(0), 300), expected(RECORDS));
    assert_eq!(log.offset_for_timestamp(NOW_MS + 5).unwrap().unwrap().offset, Offset(5));
    assert_eq!(log.max_timestamp_offset(log.log_end_offset()).unwrap().unwrap().offset, Offset(RECORDS as i64 - 1));
    assert!(log.closed_segments().len() > 3);
    assert!(!index.exists());
    assert_eq!(log.damaged_until(), None);
    let refused = add(&log);
    assert!(matches!(refused, Err(AppendError::Offline(_))), "{refused:?}");
    assert_eq!(read_all(&log, Offset(0), 300), expected(RECORDS));
}

/// Each file that a roll opens, and the directory that is synced after it.
#[test]
fn too_many_open_files_take_no_directory_offline() {
    let mut refusals = 0;
    for count in 0.. {
        let directory = tempfile::tempdir().unwrap();
        let disk = Refusing::nothing();
        let dir = open_on(directory.path(), &disk);
        let log = open_log(&dir, &config());
        add(&log).unwrap();
        dir.sync_queued();
        disk.refuse_open_after(count);
        let mut refused = 0;
        while log.closed_segments().len() < 2 {
            match add(&log) {
                Ok(()) => {}
                Err(AppendError::TooManyOpenFiles) => refused += 1,
                Err(error) => panic!("open {count}: {error}"),
            }
            dir.sync_queued();
        }
        assert_eq!(dir.offline(), None, "open {count}");
        let end = log.log_end_offset();
        assert_eq!(log.flushed().get(), end, "open {count}");
        assert_eq!(read_all(&log, Offset(0), 300), expected(end.0 as u64), "open {count}");
        let was_refused = disk.has_refused_an_open();
        drop((log, dir));
        let dir = open_on(directory.path(), &Refusing::nothing());
        let log = open_log(&dir, &config());
        assert_eq!(read_all(&log, Offset(0), 300), expected(end.0 as u64), "open {count}, after a crash");
        refusals += refused;
        if !was_refused {
            break;
        }
    }
    // Two rolls: two indexes, a snapshot and three files of a segment each.
    assert_eq!(refusals, 12);
}

/// A batch that was refused is not remembered as one that is there.
#[test]
fn a_batch_that_met_too_many_open_files_is_appended_when_it_comes_again() {
    for count in 0..6 {
        let directory = tempfile::tempdir().unwrap();
        let disk = Refusing::nothing();
        let dir = open_on(directory.path(), &disk);
        let log = open_log(&dir, &config());
        let mut sequence = 0;
        let mut next = || {
            let batch = idempotent(&[sequence as u64], (5, 0, sequence));
            sequence += 1;
            batch
        };
        while log.closed_segments().is_empty() {
            let batch = next();
            disk.refuse_open_after(count);
            let appended = append(&log, &batch);
            disk.refuse_open_after(-1);
            match appended {
                Ok(_) => {}
                Err(AppendError::TooManyOpenFiles) => assert!(!append(&log, &batch).unwrap().duplicate),
                Err(error) => panic!("open {count}: {error}"),
            }
        }
        assert_eq!(read_all(&log, Offset(0), 300), expected(sequence as u64), "open {count}");
    }
}

/// Each directory that a swap syncs after it was decided.
#[test]
fn a_swap_waits_for_its_directory() {
    let mut completed = 0;
    for count in 0.. {
        let disk = Refusing::nothing();
        let mut bench = Bench::on(compaction::config(), Disk::observed(disk.clone()));
        for at in 0..60i64 {
            let key = [u8::try_from(at % 3).unwrap()];
            bench.append(&[record(&key, Some(b"a value of some length"), NOW_MS + at)], CodecId::NONE, None, false);
        }
        bench.log().roll().unwrap();
        bench.dir().sync_queued();
        disk.refuse_open_after(count);
        let cleaned = bench.clean(&CleanOptions::default());
        let refused = disk.has_refused_an_open();
        disk.refuse_open_after(-1);
        assert_eq!(bench.dir().offline(), None, "open {count}");
        if cleaned.is_err() {
            bench.clean(&CleanOptions::default()).unwrap();
        } else if refused {
            completed += 1;
        }
        let expected: Vec<_> = bench.expected(i64::MAX).into_values().collect();
        for _ in 0..2 {
            assert_eq!(compaction::read_everything(&bench.log(), Offset(0), 700).1, expected, "open {count}");
            bench.reopen();
        }
        if !refused {
            break;
        }
    }
    assert!(completed >= 3, "{completed}");
}

/// A deletion is over when its renames are durable: also for who comes again and finds nothing to rename.
#[test]
fn a_deletion_whose_sync_failed_is_not_over() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Refusing::nothing();
    let dir = open_on(directory.path(), &disk);
    let log = open_log(&dir, &config());
    add(&log).unwrap();
    disk.refuse_open_after(0);
    log.delete().unwrap_err();
    assert!(dir.partitions_on_disk().unwrap().is_empty());
    disk.refuse_open_after(0);
    dir.remove_partitions(&[]).unwrap_err();
    dir.remove_partitions(&[]).unwrap();
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_str().unwrap().ends_with("-delete")), "{left:?}");
    // Nothing is owed any more.
    disk.refuse_open_after(0);
    dir.remove_partitions(&[]).unwrap();
    assert!(!disk.has_refused_an_open());
}
