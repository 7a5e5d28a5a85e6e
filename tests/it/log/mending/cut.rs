//! The end of a log that was torn: cut, and kept beside it; segments behind it set aside.

use std::path::Path;
use std::sync::Arc;

use stratalog::log::{Log, LogConfig, LogDir, LogDirOptions};
use stratalog::platform::disk::Disk;
use stratalog_protocol::records::{BatchBuilder, NewRecord};
use stratalog_types::Offset;

use super::super::crash_disk::{CrashDisk, Unsynced};
use super::super::damage::*;
use super::super::harness::*;
use super::{Moment, at_every_step, is_kept, open, open_on, scratch};

/// Behind what `fill` wrote, and as large.
fn append_one(log: &Log, value: u64, epoch: i32) {
    let mut bytes = value.to_be_bytes().to_vec();
    bytes.resize(90, b'.');
    let timestamp = timestamp_at(log.log_end_offset().0);
    let mut builder = BatchBuilder::new(0);
    builder.append(&NewRecord { timestamp, value: Some(&bytes), ..NewRecord::default() }).unwrap();
    append_as(log, &builder.build().unwrap(), epoch).unwrap();
}

/// What was acknowledged after so many operations.
type Acknowledged = Vec<(usize, i64)>;

/// A start, appends, a clean stop.
fn start_and_go_on(directory: &Path, disk: &Arc<CrashDisk>) -> Acknowledged {
    let dir = open_on(directory, disk);
    let log = open(&dir).unwrap();
    assert!(log.cut_bytes() > 0);
    let mut acknowledged = vec![(disk.operations(), log.flushed().get().0)];
    for _ in 0..4 {
        append_one(&log, value_at(log.log_end_offset().0), 5);
        if log.log_end_offset().0 % 2 == 0 {
            dir.sync_queued();
            acknowledged.push((disk.operations(), log.flushed().get().0));
        }
    }
    dir.close().unwrap();
    acknowledged
}

/// What the start before the crash acknowledged is there; nothing of what was cut is; it goes on.
fn check(acknowledged: &Acknowledged, sound: i64, start: i64, moment: &Moment<'_>) {
    let what = moment.what;
    let before = acknowledged.iter().take_while(|(operations, _)| *operations <= moment.operations);
    let least = before.last().map_or(sound, |(_, end)| *end);
    let dir = open_dir(moment.image);
    let log = open(&dir).unwrap_or_else(|error| panic!("{what}: {error}"));
    let end = log.log_end_offset().0;
    assert!(end >= least, "{what}: ends at {end}, {least} was acknowledged");
    assert_eq!(check_reads(&log, start..end, what), 0, "{what}");
    append_one(&log, value_at(end), 6);
    dir.close().unwrap();
    drop((log, dir));
    let dir = open_dir(moment.image);
    let log = open(&dir).unwrap();
    assert_eq!((log.log_end_offset().0, log.cut_bytes()), (end + 1, 0), "{what}");
    assert_eq!(check_reads(&log, start..end + 1, what), 0, "{what}");
}

#[test]
fn a_torn_end_is_cut_and_kept() {
    let original = scratch();
    let promise = fill(original.path(), false);
    let sound = {
        let dir = open_dir(original.path());
        let log = open(&dir).unwrap();
        (0..2).for_each(|_| append_one(&log, value_at(log.log_end_offset().0), 4));
        dir.sync_queued();
        // The recovery point is where the torn bytes begin: nothing before them is to be synced by the next start.
        dir.checkpoint_recovery_points().unwrap();
        let sound = log.log_end_offset().0;
        // Batches that fit in where the next start puts its own.
        (0..4).for_each(|_| append_one(&log, 666_666, 4));
        sound
    };
    let last = segments(original.path()).pop().unwrap();
    let mut bytes = std::fs::read(&last).unwrap();
    let batch_bytes = stratalog_protocol::records::BatchIter::new(&bytes).last().unwrap().unwrap().bytes.len();
    let torn_at = bytes.len() - 4 * batch_bytes;
    assert!(base_of(&last) < sound, "all of it is in one segment");
    // The first is torn, those behind it are whole.
    bytes[torn_at + 70] ^= 1;
    std::fs::write(&last, &bytes).unwrap();
    let torn = &bytes[torn_at..];
    at_every_step(original.path(), 16, start_and_go_on, |acknowledged, moment| {
        check(acknowledged, sound, promise.start, moment);
        assert!(is_kept(moment.image, ".cut", torn), "{}: the torn bytes are gone", moment.what);
    });
}

#[test]
fn segments_behind_a_torn_one_are_set_aside() {
    let original = scratch();
    let promise = fill(original.path(), false);
    let all = segments(original.path());
    assert!(all.len() >= 5, "{all:?}");
    let point = base_of(&all[1]) + 2;
    std::fs::write(original.path().join("recovery-point-offset-checkpoint"), format!("0\n1\nevents 0 {point}\n"))
        .unwrap();
    let mut bytes = std::fs::read(&all[2]).unwrap();
    let (mut torn_at, mut sound) = (0, 0);
    for batch in stratalog_protocol::records::BatchIter::new(&bytes).take(4) {
        let batch = batch.unwrap();
        (torn_at, sound) = (torn_at + batch.bytes.len(), batch.header.next_offset());
    }
    bytes[torn_at + 70] ^= 1;
    std::fs::write(&all[2], &bytes).unwrap();
    let behind: Vec<Vec<u8>> = all[3..].iter().map(|file| std::fs::read(file).unwrap()).collect();
    at_every_step(original.path(), 16, start_and_go_on, |acknowledged, moment| {
        check(acknowledged, sound, promise.start, moment);
        for bytes in [&bytes[torn_at..]].into_iter().chain(behind.iter().map(Vec::as_slice)) {
            assert!(is_kept(moment.image, ".cut", bytes), "{}: {} bytes are gone", moment.what, bytes.len());
        }
    });
}

/// A log that Kafka compacts, torn in the middle: what lies behind the tear is no part of it, wherever a start of it is cut
/// short. Once the tear was gone and nothing else, a hole of Kafka's cleaner would look the same.
#[test]
fn what_lies_behind_a_tear_stays_away_when_the_start_is_cut_short() {
    let config = LogConfig { segment_bytes: 130, may_have_holes: true, ..LogConfig::default() };
    let origin = tempfile::tempdir().unwrap();
    let path = {
        let dir = open_dir(origin.path());
        let log = open_log(&dir, &config);
        for value in 0..6 {
            append(&log, &batch(&[value, value + 100], NOW_MS, 0)).unwrap();
        }
        dir.close().unwrap();
        log.path().to_owned()
    };
    std::fs::remove_file(origin.path().join(".kafka_cleanshutdown")).unwrap();
    std::fs::write(origin.path().join("recovery-point-offset-checkpoint"), "0\n1\nevents 0 2\n").unwrap();
    std::fs::write(path.join("leader-epoch-checkpoint"), "0\n1\n1 0\n").unwrap();
    let torn = path.join("00000000000000000004.log");
    let file = std::fs::File::options().write(true).open(&torn).unwrap();
    file.set_len(torn.metadata().unwrap().len() - 3).unwrap();

    let recorded = tempfile::tempdir().unwrap();
    copy(origin.path(), recorded.path());
    let disk = Arc::new(CrashDisk::of(recorded.path()));
    let before = disk.operations();
    let expected: Vec<(i64, u64)> =
        (0..2).flat_map(|at| [(2 * at, at as u64), (2 * at + 1, at as u64 + 100)]).collect();
    {
        let options = LogDirOptions { disk: Disk::observed(disk.clone()), ..manual_options() };
        let log = open_log(&LogDir::open(recorded.path(), options).unwrap(), &config);
        assert_eq!(read_all(&log, Offset(0), 300), expected);
        assert!(log.cut_bytes() > 0);
    }
    assert!(disk.operations() > before + 5);
    for operations in before..=disk.operations() {
        for unsynced in [Unsynced::Lost, Unsynced::Kept] {
            let image = tempfile::tempdir().unwrap();
            disk.build_image(recorded.path(), operations, unsynced, image.path());
            let what = format!("{unsynced:?} after operation {operations}: {}", disk.describe(operations));
            let log = open_log(&open_dir(image.path()), &config);
            assert_eq!(read_all(&log, Offset(0), 300), expected, "{what}");
        }
    }
}
