//! A crash at every operation of retention: the log start, segments that are renamed to `.deleted` and removed later,
//! that are removed at once, that go because the tier has them.

use std::collections::BTreeSet;
use std::path::Path;

use stratalog::log::{LogConfig, LogDir, LogDirOptions};
use stratalog_types::Offset;

use super::{Dice, Story, config, crash_everywhere};
use crate::log::harness::*;

const DELAY_MS: i64 = 1000;

impl Story {
    fn run_retention(&mut self, seed: u64) {
        let mut dice = Dice(seed);
        self.config = LogConfig { file_delete_delay_ms: DELAY_MS, ..config() };
        for session in 0..2 {
            let (dir, log) = self.open();
            for round in 0..6 {
                for _ in 0..8 {
                    match dice.below(4) {
                        0 => self.abort_a_transaction(&log),
                        _ => self.append(&log, 1 + dice.below(3), 1 + session),
                    }
                }
                self.sync(&dir, &log);
                let end = log.flushed().get().0;
                match round % 3 {
                    // Deleted history keeps its room for a while.
                    0 => {
                        self.move_log_start(&log, end - 1 - dice.below(8) as i64);
                        self.evict(&log, log.log_start_offset().0);
                    }
                    // The tier has it: it goes at once, and the log start stays.
                    1 => self.evict(&log, end - dice.below(8) as i64),
                    _ => {
                        log.update_config(LogConfig { file_delete_delay_ms: 0, ..self.config.clone() });
                        self.move_log_start(&log, end - 1);
                        self.evict(&log, log.log_start_offset().0);
                        log.update_config(self.config.clone());
                    }
                }
                dir.checkpoint_recovery_points().unwrap();
                self.clock.advance_ms(DELAY_MS / 2 + 1);
                dir.remove_due();
            }
            dir.close().unwrap();
            self.promise(&log);
        }
    }
}

fn suffixes(directory: &Path, suffix: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    entries.filter_map(|name| name.strip_suffix(suffix).map(str::to_owned)).collect()
}

/// Nothing is left beside the log, and another round of retention leaves nothing but the active segment.
fn finish(image: &Path, what: &str) {
    let clock = stratalog::clock::Clock::manual(NOW_MS);
    let options = LogDirOptions { clock: clock.clone(), ..manual_options() };
    let dir = LogDir::open(image, options).unwrap();
    if !dir.contains(&partition()) {
        return;
    }
    let log = open_log(&dir, &LogConfig { file_delete_delay_ms: DELAY_MS, ..config() });
    dir.remove_due();
    let logs = suffixes(log.path(), ".log");
    for kind in [".index", ".timeindex", ".txnindex"] {
        assert!(suffixes(log.path(), kind).is_subset(&logs), "{what}: {kind} without a log");
    }
    assert_eq!(suffixes(log.path(), ".deleted").len(), 0, "{what}");
    log.roll().unwrap();
    dir.sync_queued();
    let end = log.log_end_offset();
    log.set_log_start_offset(end).unwrap();
    log.delete_local_below(end).unwrap();
    let waiting = suffixes(log.path(), ".log.deleted");
    assert!(waiting.is_subset(&logs) && waiting.len() >= logs.len() - 1, "{what}: {waiting:?} of {logs:?}");
    clock.advance_ms(DELAY_MS);
    dir.remove_due();
    let names = [".log", ".index", ".timeindex", ".deleted"].map(|kind| suffixes(log.path(), kind).len());
    assert_eq!(names, [1, 1, 1, 0], "{what}");
    dir.close().unwrap();
    drop((log, dir));
    let dir = open_dir(image);
    let log = open_log(&dir, &config());
    assert_eq!([log.log_start_offset(), log.local_log_start_offset(), log.log_end_offset()], [end; 3], "{what}");
    assert_eq!(read_all(&log, Offset(end.0), 300), [], "{what}");
}

#[test]
fn a_crash_at_every_operation_of_retention_keeps_what_was_promised() {
    for seed in [1, 4242] {
        let mut story = Story::new();
        story.run_retention(seed);
        crash_everywhere(seed, &story, |at, unsynced, image, what| {
            story.check(at, unsynced, image, what);
            finish(image, what);
        });
    }
}
