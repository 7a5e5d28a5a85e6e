use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use super::index::{Entry, TimeEntry, check_all};
use super::{FileCache, Indexes, Segment};
use crate::log::names;
use crate::log::scan::ScanError;
use crate::log::transactions::{self, AbortedTransaction};
use crate::metrics::Metrics;
use crate::platform::disk::Disk;
use crate::platform::read_lock;

fn file_cache(disk: Disk) -> Arc<FileCache> {
    Arc::new(FileCache::new(disk, 10, Arc::new(Metrics::new())))
}

/// 10,000 partitions of 24 closed segments each are in memory, and none of them is asked for its entries.
#[test]
fn a_sealed_segment_keeps_no_entries_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let (segment, _) = Segment::create(&file_cache(Disk::default()), directory.path(), 0).unwrap();
    for at in 0..1000 {
        let wants_flush = segment.with_tail(|tail, indexes| {
            indexes.note_timestamp(at, at);
            indexes.push_offset(0, at, at as u64 * 100);
            indexes.push_time(0);
            (tail.size_bytes, tail.next_offset) = ((at as u64 + 1) * 100, at + 1);
            indexes.offsets.wants_flush()
        });
        if wants_flush.unwrap() {
            segment.flush_indexes(false).unwrap();
        }
    }
    let memory_bytes = || read_lock(&segment.tail).indexes.as_ref().map(Indexes::memory_bytes);
    assert!(memory_bytes() > Some(1000), "those that wait for the next flush");
    segment.seal_indexes().unwrap();
    assert_eq!(memory_bytes(), Some(0));
    assert_eq!(segment.index_entries().unwrap(), (1000, 1000));
    assert_eq!(segment.position_floor(700).unwrap(), 70_000);
}

#[test]
fn an_index_is_checked_piece_by_piece_and_an_absurd_one_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let file = Disk::default().create(&directory.path().join("index")).unwrap();
    let entry = |at: u32| TimeEntry { timestamp: i64::from(at), relative_offset: at };
    let rises = |before: &TimeEntry, after: &TimeEntry| before.timestamp < after.timestamp;
    let mut bytes = Vec::new();
    (0..20_000).for_each(|at| entry(at).encode(&mut bytes));
    file.write_at(&bytes, 0).unwrap();
    assert_eq!(check_all(&file, 20_000, rises).unwrap(), Some((20_000, Some(entry(19_999)))));
    assert_eq!(check_all(&file, 19_999, rises).unwrap(), None);
    for at in [0, 1, 5460, 5461, 5462, 19_999] {
        let mut wrong = bytes.clone();
        wrong[at * 12..][..8].copy_from_slice(&(if at == 0 { i64::MAX } else { -1 }).to_be_bytes());
        file.write_at(&wrong, 0).unwrap();
        assert_eq!(check_all(&file, 20_000, rises).unwrap(), None, "entry {at}");
    }
    file.write_at(&bytes, 0).unwrap();
    file.truncate(20_000 * 12 - 1).unwrap();
    assert_eq!(check_all(&file, 20_000, rises).unwrap(), None);
    // A terabyte of nothing: whoever read it would not come back.
    file.truncate((1 << 40) * 12).unwrap();
    assert_eq!(check_all(&file, 20_000, rises).unwrap(), None);
}

/// A segment that is taken for damaged is renamed when the tier has it: a limit of the process must not do that.
#[test]
fn errors_of_the_process_are_no_damage() {
    let files = file_cache(Disk::default());
    let metrics = Arc::clone(&files.metrics);
    let directory = tempfile::tempdir().unwrap();
    let segment = Segment::new(&files, directory.path(), 0, 100, 10, None);
    for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::ACCESS, Errno::PERM, Errno::NOENT] {
        segment.read_error(ScanError::Io(io::Error::from(errno)));
        assert_eq!(segment.damage(), None, "{errno:?}");
    }
    assert_eq!(metrics.log_segments_damaged.get(), 0);
    segment.read_error(ScanError::Io(io::Error::from(Errno::IO)));
    assert!(segment.damage().is_some());
    assert_eq!(metrics.log_segments_damaged.get(), 1);
}

/// Its names may be another segment's by now: that one's aborted transactions are not its own.
#[test]
fn a_removed_segment_knows_nothing_by_name() {
    let files = Arc::new(FileCache::new(Disk::default(), 10, Arc::new(Metrics::new())));
    let directory = tempfile::tempdir().unwrap();
    let (segment, _file) = Segment::create(&files, directory.path(), 0).unwrap();
    let aborted = AbortedTransaction { producer_id: 1, first_offset: 0, last_offset: 5, last_stable_offset: 6 };
    let path = segment.path(names::TXN_INDEX_SUFFIX);
    transactions::append(&Disk::default(), &path, &aborted).unwrap();
    assert_eq!(segment.aborted().unwrap(), [aborted]);
    segment.retire();
    assert!(segment.aborted().is_err());
    std::fs::remove_file(&path).unwrap();
    assert!(segment.aborted().is_err(), "that there are none is not known either");
}
