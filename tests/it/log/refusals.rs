//! What a disk or the system refuses, and what goes on all the same.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use stratalog::log::{AppendError, Log, LogConfig, LogDir, LogDirOptions};
use stratalog::platform::disk::{Disk, DiskObserver, DiskOp, FileId};
use stratalog_types::Offset;

use super::harness::*;

const RECORDS: u64 = 60;

#[derive(Default)]
struct Refusing {
    read_only: AtomicBool,
}

impl DiskObserver for Refusing {
    fn file_id(&self, _: &Path) -> FileId {
        FileId::default()
    }

    fn before(&self, operation: DiskOp<'_>) -> io::Result<()> {
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
    let disk = Arc::new(Refusing::default());
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
