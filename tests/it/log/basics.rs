//! One path at a time: append, read, roll, close, reopen, refuse.

use stratalog::clock::Clock;
use stratalog::log::{AppendError, EpochStart, Error, Log, LogConfig, LogDir, LogDirOptions, ReadError};
use stratalog_protocol::records::{BatchBuilder, BatchHeader, CodecId, NewRecord};
use stratalog_types::{LeaderEpoch, Offset};

use super::harness::*;

fn small_segments() -> LogConfig {
    LogConfig { segment_bytes: 4096, index_interval_bytes: 256, ..LogConfig::default() }
}

#[test]
fn what_was_appended_is_read_back_across_rolls_and_a_clean_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    {
        let dir = open_dir(directory.path());
        let log = open_log(&dir, &small_segments());
        for round in 0..100u64 {
            let appended = append(&log, &batch(&[round * 2, round * 2 + 1], NOW_MS + round as i64, 100)).unwrap();
            assert_eq!(appended.base_offset, Offset(round as i64 * 2));
            expected.push((round as i64 * 2, round * 2));
            expected.push((round as i64 * 2 + 1, round * 2 + 1));
        }
        assert!(log.closed_segments().len() > 3);
        for max_bytes in [1, 300, 1000, 1 << 20] {
            assert_eq!(read_all(&log, Offset(0), max_bytes), expected);
            assert_eq!(read_all(&log, Offset(77), max_bytes), expected[77..]);
        }
        dir.close().unwrap();
        assert!(matches!(append(&log, &batch(&[1], NOW_MS, 0)), Err(AppendError::Offline(_))));
    }
    let dir = open_dir(directory.path());
    assert!(dir.was_clean());
    let log = open_log(&dir, &small_segments());
    assert!(!log.was_unclean());
    assert_eq!(log.log_end_offset(), Offset(200));
    assert_eq!(log.flushed().get(), Offset(200));
    assert_eq!(read_all(&log, Offset(0), 700), expected);
    assert_eq!(append(&log, &batch(&[9], NOW_MS, 0)).unwrap().base_offset, Offset(200));
}

#[test]
fn a_torn_tail_is_cut_and_kept_aside_and_the_log_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let active = directory.path().join("events-0/00000000000000000000.log");
    {
        let dir = open_dir(directory.path());
        let log = open_log(&dir, &LogConfig::default());
        append(&log, &batch(&[1, 2], NOW_MS, 0)).unwrap();
        append(&log, &batch(&[3], NOW_MS, 500)).unwrap();
    }
    let length = active.metadata().unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&active).unwrap().set_len(length - 10).unwrap();
    let dir = open_dir(directory.path());
    let log = open_log(&dir, &LogConfig::default());
    assert!(log.was_unclean());
    assert!(log.cut_bytes() > 0);
    assert_eq!(read_all(&log, Offset(0), 1000), [(0, 1), (1, 2)]);
    let cut = std::fs::read_dir(directory.path().join("events-0")).unwrap();
    let cut: Vec<_> = cut.map(|e| e.unwrap()).filter(|e| e.file_name().to_string_lossy().ends_with(".cut")).collect();
    assert_eq!(cut.len(), 1);
    assert_eq!(cut[0].metadata().unwrap().len(), log.cut_bytes());
    assert_eq!(append(&log, &batch(&[4], NOW_MS, 0)).unwrap().base_offset, Offset(2));
}

#[test]
fn bad_bytes_below_the_recovery_point_are_an_error_and_stay() {
    let directory = tempfile::tempdir().unwrap();
    let active = directory.path().join("events-0/00000000000000000000.log");
    {
        let dir = open_dir(directory.path());
        let log = open_log(&dir, &LogConfig::default());
        append(&log, &batch(&[1, 2], NOW_MS, 0)).unwrap();
        append(&log, &batch(&[3], NOW_MS, 0)).unwrap();
        dir.sync_queued();
        assert_eq!(log.flushed().get(), Offset(3));
        dir.checkpoint_recovery_points().unwrap();
    }
    let mut bytes = std::fs::read(&active).unwrap();
    bytes[80] ^= 1;
    std::fs::write(&active, &bytes).unwrap();
    let dir = open_dir(directory.path());
    let refused = Log::open(&dir, partition(), topic_id(), LogConfig::default());
    assert!(matches!(refused.err(), Some(Error::Corrupt(damage)) if damage.position == 0));
    assert_eq!(std::fs::read(&active).unwrap(), bytes);
}

#[test]
fn a_new_log_finds_nothing_of_a_deleted_one_of_the_same_name() {
    let directory = tempfile::tempdir().unwrap();
    {
        let dir = open_dir(directory.path());
        let log = open_log(&dir, &LogConfig::default());
        for value in 0..10 {
            append(&log, &idempotent(&[value], (1, 0, value as i32))).unwrap();
        }
        dir.sync_queued();
        log.set_log_start_offset(Offset(9)).unwrap();
        dir.checkpoint_recovery_points().unwrap();
        log.delete().unwrap();
        assert!(matches!(append(&log, &batch(&[1], NOW_MS, 0)), Err(AppendError::Offline(_))));
        assert!(!dir.contains(&partition()));
        let log = open_log(&dir, &LogConfig::default());
        append(&log, &batch(&[77], NOW_MS, 0)).unwrap();
        dir.sync_queued();
        assert!(dir.offline().is_none());
    }
    let leaving = || {
        let names = std::fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with("-delete")).count()
    };
    assert_eq!(leaving(), 1);
    // No clean stop: what is known is what the files say.
    let dir = open_dir(directory.path());
    let log = open_log(&dir, &LogConfig::default());
    assert_eq!(log.log_start_offset(), Offset(0));
    assert_eq!(read_all(&log, Offset(0), 1000), [(0, 77)]);
    assert!(log.active_producers().is_empty());
    assert_eq!(leaving(), 1, "a start does not wait for it");
    dir.remove_due();
    assert_eq!(leaving(), 0);
}

#[test]
fn the_handle_of_a_deleted_log_does_not_touch_its_successor() {
    let directory = tempfile::tempdir().unwrap();
    let dir = open_dir(directory.path());
    let fill = |log: &Log, first: u64| {
        for value in 0..10 {
            append(log, &batch(&[first + value], NOW_MS, 300)).unwrap();
            log.roll().unwrap();
        }
        dir.sync_queued();
    };
    let old = open_log(&dir, &small_segments());
    fill(&old, 0);
    old.delete().unwrap();
    let new = open_log(&dir, &small_segments());
    fill(&new, 100);

    // What a round of retention or an upload of the old one, under way while it was deleted, does next.
    assert!(matches!(old.set_log_start_offset(Offset(7)), Err(Error::Closed)));
    assert!(matches!(old.checkpoint_log_start(Offset(70)), Err(Error::Closed)));
    assert!(matches!(old.delete_local_below(Offset(7)), Err(Error::Closed)));
    assert!(matches!(old.truncate_to(Offset(3)), Err(Error::Closed)));
    assert!(matches!(old.truncate_fully_and_start_at(Offset(3)), Err(Error::Closed)));
    assert!(matches!(old.restart_behind_tier(Offset(20), Offset(0), &[], b"x"), Err(Error::Closed)));
    assert!(matches!(old.start_leader_epoch(LeaderEpoch(9)), Err(Error::Closed)));
    assert!(matches!(old.in_directory(|| ()), Err(Error::Closed)));
    assert!(matches!(old.read(Offset(2), 1000, Offset(9), true), Err(ReadError::Closed)));
    assert!(old.segment_for_upload(Offset(2)).unwrap().is_none());
    drop(new);
    drop(old);
    drop(dir);

    let dir = open_dir(directory.path());
    let new = open_log(&dir, &small_segments());
    assert_eq!(new.log_start_offset(), Offset(0));
    let all: Vec<(i64, u64)> = (0..10).map(|at| (at, 100 + at as u64)).collect();
    assert_eq!(read_all(&new, Offset(0), 10_000), all);
    assert_eq!(new.leader_epochs(), [EpochStart { epoch: LeaderEpoch(1), start_offset: Offset(0) }]);
}

#[test]
fn an_eviction_leaves_the_log_start_and_reads_that_hold_a_range() {
    let directory = tempfile::tempdir().unwrap();
    let dir = open_dir(directory.path());
    let log = open_log(&dir, &small_segments());
    for value in 0..100 {
        append(&log, &batch(&[value], NOW_MS, 200)).unwrap();
    }
    let held = log.read(Offset(0), 1000, Offset(100), true).unwrap();
    let before = log.closed_segments();
    let freed = log.delete_local_below(Offset(50)).unwrap();
    assert!(freed > 0 && log.size_bytes() < 100 * 300);
    let local = log.local_log_start_offset();
    assert!(local.0 > 0 && local.0 <= 50 && before.iter().any(|segment| segment.base_offset == local));
    assert_eq!(log.log_start_offset(), Offset(0));
    assert!(matches!(log.read(Offset(0), 100, Offset(100), true), Err(ReadError::BelowLocalStart { .. })));
    assert_eq!(read_all(&log, local, 5000).len() as i64, 100 - local.0);
    assert_eq!(range_bytes(&held.range).len(), held.range.length as usize);
}

#[test]
fn a_retry_is_recognised_also_after_a_restart_without_a_clean_stop() {
    let directory = tempfile::tempdir().unwrap();
    {
        let dir = open_dir(directory.path());
        let log = open_log(&dir, &LogConfig::default());
        for sequence in 0..7 {
            append(&log, &idempotent(&[u64::from(sequence as u32)], (42, 0, sequence))).unwrap();
        }
        let retried = append(&log, &idempotent(&[2], (42, 0, 2))).unwrap();
        assert!(retried.duplicate);
        assert_eq!(retried.base_offset, Offset(2));
        let too_old = append(&log, &idempotent(&[1], (42, 0, 1)));
        assert!(matches!(too_old, Err(AppendError::OutOfOrderSequence { expected: 7, got: 1, .. })));
        append(&log, &idempotent(&[8], (42, 1, 0))).unwrap();
        let stale = append(&log, &idempotent(&[7], (42, 0, 7)));
        assert!(matches!(stale, Err(AppendError::InvalidProducerEpoch { current: 1, got: 0, .. })));
    }
    let dir = open_dir(directory.path());
    let log = open_log(&dir, &LogConfig::default());
    let retried = append(&log, &idempotent(&[8], (42, 1, 0))).unwrap();
    assert!(retried.duplicate);
    assert_eq!(retried.base_offset, Offset(7));
    assert_eq!(log.log_end_offset(), Offset(8));
}

#[test]
fn a_second_process_is_told_who_holds_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let _dir = open_dir(directory.path());
    let refused = LogDir::open(directory.path(), manual_options()).err().expect("refused").to_string();
    assert!(refused.contains(&format!("process {} (stratalog)", std::process::id())), "{refused}");
}

#[test]
fn reads_outside_of_the_log_name_its_bounds() {
    let directory = tempfile::tempdir().unwrap();
    let dir = open_dir(directory.path());
    let log = open_log(&dir, &LogConfig::default());
    append(&log, &batch(&[1, 2], NOW_MS, 0)).unwrap();
    assert!(matches!(log.read(Offset(3), 100, Offset(9), true), Err(ReadError::OutOfRange { .. })));
    assert!(log.read(Offset(2), 100, Offset(9), true).unwrap().is_empty());
    assert!(log.read(Offset(0), 10, Offset(9), false).unwrap().is_empty());
    // The batch goes past `until`.
    assert!(log.read(Offset(0), 1000, Offset(1), true).unwrap().is_empty());
    log.set_log_start_offset(Offset(1)).unwrap();
    assert!(matches!(log.read(Offset(0), 100, Offset(9), true), Err(ReadError::OutOfRange { .. })));
    assert_eq!(log.read(Offset(1), 1000, Offset(9), true).unwrap().base_offset, Offset(0));
}

#[test]
fn appends_are_refused_while_the_disk_has_less_room_than_is_kept_free() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = LogDirOptions { reserve_bytes: u64::MAX, ..manual_options() };
    let dir = LogDir::open(directory.path(), options).expect("a log directory");
    let log = open_log(&dir, &LogConfig::default());
    let refused = append(&log, &batch(&[1, 2], NOW_MS, 0));
    assert!(matches!(refused, Err(AppendError::StorageFull)), "{refused:?}");
}

#[test]
fn files_of_deleted_records_keep_their_room_for_a_while() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::manual(NOW_MS);
    let dir = LogDir::open(directory.path(), LogDirOptions { clock: clock.clone(), ..manual_options() }).unwrap();
    let log = open_log(&dir, &LogConfig { file_delete_delay_ms: 1000, ..small_segments() });
    for round in 0..60 {
        append(&log, &batch(&[round], NOW_MS, 200)).unwrap();
    }
    dir.sync_queued();
    let path = log.path().to_owned();
    let files = |suffix: &str| {
        let names = std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(suffix)).count()
    };
    let closed = log.closed_segments();
    let (tiered, history) = (closed[0].end_offset, closed[2].end_offset);
    log.delete_local_below(tiered).unwrap();
    assert_eq!(files(".deleted"), 0, "what the tier has goes at once");
    log.set_log_start_offset(history).unwrap();
    log.delete_local_below(history).unwrap();
    assert_eq!(log.local_log_start_offset(), history);
    assert_eq!((files(".log.deleted"), files(".index.deleted"), files(".timeindex.deleted")), (2, 2, 2));
    dir.remove_due();
    assert_eq!(files(".log.deleted"), 2);
    clock.advance_ms(1000);
    dir.remove_due();
    assert_eq!(files(".deleted"), 0);

    let next = log.closed_segments()[0].end_offset;
    log.set_log_start_offset(next).unwrap();
    log.delete_local_below(next).unwrap();
    assert_eq!(files(".log.deleted"), 1);
    drop((log, dir));
    let dir = open_dir(directory.path());
    let log = open_log(&dir, &LogConfig { file_delete_delay_ms: 1000, ..small_segments() });
    assert_eq!(files(".log.deleted"), 1, "the start does not wait for it");
    dir.remove_due();
    assert_eq!(files(".deleted"), 0);
    assert_eq!(log.log_start_offset(), next);

    log.delete().unwrap();
    assert!(!path.exists());
    let leaving = || {
        std::fs::read_dir(directory.path())
            .unwrap()
            .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().ends_with("-delete"))
    };
    assert_eq!(leaving().count(), 1);
}

/// The scrub finds what nobody has read, names it once, and goes on behind it.
#[test]
fn a_scrub_finds_a_flipped_bit_in_a_closed_segment() {
    use stratalog::log::Pace;
    let directory = tempfile::tempdir().unwrap();
    let options = manual_options();
    let metrics = options.metrics.clone();
    let dir = LogDir::open(directory.path(), options).unwrap();
    let log = open_log(&dir, &LogConfig::default());
    for segment in 0..5 {
        append(&log, &batch(&[segment, segment], NOW_MS, 3000)).unwrap();
        append(&log, &batch(&[segment], NOW_MS, 3000)).unwrap();
        if segment < 4 {
            log.roll().unwrap();
        }
    }
    let scrub = || {
        let (mut from, mut found) = (Offset::ZERO, Vec::new());
        while let Some(scrubbed) = log.scrub(from, &Pace::unlimited()).unwrap() {
            assert!(scrubbed.next > from && (scrubbed.bytes > 0 || scrubbed.is_damaged));
            found.push((from.0, scrubbed.is_damaged));
            from = scrubbed.next;
        }
        found
    };
    let sound = [(0, false), (3, false), (6, false), (9, false)];
    assert_eq!(scrub(), sound, "every closed segment, and not the active one");
    for base in [6, 12] {
        let path = directory.path().join(format!("events-0/{base:020}.log"));
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() - 40;
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    assert_eq!(scrub(), [(0, false), (3, false), (6, true), (9, false)]);
    assert_eq!(metrics.log_segments_damaged.get(), 1);
    assert!(log.damaged_until().is_some_and(|until| until == Offset(9)));
    // What is known is not read again.
    assert_eq!(scrub(), [(0, false), (3, false), (6, false)]);
    assert_eq!(metrics.log_segments_damaged.get(), 1);
    let stopped = Pace::unlimited();
    stopped.stop();
    assert!(log.scrub(Offset::ZERO, &stopped).is_err());
}

/// A right CRC over bytes that no codec made: accepted unwalked, it is what was written, and no damage. Its header answers.
#[test]
fn a_batch_that_does_not_unpack_is_found_by_its_header_and_is_no_damage() {
    let directory = tempfile::tempdir().unwrap();
    let dir = open_dir(directory.path());
    let log = open_log(&dir, &LogConfig::default());
    append(&log, &batch(&[1, 2], NOW_MS, 0)).unwrap();
    let mut garbage = BatchBuilder::new(0).codec(CodecId::ZSTD);
    garbage.append(&NewRecord { timestamp: NOW_MS + 50, ..NewRecord::default() }).unwrap();
    let mut garbage = garbage.build().unwrap().to_vec();
    let end = garbage.len();
    garbage[end - 8..].fill(0x55);
    BatchHeader::decode(&garbage).unwrap().seal(&mut garbage);
    append(&log, &garbage).unwrap();
    append(&log, &batch(&[3, 4], NOW_MS + 10, 0)).unwrap();
    log.roll().unwrap();
    let newest = log.max_timestamp_offset(log.log_end_offset()).unwrap().unwrap();
    assert_eq!((newest.offset, newest.timestamp), (Offset(2), NOW_MS + 50));
    let found = log.offset_for_timestamp(NOW_MS + 20).unwrap().unwrap();
    assert_eq!((found.offset, found.timestamp), (Offset(2), NOW_MS + 50));
    assert_eq!(log.offset_for_timestamp(NOW_MS + 1).unwrap().unwrap().offset, Offset(1));
    assert_eq!(log.damaged_until(), None);
}
