//! Where a log begins: its first segment is missed, unless something moved its start.

use std::path::{Path, PathBuf};

use stratalog::log::{Error, Log, offline};
use stratalog_types::Offset;

use super::damage::{base_of, config, segments};
use super::harness::*;

const LOG_STARTS: &str = "log-start-offset-checkpoint";
const EPOCHS: &str = "events-0/leader-epoch-checkpoint";

/// A log of several segments whose start was never moved; answers its end.
fn fill(directory: &Path, clean: bool) -> i64 {
    let dir = open_dir(directory);
    let log = open_log(&dir, &config());
    for value in 0..80 {
        append_as(&log, &batch(&[value], NOW_MS, 90), if value < 40 { 1 } else { 3 }).unwrap();
    }
    dir.sync_queued();
    dir.checkpoint_recovery_points().unwrap();
    assert!(log.closed_segments().len() > 3);
    if clean {
        dir.close().unwrap();
    }
    log.log_end_offset().0
}

/// Takes the first segments away; answers what is left.
fn lose(directory: &Path, count: usize) -> Vec<PathBuf> {
    let mut all = segments(directory);
    let left = all.split_off(count);
    for file in &all {
        std::fs::remove_file(file).unwrap();
    }
    left
}

fn without_sums(file: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    let lines: String = text.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    std::fs::write(file, lines).unwrap();
}

fn open(directory: &Path) -> Result<Offset, Error> {
    let dir = open_dir(directory);
    Log::open(&dir, partition(), topic_id(), config()).map(|log| log.local_log_start_offset())
}

#[test]
fn a_log_that_lost_its_first_segment_is_damaged() {
    for (clean, count) in [(true, 1), (false, 1), (true, 2)] {
        let directory = tempfile::tempdir().unwrap();
        let end = fill(directory.path(), clean);
        let left = lose(directory.path(), count);
        let first = Offset(base_of(&left[0]));
        for _ in 0..2 {
            match open(directory.path()) {
                Err(Error::Corrupt(damage)) => {
                    assert_eq!((damage.first_offset, damage.next_offset), (Offset::ZERO, first), "{damage}");
                }
                other => panic!("it opened, and begins at {other:?}"),
            }
            assert_eq!(segments(directory.path()), left);
        }
        // The tier has it.
        let dir = open_dir(directory.path());
        let Err(Error::Corrupt(damage)) = Log::open(&dir, partition(), topic_id(), config()) else {
            panic!("it opened")
        };
        assert!(!Log::heal(&dir, &partition(), &damage, Offset(0)..Offset(first.0 - 1)).unwrap());
        assert!(Log::heal(&dir, &partition(), &damage, Offset(0)..first).unwrap());
        let log = open_log(&dir, &config());
        let found = (log.log_start_offset(), log.local_log_start_offset(), log.log_end_offset());
        assert_eq!(found, (Offset::ZERO, first, Offset(end)));
    }
}

/// A start that moved begins where it was moved to, whatever the epochs say.
#[test]
fn a_start_that_moved_is_no_damage() {
    for clean in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        fill(directory.path(), false);
        let first = {
            let dir = open_dir(directory.path());
            let log = open_log(&dir, &config());
            let first = log.closed_segments()[1].base_offset;
            let before = std::fs::read(directory.path().join(EPOCHS)).unwrap();
            log.set_log_start_offset(first).unwrap();
            log.delete_local_below(first).unwrap();
            if clean {
                dir.close().unwrap();
            }
            // A crash between the checkpoint and the epochs.
            std::fs::write(directory.path().join(EPOCHS), before).unwrap();
            first
        };
        assert_eq!(open(directory.path()).unwrap(), first);
        // The entry may have said so, and is lost.
        std::fs::remove_file(directory.path().join(LOG_STARTS)).unwrap();
        assert_eq!(open(directory.path()).unwrap(), first);
    }
}

/// Kafka checkpoints no start that is a segment's, and shortens its epochs a little later than its log.
#[test]
fn epochs_that_kafka_wrote_do_not_say_where_a_log_begins() {
    let directory = tempfile::tempdir().unwrap();
    let end = fill(directory.path(), true);
    let left = lose(directory.path(), 2);
    let first = Offset(base_of(&left[0]));
    without_sums(&directory.path().join(EPOCHS));
    for epoch in [7, 8] {
        let dir = open_dir(directory.path());
        let log = open_log(&dir, &config());
        assert_eq!(log.local_log_start_offset(), first);
        // The file has our sums from here on.
        append_as(&log, &batch(&[1], NOW_MS, 90), epoch).unwrap();
        dir.sync_queued();
        assert!(log.log_end_offset().0 > end);
    }
}

#[test]
fn a_first_segment_can_be_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let end = fill(directory.path(), true);
    let second = base_of(&segments(directory.path())[1]);
    let first = base_of(&lose(directory.path(), 2)[0]);
    let look = |brave| {
        let mut lost = Vec::new();
        let mut findings = offline::Findings::new(|finding| {
            lost.extend(finding.offsets.filter(|_| finding.severity == offline::Severity::Lost));
        });
        let target = offline::Target::of(directory.path()).unwrap();
        let plan = offline::plan(&target, brave, &mut findings).unwrap();
        drop(findings);
        (plan, lost)
    };
    let (plan, lost) = look(false);
    assert_eq!((plan.actions.len(), lost), (0, vec![(0, second - 1), (second, first - 1)]));
    look(true).0.apply(|_| {}).unwrap();
    let (plan, lost) = look(true);
    assert!(plan.actions.is_empty() && lost.is_empty(), "{:?} {lost:?}", plan.actions);
    let dir = open_dir(directory.path());
    let log = open_log(&dir, &config());
    assert_eq!(log.log_end_offset().0, end);
    assert_eq!(read_all(&log, Offset(first), 400).len() as i64, end - first);
}
