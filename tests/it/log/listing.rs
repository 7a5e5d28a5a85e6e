//! Directories that cannot be listed: a start that cannot tell what is there takes nothing for missing.

use std::path::Path;

use stratalog::log::{Log, LogDir, LogDirs};
use stratalog_types::TopicPartition;

use super::damage::{config, fill};
use super::harness::*;

/// Puts a link to itself where `path` is: nobody can look into it.
fn make_unreadable(path: &Path) {
    std::fs::rename(path, path.with_extension("away")).unwrap();
    std::os::unix::fs::symlink(path.file_name().unwrap(), path).unwrap();
    std::fs::read_dir(path).unwrap_err();
}

fn mend(path: &Path) {
    std::fs::remove_file(path).unwrap();
    std::fs::rename(path.with_extension("away"), path).unwrap();
}

#[test]
fn a_data_directory_that_cannot_be_listed_is_offline() {
    let base = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| base.path().join(name));
    fill(&b, true);
    let known = [partition(), TopicPartition::new("other", 0)];
    let mut dirs = LogDirs::open(&[a.clone(), b.clone()], &manual_options()).unwrap();
    make_unreadable(&b);
    // `other` is nowhere: of a directory that cannot be listed nobody knows that it is not there.
    dirs.settle(&known, &a).unwrap();
    let offline: Vec<&Path> = dirs.states().filter(|state| state.offline.is_some()).map(|state| state.path).collect();
    assert_eq!(offline, [b.as_path()]);
    assert_eq!(dirs.opened().count(), 1);
    mend(&b);
    drop(dirs);
    // While it is open: an error, and never an empty answer.
    let dir = open_dir(&b);
    assert_eq!(dir.partitions_on_disk().unwrap().len(), 1);
    make_unreadable(&b);
    dir.partitions_on_disk().unwrap_err();
    Log::create(&dir, known[1].clone(), topic_id(), config()).map(drop).unwrap_err();
    mend(&b);
    assert!(!b.join("other-0").exists());
}

/// Where the recovery points are gone too, a partition that cannot be looked at counts as one that has segments.
#[test]
fn lost_recovery_points_are_not_taken_for_those_of_a_new_directory() {
    let base = tempfile::tempdir().unwrap();
    let directory = base.path().join("data");
    fill(&directory, false);
    let points = directory.join("recovery-point-offset-checkpoint");
    std::fs::remove_file(&points).unwrap();
    let unreadable = directory.join("events-0");
    make_unreadable(&unreadable);
    LogDir::open(&directory, manual_options()).map(drop).unwrap_err();
    assert!(!points.exists());
    mend(&unreadable);
    let dir = open_dir(&directory);
    let log = open_log(&dir, &config());
    assert!(log.log_end_offset().0 == 90 && points.with_added_extension("damaged").exists());
}
