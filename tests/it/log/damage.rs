//! Each kind of file damaged in each way, after a clean and an unclean stop: what was acknowledged is read back as it
//! was, or its damage is named; nothing is missing in silence, nothing wrong is told.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stratalog::log::{Error, Log, LogConfig, LogDir, ReadError, offline};
use stratalog_protocol::records::BatchIter;
use stratalog_types::{LeaderEpoch, Offset};

use super::harness::*;

pub(super) const PRODUCER: i64 = 42;

pub(super) fn config() -> LogConfig {
    LogConfig { segment_bytes: 3000, index_interval_bytes: 200, file_delete_delay_ms: 0, ..LogConfig::default() }
}

/// What was promised of the log.
pub(super) struct Promise {
    pub(super) start: i64,
    /// Everything before it was acknowledged.
    pub(super) flushed: i64,
    pub(super) recovery_point: i64,
    pub(super) last_sequence: i32,
}

pub(super) fn value_at(offset: i64) -> u64 {
    offset as u64 * 7 + 1
}

pub(super) fn timestamp_at(offset: i64) -> i64 {
    NOW_MS + offset * 10
}

/// A log of several segments; of the last records some are above the recovery point.
pub(super) fn fill(directory: &Path, clean: bool) -> Promise {
    let dir = open_dir(directory);
    let log = open_log(&dir, &config());
    let mut sequence = 0;
    let mut append_one = |epoch| {
        let offset = log.log_end_offset().0;
        let mut builder = stratalog_protocol::records::BatchBuilder::new(0).producer(PRODUCER, 0, sequence);
        let mut value = value_at(offset).to_be_bytes().to_vec();
        value.resize(90, b'.');
        let record = stratalog_protocol::records::NewRecord {
            timestamp: timestamp_at(offset),
            value: Some(&value),
            ..Default::default()
        };
        builder.append(&record).unwrap();
        append_as(&log, &builder.build().unwrap(), epoch).unwrap();
        sequence += 1;
    };
    (0..40).for_each(|_| append_one(1));
    (0..40).for_each(|_| append_one(3));
    dir.sync_queued();
    log.set_log_start_offset(Offset(3)).unwrap();
    (0..7).for_each(|_| append_one(3));
    dir.sync_queued();
    dir.checkpoint_recovery_points().unwrap();
    let recovery_point = log.log_end_offset().0;
    if !clean {
        (0..3).for_each(|_| append_one(3));
        dir.sync_queued();
    }
    let flushed = log.flushed().get().0;
    assert_eq!(flushed, log.log_end_offset().0);
    assert!(log.closed_segments().len() >= 3);
    if clean {
        dir.close().unwrap();
    }
    Promise { start: 3, flushed, recovery_point, last_sequence: sequence - 1 }
}

#[derive(Debug, Clone, Copy)]
enum Harm {
    /// The bit of the byte at so many thousandths of the file.
    Flip(u64, u8),
    Cut(u64),
    Delete,
    /// Whoever reads it gets an error: a directory has its name.
    Unreadable,
}

/// A file that is made anew from the log.
fn is_derived(name: &str) -> bool {
    name == "leader-epoch-checkpoint" || ["index", "timeindex", "snapshot"].iter().any(|suffix| name.ends_with(suffix))
}

impl Harm {
    /// False: the file is too short for it.
    fn apply(self, file: &Path) -> bool {
        let mut bytes = std::fs::read(file).unwrap();
        let at = |thousandths: u64| (bytes.len() as u64 * thousandths / 1000) as usize;
        match self {
            Harm::Delete => std::fs::remove_file(file).unwrap(),
            Harm::Unreadable => {
                std::fs::remove_file(file).unwrap();
                std::fs::create_dir(file).unwrap();
            }
            Harm::Flip(thousandths, bit) => {
                let at = at(thousandths).min(bytes.len().saturating_sub(1));
                let Some(byte) = bytes.get_mut(at) else { return false };
                *byte ^= 1 << bit;
                std::fs::write(file, bytes).unwrap();
            }
            Harm::Cut(thousandths) => {
                let at = at(thousandths);
                if at == bytes.len() {
                    return false;
                }
                bytes.truncate(at);
                std::fs::write(file, bytes).unwrap();
            }
        }
        true
    }
}

pub(super) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

pub(super) fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(&file, &target).unwrap();
    }
}

/// Whether a flip there changes what no CRC covers, a batch's base offset or leader epoch. Of the first a reader of raw
/// bytes is told where its read begins with that batch, not where it comes later (`base_offsets` has what each reader
/// can tell); of the second `log verify` alone can, where the epochs' checkpoint says otherwise.
fn is_uncovered(file: &Path, harm: Harm) -> bool {
    let Harm::Flip(thousandths, _) = harm else { return false };
    let bytes = std::fs::read(file).unwrap();
    let at = bytes.len() as u64 * thousandths / 1000;
    let mut begins = 0;
    for batch in BatchIter::new(&bytes) {
        let length = batch.unwrap().bytes.len() as u64;
        if at < begins + length {
            return matches!(at - begins, 0..8 | 12..16);
        }
        begins += length;
    }
    false
}

/// Reads a range record by record. What is missing or wrong without an error is a failure; an error is an answer.
pub(super) fn check_reads(log: &Log, offsets: Range<i64>, what: &str) -> usize {
    let mut refused = 0;
    let mut at = offsets.start;
    while at < offsets.end {
        let slice = match log.read(Offset(at), 400, log.log_end_offset(), true) {
            Ok(slice) => slice,
            Err(ReadError::Corrupt { .. } | ReadError::Io { .. } | ReadError::BelowLocalStart { .. }) => {
                refused += 1;
                at += 1;
                continue;
            }
            Err(error) => panic!("{what}: read at {at}: {error}"),
        };
        assert!(slice.base_offset.0 <= at, "{what}: a read at {at} begins at {}", slice.base_offset);
        let bytes = range_bytes(&slice.range);
        for batch in BatchIter::new(&bytes) {
            // The client's own check.
            let Some(batch) = batch.ok().filter(|batch| batch.crc_matches()) else {
                refused += 1;
                break;
            };
            for record in &batch.records(1 << 20).unwrap() {
                let record = record.unwrap();
                let value = u64::from_be_bytes(*record.value.unwrap().first_chunk().unwrap());
                assert_eq!(value, value_at(record.offset), "{what}: at {}", record.offset);
                assert!(record.offset <= at.max(slice.next_offset.0), "{what}");
            }
        }
        assert!(slice.next_offset.0 > at, "{what}: a read at {at} ends at {}", slice.next_offset);
        at = slice.next_offset.0;
    }
    refused
}

fn check(image: &Path, promise: &Promise, harmed: &Path, what: &str) -> &'static str {
    let name = harmed.file_name().unwrap().to_str().unwrap();
    let dir = match LogDir::open(image, manual_options()) {
        Ok(dir) => dir,
        Err(error) => {
            // Whose directory it is cannot be told: it is offline as a whole.
            assert_eq!(name, "meta.properties", "{what}: {error}");
            assert!(
                error.to_string().contains("meta.properties") || error.to_string().contains(".id"),
                "{what}: {error}"
            );
            return "directory offline";
        }
    };
    let log = match Log::open(&dir, partition(), topic_id(), config()) {
        Ok(log) => log,
        Err(error) => {
            let told = error.to_string();
            let of_log = name.ends_with(".log");
            assert!(of_log || name == "partition.metadata", "{what}: {told}");
            assert!(told.contains("events-0"), "{what}: {told}");
            if let Error::Corrupt(damage) = error {
                assert!(damage.first_offset < damage.next_offset, "{what}: {damage}");
                // Of a file that is gone, the one before it is named.
                let named = damage.path.to_string_lossy().contains(&name[..20]) || what.contains("Delete");
                assert!(named, "{what}: {damage} is not {name}");
            }
            return "partition offline";
        }
    };
    let outcome = check_open(&dir, &log, promise, name, what);
    // What was found once is found again.
    let end = log.log_end_offset();
    drop((log, dir));
    let dir = open_dir(image);
    match Log::open(&dir, partition(), topic_id(), config()) {
        Ok(again) => assert_eq!(again.log_end_offset(), end, "{what}"),
        // A recovery looks at more than a clean start did.
        Err(Error::Corrupt(damage)) => {
            assert!(name.ends_with(".log") && damage.path.to_string_lossy().contains(name), "{what}: {damage}");
        }
        Err(error) => panic!("{what}: {error}"),
    }
    outcome
}

fn check_open(dir: &Arc<LogDir>, log: &Arc<Log>, promise: &Promise, name: &str, what: &str) -> &'static str {
    let (start, end) = (log.log_start_offset().0, log.log_end_offset().0);
    assert!(start <= promise.start, "{what}: starts at {start}");
    let is_log = name.ends_with(".log");
    if end < promise.flushed {
        // A flipped bit above the recovery point is a torn tail to everybody: it is cut, kept and counted.
        assert!(is_log && log.cut_bytes() > 0 && end >= promise.recovery_point, "{what}: ends at {end}");
    }
    let checked = promise.start..end;
    let refused = check_reads(log, checked.clone(), what);
    assert!(refused == 0 || is_log, "{what}: {refused} reads refused");
    // What lies below is asked of the tier, or refused, by the partition.
    for offset in checked.start.max(log.local_log_start_offset().0)..end {
        match log.offset_for_timestamp(timestamp_at(offset)) {
            Ok(Some(found)) => assert_eq!((found.offset.0, found.timestamp), (offset, timestamp_at(offset)), "{what}"),
            Ok(None) => panic!("{what}: no record at the timestamp of {offset}"),
            Err(_) => assert!(is_log, "{what}"),
        }
    }
    let largest = log.max_timestamp_offset(Offset(end));
    assert!(is_log || largest.unwrap().unwrap().offset.0 == end - 1, "{what}");
    let epochs = [(1, 40), (3, end)].map(|(epoch, end)| (LeaderEpoch(epoch), Some((LeaderEpoch(epoch), Offset(end)))));
    for (epoch, expected) in epochs {
        assert_eq!(log.end_offset_for_epoch(epoch), expected, "{what}");
    }
    let sequence = promise.last_sequence - (promise.flushed - end) as i32;
    let state = log.active_producers();
    assert!(is_log || state.iter().any(|one| one.producer_id == PRODUCER && one.last_sequence() == sequence), "{what}");
    // It goes on, and finds itself again.
    append_as(log, &batch(&[value_at(end)], timestamp_at(end), 0), 5).unwrap();
    dir.sync_queued();
    assert_eq!(log.flushed().get().0, end + 1, "{what}");
    match (refused, end < promise.flushed) {
        (0, false) => "whole",
        (0, true) => "cut",
        _ => "reads refused",
    }
}

#[test]
fn damage_is_healed_or_named_and_never_believed() {
    let mut outcomes: std::collections::BTreeMap<(String, &str), usize> = std::collections::BTreeMap::new();
    for clean in [true, false] {
        let original = tempfile::tempdir().unwrap();
        let promise = fill(original.path(), clean);
        for file in files(original.path()) {
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            if name == ".lock" {
                continue;
            }
            let flips = [0, 10, 200, 330, 500, 501, 700, 940, 999];
            let flips = flips.iter().flat_map(|at| [0, 3, 7].map(|bit| Harm::Flip(*at, bit)));
            let cuts = [0, 300, 500, 900, 999].map(Harm::Cut);
            let unreadable = is_derived(&name).then_some(Harm::Unreadable);
            for harm in flips.chain(cuts).chain([Harm::Delete]).chain(unreadable) {
                let image = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
                copy(original.path(), image.path());
                let harmed = image.path().join(file.strip_prefix(original.path()).unwrap());
                if !harm.apply(&harmed) {
                    continue;
                }
                if name.ends_with(".log") && is_uncovered(&file, harm) {
                    continue;
                }
                let what = format!("{name}, {harm:?}, clean: {clean}");
                let outcome = check(image.path(), &promise, &harmed, &what);
                let kind = name.split_once('.').map_or(name.as_str(), |(_, suffix)| suffix).to_owned();
                *outcomes.entry((kind, outcome)).or_default() += 1;
            }
        }
    }
    for ((kind, outcome), count) in &outcomes {
        println!("{kind}: {outcome}: {count}");
    }
    let kinds = |outcome: &str| outcomes.keys().filter(|(_, one)| *one == outcome).count();
    assert!(kinds("whole") >= 8 && kinds("partition offline") >= 1, "{outcomes:?}");
}

pub(super) fn segments(directory: &Path) -> Vec<PathBuf> {
    let mut found = files(&directory.join("events-0"));
    found.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    found
}

pub(super) fn base_of(segment: &Path) -> i64 {
    segment.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

/// What a person gave up is stepped over, and nothing else is.
#[test]
fn records_that_were_given_up_hold_up_no_reader() {
    let original = tempfile::tempdir().unwrap();
    let promise = fill(original.path(), false);
    let all = segments(original.path());
    let (lost, next) = (base_of(&all[1]), base_of(&all[2]));
    std::fs::remove_file(&all[1]).unwrap();
    let dir = open_dir(original.path());
    let Err(Error::Corrupt(damage)) = Log::open(&dir, partition(), topic_id(), config()) else { panic!("it opened") };
    assert_eq!((damage.first_offset.0, damage.next_offset.0), (lost, next));
    drop(dir);

    let target = offline::Target::of(original.path()).unwrap();
    let plan = |brave| offline::plan(&target, brave, &mut offline::Findings::new(|_| {})).unwrap();
    assert!(plan(false).actions.is_empty());
    plan(true).apply(|_| {}).unwrap();
    let dir = open_dir(original.path());
    let log = open_log(&dir, &config());
    assert_eq!(log.log_end_offset().0, promise.flushed);
    assert_eq!(log.read(Offset(lost + 1), 400, log.log_end_offset(), true).unwrap().base_offset.0, next);
    assert_eq!(check_reads(&log, next..promise.flushed, "behind it"), 0);
    assert_eq!(check_reads(&log, promise.start..lost, "before it"), 0);
    assert!(plan(true).actions.is_empty());
}

/// A segment whose last batch was given up has no gap: not to a start that walks it, not to a reader, not to the tier.
#[test]
fn what_was_given_up_leaves_no_gap() {
    let original = tempfile::tempdir().unwrap();
    let promise = fill(original.path(), false);
    let all = segments(original.path());
    let (base, next) = (base_of(&all[1]), base_of(&all[2]));
    // The segment is above the recovery point: the start walks it.
    std::fs::write(original.path().join("recovery-point-offset-checkpoint"), format!("0\n1\nevents 0 {base}\n"))
        .unwrap();
    let mut bytes = std::fs::read(&all[1]).unwrap();
    let at = bytes.len() - 5;
    bytes[at] ^= 4;
    std::fs::write(&all[1], bytes).unwrap();
    let target = offline::Target::of(original.path()).unwrap();
    let plan = || offline::plan(&target, true, &mut offline::Findings::new(|_| {})).unwrap();
    plan().apply(|_| {}).unwrap();
    assert!(plan().actions.is_empty());

    let dir = open_dir(original.path());
    let log = open_log(&dir, &config());
    assert_eq!((log.log_end_offset().0, log.cut_bytes()), (promise.flushed, 0));
    let slice = log.read(Offset(next - 1), 400, log.log_end_offset(), true).unwrap();
    assert!(slice.base_offset.0 < next && slice.next_offset.0 >= next, "{slice:?}");
    assert_eq!(check_reads(&log, promise.start..promise.flushed, "given up"), 0);
    for at in [base, next - 1, next] {
        let found = log.offset_for_timestamp(timestamp_at(at)).unwrap().unwrap();
        assert_eq!(found.offset.0, if at == next - 1 { next } else { at });
    }
    let mut reader = log.segment_for_upload(Offset(base)).unwrap().unwrap();
    let mut reached = base;
    while let Some(run) = reader.next_run(500).unwrap() {
        reached = run.last_offset.next().0;
    }
    assert_eq!(reached, next);
    // Records that go missing elsewhere are still damage.
    assert!(!original.path().join("events-0/records-given-up").exists());
}

/// An index entry that points beside the batches is an index to be made anew, not a damaged log.
#[test]
fn a_wrong_index_entry_is_no_damage_of_the_log() {
    let original = tempfile::tempdir().unwrap();
    let promise = fill(original.path(), true);
    let segment = segments(original.path())[1].clone();
    let index = segment.with_extension("index");
    let before = std::fs::read(&index).unwrap();
    let mut bytes = before.clone();
    let at = bytes.len() - 1;
    bytes[at] ^= 4;
    std::fs::write(&index, bytes).unwrap();
    let dir = open_dir(original.path());
    let log = open_log(&dir, &config());
    let end = log.log_end_offset();
    for at in promise.start..promise.flushed {
        assert_eq!(log.offset_for_timestamp(timestamp_at(at)).unwrap().unwrap().offset.0, at);
    }
    assert_eq!(log.max_timestamp_offset(end).unwrap().unwrap().offset.0, end.0 - 1);
    assert_eq!(log.damaged_until(), None);
    drop((dir, log));
    let dir = open_dir(original.path());
    open_log(&dir, &config());
    assert_ne!(std::fs::read(&index).unwrap().last(), Some(&(before[at] ^ 4)), "it is written anew");
}
