//! `log verify` and `log repair` against every kind of damage to every kind of file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use stratalog::log::offline::{Action, Finding, Findings, Repair, Severity, Target, plan, plan_to_apply, verify};
use stratalog::log::{Log, LogConfig, LogDir};
use stratalog_protocol::records::BatchIter;
use stratalog_types::Offset;

use super::harness::*;
use super::kafka_tools::write_log;

fn look(path: &Path) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut findings = Findings::new(|finding| found.push(finding));
    verify(&Target::of(path).unwrap(), &mut findings).unwrap();
    drop(findings);
    found
}

/// What is wrong, without the notes.
fn wrong(path: &Path) -> Vec<Finding> {
    look(path).into_iter().filter(|finding| finding.severity != Severity::Note).collect()
}

fn planned(path: &Path, drop_damaged: bool) -> Repair {
    plan(&Target::of(path).unwrap(), drop_damaged, &mut Findings::new(|_| {})).unwrap()
}

fn open(directory: &Path) -> (std::sync::Arc<stratalog::log::LogDir>, std::sync::Arc<Log>) {
    let dir = open_dir(directory);
    let config = LogConfig { segment_bytes: 20_000, index_interval_bytes: 500, ..LogConfig::default() };
    let log = open_log(&dir, &config);
    (dir, log)
}

/// Every record by offset, the markers too.
fn records(directory: &Path) -> BTreeMap<i64, Vec<u8>> {
    let mut found = BTreeMap::new();
    for file in files(directory, "log") {
        let bytes = fs::read(file).unwrap();
        for batch in BatchIter::new(&bytes) {
            let batch = batch.unwrap();
            if batch.crc_matches() {
                for record in &batch.records(1 << 20).unwrap() {
                    let record = record.unwrap();
                    found.insert(record.offset, record.value.unwrap_or_default().to_vec());
                }
            }
        }
    }
    found
}

fn files(directory: &Path, suffix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory.join("events-0")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == suffix)).collect();
    found.sort();
    found
}

fn written() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    write_log(directory.path());
    directory
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x20;
    fs::write(path, bytes).unwrap();
}

fn shorten(path: &Path, by: u64) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - by).unwrap();
}

#[test]
fn what_a_broker_wrote_is_sound() {
    let directory = written();
    assert_eq!(wrong(directory.path()), []);
    let partition = directory.path().join("events-0");
    assert_eq!(wrong(&partition), []);
    assert!(planned(directory.path(), true).actions.is_empty());
    let notes = look(directory.path());
    assert!(notes.iter().any(|note| note.what.contains("recovery cut off")), "{notes:?}");
    let mut findings = Findings::new(|_| {});
    verify(&Target::of(directory.path()).unwrap(), &mut findings).unwrap();
    let logs = files(directory.path(), "log");
    assert_eq!((findings.tally.partitions, findings.tally.segments), (1, logs.len() as u64));
    assert!(findings.tally.batches > 400 && findings.tally.is_sound());
    for suffix in ["log", "index", "timeindex", "txnindex", "snapshot"] {
        for file in files(directory.path(), suffix) {
            assert_eq!(wrong(&file), [], "{}", file.display());
        }
    }
}

/// A flipped bit anywhere in a batch that its CRC covers, or in its length, is found, named and, when it is given up,
/// costs that batch alone.
#[test]
fn a_bit_flipped_in_a_log_costs_its_batch() {
    for (segment, at) in [(0, 70), (1, 5000), (2, 10), (2, 8_000), (3, 30)] {
        let directory = written();
        let before = records(directory.path());
        let log = files(directory.path(), "log")[segment].clone();
        flip(&log, at);
        let found = wrong(directory.path());
        assert!(found.iter().all(|finding| finding.path == log), "{found:?}");
        let lost = found.iter().find(|finding| finding.severity == Severity::Lost).expect("named");
        let (first, last) = lost.offsets.expect("its offsets");
        assert!(lost.position.unwrap() <= at as u64 && last - first < 10, "{lost}");
        // Without courage it stays.
        let timid = planned(directory.path(), false);
        assert!(timid.leaves_damage() && matches!(timid.actions[0], Action::Leave { .. }), "{timid:?}");
        let brave = planned(directory.path(), true);
        assert!(matches!(brave.actions[0], Action::DropDamaged { .. }), "{brave:?}");
        brave.apply(|_| {}).unwrap();
        assert_eq!(wrong(directory.path()), [], "{segment} {at}");
        let after = records(directory.path());
        let wanted: BTreeMap<_, _> =
            before.into_iter().filter(|(offset, _)| !(first..=last).contains(offset)).collect();
        assert_eq!(after, wanted);
        let aside = files(directory.path(), "damaged");
        assert_eq!(aside.len(), 1, "the bytes are kept");
        // What is left is served, by offset and by time.
        let (dir, log) = open(directory.path());
        assert_eq!(log.cut_bytes(), 0);
        for offset in [first, last, last + 1] {
            let offset = offset.max(log.log_start_offset().0);
            let slice = log.read(Offset(offset), 1, log.log_end_offset(), true).unwrap();
            assert!(slice.next_offset.0 > last || slice.is_empty());
        }
        dir.close().unwrap();
    }
}

#[test]
fn a_torn_end_above_the_recovery_point_is_cut_without_courage() {
    let directory = written();
    let last = files(directory.path(), "log").pop().unwrap();
    let length = last.metadata().unwrap().len();
    let mut bytes = fs::read(&last).unwrap();
    bytes.extend_from_slice(&[7; 100]);
    fs::write(&last, bytes).unwrap();
    let repair = planned(directory.path(), false);
    assert!(matches!(&repair.actions[0], Action::CutTail { bytes: 100, .. }), "{repair:?}");
    repair.apply(|_| {}).unwrap();
    assert_eq!(last.metadata().unwrap().len(), length);
    assert_eq!(wrong(directory.path()), []);
}

/// Records that were synced and are gone are not cut away with the rest, and the plan says which.
#[test]
fn a_lost_end_is_told() {
    let directory = written();
    let last = files(directory.path(), "log").pop().unwrap();
    shorten(&last, 7);
    let found = wrong(directory.path());
    let lost_records = found.iter().find(|finding| finding.what.contains("recovery point")).expect("told");
    assert!(lost_records.offsets.is_some() && lost_records.severity == Severity::Lost);
    assert!(planned(directory.path(), false).leaves_damage());
    let brave = planned(directory.path(), true);
    let is_lowered = |action: &Action| matches!(action, Action::LowerRecoveryPoint { .. });
    assert!(brave.actions.iter().any(is_lowered), "{brave:?}");
    brave.apply(|_| {}).unwrap();
    assert_eq!(wrong(directory.path()), []);
    open(directory.path()).0.close().unwrap();
}

/// Whatever happens to what is beside a log, no record is lost, and repair makes it anew.
#[test]
fn what_is_beside_a_log_is_made_anew() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 4] = [
        ("flipped", |path| flip(path, 4)),
        ("cut short", |path| shorten(path, 3)),
        ("removed", |path| fs::remove_file(path).unwrap()),
        ("zeroed", |path| {
            let length = path.metadata().unwrap().len() as usize;
            fs::write(path, vec![0; length]).unwrap();
        }),
    ];
    for suffix in ["index", "timeindex", "snapshot"] {
        for (how, harm) in harms {
            if suffix == "snapshot" && how == "removed" {
                continue;
            }
            let directory = written();
            let before = records(directory.path());
            let file = files(directory.path(), suffix)[1].clone();
            harm(&file);
            let found = wrong(directory.path());
            assert!(found.iter().any(|finding| finding.path == file), "{suffix} {how}: {found:?}");
            assert!(found.iter().all(|finding| finding.severity == Severity::Wrong), "{suffix} {how}");
            planned(directory.path(), false).apply(|_| {}).unwrap();
            assert_eq!(wrong(directory.path()), [], "{suffix} {how}");
            assert_eq!(records(directory.path()), before);
            open(directory.path()).0.close().unwrap();
        }
    }
}

#[test]
fn small_files_are_judged() {
    let directory = written();
    let partition = directory.path().join("events-0");
    fs::write(partition.join("leader-epoch-checkpoint"), "0\n2\n1 0\nnonsense\n").unwrap();
    fs::write(directory.path().join("log-start-offset-checkpoint"), "0\n1\nevents 0 99999\n").unwrap();
    let found = wrong(directory.path());
    let tells = |what: &str| found.iter().any(|finding| finding.what.contains(what));
    assert!(tells("unreadable line") && tells("behind its end"), "{found:?}");
    planned(directory.path(), false).apply(|_| {}).unwrap();
    let epochs = fs::read_to_string(partition.join("leader-epoch-checkpoint")).unwrap();
    assert!(epochs.starts_with("0\n2\n1 "), "{epochs}");
    // An epoch that the batches contradict.
    fs::write(partition.join("leader-epoch-checkpoint"), "0\n1\n7 0\n").unwrap();
    assert!(wrong(&partition).iter().any(|finding| finding.what.contains("leader epoch 1")));
}

#[test]
fn a_missing_segment_is_noted_and_an_orphan_too() {
    let directory = written();
    let log = files(directory.path(), "log")[1].clone();
    fs::remove_file(&log).unwrap();
    let found = look(directory.path());
    assert!(found.iter().any(|finding| finding.what.contains("compacted away, or gone") && finding.offsets.is_some()));
    assert!(found.iter().any(|finding| finding.what.contains("is not here")));
}

/// The lock of a running broker is respected; looking needs none.
#[test]
fn a_directory_in_use_is_not_mended() {
    let directory = written();
    let file = files(directory.path(), "index")[1].clone();
    flip(&file, 4);
    let (dir, log) = open(directory.path());
    flip(&file, 4);
    flip(&file, 5);
    let repair = planned(directory.path(), false);
    let refused = repair.apply(|_| {}).unwrap_err().to_string();
    assert!(refused.contains("in use"), "{refused}");
    let partition = planned(&directory.path().join("events-0"), false);
    assert!(!partition.actions.is_empty());
    assert!(partition.apply(|_| {}).unwrap_err().to_string().contains("in use"));
    let paths = [directory.path().to_owned(), directory.path().join("events-0")];
    let to_apply = |path: &Path| plan_to_apply(&Target::of(path).unwrap(), false, &mut Findings::new(|_| {}));
    for path in &paths {
        assert!(to_apply(path).unwrap_err().to_string().contains("in use"));
    }
    dir.close().unwrap();
    drop((dir, log));
    // From the look to the last step nobody else comes in.
    for path in &paths {
        let repair = to_apply(path).unwrap();
        assert!(LogDir::open(directory.path(), manual_options()).is_err());
        repair.apply(|_| {}).unwrap();
    }
    open(directory.path()).0.close().unwrap();
}

/// A plan that was made beside a running broker saw the batch that was being written: what came after it stays.
#[test]
fn what_came_after_the_plan_is_not_cut() {
    let directory = written();
    let (dir, log) = open(directory.path());
    append(&log, &batch(&[1, 2, 3], NOW_MS, 100)).unwrap();
    drop((dir, log));
    let last = files(directory.path(), "log").pop().unwrap();
    let whole = fs::read(&last).unwrap();
    shorten(&last, 7);
    for path in [directory.path().to_owned(), directory.path().join("events-0")] {
        let repair = planned(&path, false);
        assert!(matches!(repair.actions[0], Action::CutTail { .. }), "{repair:?}");
        fs::write(&last, &whole).unwrap();
        let refused = repair.apply(|_| {}).unwrap_err().to_string();
        assert!(refused.contains("changed"), "{refused}");
        assert_eq!(fs::read(&last).unwrap(), whole);
        shorten(&last, 7);
    }
}

/// What lies below the recovery point was acknowledged; where nobody knows the point, all of it may have been.
#[test]
fn a_rotten_end_is_not_cut_without_courage() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 4] = [
        ("sound", |_| {}),
        ("removed", |path| fs::remove_file(path).unwrap()),
        ("unreadable", |path| fs::write(path, "0\n7\nnonsense\n").unwrap()),
        ("salvaged", |path| {
            fs::rename(path, path.with_extension("damaged")).unwrap();
            fs::write(path, "0\n0\n").unwrap();
        }),
    ];
    for (how, harm) in harms {
        let directory = written();
        let last = files(directory.path(), "log").pop().unwrap();
        flip(&last, last.metadata().unwrap().len() as usize - 5);
        harm(&directory.path().join("recovery-point-offset-checkpoint"));
        for path in [directory.path().to_owned(), directory.path().join("events-0")] {
            let repair = planned(&path, false);
            assert!(matches!(repair.actions[0], Action::Leave { .. }), "{how}, {}: {repair:?}", path.display());
        }
    }
}
