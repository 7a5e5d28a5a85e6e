//! `log repair` with everything to do at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use stratalog::log::offline::{self, Action, Batches, Findings, Found, Severity, Target};
use stratalog::platform::disk::Disk;
use stratalog_protocol::records::BatchIter;

use super::super::crash_disk::{CrashDisk, Unsynced};
use super::super::damage::{base_of, copy, segments};
use super::super::harness::*;
use super::super::kafka_tools::write_log;
use super::{Moment, at_every_step, is_kept, scratch};

/// Every record that is whole, by offset.
fn records(directory: &Path) -> BTreeMap<i64, Vec<u8>> {
    let mut found = BTreeMap::new();
    for file in segments(directory) {
        let mut batches = Batches::open(&file, Some(base_of(&file))).unwrap();
        while let Some(next) = batches.next_found().unwrap() {
            let Found::Batch(at) = next else { continue };
            let bytes = batches.bytes(&at).unwrap();
            for batch in BatchIter::new(&bytes) {
                for record in &batch.unwrap().records(1 << 20).unwrap() {
                    let record = record.unwrap();
                    found.insert(record.offset, record.value.unwrap_or_default().to_vec());
                }
            }
        }
    }
    found
}

fn wrong(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut findings = Findings::new(|finding| {
        if finding.severity != Severity::Note {
            found.push(finding.to_string());
        }
    });
    offline::verify(&Target::of(directory).unwrap(), &mut findings).unwrap();
    drop(findings);
    found
}

fn repair(directory: &Path, disk: &Disk) -> Vec<Action> {
    let target = Target::of(directory).unwrap();
    let repair = offline::plan_to_apply(&target, true, &mut Findings::new(|_| {})).unwrap();
    repair.apply_on(disk, |_| {}).unwrap();
    repair.actions
}

fn change(file: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = std::fs::read(file).unwrap();
    change(&mut bytes);
    std::fs::write(file, &bytes).unwrap();
    bytes
}

/// Answers the bytes that have to stay, with the end of the names of the files that keep them.
fn harm(directory: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let all = segments(directory);
    assert!(all.len() > 4, "{all:?}");
    let mut kept = Vec::new();
    // Two batches of one segment, not side by side, and the end of the last, which was synced.
    let mut ranges = Vec::new();
    let bytes = change(&all[1], |bytes| {
        let mut at = 0;
        for batch in BatchIter::new(&bytes.clone()).take(9) {
            let length = batch.unwrap().bytes.len();
            ranges.push(at..at + length);
            at += length;
        }
        for range in [&ranges[2], &ranges[7]] {
            bytes[range.end - 3] ^= 1;
        }
    });
    kept.extend([2, 7].map(|at: usize| (".damaged", bytes[ranges[at].clone()].to_vec())));
    let last = all.last().unwrap();
    let whole: usize =
        BatchIter::new(&std::fs::read(last).unwrap()).map(|batch| batch.unwrap().bytes.len()).max().unwrap();
    let bytes = change(last, |bytes| bytes.truncate(bytes.len() - 7));
    let sound: usize = BatchIter::new(&bytes).map_while(|batch| Some(batch.ok()?.bytes.len())).sum();
    assert!(bytes.len() - sound <= whole);
    kept.push((".cut", bytes[sound..].to_vec()));
    // What is beside them.
    change(&all[0].with_extension("index"), |bytes| bytes[4] ^= 1);
    change(&all[2].with_extension("timeindex"), |bytes| bytes[3] ^= 1);
    let snapshot = change(&all[2].with_extension("snapshot"), |bytes| bytes[9] ^= 1);
    kept.push((".damaged", snapshot));
    let epochs = change(&directory.join("events-0/leader-epoch-checkpoint"), |bytes| bytes.extend(b"rot"));
    kept.push((".damaged", epochs));
    // And a segment that is not there.
    std::fs::remove_file(&all[3]).unwrap();
    kept
}

#[test]
fn a_repair_is_gone_on_with() {
    let original = scratch();
    write_log(original.path());
    let before = records(original.path());
    let kept = harm(original.path());
    let sound = records(original.path());
    let lost = before.len() - sound.len();
    assert!(lost > 0 && before.keys().last() != sound.keys().last());
    let mend = |directory: &Path, disk: &Arc<CrashDisk>| {
        let actions = repair(directory, &Disk::observed(disk.clone()));
        assert_eq!(wrong(directory), [""; 0]);
        actions
    };
    let check = |_: &Vec<Action>, Moment { image, what, .. }: &Moment<'_>| {
        assert_eq!(records(image), sound, "{what}");
        // Somebody starts a broker instead of going on: it opens, or says what is damaged.
        let started = scratch();
        copy(image, started.path());
        let opened = {
            let dir = open_dir(started.path());
            let opened = super::open(&dir);
            if let Ok(log) = &opened {
                let end = log.log_end_offset();
                assert!(Some(&end.0) > sound.keys().last(), "{what}: ends at {end}");
            }
            opened.map(drop).map_err(|error| error.to_string())
        };
        for directory in [*image, started.path()] {
            repair(directory, &Disk::default());
            assert_eq!(wrong(directory), [""; 0], "{what}: started: {opened:?}");
            assert_eq!(records(directory), sound, "{what}: started: {opened:?}");
            for (suffix, bytes) in &kept {
                let is_there = is_kept(directory, suffix, bytes);
                assert!(is_there, "{what}: {} bytes of a {suffix} are gone, started: {opened:?}", bytes.len());
            }
            let dir = open_dir(directory);
            let log = super::open(&dir).unwrap();
            assert_eq!(log.cut_bytes(), 0, "{what}");
            let data: Vec<i64> =
                read_all(&log, log.local_log_start_offset(), 1 << 20).into_iter().map(|(offset, _)| offset).collect();
            assert!(data.iter().all(|offset| sound.contains_key(offset)) && data.len() > 200, "{what}");
            dir.close().unwrap();
        }
    };
    let actions = at_every_step(original.path(), 4, mend, check);
    let told = format!("{actions:?}");
    for kind in
        ["RebuildIndexes", "CutTail", "DropDamaged", "SetAside", "RebuildEpochs", "LowerRecoveryPoint", "AcceptMissing"]
    {
        assert!(told.contains(kind), "no {kind} in {told}");
    }
}

type Harm = fn(&Path);

/// One thing alone, so that nothing done behind it syncs it too.
#[test]
fn what_a_repair_did_survives_a_power_cut() {
    let original = scratch();
    write_log(original.path());
    let harms: [(&str, Harm); 7] = [
        ("offset index", |of| drop(change(&segments(of)[0].with_extension("index"), |bytes| bytes[4] ^= 1))),
        ("time index", |of| drop(change(&segments(of)[2].with_extension("timeindex"), |bytes| bytes[3] ^= 1))),
        ("snapshot", |of| drop(change(&segments(of)[2].with_extension("snapshot"), |bytes| bytes[9] ^= 1))),
        ("epochs", |of| drop(change(&of.join("events-0/leader-epoch-checkpoint"), |bytes| bytes.extend(b"rot")))),
        ("a batch", |of| drop(change(&segments(of)[1], |bytes| bytes[90] ^= 1))),
        ("a base offset", |of| drop(change(&segments(of)[1], |bytes| bytes[6] ^= 1))),
        ("the end", |of| drop(change(segments(of).last().unwrap(), |bytes| bytes.truncate(bytes.len() - 7)))),
    ];
    for (what, harm) in harms {
        let directory = scratch();
        copy(original.path(), directory.path());
        harm(directory.path());
        assert_ne!(wrong(directory.path()), [""; 0], "{what}");
        let disk = Arc::new(CrashDisk::of(directory.path()));
        let actions = repair(directory.path(), &Disk::observed(disk.clone()));
        let image = scratch();
        disk.build_image(directory.path(), disk.operations(), Unsynced::Lost, image.path());
        assert_eq!(wrong(image.path()), [""; 0], "{what}: {actions:?}");
        assert_eq!(records(image.path()), records(directory.path()), "{what}: {actions:?}");
    }
}
