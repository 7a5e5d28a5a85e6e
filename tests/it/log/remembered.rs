//! What a data directory remembers of its logs, when that is lost: a checkpoint that is deleted beside segments, or rots.

use std::path::Path;

use stratalog::log::LogConfig;
use stratalog_types::Offset;

use super::harness::*;

const LOG_STARTS: &str = "log-start-offset-checkpoint";

/// A batch has its segment to itself.
fn config() -> LogConfig {
    LogConfig { segment_bytes: 130, file_delete_delay_ms: 0, ..LogConfig::default() }
}

fn damaged(directory: &Path, name: &str) -> bool {
    directory.join(name).with_added_extension("damaged").exists()
}

/// Six records; the first two are deleted, the first three not here any more.
fn evicted(directory: &Path) {
    let dir = open_dir(directory);
    assert_eq!(std::fs::read_to_string(directory.join(LOG_STARTS)).unwrap(), "0\n0\n", "before there is a log");
    let log = open_log(&dir, &config());
    for value in 0..6 {
        append(&log, &batch(&[value], NOW_MS, 0)).unwrap();
    }
    dir.sync_queued();
    log.set_log_start_offset(Offset(2)).unwrap();
    log.delete_local_below(Offset(3)).unwrap();
    dir.close().unwrap();
}

/// What was assumed is no entry: the tier, which knows better, may be asked at the next start only.
#[test]
fn a_log_start_that_was_lost_is_assumed_until_somebody_knows_it() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 2] = [
        ("deleted", |file| std::fs::remove_file(file).unwrap()),
        ("rotten", |file| std::fs::write(file, "0\n1\nevents 0").unwrap()),
    ];
    for (what, harm) in harms {
        let directory = tempfile::tempdir().unwrap();
        evicted(directory.path());
        harm(&directory.path().join(LOG_STARTS));
        for start in 0..3 {
            let dir = open_dir(directory.path());
            assert_eq!(damaged(directory.path(), LOG_STARTS), start == 0, "{what}, start {start}: it is told of once");
            let log = open_log(&dir, &config());
            assert_eq!(log.log_start_offset(), Offset(3), "{what}, start {start}");
            if start == 2 {
                log.lower_assumed_start(Offset(2));
                assert_eq!(log.log_start_offset(), Offset(2), "{what}");
            }
            dir.close().unwrap();
        }
    }
}
