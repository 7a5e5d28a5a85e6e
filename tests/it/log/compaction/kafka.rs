//! A directory in which Apache Kafka was cleaning when it was killed: opened as Kafka would open it.
//!
//! Kafka swaps in another order than we do, and syncs no name of it: the `.log` gets its new name before its indexes,
//! both times; what was replaced is renamed to `.deleted` before that, the first segment too; there is a transaction
//! index only where it has entries; and the recovery point may lie below the holes that the cleaning left.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use stratalog::log::{CleanOptions, Log, LogConfig, LogDir, LogDirOptions};
use stratalog::platform::disk::Disk;
use stratalog_protocol::records::{BatchIter, CodecId};
use stratalog_types::Offset;

use super::{Bench, RETENTION_MS, config, read_everything, record};
use crate::log::crash_disk::{CrashDisk, Unsynced};
use crate::log::damage::copy;
use crate::log::harness::*;

/// In the order in which Kafka renames them.
const KINDS: [&str; 4] = ["log", "index", "timeindex", "txnindex"];

/// A log before and after a round, of which one group became one segment.
struct Round {
    bench: Bench,
    before: tempfile::TempDir,
    after: tempfile::TempDir,
    /// The base offsets of that group.
    group: Vec<i64>,
    /// The base offset behind it; the group's last record lies well before.
    next: i64,
    active: i64,
}

fn small() -> LogConfig {
    LogConfig { segment_bytes: 1 << 20, index_interval_bytes: 60, may_have_holes: true, ..config() }
}

fn append_segment(bench: &mut Bench, keys: &[&str], aborts: Option<i64>, commits: Option<i64>) {
    let now = bench.clock.now_ms();
    for key in keys {
        bench.append(&[record(key.as_bytes(), Some(b"a value"), now)], CodecId::NONE, None, false);
    }
    for (producer, committed) in aborts.map(|p| (p, false)).into_iter().chain(commits.map(|p| (p, true))) {
        let key = format!("of {producer}");
        let first =
            bench.append(&[record(key.as_bytes(), Some(b"in doubt"), now)], CodecId::NONE, Some(producer), true);
        let marker = bench.end_transaction(producer, committed);
        if !committed {
            bench.aborted.insert(first, marker);
        }
    }
    bench.log().roll().unwrap();
}

fn bases(directory: &Path) -> Vec<i64> {
    let mut found: Vec<i64> =
        names(directory).into_iter().filter(|(_, kind)| kind == "log").map(|(at, _)| at).collect();
    found.sort_unstable();
    found
}

/// The files that are named after an offset.
fn names(directory: &Path) -> Vec<(i64, String)> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let parsed = entries.filter_map(|name| {
        let (digits, kind) = name.split_once('.')?;
        Some((digits.parse().ok().filter(|_| digits.len() == 20)?, kind.to_owned()))
    });
    parsed.collect()
}

fn file(directory: &Path, base: i64, kind: &str) -> std::path::PathBuf {
    directory.join(format!("{base:020}.{kind}"))
}

/// `aborts_later`: the producer of an aborted transaction that the second round finds in the group. Without one the group
/// has no index of aborted transactions afterwards.
fn round(aborts_later: Option<i64>) -> Round {
    let mut bench = Bench::new(small());
    append_segment(&mut bench, &["a", "b", "c", "d"], Some(50), None);
    append_segment(&mut bench, &["a", "b", "e"], Some(51), None);
    bench.clean(&CleanOptions::default()).unwrap();
    // The markers of the first round go in the second, and with them their entries.
    bench.clock.advance_ms(RETENTION_MS + 1);
    append_segment(&mut bench, &["f", "c"], None, Some(50));
    append_segment(&mut bench, &["g", "h"], aborts_later, None);
    append_segment(&mut bench, &["i", "j", "k"], None, None);
    let behind = bench.log().log_end_offset().0;
    append_segment(&mut bench, &["i", "j", "k", &"l".repeat(600)], Some(53), None);
    bench.append(&[record(b"m", Some(b"a value"), bench.clock.now_ms())], CodecId::NONE, None, false);
    bench.dir().sync_queued();
    let before = scratch();
    let after = scratch();
    copy(bench.directory.path(), before.path());
    let closed = bench.log().closed_segments();
    let group: Vec<_> = closed.iter().filter(|segment| segment.base_offset.0 < behind).collect();
    let segment_bytes = group.iter().map(|segment| segment.bytes).sum::<u64>() as u32;
    bench.log().update_config(LogConfig { segment_bytes, ..small() });
    bench.clean(&CleanOptions::default()).unwrap();
    copy(bench.directory.path(), after.path());
    let group = group.iter().map(|segment| segment.base_offset.0).collect();
    let active = *bases(&after.path().join("events-0")).last().unwrap();
    let round = Round { bench, before, after, group, next: behind, active };
    let cleaned = file(&round.after.path().join("events-0"), round.group[0], "log");
    assert!(end_of(&std::fs::read(cleaned).unwrap()) < round.next, "no hole behind the group");
    assert!(round.group.len() > 3, "{:?}", round.group);
    assert!(aborts(&round.before.path().join("events-0"), round.group[0]).len() > 1);
    round
}

fn end_of(log: &[u8]) -> i64 {
    BatchIter::new(log).last().map_or(0, |batch| batch.unwrap().header.next_offset())
}

/// Producer and marker of each entry of a transaction index.
fn aborts(directory: &Path, base: i64) -> BTreeSet<(i64, i64)> {
    let path = file(directory, base, "txnindex");
    let entries =
        if path.exists() { stratalog::log::offline::read_transaction_index(&path).unwrap() } else { Vec::new() };
    entries.iter().map(|entry| (entry.producer_id, entry.last_offset)).collect()
}

/// What Kafka does at a start with what it left: afterwards only plain names are there.
fn kafka_loads(directory: &Path) {
    let remove = |at: i64, kind: &str| std::fs::remove_file(file(directory, at, kind)).unwrap();
    let all = names(directory);
    let cleaned_min = all.iter().filter(|(_, kind)| kind.ends_with(".cleaned")).map(|(at, _)| *at).min();
    for (at, kind) in &all {
        let is_undone = kind.ends_with(".swap") && cleaned_min.is_some_and(|cleaned| *at >= cleaned);
        if kind.ends_with(".deleted") || kind.ends_with(".cleaned") || is_undone {
            remove(*at, kind);
        }
    }
    let all = names(directory);
    let swapped = all.iter().filter(|(_, kind)| kind == "log.swap");
    let ends = swapped.map(|(at, kind)| (*at, end_of(&std::fs::read(file(directory, *at, kind)).unwrap())));
    let replaced: Vec<(i64, i64)> = ends.collect();
    for (at, kind) in &all {
        if !kind.ends_with(".swap") && replaced.iter().any(|(from, until)| (*from..*until).contains(at)) {
            remove(*at, kind);
        }
    }
    for (at, kind) in &all {
        if let Some(plain) = kind.strip_suffix(".swap") {
            std::fs::rename(file(directory, *at, kind), file(directory, *at, plain)).unwrap();
        }
    }
}

/// What Kafka does to the names when it swaps the group, one at a time.
fn kafka_swaps(round: &Round, directory: &Path, mut then: impl FnMut(&str)) {
    let first = round.group[0];
    let after = round.after.path().join("events-0");
    let rename = |at: i64, from: &str, to: &str| {
        let from = file(directory, at, from);
        if from.exists() {
            std::fs::rename(from, file(directory, at, to)).unwrap();
        }
    };
    then("nothing");
    for kind in KINDS {
        let bytes = std::fs::read(file(&after, first, kind)).unwrap();
        if kind == "txnindex" && bytes.is_empty() {
            continue;
        }
        std::fs::write(file(directory, first, &format!("{kind}.cleaned")), bytes).unwrap();
        then(&format!("{kind} cleaned"));
    }
    for kind in KINDS {
        rename(first, &format!("{kind}.cleaned"), &format!("{kind}.swap"));
        then(&format!("{kind} in swap"));
    }
    for base in &round.group {
        for kind in KINDS {
            rename(*base, kind, &format!("{kind}.deleted"));
            then(&format!("{base} {kind} deleted"));
        }
    }
    for kind in KINDS {
        rename(first, &format!("{kind}.swap"), kind);
        then(&format!("{kind} swapped"));
    }
    for base in &round.group[1..] {
        rename(*base, "snapshot", "snapshot.deleted");
        then(&format!("{base} snapshot deleted"));
    }
    for (at, kind) in names(directory) {
        if kind.ends_with(".deleted") {
            std::fs::remove_file(file(directory, at, &kind)).unwrap();
        }
    }
    then("all removed");
}

/// The checkpoints as Kafka writes them, and an active index that it had made room for.
fn as_kafka_leaves(round: &Round, directory: &Path, recovery_point: i64, cleaned_until: Option<i64>) {
    let write = |name: &str, text: String| std::fs::write(directory.join(name), text).unwrap();
    write("recovery-point-offset-checkpoint", format!("0\n1\nevents 0 {recovery_point}\n"));
    write("events-0/leader-epoch-checkpoint", "0\n1\n1 0\n".to_owned());
    match cleaned_until {
        Some(until) => write("cleaner-offset-checkpoint", format!("0\n1\nevents 0 {until}\n")),
        None => write("cleaner-offset-checkpoint", "0\n0\n".to_owned()),
    }
    for (kind, bytes) in [("index", 800), ("timeindex", 1200)] {
        let path = file(&directory.join("events-0"), round.active, kind);
        let mut padded = std::fs::read(&path).unwrap();
        padded.resize(bytes, 0);
        std::fs::write(path, padded).unwrap();
    }
}

fn check(round: &Round, log: &Log, expected: &Path, is_walked: bool, what: &str) {
    let mut batches = Vec::new();
    let mut told_by_kafka = BTreeSet::new();
    for base in bases(expected) {
        let bytes = std::fs::read(file(expected, base, "log")).unwrap();
        batches.extend(BatchIter::new(&bytes).map(|batch| {
            let header = batch.unwrap().header;
            (header.base_offset, header.last_offset(), header.crc)
        }));
        told_by_kafka.extend(aborts(expected, base));
    }
    let (headers, seen) = read_everything(log, Offset(0), 300);
    let found: Vec<_> = headers.iter().map(|header| (header.base_offset, header.last_offset(), header.crc)).collect();
    assert_eq!(found, batches, "{what}");
    let told = log.aborted_transactions(Offset(0), log.log_end_offset()).unwrap();
    let told: BTreeSet<(i64, i64)> = told.iter().map(|entry| (entry.producer_id, entry.last_offset)).collect();
    assert!(told.is_subset(&told_by_kafka), "{what}: {told:?} and not {told_by_kafka:?}");
    assert!(is_walked || told == told_by_kafka, "{what}: {told:?} and not {told_by_kafka:?}");
    for record in &seen {
        if let Some(marker) = round.bench.aborted.get(&record.offset) {
            assert!(told.iter().any(|(_, at)| at == marker), "{what}: nobody tells of {record:?}");
        }
    }
}

#[test]
fn a_directory_that_kafka_was_cleaning_opens_as_with_kafka() {
    for aborts_later in [Some(52), None] {
        opens_as_with_kafka(&round(aborts_later));
    }
}

fn opens_as_with_kafka(round: &Round) {
    let directory = scratch();
    copy(round.before.path(), directory.path());
    let (mut steps, mut undone) = (0, 0);
    kafka_swaps(round, &directory.path().join("events-0"), |step| {
        let expected = scratch();
        copy(directory.path(), expected.path());
        let expected = expected.path().join("events-0");
        kafka_loads(&expected);
        undone += usize::from(bases(&expected).contains(&round.group[1]));
        steps += 1;
        // As the last flush left it, and as one before the cleaning did.
        for (point, cleaned) in [(round.active, None), (round.active, Some(round.group[1])), (0, None), (7, Some(2))] {
            let what = format!("{step}, recovery point {point}, clean until {cleaned:?}");
            let image = scratch();
            copy(directory.path(), image.path());
            as_kafka_leaves(round, image.path(), point, cleaned);
            // Each start may be the one that is killed; the last stops cleanly.
            for last in [false, false, true] {
                let dir = open_dir(image.path());
                let log = open_log(&dir, &small());
                assert_eq!(log.cut_bytes(), 0, "{what}");
                check(round, &log, &expected, point < round.active, &what);
                if last {
                    append(&log, &batch(&[1], NOW_MS, 0)).unwrap();
                    dir.remove_due();
                    dir.close().unwrap();
                }
            }
            let left = names(&image.path().join("events-0"));
            let is_left = |kind: &str| kind.ends_with("swap") || kind.ends_with("cleaned") || kind.ends_with("deleted");
            assert!(!left.iter().any(|(_, kind)| is_left(kind)), "{what}: {left:?}");
        }
    });
    assert!(undone > 5 && steps - undone > 10, "{undone} of {steps} starts of Kafka would undo the swap");
}

/// The start that settles what the kill left is cut short too, at any operation of it.
#[test]
fn a_start_behind_kafka_that_is_cut_short_is_gone_on_with() {
    for aborts_later in [Some(52), None] {
        let round = round(aborts_later);
        let directory = scratch();
        copy(round.before.path(), directory.path());
        let mut starts = 0;
        kafka_swaps(&round, &directory.path().join("events-0"), |step| {
            if !step.ends_with("in swap") && !step.ends_with("log deleted") && !step.ends_with("txnindex deleted") {
                return;
            }
            let (left, expected) = (scratch(), scratch());
            copy(directory.path(), left.path());
            as_kafka_leaves(&round, left.path(), round.active, Some(round.group[1]));
            copy(directory.path(), expected.path());
            let expected = expected.path().join("events-0");
            kafka_loads(&expected);
            let disk = Arc::new(CrashDisk::of(left.path()));
            let begun = disk.operations();
            let options = LogDirOptions { disk: Disk::observed(disk.clone()), ..manual_options() };
            drop(open_log(&LogDir::open(left.path(), options).unwrap(), &small()));
            for operations in begun..=disk.operations() {
                for unsynced in [Unsynced::Lost, Unsynced::Kept] {
                    let image = scratch();
                    disk.build_image(left.path(), operations, unsynced, image.path());
                    let what = format!("{step}, {unsynced:?} after {}", disk.describe(operations));
                    let dir = open_dir(image.path());
                    let log = open_log(&dir, &small());
                    assert_eq!(log.cut_bytes(), 0, "{what}");
                    check(&round, &log, &expected, false, &what);
                    starts += 1;
                }
            }
        });
        assert!(starts > 200, "{starts}");
    }
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
