//! A disk without a free block: what makes room needs some, and has it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use stratalog::log::{CleanError, CleanOptions, Error, Log, LogConfig, LogDir, LogDirOptions};
use stratalog::platform::disk::{Disk, DiskObserver, DiskOp, FileId};
use stratalog_protocol::records::CodecId;
use stratalog_types::Offset;

use super::compaction::{self, Bench, record};
use super::harness::*;

const SPARE: &str = "spare-room";

/// No file can be made, until one is removed.
#[derive(Default)]
struct Full(AtomicBool);

impl DiskObserver for Full {
    fn file_id(&self, _: &Path) -> FileId {
        FileId::default()
    }

    fn before(&self, operation: DiskOp<'_>) -> io::Result<()> {
        match operation {
            DiskOp::Create(_) if self.0.load(Ordering::SeqCst) => Err(Errno::NOSPC.into()),
            DiskOp::Unlink(_) => {
                self.0.store(false, Ordering::SeqCst);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Full {
    fn fill(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A batch has its segment to itself; a file that goes out of use keeps its room for an hour.
fn config() -> LogConfig {
    LogConfig { segment_bytes: 130, file_delete_delay_ms: 3_600_000, ..LogConfig::default() }
}

fn bench() -> (tempfile::TempDir, Arc<Full>, Arc<LogDir>, Arc<Log>) {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(Full::default());
    let options = LogDirOptions { disk: Disk::observed(disk.clone()), ..manual_options() };
    let dir = LogDir::open(directory.path(), options).unwrap();
    let log = open_log(&dir, &config());
    for value in 0..6 {
        append_as(&log, &batch(&[value], NOW_MS, 0), 1 + value as i32 / 2).unwrap();
    }
    dir.sync_queued();
    (directory, disk, dir, log)
}

fn segments(log: &Log) -> usize {
    let entries = std::fs::read_dir(log.path()).unwrap().map(|entry| entry.unwrap().file_name());
    // Also those that wait for their removal.
    entries.filter(|name| name.to_str().unwrap().contains(".log")).count()
}

#[test]
fn on_a_full_disk_the_log_start_moves_and_segments_go_at_once() {
    let (directory, disk, dir, log) = bench();
    let spare = directory.path().join(SPARE);
    disk.fill();
    let refused = log.set_log_start_offset(Offset(2));
    assert!(matches!(refused, Err(Error::StorageFull { .. })), "nothing was kept: {refused:?}");
    dir.keep_spare();
    assert!(!spare.exists(), "no room for it");

    disk.0.store(false, Ordering::SeqCst);
    dir.keep_spare();
    assert_eq!(spare.metadata().unwrap().len(), 1 << 20);
    disk.fill();
    dir.keep_spare();
    log.set_log_start_offset(Offset(2)).unwrap();
    assert!(!spare.exists());
    log.delete_local_below(Offset(2)).unwrap();
    assert_eq!((log.log_start_offset(), segments(&log)), (Offset(2), 4));

    // Again, with many logs together; and what was kept is found by the next start.
    dir.keep_spare();
    drop((log, dir));
    let dir = LogDir::open(directory.path(), LogDirOptions { disk: Disk::observed(disk.clone()), ..manual_options() });
    let (dir, log) = dir.map(|dir| (dir.clone(), open_log(&dir, &config()))).unwrap();
    dir.keep_spare();
    disk.fill();
    assert!(Log::advance_log_starts(&[(log.clone(), Offset(4))]).is_empty());
    assert!(!spare.exists());
    log.set_log_start_offset(Offset(4)).unwrap();
    log.delete_local_below(Offset(4)).unwrap();
    assert_eq!((log.log_start_offset(), segments(&log)), (Offset(4), 2));
    assert_eq!(log.leader_epochs().len(), 1);
}

#[test]
fn a_first_eviction_and_a_deletion_need_no_other_room() {
    let (directory, disk, dir, log) = bench();
    dir.keep_spare();
    disk.fill();
    assert!(log.delete_local_below(Offset(3)).unwrap() > 0);
    assert_eq!((segments(&log), log.log_start_offset()), (3, Offset(0)));
    dir.keep_spare();
    disk.fill();
    log.delete().unwrap();
    dir.remove_due();
    drop((log, dir));
    assert!(!std::fs::read_dir(directory.path()).unwrap().any(|entry| entry.unwrap().path().is_dir()));
}

/// A copy of a log must not take what producers may not.
#[test]
fn nothing_is_compacted_into_the_reserve() {
    let mut bench = Bench::new(LogConfig { may_have_holes: true, ..compaction::config() });
    for round in 0..40u8 {
        bench.append(&[record(&[round % 3], Some(&[round; 40]), NOW_MS)], CodecId::NONE, None, false);
    }
    bench.log().roll().unwrap();
    bench.dir().sync_queued();
    bench.open = None;
    let options = LogDirOptions { reserve_bytes: u64::MAX, ..manual_options() };
    let dir = LogDir::open(bench.directory.path(), options).unwrap();
    let log = open_log(&dir, &bench.config);
    bench.open = Some((dir, log.clone()));
    let before = segments(&log);
    let cleaned = bench.clean(&CleanOptions::default());
    assert!(matches!(cleaned, Err(CleanError::Stopped)), "{cleaned:?}");
    assert_eq!(segments(&log), before);
    assert!(!log.may_be_copied());
    drop(log);
    bench.reopen();
    bench.clean(&CleanOptions::default()).unwrap();
}

/// Where only the active segment is left, it has to be closed before it may go.
#[test]
fn the_active_segment_is_closed_on_a_full_disk() {
    let (_directory, disk, dir, log) = bench();
    dir.keep_spare();
    let end = log.log_end_offset();
    disk.fill();
    assert_eq!(log.roll().unwrap(), end);
    log.set_log_start_offset(end).unwrap();
    log.delete_local_below(end).unwrap();
    assert_eq!(log.local_log_start_offset(), end);
}
