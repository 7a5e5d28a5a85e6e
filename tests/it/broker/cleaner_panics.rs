//! A cleaning that panics is that log's matter.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stratalog::clock::Clock;
use stratalog::platform::disk::{Disk, DiskObserver, DiskOp, FileId};

use super::cleaner::{
    COMPACT, KEYS, NOW_MS, RECORDS, clean_all, cleaner, close_segment, last_of, partition, seen, start_on, write,
};
use super::{client, topic};

/// Panics where a segment of the topic `bad` is cleaned.
struct Trap {
    is_set: AtomicBool,
}

impl DiskObserver for Trap {
    fn file_id(&self, _: &Path) -> FileId {
        FileId::default()
    }

    fn before(&self, operation: DiskOp<'_>) -> io::Result<()> {
        if let DiskOp::Create(path) = operation
            && path.to_string_lossy().ends_with("bad-0/00000000000000000000.log.cleaned")
        {
            assert!(!self.is_set.load(Ordering::SeqCst), "the trap of this test");
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_whose_cleaning_panics_is_set_aside_and_cleaned_when_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(NOW_MS);
    let trap = Arc::new(Trap { is_set: AtomicBool::new(true) });
    let running = start_on(dir.path(), &clock, Disk::observed(trap.clone())).await;
    let mut one = client(&running);
    for name in ["bad", "good"] {
        one.create_topic(&topic(name, COMPACT), false).await.unwrap();
        write(&mut one, name, 0..RECORDS, KEYS, NOW_MS).await;
        close_segment(&partition(&running, name)).await;
    }
    let cleaner = cleaner(&running);
    // The same thread goes on with the other log.
    assert_eq!(clean_all(&cleaner).await, 2);
    let metrics = running.node.metrics.clone();
    assert_eq!((metrics.log_cleaner_runs.get(), metrics.log_cleaner_uncleanable_partitions.get()), (1, 1));
    assert_eq!(seen(&mut one, "good", 0, RECORDS).await, last_of(0..RECORDS, KEYS));
    assert_eq!(seen(&mut one, "bad", 0, RECORDS).await.len() as i64, RECORDS);

    trap.is_set.store(false, Ordering::SeqCst);
    write(&mut one, "bad", RECORDS..2 * RECORDS, KEYS, NOW_MS).await;
    close_segment(&partition(&running, "bad")).await;
    assert_eq!(clean_all(&cleaner).await, 1);
    assert_eq!(metrics.log_cleaner_uncleanable_partitions.get(), 0);
    assert_eq!(seen(&mut one, "bad", 0, 2 * RECORDS).await, last_of(RECORDS..2 * RECORDS, KEYS));
    running.stop().await.unwrap();
}
