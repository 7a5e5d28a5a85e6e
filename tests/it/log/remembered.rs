//! What a data directory remembers of its logs, when that is lost: a checkpoint that is deleted beside segments, or rots.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stratalog::log::{Error, Log, LogConfig, LogDir, ReadError, offline};
use stratalog_types::{Offset, TopicPartition};

use super::compaction;
use super::harness::*;
use super::lost::compacted_with_holes;

const LOG_STARTS: &str = "log-start-offset-checkpoint";
const CLEANER_POINTS: &str = "cleaner-offset-checkpoint";
const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";

type Harm = fn(&Path);
const HARMS: [(&str, Harm); 3] = [
    ("deleted", |file| std::fs::remove_file(file).unwrap()),
    ("rotten", |file| std::fs::write(file, "0\n1\nevents 0").unwrap()),
    ("emptied", |file| std::fs::write(file, "").unwrap()),
];

/// A batch has its segment to itself.
fn config() -> LogConfig {
    LogConfig { segment_bytes: 130, file_delete_delay_ms: 0, ..LogConfig::default() }
}

fn damaged(directory: &Path, name: &str) -> bool {
    directory.join(name).with_added_extension("damaged").exists()
}

/// Six records; the first two are deleted, the first three not here any more.
fn evicted(directory: &Path) {
    let dir = open_dir(directory);
    assert_eq!(std::fs::read_to_string(directory.join(LOG_STARTS)).unwrap(), "0\n0\n", "before there is a log");
    let log = open_log(&dir, &config());
    for value in 0..6 {
        append(&log, &batch(&[value], NOW_MS, 0)).unwrap();
    }
    dir.sync_queued();
    log.set_log_start_offset(Offset(2)).unwrap();
    log.delete_local_below(Offset(3)).unwrap();
    dir.close().unwrap();
}

/// What was assumed is no entry: the tier, which knows better, may be asked at the next start only.
#[test]
fn a_log_start_that_was_lost_is_assumed_until_somebody_knows_it() {
    for (what, harm) in HARMS {
        let directory = tempfile::tempdir().unwrap();
        evicted(directory.path());
        harm(&directory.path().join(LOG_STARTS));
        for start in 0..3 {
            let dir = open_dir(directory.path());
            assert_eq!(damaged(directory.path(), LOG_STARTS), start == 0, "{what}, start {start}: it is told of once");
            let log = open_log(&dir, &config());
            assert_eq!(log.log_start_offset(), Offset(3), "{what}, start {start}");
            if start == 2 {
                log.lower_assumed_start(Offset(2));
                assert_eq!(log.log_start_offset(), Offset(2), "{what}");
            }
            dir.close().unwrap();
        }
    }
}

/// A log of a topic that was never compacted, in a directory of its own or beside others.
fn plain(dir: &Arc<LogDir>) -> Arc<Log> {
    let name = TopicPartition::new("plain", 0);
    let config = LogConfig { segment_bytes: 1000, ..config() };
    let opened = match dir.contains(&name) {
        true => Log::open(dir, name, topic_id(), config),
        false => Log::create(dir, name, topic_id(), config),
    };
    opened.unwrap()
}

/// Its second segment loses its last batch, at the border.
fn cut_short(log: &Path) -> Offset {
    let mut files: Vec<_> = std::fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|suffix| suffix == "log"));
    files.sort();
    let mut bytes = std::fs::read(&files[1]).unwrap();
    let batches: Vec<_> = stratalog_protocol::records::BatchIter::new(&bytes).map(Result::unwrap).collect();
    let last = batches.last().unwrap();
    let (lost, length) = (Offset(last.header.base_offset), bytes.len() - last.bytes.len());
    bytes.truncate(length);
    std::fs::write(&files[1], bytes).unwrap();
    lost
}

#[test]
fn what_goes_missing_later_is_damage_although_the_cleaners_points_were_lost_once() {
    for (what, harm) in HARMS {
        let (mut bench, end) = compacted_with_holes();
        bench.reopen();
        {
            let log = plain(&bench.dir());
            for value in 0..40 {
                append(&log, &batch(&[value], NOW_MS, 50)).unwrap();
            }
            bench.dir().sync_queued();
            bench.dir().close().unwrap();
        }
        let seen = compaction::read_everything(&bench.log(), Offset(0), 1000).1;
        bench.open = None;
        let directory = bench.directory.path().to_owned();
        harm(&directory.join(CLEANER_POINTS));
        // The topic is not compacted any more: nothing but the log itself tells that it was.
        bench.config.may_have_holes = false;
        bench.reopen();
        let log = plain(&bench.dir());
        bench.dir().look_for_holes(Duration::ZERO).unwrap();
        assert!(damaged(&directory, CLEANER_POINTS), "{what}: not all of it was looked at");
        bench.dir().look_for_holes(Duration::MAX).unwrap();
        assert!(!damaged(&directory, CLEANER_POINTS), "{what}");
        let points = std::fs::read_to_string(directory.join(CLEANER_POINTS)).unwrap();
        assert!(points.starts_with("0\n1\nevents 0 0"), "{what}: {points}");
        bench.dir().close().unwrap();

        let lost = cut_short(log.path());
        drop(log);
        bench.reopen();
        assert_eq!(bench.log().log_end_offset(), end, "{what}");
        assert_eq!(compaction::read_everything(&bench.log(), Offset(0), 1000).1, seen, "{what}");
        let log = plain(&bench.dir());
        let read = log.read(lost, 1000, log.log_end_offset(), true);
        assert!(matches!(read, Err(ReadError::Corrupt { .. })), "{what}: {read:?}");
    }
}

/// A log that does not open may have been compacted, and is asked at the next start again.
#[test]
fn doubt_ends_when_every_log_was_looked_through() {
    let directory = tempfile::tempdir().unwrap();
    {
        let dir = open_dir(directory.path());
        let (log, _other) = (plain(&dir), open_log(&dir, &config()));
        append(&log, &batch(&[1], NOW_MS, 0)).unwrap();
        dir.sync_queued();
        dir.close().unwrap();
    }
    std::fs::remove_file(directory.path().join(CLEANER_POINTS)).unwrap();
    for start in 0..2 {
        let dir = open_dir(directory.path());
        let _log = plain(&dir);
        dir.look_for_holes(Duration::MAX).unwrap();
        dir.look_for_holes(Duration::MAX).unwrap();
        assert!(damaged(directory.path(), CLEANER_POINTS), "start {start}");
        if start == 1 {
            let _other = open_log(&dir, &config());
            dir.look_for_holes(Duration::MAX).unwrap();
            assert!(!damaged(directory.path(), CLEANER_POINTS));
        }
        dir.close().unwrap();
    }
}

/// Apache Kafka 4.3 makes each checkpoint as a file of 0 bytes; that of a cleaner which never ran stays one.
#[test]
fn a_checkpoint_that_kafka_never_wrote_is_empty() {
    let directory = tempfile::tempdir().unwrap();
    evicted(directory.path());
    let file = |name: &str| directory.path().join(name);
    std::fs::write(file(RECOVERY_POINTS), "0\n1\nevents 0 6\n").unwrap();
    std::fs::write(file(LOG_STARTS), "0\n0\n").unwrap();
    std::fs::write(file(CLEANER_POINTS), "").unwrap();
    for start in 0..2 {
        let dir = open_dir(directory.path());
        open_log(&dir, &config());
        dir.checkpoint_recovery_points().unwrap();
        assert!(!damaged(directory.path(), CLEANER_POINTS), "start {start}");
        assert_eq!(std::fs::read_to_string(file(CLEANER_POINTS)).unwrap(), "0\n0\n", "start {start}");
    }
}

/// Kafka's form of one that we had no reason to write yet tells nothing of the others.
#[test]
fn a_checkpoint_of_ours_that_lost_all_its_bytes_is_damaged() {
    for name in [RECOVERY_POINTS, LOG_STARTS] {
        let directory = tempfile::tempdir().unwrap();
        evicted(directory.path());
        std::fs::write(directory.path().join(CLEANER_POINTS), "0\n1\nother 0 6\n").unwrap();
        std::fs::write(directory.path().join(name), "").unwrap();
        let dir = open_dir(directory.path());
        open_log(&dir, &config());
        assert!(damaged(directory.path(), name), "{name}");
    }
}

/// Also while the broker runs: the name is gone, and the directory is not.
#[test]
fn a_directory_stays_locked_without_its_lock_file() {
    let directory = tempfile::tempdir().unwrap();
    let dir = open_dir(directory.path());
    std::fs::remove_file(directory.path().join(".lock")).unwrap();
    let target = offline::Target::of(directory.path()).unwrap();
    for _ in 0..2 {
        let second = LogDir::open(directory.path(), manual_options()).err();
        assert!(matches!(second, Some(Error::Locked { .. })), "{second:?}");
        let repair = offline::plan_to_apply(&target, false, &mut offline::Findings::new(|_| {})).err();
        assert!(matches!(repair, Some(Error::Locked { .. })), "{repair:?}");
        assert!(!directory.path().join(".lock").exists());
    }
    drop(dir);
    let repair = offline::plan_to_apply(&target, false, &mut offline::Findings::new(|_| {})).unwrap();
    assert!(matches!(LogDir::open(directory.path(), manual_options()), Err(Error::Locked { .. })));
    drop(repair);
    open_dir(directory.path());
}

#[test]
fn a_clean_mark_is_of_the_list_beside_it() {
    const UNRECOVERED: &str = "unrecovered-partitions";
    let harms: [(&str, Harm, bool); 4] = [
        ("left alone", |_| {}, true),
        ("deleted", |file| std::fs::remove_file(file).unwrap(), false),
        ("another one", |file| std::fs::write(file, "0\n1\nother 0 0\n").unwrap(), false),
        ("not text", |file| std::fs::write(file, b"0\n1\n\xff\n").unwrap(), false),
    ];
    for (what, harm, is_clean) in harms {
        let directory = tempfile::tempdir().unwrap();
        {
            let dir = open_dir(directory.path());
            append(&open_log(&dir, &config()), &batch(&[1], NOW_MS, 0)).unwrap();
            dir.sync_queued();
        }
        // A stop that vouches for nothing: no log was opened.
        open_dir(directory.path()).close().unwrap();
        harm(&directory.path().join(UNRECOVERED));
        let dir = open_dir(directory.path());
        assert_eq!(dir.was_clean(), is_clean, "{what}");
        assert!(open_log(&dir, &config()).was_unclean(), "{what}");
    }
}
