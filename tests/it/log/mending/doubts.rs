//! The look for missing offsets, where it is not known which logs were compacted.

use std::time::Duration;

use stratalog::log::{Log, LogConfig};
use stratalog_types::Offset;

use super::super::compaction;
use super::super::harness::*;
use super::super::lost::{compacted_with_holes, names_with};
use super::{Moment, at_every_step, open_on};

/// Kafka's recovery point may lie below the holes: were their entry written before it has moved, they would be a torn end.
#[test]
fn the_holes_of_a_log_that_is_looked_through_are_no_torn_end() {
    for may_have_holes in [true, false] {
        let (mut bench, end) = compacted_with_holes();
        bench.reopen();
        let seen = compaction::read_everything(&bench.log(), Offset(0), 1000).1;
        bench.open = None;
        let original = bench.directory.path();
        std::fs::remove_file(original.join("cleaner-offset-checkpoint")).unwrap();
        if may_have_holes {
            std::fs::write(original.join("recovery-point-offset-checkpoint"), "0\n1\nevents 0 1\n").unwrap();
        }
        let config = LogConfig { may_have_holes, ..compaction::config() };
        let open_one = |dir: &_| Log::open(dir, partition(), topic_id(), config.clone()).unwrap();
        let act = |directory: &std::path::Path, disk: &_| {
            let dir = open_on(directory, disk);
            let _log = open_one(&dir);
            dir.look_for_holes(Duration::MAX).unwrap();
            assert!(!directory.join("cleaner-offset-checkpoint.damaged").exists());
        };
        at_every_step(original, 2, act, |(), Moment { image, what, .. }| {
            for _ in 0..2 {
                let dir = open_dir(image);
                let log = open_one(&dir);
                assert_eq!((log.log_end_offset(), names_with(log.path(), "cut")), (end, 0), "{what}");
                assert_eq!(compaction::read_everything(&log, Offset(0), 1000).1, seen, "{what}");
            }
        });
    }
}
