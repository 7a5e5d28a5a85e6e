//! Checkpoints that do not read: what can be read of them is written anew, and the rest is not believed until a stop
//! finds everything well.

use std::path::Path;
use std::sync::Arc;

use stratalog::log::{Error, Log};
use stratalog_types::{LeaderEpoch, Offset, TopicPartition};

use super::super::crash_disk::CrashDisk;
use super::super::damage::*;
use super::super::harness::*;
use super::{Moment, at_every_step, open, open_on, scratch};

const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
const LOG_STARTS: &str = "log-start-offset-checkpoint";

fn read(file: &Path) -> Vec<u8> {
    std::fs::read(file).unwrap_or_default()
}

#[test]
fn what_can_be_read_of_a_checkpoint_stays() {
    let original = scratch();
    let promise = fill(original.path(), false);
    let rotten = [RECOVERY_POINTS, LOG_STARTS].map(|name| {
        let file = original.path().join(name);
        let mut bytes = std::fs::read(&file).unwrap();
        bytes.extend_from_slice(b"\xffrot\n");
        std::fs::write(&file, &bytes).unwrap();
        (name, bytes)
    });
    let start_and_stop = |directory: &Path, disk: &Arc<CrashDisk>| {
        let dir = open_on(directory, disk);
        let log = open(&dir).unwrap();
        dir.checkpoint_recovery_points().unwrap();
        let opened = disk.operations();
        assert_eq!(log.log_start_offset().0, promise.start);
        dir.close().unwrap();
        opened
    };
    at_every_step(original.path(), 4, start_and_stop, |opened, Moment { image, operations, what }| {
        for (name, bytes) in &rotten {
            let file = image.join(name);
            let is_kept = [file.clone(), file.with_added_extension("damaged")].iter().any(|at| read(at) == *bytes);
            assert!(is_kept || operations > opened, "{what}: what {name} was is gone");
        }
        // Twice: what was salvaged is itself durable.
        for _ in 0..2 {
            let dir = open_dir(image);
            let log = open(&dir).unwrap();
            let found = (log.log_start_offset().0, log.log_end_offset().0, log.cut_bytes());
            assert_eq!(found, (promise.start, promise.flushed, 0), "{what}");
            assert_eq!(check_reads(&log, promise.start..promise.flushed, what), 0, "{what}");
        }
        let dir = open_dir(image);
        let _log = open(&dir).unwrap();
        dir.close().unwrap();
        assert!(!image.join(RECOVERY_POINTS).with_added_extension("damaged").exists(), "{what}");
    });
}

/// Above nothing: without recovery points nobody knows what was acknowledged, so damage in the middle is no torn end.
#[test]
fn damage_stays_named_while_the_recovery_points_are_unknown() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 2] = [
        ("rotten", |file| std::fs::write(file, b"0\n\xffrot").unwrap()),
        ("missing", |file| std::fs::remove_file(file).unwrap()),
    ];
    for (name, harm) in harms {
        let original = scratch();
        let promise = fill(original.path(), false);
        let other = TopicPartition::new("other", 0);
        {
            let dir = open_dir(original.path());
            Log::create(&dir, other.clone(), topic_id(), config()).unwrap();
        }
        harm(&original.path().join(RECOVERY_POINTS));
        let all = segments(original.path());
        let mut bytes = std::fs::read(&all[1]).unwrap();
        let at = bytes.len() - 5;
        bytes[at] ^= 1;
        std::fs::write(&all[1], &bytes).unwrap();
        let open_in_vain = |dir: &Arc<_>, what: &str| match open(dir) {
            Err(Error::Corrupt(damage)) => assert_eq!(damage.base_offset.0, base_of(&all[1]), "{what}: {damage}"),
            Err(error) => panic!("{what}: {error}"),
            Ok(log) => panic!("{what}: it opened, and ends at {} of {}", log.log_end_offset(), promise.flushed),
        };
        let start_and_stop_twice = |directory: &Path, disk: &Arc<CrashDisk>| {
            for _ in 0..2 {
                let dir = open_on(directory, disk);
                open_in_vain(&dir, name);
                let log = Log::open(&dir, other.clone(), topic_id(), config()).unwrap();
                append(&log, &batch(&[1], NOW_MS, 0)).unwrap();
                dir.sync_queued();
                dir.checkpoint_recovery_points().unwrap();
                dir.close().unwrap();
            }
        };
        at_every_step(original.path(), 4, start_and_stop_twice, |(), Moment { image, what, .. }| {
            let what = format!("{name}: {what}");
            open_in_vain(&open_dir(image), &what);
            assert_eq!(segments(image).len(), all.len(), "{what}");
            assert_eq!(std::fs::read(&segments(image)[1]).unwrap(), bytes, "{what}");
        });
    }
}

#[test]
fn leader_epochs_are_taken_from_the_batches() {
    for harm in ["0\n2\n1 0\nrot\n", "0\n0\n"] {
        let original = scratch();
        let promise = fill(original.path(), false);
        std::fs::write(original.path().join("events-0/leader-epoch-checkpoint"), harm).unwrap();
        let start_and_stop = |directory: &Path, disk: &Arc<CrashDisk>| {
            let dir = open_on(directory, disk);
            let _log = open(&dir).unwrap();
            dir.close().unwrap();
        };
        at_every_step(original.path(), 4, start_and_stop, |(), Moment { image, what, .. }| {
            let dir = open_dir(image);
            let log = open(&dir).unwrap();
            for (epoch, end) in [(1, 40), (3, promise.flushed)] {
                let expected = Some((LeaderEpoch(epoch), Offset(end)));
                assert_eq!(log.end_offset_for_epoch(LeaderEpoch(epoch)), expected, "{what}");
            }
        });
    }
}
