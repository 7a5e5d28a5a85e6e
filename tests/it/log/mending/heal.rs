//! What the tier has leaves the log where it is damaged, and a log that ends too early goes on behind the tier.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stratalog::log::{EpochStart, Error, Log, LogDir};
use stratalog_types::{LeaderEpoch, Offset};

use super::super::damage::*;
use super::super::harness::*;
use super::{Moment, at_every_step, is_kept, open, open_on, scratch};

/// Opens as a broker does whose tier has everything before `tiered_until`.
fn open_healing(dir: &Arc<LogDir>, tiered_until: i64, what: &str) -> Arc<Log> {
    let mut before = None;
    loop {
        let damage = match open(dir) {
            Ok(log) => return log,
            Err(Error::Corrupt(damage)) => damage,
            Err(error) => panic!("{what}: {error}"),
        };
        let at = Some((damage.base_offset, damage.first_offset));
        assert!(before < at, "{what}: {damage} came again");
        before = at;
        assert!(Log::heal(dir, &partition(), &damage, Offset(0)..Offset(tiered_until)).unwrap(), "{what}: {damage}");
    }
}

/// It is sound from its local start on, and goes on.
fn check_sound(log: &Arc<Log>, dir: &Arc<LogDir>, what: &str) {
    let (local, end) = (log.local_log_start_offset().0, log.log_end_offset().0);
    assert_eq!(check_reads(log, local..end, what), 0, "{what}");
    append_as(log, &batch(&[value_at(end)], timestamp_at(end), 0), 9).unwrap();
    dir.sync_queued();
    assert_eq!(log.flushed().get().0, end + 1, "{what}");
    dir.close().unwrap();
}

struct Case {
    name: &'static str,
    /// Answers the file whose bytes have to stay somewhere.
    harm: fn(&Path) -> Option<PathBuf>,
    /// The first segment that stays.
    first: usize,
    log_start: i64,
}

fn lose_log_start(directory: &Path) {
    std::fs::remove_file(directory.join("log-start-offset-checkpoint")).unwrap();
}

/// The last byte of a segment's first batch.
fn flip(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[100] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

const CASES: [Case; 5] = [
    Case {
        name: "a segment is missing",
        harm: |directory| {
            std::fs::remove_file(&segments(directory)[1]).unwrap();
            None
        },
        first: 2,
        log_start: 3,
    },
    Case {
        name: "a segment is empty, another one missing, and the log start was never written",
        harm: |directory| {
            std::fs::write(&segments(directory)[2], "").unwrap();
            std::fs::remove_file(&segments(directory)[1]).unwrap();
            lose_log_start(directory);
            None
        },
        first: 3,
        log_start: 0,
    },
    Case {
        name: "what was evicted is the tier's alone, a segment is missing, and the log start was lost",
        harm: |directory| {
            let all = segments(directory);
            for kind in ["log", "index", "timeindex", "snapshot"] {
                let _ = std::fs::remove_file(all[0].with_extension(kind));
            }
            std::fs::remove_file(&all[2]).unwrap();
            lose_log_start(directory);
            None
        },
        first: 3,
        log_start: 0,
    },
    Case {
        name: "a batch is rotten",
        harm: |directory| {
            std::fs::remove_file(directory.join("recovery-point-offset-checkpoint")).unwrap();
            let file = segments(directory)[2].clone();
            flip(&file);
            Some(file)
        },
        first: 3,
        log_start: 3,
    },
    Case {
        name: "two are rotten",
        harm: |directory| {
            std::fs::remove_file(directory.join("recovery-point-offset-checkpoint")).unwrap();
            flip(&segments(directory)[0]);
            let file = segments(directory)[3].clone();
            flip(&file);
            Some(file)
        },
        first: 4,
        log_start: 3,
    },
];

#[test]
fn a_damaged_segment_leaves_the_log() {
    for case in &CASES {
        println!("{}", case.name);
        let original = scratch();
        let promise = fill(original.path(), false);
        let tiered_until = base_of(segments(original.path()).last().unwrap());
        let first = base_of(&segments(original.path())[case.first]);
        let kept = (case.harm)(original.path()).map(|file| std::fs::read(file).unwrap());
        let heal = |directory: &Path, disk: &Arc<_>| {
            let dir = open_on(directory, disk);
            let log = open_healing(&dir, tiered_until, case.name);
            let found = (log.log_start_offset().0, log.local_log_start_offset().0, log.log_end_offset().0);
            assert_eq!(found, (case.log_start, first, promise.flushed));
            dir.close().unwrap();
        };
        at_every_step(original.path(), 4, heal, |(), moment| {
            let what = format!("{}: {}", case.name, moment.what);
            let dir = open_dir(moment.image);
            let log = open_healing(&dir, tiered_until, &what);
            let found = (log.log_start_offset().0, log.local_log_start_offset().0, log.log_end_offset().0);
            assert_eq!(found, (case.log_start, first, promise.flushed), "{what}");
            if let Some(bytes) = &kept {
                assert!(is_kept(moment.image, ".damaged", bytes), "{what}: the damaged bytes are gone");
            }
            check_sound(&log, &dir, &what);
        });
    }
}

/// A read finds it; the next retention puts it aside.
#[test]
fn a_segment_that_was_found_damaged_while_running_leaves_the_log() {
    let original = scratch();
    let promise = fill(original.path(), true);
    let all = segments(original.path());
    let mut bytes = std::fs::read(&all[1]).unwrap();
    bytes[16] = 99;
    std::fs::write(&all[1], &bytes).unwrap();
    let bases: Vec<i64> = all.iter().map(|file| base_of(file)).collect();
    let evict = |directory: &Path, disk: &Arc<_>| {
        let dir = open_on(directory, disk);
        let log = open(&dir).unwrap();
        log.read(Offset(bases[1]), 1, log.log_end_offset(), true).unwrap_err();
        assert_eq!(log.damaged_until(), Some(Offset(bases[2])));
        log.delete_local_below(Offset(bases[2])).unwrap();
        assert_eq!(log.local_log_start_offset().0, bases[2]);
        dir.close().unwrap();
    };
    at_every_step(original.path(), 4, evict, |(), Moment { image, what, .. }| {
        let dir = open_dir(image);
        let log = open(&dir).unwrap();
        let (local, end) = (log.local_log_start_offset().0, log.log_end_offset().0);
        assert_eq!((log.log_start_offset().0, end), (promise.start, promise.flushed), "{what}");
        // As long as it is there a read names it; when it is not, its bytes are beside the log.
        let refused = check_reads(&log, local..end, what);
        assert_eq!(refused > 0, local <= bases[1], "{what}: {refused} reads refused from {local} on");
        assert!(local <= bases[1] || is_kept(image, ".damaged", &bytes), "{what}: the damaged bytes are gone");
        log.delete_local_below(Offset(bases[2])).unwrap();
        assert!(is_kept(image, ".damaged", &bytes), "{what}");
        check_sound(&log, &dir, what);
    });
}

/// The damage is at the log's end: it is cut, and the log goes on behind the tier.
#[test]
fn an_end_that_the_tier_has_is_cut() {
    for all_lost in [false, true] {
        let original = scratch();
        let promise = fill(original.path(), true);
        let all = segments(original.path());
        let last = all.last().unwrap();
        let torn = if all_lost {
            all.iter().for_each(|file| std::fs::remove_file(file).unwrap());
            Vec::new()
        } else {
            let mut bytes = std::fs::read(last).unwrap();
            bytes.truncate(bytes.len() - 30);
            std::fs::write(last, &bytes).unwrap();
            let sound: usize =
                stratalog_protocol::records::BatchIter::new(&bytes).map_while(|b| Some(b.ok()?.bytes.len())).sum();
            bytes.split_off(sound)
        };
        let tiered_until = promise.flushed;
        let heal = |directory: &Path, disk: &Arc<_>| {
            let dir = open_on(directory, disk);
            let log = open_healing(&dir, tiered_until, "first");
            let end = log.log_end_offset().0;
            dir.close().unwrap();
            end
        };
        let end = at_every_step(original.path(), 4, heal, |end, Moment { image, what, .. }| {
            let dir = open_dir(image);
            let log = open_healing(&dir, tiered_until, what);
            assert_eq!((log.log_start_offset().0, log.log_end_offset().0), (promise.start, *end), "{what}");
            assert!(all_lost || is_kept(image, ".cut", &torn), "{what}: the torn bytes are gone");
            check_sound(&log, &dir, what);
        });
        assert_eq!(end, if all_lost { promise.start } else { promise.flushed - 1 });
    }
}

/// The producers of another log, as the tier has them: up to `PRODUCER`'s 87th record.
fn snapshot_of_another() -> (Vec<u8>, i32) {
    let other = scratch();
    let promise = fill(other.path(), true);
    let snapshots = files(&other.path().join("events-0"));
    let last = snapshots.iter().rfind(|file| file.extension().is_some_and(|suffix| suffix == "snapshot"));
    (std::fs::read(last.unwrap()).unwrap(), promise.last_sequence)
}

#[test]
fn a_log_goes_on_behind_its_tier() {
    const TIERED: i64 = 200;
    let original = scratch();
    let promise = fill(original.path(), false);
    let (snapshot, sequence) = snapshot_of_another();
    let epochs = [(1, 0), (3, 40), (7, 150)]
        .map(|(epoch, start)| EpochStart { epoch: LeaderEpoch(epoch), start_offset: Offset(start) });
    let kept: Vec<Vec<u8>> = segments(original.path()).iter().map(|file| std::fs::read(file).unwrap()).collect();
    let restart = |log: &Log| log.restart_behind_tier(Offset(TIERED), Offset(3), &epochs, &snapshot).unwrap();
    let check_restarted = |log: &Log, what: &str| {
        let found = [log.log_start_offset(), log.local_log_start_offset(), log.log_end_offset()].map(|at| at.0);
        assert_eq!(found, [3, TIERED, TIERED], "{what}");
        assert_eq!(log.leader_epochs(), epochs, "{what}");
        let known = log.active_producers();
        let mine = known.iter().find(|producer| producer.producer_id == PRODUCER);
        assert_eq!(mine.map(|producer| producer.last_sequence()), Some(sequence), "{what}: {known:?}");
    };
    let go_on = |directory: &Path, disk: &Arc<super::CrashDisk>| {
        let dir = open_on(directory, disk);
        let log = open(&dir).unwrap();
        restart(&log);
        let restarted = disk.operations();
        check_restarted(&log, "at once");
        dir.close().unwrap();
        restarted
    };
    at_every_step(original.path(), 4, go_on, |restarted, moment| {
        let what = moment.what;
        let dir = open_dir(moment.image);
        let log = open_healing(&dir, TIERED, what);
        let (local, end) = (log.local_log_start_offset().0, log.log_end_offset().0);
        if moment.operations >= *restarted {
            assert_eq!((local, end), (TIERED, TIERED), "{what}: it was durable");
        }
        if end < TIERED {
            assert_eq!(check_reads(&log, local..end, what), 0, "{what}");
            restart(&log);
        }
        check_restarted(&log, what);
        assert_eq!(check_reads(&log, TIERED..TIERED, what), 0);
        // What was here stays beside the log, under one name or the other.
        for bytes in &kept {
            let whole = [".aside", ".damaged", ".cut"].iter().any(|suffix| is_kept(moment.image, suffix, bytes));
            assert!(whole, "{what}: {} bytes are gone", bytes.len());
        }
        assert!(promise.flushed < TIERED);
        dir.close().unwrap();
        drop((log, dir));
        let dir = open_dir(moment.image);
        check_restarted(&open(&dir).unwrap(), what);
    });
}
