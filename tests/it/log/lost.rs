//! What a start may believe after something was lost between two of them: the stop was clean, a log was not; a checkpoint
//! or the only segment is gone.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stratalog::log::{CleanOptions, Error, Log, LogConfig, LogDir, LogDirOptions};
use stratalog::platform::disk::{Disk, DiskObserver, DiskOp, FileId};
use stratalog_protocol::records::CodecId;
use stratalog_types::{Offset, TopicPartition};

use super::compaction::{self, Bench, record};
use super::harness::*;

const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
const CLEANER_POINTS: &str = "cleaner-offset-checkpoint";

fn config() -> LogConfig {
    LogConfig { segment_bytes: 1000, index_interval_bytes: 100, file_delete_delay_ms: 0, ..LogConfig::default() }
}

fn fill(dir: &LogDir, log: &Log, records: u64) {
    for _ in 0..records {
        append(log, &batch(&[log.log_end_offset().0 as u64], NOW_MS, 50)).unwrap();
    }
    dir.sync_queued();
}

/// A byte of the last batch, which no CRC but its own covers.
fn flip_near_the_end(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let at = bytes.len() - 5;
    bytes[at] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

fn segments(log: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries.filter(|path| path.extension().is_some_and(|suffix| suffix == "log")).collect();
    found.sort();
    found
}

pub(super) fn names_with(log: &Path, part: &str) -> usize {
    let entries = std::fs::read_dir(log).unwrap().map(|entry| entry.unwrap().file_name());
    entries.filter(|name| name.to_str().unwrap().contains(part)).count()
}

#[derive(Default)]
struct Faults {
    syncs: AtomicBool,
    unlinks: AtomicBool,
}

impl DiskObserver for Faults {
    fn file_id(&self, _path: &Path) -> FileId {
        FileId(0)
    }

    fn before(&self, operation: DiskOp<'_>) -> io::Result<()> {
        let fails = match operation {
            DiskOp::Sync(_) => self.syncs.load(Ordering::SeqCst),
            DiskOp::Unlink(path) => {
                self.unlinks.load(Ordering::SeqCst) && path.extension().is_some_and(|suffix| suffix == "log")
            }
            _ => false,
        };
        if fails { Err(io::Error::other("input/output error")) } else { Ok(()) }
    }
}

fn open_on(path: &Path, faults: &Arc<Faults>) -> Arc<LogDir> {
    let options = LogDirOptions { disk: Disk::observed(faults.clone()), ..manual_options() };
    LogDir::open(path, options).unwrap()
}

#[test]
fn a_clean_stop_does_not_vouch_for_a_log_that_was_not_recovered() {
    let directory = tempfile::tempdir().unwrap();
    let other = TopicPartition::new("other", 0);
    let (path, end) = {
        let dir = open_dir(directory.path());
        let log = open_log(&dir, &config());
        Log::create(&dir, other.clone(), topic_id(), config()).unwrap();
        fill(&dir, &log, 3);
        dir.checkpoint_recovery_points().unwrap();
        fill(&dir, &log, 3);
        (log.path().to_owned(), log.log_end_offset().0)
    };
    flip_near_the_end(segments(&path).last().unwrap());
    // Twice: the log does not open, the other one does, and the stop is clean.
    for _ in 0..2 {
        let dir = open_dir(directory.path());
        let log = Log::open(&dir, other.clone(), topic_id(), config()).unwrap();
        drop(log);
        let _kept = Log::open(&dir, other.clone(), topic_id(), config()).unwrap();
        dir.close().unwrap();
    }
    let dir = open_dir(directory.path());
    assert!(dir.was_clean());
    assert!(!Log::open(&dir, other.clone(), topic_id(), config()).unwrap().was_unclean());
    let log = open_log(&dir, &config());
    assert!(log.was_unclean());
    assert!(log.cut_bytes() > 0);
    assert_eq!(log.log_end_offset().0, end - 1);
    // Now it was recovered, and a clean stop vouches for it.
    let other = Log::open(&dir, other, topic_id(), config()).unwrap();
    dir.close().unwrap();
    drop((log, other, dir));
    let dir = open_dir(directory.path());
    assert!(!open_log(&dir, &config()).was_unclean());
}

#[test]
fn a_truncation_that_failed_half_way_is_not_believed_after_a_clean_stop() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    {
        let dir = open_on(directory.path(), &faults);
        let log = open_log(&dir, &config());
        fill(&dir, &log, 5);
        faults.unlinks.store(true, Ordering::SeqCst);
        log.truncate_fully_and_start_at(Offset(200)).unwrap_err();
        faults.unlinks.store(false, Ordering::SeqCst);
        dir.close().unwrap();
    }
    let dir = open_dir(directory.path());
    let log = open_log(&dir, &config());
    assert!(log.was_unclean());
    // The old log or the new one, and never both with nothing between.
    assert!(log.local_log_start_offset().0 == 200 || log.log_end_offset().0 <= 5);
}

/// A compacted log that has holes, after a stop that was not clean.
pub(super) fn compacted_with_holes() -> (Bench, Offset) {
    let mut bench = Bench::new(LogConfig { may_have_holes: true, ..compaction::config() });
    for round in 0..40u8 {
        bench.append(&[record(&[round % 3], Some(&[round; 40]), NOW_MS)], CodecId::NONE, None, false);
    }
    bench.log().roll().unwrap();
    bench.append(&[record(b"last", Some(b"x"), NOW_MS)], CodecId::NONE, None, false);
    bench.dir().sync_queued();
    bench.clean(&CleanOptions::default()).unwrap();
    bench.dir().checkpoint_recovery_points().unwrap();
    let end = bench.log().log_end_offset();
    bench.open = None;
    (bench, end)
}

#[test]
fn the_holes_of_a_compacted_log_outlive_its_recovery_point() {
    for remove in [true, false] {
        let (mut bench, end) = compacted_with_holes();
        let points = bench.directory.path().join(RECOVERY_POINTS);
        if remove {
            std::fs::remove_file(points).unwrap();
        } else {
            std::fs::write(points, "0\n0\n").unwrap();
        }
        bench.reopen();
        let path = bench.log().path().to_owned();
        assert_eq!((bench.log().log_end_offset(), names_with(&path, "cut")), (end, 0), "removed: {remove}");
        bench.check(false);
    }
}

/// Kafka's recovery point may lie below what its cleaner has been at: only the cleaner's own checkpoint tells.
#[test]
fn the_holes_of_a_compacted_log_outlive_the_cleaners_checkpoint() {
    let records = |bench: &Bench| compaction::read_everything(&bench.log(), Offset(0), 1000).1;
    for remove in [true, false] {
        let (mut bench, end) = compacted_with_holes();
        bench.reopen();
        let seen = records(&bench);
        bench.open = None;
        std::fs::write(bench.directory.path().join(RECOVERY_POINTS), "0\n1\nevents 0 1\n").unwrap();
        let points = bench.directory.path().join(CLEANER_POINTS);
        if remove {
            std::fs::remove_file(&points).unwrap();
        } else {
            std::fs::write(&points, "0\n1\nevents 0\n").unwrap();
        }
        // Also at the next start: the file is there again, and still does not tell.
        for _ in 0..2 {
            bench.reopen();
            let path = bench.log().path().to_owned();
            assert_eq!((bench.log().log_end_offset(), names_with(&path, "cut")), (end, 0), "removed: {remove}");
            assert_eq!(records(&bench), seen, "removed: {remove}");
            std::fs::write(bench.directory.path().join(RECOVERY_POINTS), "0\n1\nevents 0 1\n").unwrap();
        }
        // A cleaning that notes how far it came ends the doubt.
        assert!(bench.clean(&CleanOptions::default()).unwrap().end_offset > Offset(1));
        bench.reopen();
        bench.check(false);
    }
}

#[test]
fn damage_is_no_torn_tail_where_the_recovery_points_were_lost() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let path = {
        let dir = open_dir(directory.path());
        let log = open_log(&dir, &config());
        fill(&dir, &log, 40);
        dir.checkpoint_recovery_points().unwrap();
        log.path().to_owned()
    };
    std::fs::remove_file(directory.path().join(RECOVERY_POINTS)).unwrap();
    // Recovered, not synced, and checkpointed meanwhile.
    {
        let dir = open_on(directory.path(), &faults);
        faults.syncs.store(true, Ordering::SeqCst);
        let opened = Log::open(&dir, partition(), topic_id(), config());
        faults.syncs.store(false, Ordering::SeqCst);
        dir.checkpoint_recovery_points().unwrap();
        drop(opened);
    }
    let before = segments(&path);
    assert!(before.len() > 3);
    flip_near_the_end(&before[1]);
    let dir = open_dir(directory.path());
    assert!(matches!(Log::open(&dir, partition(), topic_id(), config()), Err(Error::Corrupt(_))));
    assert_eq!((segments(&path), names_with(&path, "cut")), (before, 0));
}

#[test]
fn a_log_without_its_only_segment_is_damaged() {
    for clean in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let path = {
            let dir = open_dir(directory.path());
            let log = open_log(&dir, &LogConfig::default());
            fill(&dir, &log, 5);
            dir.checkpoint_recovery_points().unwrap();
            if clean {
                dir.close().unwrap();
            }
            log.path().to_owned()
        };
        std::fs::remove_file(&segments(&path)[0]).unwrap();
        for _ in 0..2 {
            let dir = open_dir(directory.path());
            match Log::open(&dir, partition(), topic_id(), LogConfig::default()) {
                Err(Error::Corrupt(damage)) => {
                    assert_eq!((damage.first_offset, damage.next_offset), (Offset(0), Offset(5)), "{damage}");
                }
                Err(error) => panic!("{error}"),
                Ok(log) => panic!("it opened, and ends at {}", log.log_end_offset()),
            }
        }
        assert!(names_with(&path, ".index") == 1 && segments(&path).is_empty());
        // What the tier has all of goes on behind it.
        let dir = open_dir(directory.path());
        let Err(Error::Corrupt(damage)) = Log::open(&dir, partition(), topic_id(), LogConfig::default()) else {
            panic!("it opened")
        };
        assert!(!Log::heal(&dir, &partition(), &damage, Offset(0)..Offset(4)).unwrap());
        assert!(Log::heal(&dir, &partition(), &damage, Offset(0)..Offset(5)).unwrap());
        assert_eq!(open_log(&dir, &LogConfig::default()).log_end_offset(), Offset(0));
    }
}

#[test]
fn a_creation_that_was_cut_short_is_gone_on_with() {
    let directory = tempfile::tempdir().unwrap();
    let path = {
        let dir = open_dir(directory.path());
        open_log(&dir, &config()).path().to_owned()
    };
    std::fs::remove_file(&segments(&path)[0]).unwrap();
    let dir = open_dir(directory.path());
    assert_eq!(open_log(&dir, &config()).log_end_offset(), Offset(0));
}

/// A repair writes logs and indexes aside, a roll its snapshot: what of that a crash leaves is as large as they are.
#[test]
fn what_a_write_that_was_cut_short_left_goes_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    for clean in [true, false] {
        let dir = open_dir(directory.path());
        let log = open_log(&dir, &config());
        fill(&dir, &log, 20);
        let path = log.path().to_owned();
        if clean {
            dir.close().unwrap();
        }
        drop((log, dir));
        let before = segments(&path);
        for name in ["log", "index", "timeindex", "snapshot"] {
            std::fs::write(path.join(format!("00000000000000000000.{name}.tmp")), b"half").unwrap();
        }
        open_log(&open_dir(directory.path()), &config());
        assert_eq!((names_with(&path, ".tmp"), segments(&path)), (0, before), "clean: {clean}");
    }
}
