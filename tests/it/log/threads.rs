//! The log with its own threads: syncs shared, waits woken, failures told.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use stratalog::log::{AppendError, Error, LogConfig, LogDir, LogDirOptions};
use stratalog::platform::disk::{Disk, DiskObserver, DiskOp, FileId};
use stratalog_types::{Offset, TopicPartition};

use super::harness::*;

/// Counts syncs, and refuses operations when told to.
#[derive(Default)]
struct FaultyDisk {
    syncs: AtomicU64,
    syncs_fail: AtomicBool,
    writes_find_no_space: AtomicBool,
}

impl DiskObserver for FaultyDisk {
    fn file_id(&self, _path: &Path) -> FileId {
        FileId(0)
    }

    fn before(&self, operation: DiskOp<'_>) -> io::Result<()> {
        match operation {
            DiskOp::Sync(_) => {
                self.syncs.fetch_add(1, Ordering::SeqCst);
                if self.syncs_fail.load(Ordering::SeqCst) {
                    return Err(io::Error::other("input/output error"));
                }
            }
            DiskOp::Write { .. } if self.writes_find_no_space.load(Ordering::SeqCst) => {
                return Err(io::ErrorKind::StorageFull.into());
            }
            _ => {}
        }
        Ok(())
    }
}

fn open(path: &Path, disk: &Arc<FaultyDisk>) -> Arc<LogDir> {
    let options = LogDirOptions { disk: Disk::observed(disk.clone()), ..LogDirOptions::default() };
    LogDir::open(path, options).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_producers_of_many_partitions_share_syncs_and_all_are_told() {
    const PRODUCERS: u64 = 32;
    const ROUNDS: u64 = 50;
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let dir = open(directory.path(), &disk);
    let logs: Vec<_> = (0..4)
        .map(|partition| {
            let partition = TopicPartition::new("shared", partition);
            stratalog::log::Log::create(&dir, partition, topic_id(), LogConfig::default()).unwrap()
        })
        .collect();
    let syncs_before = disk.syncs.load(Ordering::SeqCst);
    let mut producers = Vec::new();
    for producer in 0..PRODUCERS {
        let log = logs[producer as usize % logs.len()].clone();
        producers.push(tokio::spawn(async move {
            for round in 0..ROUNDS {
                let appended = append(&log, &batch(&[producer * 1000 + round], NOW_MS, 0)).unwrap();
                log.flushed().wait_for(appended.last_offset.next()).await.unwrap();
            }
        }));
    }
    for producer in producers {
        producer.await.unwrap();
    }
    let syncs = disk.syncs.load(Ordering::SeqCst) - syncs_before;
    assert!(syncs < PRODUCERS * ROUNDS, "{syncs} syncs for {} appends: none was shared", PRODUCERS * ROUNDS);
    for log in &logs {
        assert_eq!(log.flushed().get(), log.log_end_offset());
        assert_eq!(log.flushed().waiting(), 0);
        let mut values: Vec<u64> = read_all(log, Offset(0), 1 << 20).into_iter().map(|(_, value)| value).collect();
        values.sort_unstable();
        values.dedup();
        assert_eq!(values.len() as u64, PRODUCERS / logs.len() as u64 * ROUNDS);
    }
    dir.close().unwrap();
}

#[tokio::test]
async fn a_failed_sync_takes_the_directory_offline_and_is_not_retried() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let dir = open(directory.path(), &disk);
    let log = open_log(&dir, &LogConfig::default());
    let told = Arc::new(AtomicBool::new(false));
    let hears = told.clone();
    dir.on_offline(Box::new(move |_| hears.store(true, Ordering::SeqCst)));
    let good = append(&log, &batch(&[1], NOW_MS, 0)).unwrap();
    log.flushed().wait_for(good.last_offset.next()).await.unwrap();
    disk.syncs_fail.store(true, Ordering::SeqCst);
    let lost = append(&log, &batch(&[2], NOW_MS, 0)).unwrap();
    assert!(log.flushed().wait_for(lost.last_offset.next()).await.is_err());
    disk.syncs_fail.store(false, Ordering::SeqCst);
    let syncs = disk.syncs.load(Ordering::SeqCst);
    assert!(matches!(append(&log, &batch(&[3], NOW_MS, 0)), Err(AppendError::Offline(_))));
    assert!(matches!(dir.close(), Err(Error::Offline { .. })));
    assert!(dir.offline().is_some() && told.load(Ordering::SeqCst));
    assert_eq!(disk.syncs.load(Ordering::SeqCst), syncs);
    assert_eq!(log.flushed().get(), Offset(1));
    assert!(!directory.path().join(".kafka_cleanshutdown").exists());
}

#[test]
fn a_full_disk_refuses_the_append_and_the_next_one_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let dir = open(directory.path(), &disk);
    let log = open_log(&dir, &LogConfig { segment_bytes: 200, ..LogConfig::default() });
    append(&log, &idempotent(&[1], (5, 0, 0))).unwrap();
    disk.writes_find_no_space.store(true, Ordering::SeqCst);
    // The second needs a new segment, whose producer snapshot finds no space.
    for _ in 0..2 {
        assert!(matches!(append(&log, &idempotent(&[2, 3, 4], (5, 0, 1))), Err(AppendError::StorageFull)));
    }
    disk.writes_find_no_space.store(false, Ordering::SeqCst);
    let appended = append(&log, &idempotent(&[2, 3, 4], (5, 0, 1))).unwrap();
    assert!(!appended.duplicate);
    assert_eq!(read_all(&log, Offset(0), 1000), [(0, 1), (1, 2), (2, 3), (3, 4)]);
    assert!(dir.offline().is_none());
}

#[test]
fn with_a_larger_flush_messages_only_every_so_many_records_start_a_sync() {
    let directory = tempfile::tempdir().unwrap();
    let dir = open_dir(directory.path());
    let log = open_log(&dir, &LogConfig { flush_messages: 4, ..LogConfig::default() });
    for value in 0..3 {
        append(&log, &batch(&[value], NOW_MS, 0)).unwrap();
        dir.sync_queued();
        assert_eq!(log.flushed().get(), Offset(0));
    }
    append(&log, &batch(&[3], NOW_MS, 0)).unwrap();
    dir.sync_queued();
    assert_eq!(log.flushed().get(), Offset(4));
    append(&log, &batch(&[4], NOW_MS, 0)).unwrap();
    log.flush();
    dir.sync_queued();
    assert_eq!(log.flushed().get(), Offset(5));
}

#[tokio::test]
async fn what_a_recovery_found_is_synced_when_the_start_is_over() {
    let directory = tempfile::tempdir().unwrap();
    {
        let dir = open_dir(directory.path());
        append(&open_log(&dir, &LogConfig::default()), &batch(&[1, 2], NOW_MS, 0)).unwrap();
    }
    let dir =
        LogDir::open(directory.path(), LogDirOptions { sync_threads_max: 1, ..LogDirOptions::default() }).unwrap();
    let held = dir.hold_recovered_syncs();
    let log = open_log(&dir, &LogConfig::default());
    // The sync of another log that was asked for later is over: this one's would be, or have begun.
    let other = stratalog::log::Log::create(&dir, TopicPartition::new("other", 0), topic_id(), LogConfig::default());
    let other = other.unwrap();
    let appended = append(&other, &batch(&[3], NOW_MS, 0)).unwrap();
    other.flushed().wait_for(appended.last_offset.next()).await.unwrap();
    assert_eq!(log.flushed().get(), Offset(0));
    drop(held);
    log.flushed().wait_for(Offset(2)).await.unwrap();
    assert_eq!(read_all(&log, Offset(0), 1000), [(0, 1), (1, 2)]);
    dir.close().unwrap();
}
