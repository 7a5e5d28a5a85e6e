//! A batch's base offset lies under no CRC: only its neighbours, and the segment that it is in, tell that it is wrong.
//! Whoever reads a log must not take such a batch for what it says, nor pass over it in silence.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stratalog::log::offline::{self, Action, Findings, Repair, Target};
use stratalog::log::{Error, Log, LogConfig, LogDir, Pace, ReadError};
use stratalog_protocol::records::BatchIter;
use stratalog_types::Offset;

use super::harness::*;

/// Low ones, by which a batch still covers some of its own offsets; high ones; the sign.
const BITS: [u32; 12] = [0, 1, 2, 3, 4, 5, 6, 9, 12, 31, 40, 63];
const RECORDS: i64 = 10;

fn config() -> LogConfig {
    LogConfig { segment_bytes: 1200, index_interval_bytes: 300, file_delete_delay_ms: 0, ..LogConfig::default() }
}

/// Batches of ten records, whose values are their offsets.
fn fill(dir: &LogDir, log: &Log, batches: u64) {
    for _ in 0..batches {
        let from = log.log_end_offset().0;
        let values: Vec<u64> = (from..from + RECORDS).map(|offset| offset as u64).collect();
        append(log, &batch(&values, NOW_MS + from, 0)).unwrap();
    }
    dir.sync_queued();
}

fn logs(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory.join("events-0")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries.filter(|path| path.extension().is_some_and(|suffix| suffix == "log")).collect();
    found.sort();
    found
}

/// The position and the base offset of each batch of a file.
fn batches_of(file: &Path) -> Vec<(usize, i64)> {
    let bytes = std::fs::read(file).unwrap();
    let mut found = Vec::new();
    let mut position = 0;
    for batch in BatchIter::new(&bytes) {
        let batch = batch.unwrap();
        found.push((position, batch.header.base_offset));
        position += batch.bytes.len();
    }
    found
}

fn flip(file: &Path, position: usize, bit: u32) {
    let mut bytes = std::fs::read(file).unwrap();
    let base: &mut [u8; 8] = (&mut bytes[position..position + 8]).try_into().unwrap();
    *base = (i64::from_be_bytes(*base) ^ (1 << bit)).to_be_bytes();
    std::fs::write(file, bytes).unwrap();
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A log of several segments that was closed.
fn closed(config: &LogConfig) -> tempfile::TempDir {
    let directory = temporary();
    let dir = open_dir(directory.path());
    let log = open_log(&dir, config);
    fill(&dir, &log, 17);
    assert!(log.closed_segments().len() >= 3, "{:?}", log.closed_segments());
    dir.close().unwrap();
    directory
}

/// A copy of a data directory, one bit of whose segment `at` is another.
fn flipped(original: &Path, at: usize, position: usize, bit: u32) -> tempfile::TempDir {
    let image = temporary();
    copy(original, image.path());
    flip(&logs(image.path())[at], position, bit);
    image
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)
        } else {
            assert!(std::fs::copy(entry.path(), target).is_ok());
        }
    }
}

/// Reads one batch at a time: a wrong record without an error is a failure. Answers which offsets were refused.
fn refused(log: &Log, what: &str) -> Vec<i64> {
    let end = log.log_end_offset();
    let mut refused = Vec::new();
    for at in log.log_start_offset().0..end.0 {
        match log.read(Offset(at), 1, end, true) {
            Ok(slice) => {
                let bytes = range_bytes(&slice.range);
                let batch = BatchIter::new(&bytes).next().unwrap_or_else(|| panic!("{what}: nothing at {at}")).unwrap();
                let mut has_it = false;
                for record in &batch.records(1 << 20).unwrap() {
                    let record = record.unwrap();
                    let value = u64::from_be_bytes(*record.value.unwrap().first_chunk().unwrap());
                    assert_eq!(value, record.offset as u64, "{what}: read at {at}");
                    has_it |= record.offset == at;
                }
                assert!(has_it, "{what}: what was read at {at} is elsewhere");
            }
            Err(ReadError::Corrupt { .. }) => refused.push(at),
            Err(error) => panic!("{what}: at {at}: {error}"),
        }
    }
    refused
}

/// As an upload reads a segment: how far it came, or why not.
fn upload(log: &Log, from: i64) -> Result<i64, ReadError> {
    let Some(mut reader) = log.segment_for_upload(Offset(from))? else { return Ok(from) };
    let mut reached = from;
    while let Some(run) = reader.next_run(300)? {
        assert!(run.base_offset.0 <= reached, "offsets {reached} to {} are left out", run.base_offset);
        reached = run.last_offset.0 + 1;
    }
    Ok(reached)
}

#[test]
fn a_base_offset_that_flipped_in_a_closed_segment_is_damage() {
    let whole = closed(&config());
    let batches = batches_of(&logs(whole.path())[1]);
    assert!(batches.len() >= 3, "{batches:?}");
    let offsets = batches[0].1..batches_of(&logs(whole.path())[2])[0].1;
    for (position, base) in &batches {
        for bit in BITS {
            let what = format!("bit {bit} of {base}");
            let images = [(); 3].map(|()| flipped(whole.path(), 1, *position, bit));
            let logs = images.each_ref().map(|image| open_log(&open_dir(image.path()), &config()));
            let [uploaded, scrubbed, read] = &logs;
            let upload = upload(uploaded, offsets.start);
            assert!(matches!(upload, Err(ReadError::Corrupt { .. })), "{what}: {upload:?}");
            assert!(uploaded.damaged_until().is_some(), "{what}: the upload names no damage");
            let scrub = scrubbed.scrub(Offset(offsets.start), &Pace::unlimited()).unwrap().unwrap();
            assert!(scrub.is_damaged, "{what}: {scrub:?}");
            let refused = refused(read, &what);
            assert!((0..RECORDS).all(|at| refused.contains(&(base + at))), "{what}: only {refused:?} refused");
            assert!(refused.iter().all(|at| offsets.contains(at)), "{what}: {refused:?} refused");
            assert!(read.damaged_until().is_some(), "{what}: a read names no damage");
        }
    }
    let log = open_log(&open_dir(whole.path()), &config());
    assert_eq!(refused(&log, "whole"), [0; 0]);
    assert_eq!(upload(&log, offsets.start).unwrap(), offsets.end);
    // From the middle of a batch on, as where the log starts there.
    assert_eq!(upload(&log, offsets.start + RECORDS + 3).unwrap(), offsets.end);
}

/// Where offsets may be missing, a batch must still lie in its segment, and behind the one before it.
#[test]
fn a_base_offset_outside_its_segment_is_damage_in_a_compacted_log_too() {
    let config = LogConfig { may_have_holes: true, ..config() };
    let whole = closed(&config);
    let batches = batches_of(&logs(whole.path())[1]);
    let offsets = batches[0].1..batches_of(&logs(whole.path())[2])[0].1;
    let outside = |base: i64, bit: u32| !offsets.contains(&(base ^ (1 << bit)));
    let (mut first, mut last) = (0, 0);
    for (position, base) in [batches[0], *batches.last().unwrap()] {
        for bit in BITS.into_iter().filter(|bit| outside(base, *bit)) {
            let what = format!("bit {bit} of {base}");
            let image = flipped(whole.path(), 1, position, bit);
            let log = open_log(&open_dir(image.path()), &config);
            let upload = upload(&log, offsets.start);
            assert!(matches!(upload, Err(ReadError::Corrupt { .. })), "{what}: {upload:?}");
            *(if position == 0 { &mut first } else { &mut last }) += 1;
        }
    }
    assert!(first > 3 && last > 3);
}

/// Records that a start must not lose: it opens the log with all of them, or names the batch that it stopped at.
/// Answers whether it opened.
fn opens_whole(image: &Path, config: &LogConfig, batch_base: i64, end: i64, what: &str) -> Option<Arc<Log>> {
    let dir = open_dir(image);
    let before: Vec<_> = logs(image).iter().map(|file| std::fs::read(file).unwrap()).collect();
    match Log::open(&dir, partition(), topic_id(), config.clone()) {
        Ok(log) => {
            assert_eq!((log.log_end_offset().0, log.cut_bytes()), (end, 0), "{what}");
            Some(log)
        }
        Err(Error::Corrupt(damage)) => {
            assert_eq!(damage.first_offset.0, batch_base, "{what}: {damage}");
            assert!(damage.next_offset > damage.first_offset, "{what}: {damage}");
            let after: Vec<_> = logs(image).iter().map(|file| std::fs::read(file).unwrap()).collect();
            assert!(before == after, "{what}: bytes were changed");
            None
        }
        Err(error) => panic!("{what}: {error}"),
    }
}

/// The recovery point of the log, as checkpointed.
fn set_recovery_point(directory: &Path, point: i64) {
    let text = format!("0\n1\nevents 0 {point}\n");
    std::fs::write(directory.join("recovery-point-offset-checkpoint"), text).unwrap();
}

/// The end of a log is what its last batch says, and that lies under no CRC. A clean stop says where it is.
#[test]
fn a_base_offset_that_flipped_at_the_end_of_a_stopped_log_does_not_move_its_end() {
    for may_have_holes in [false, true] {
        let config = LogConfig { may_have_holes, ..config() };
        let whole = closed(&config);
        let end = open_log(&open_dir(whole.path()), &config).log_end_offset().0;
        mark_clean(whole.path());
        let last = logs(whole.path()).len() - 1;
        let (position, base) = *batches_of(&logs(whole.path())[last]).last().unwrap();
        for bit in BITS {
            let what = format!("holes: {may_have_holes}, bit {bit} of {base}");
            let image = flipped(whole.path(), last, position, bit);
            assert!(opens_whole(image.path(), &config, base, end, &what).is_none(), "{what}: it opened");
        }
        assert!(opens_whole(whole.path(), &config, base, end, "whole").is_some());
    }
}

/// What is whole but for a base offset was written so, and what follows it too: no torn end.
#[test]
fn a_base_offset_that_flipped_is_no_torn_end() {
    let whole = closed(&config());
    let end = open_log(&open_dir(whole.path()), &config()).log_end_offset().0;
    let count = logs(whole.path()).len();
    let mut refused_above = 0;
    for may_have_holes in [false, true] {
        let config = LogConfig { may_have_holes, ..config() };
        for (at, (position, base)) in [count - 2, count - 1]
            .into_iter()
            .flat_map(|at| batches_of(&logs(whole.path())[at]).into_iter().map(move |b| (at, b)))
        {
            for bit in BITS {
                // The recovery point is at the end, at the batch, below it, or nobody knows it.
                for point in [Some(end), Some(base), Some(0), None] {
                    let image = flipped(whole.path(), at, position, bit);
                    match point {
                        Some(point) => set_recovery_point(image.path(), point),
                        None => std::fs::remove_file(image.path().join("recovery-point-offset-checkpoint")).unwrap(),
                    }
                    let what = format!("holes: {may_have_holes}, segment {at}, bit {bit} of {base}, point {point:?}");
                    // A batch behind which there is nothing, in a log that may have holes up to nobody knows where.
                    if may_have_holes && point.is_none() && base + RECORDS == end && base ^ (1 << bit) > base {
                        continue;
                    }
                    let opened = opens_unless_hidden(image.path(), &config, base, end, &what);
                    if point == Some(0) && opened.is_none() {
                        refused_above += 1;
                    }
                    // Everything is read but where the recovery point says that it need not be.
                    assert!(opened.is_none() || point == Some(end) || may_have_holes, "{what}: it opened");
                }
            }
        }
    }
    assert!(refused_above > 100, "{refused_above}");
}

/// As [`opens_whole`]. In a log with holes a batch may lie where it says, as far as anybody can tell.
fn opens_unless_hidden(image: &Path, config: &LogConfig, base: i64, end: i64, what: &str) -> Option<Arc<Log>> {
    let dir = open_dir(image);
    match Log::open(&dir, partition(), topic_id(), config.clone()) {
        Ok(log) => {
            assert_eq!((log.log_end_offset().0, log.cut_bytes()), (end, 0), "{what}");
            Some(log)
        }
        Err(Error::Corrupt(damage)) => {
            let named =
                damage.first_offset.0 == base || (config.may_have_holes && damage.first_offset.0 <= base + RECORDS);
            assert!(named && damage.next_offset > damage.first_offset, "{what}: {damage}");
            None
        }
        Err(error) => panic!("{what}: {error}"),
    }
}

fn plan(directory: &Path, drop_damaged: bool) -> Repair {
    let target = Target::of(directory).unwrap();
    offline::plan(&target, drop_damaged, &mut Findings::new(|_| {})).unwrap()
}

/// A batch is whole, and its neighbours say which offsets are left for it: nothing is lost by a flipped base offset.
#[test]
fn a_repair_sets_a_base_offset_right() {
    let whole = closed(&config());
    let sound: Vec<_> = logs(whole.path()).iter().map(|file| std::fs::read(file).unwrap()).collect();
    let end = open_log(&open_dir(whole.path()), &config()).log_end_offset().0;
    let (mut set, mut left) = (0, 0);
    for (at, file) in logs(whole.path()).iter().enumerate() {
        for (position, base) in batches_of(file) {
            for bit in BITS {
                for point in [end, 0] {
                    let what = format!("segment {at}, bit {bit} of {base}, point {point}");
                    let image = flipped(whole.path(), at, position, bit);
                    set_recovery_point(image.path(), point);
                    let repair = plan(image.path(), false);
                    // Behind the last batch only the recovery point tells where it ends.
                    if base + RECORDS == end && point < end {
                        assert!(matches!(repair.actions[0], Action::Leave { .. }), "{what}: {:?}", repair.actions);
                        left += 1;
                        continue;
                    }
                    assert!(
                        matches!(repair.actions[0], Action::SetBaseOffset { to, .. } if to == base),
                        "{what}: {:?}",
                        repair.actions
                    );
                    assert!(plan(image.path(), true).actions == repair.actions, "{what}");
                    repair.apply(|_| {}).unwrap();
                    let mended: Vec<_> = logs(image.path()).iter().map(|file| std::fs::read(file).unwrap()).collect();
                    assert!(mended == sound, "{what}: not as it was");
                    assert!(plan(image.path(), true).actions.is_empty(), "{what}: more to do");
                    set += 1;
                }
            }
        }
    }
    assert!(set > 200 && left == BITS.len(), "{set} {left}");
}

/// The mark of a clean stop, which an opening takes away.
fn mark_clean(directory: &Path) {
    std::fs::write(directory.join(".kafka_cleanshutdown"), "{\"version\":0,\"brokerEpoch\":-1}").unwrap();
}
