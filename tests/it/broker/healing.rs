//! A segment that is damaged here and whole in the tier is served from the tier, and put aside here.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stratalog::broker::Running;
use stratalog::net::client::{ConfigOperation, OffsetSpec};
use stratalog::partition::Partition;

use super::tier_lifecycle::partition;
use super::tiering::{compare, moved_up, offset_of, produce};
use super::{client, start};

const RECORDS: i64 = 6000;
/// Nothing expires, of records that are old.
pub(super) const QUICK: &[(&str, &str)] =
    &[("log.retention.check.interval.ms", "20"), ("log.retention.ms", "-1"), ("log.local.retention.ms", "-2")];

/// As before, where retention waits until it is called.
const QUIET: &[(&str, &str)] = &[("log.retention.ms", "-1"), ("log.local.retention.ms", "-2")];

pub(super) fn segments(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    found.sort();
    found
}

fn base_of(segment: &Path) -> i64 {
    segment.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

fn count(directory: &Path, suffix: &str) -> usize {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(suffix)).count()
}

fn overwrite(file: &Path, position: u64, bytes: &[u8]) {
    fs::OpenOptions::new().write(true).open(file).unwrap().write_all_at(bytes, position).unwrap();
}

async fn tiered(directory: &Path, settings: &[(&str, &str)]) -> Running {
    let running = start(directory, settings).await;
    let mut one = moved_up(&running, RECORDS).await;
    produce(&mut one, "t", RECORDS, RECORDS + 100).await;
    running
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_finds_damage_goes_to_the_tier_and_the_segment_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let running = tiered(dir.path(), QUICK).await;
    let home = dir.path().join("t-0");
    let damaged = segments(&home)[2].clone();
    let next = base_of(&segments(&home)[3]);
    // The header of the first batch is no header any more; the file stays open where it was.
    overwrite(&damaged, 16, &[99]);

    let mut one = client(&running);
    compare(&mut one, "t", 0, RECORDS + 100).await;
    let metrics = &running.node.metrics;
    assert_eq!(metrics.log_segments_damaged.get(), 1);
    for _ in 0..1500 {
        if metrics.log_segments_healed.get() == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(metrics.log_segments_healed.get(), 1);
    assert_eq!(offset_of(&mut one, "t", OffsetSpec::EarliestLocal).await, next);
    assert_eq!(count(&home, ".damaged"), 1);
    assert!(!damaged.exists());
    compare(&mut one, "t", 0, RECORDS + 100).await;
    running.stop().await.unwrap();
    let running = start(dir.path(), QUICK).await;
    compare(&mut client(&running), "t", 0, RECORDS + 100).await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_finds_damage_leaves_it_to_the_tier() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("t-0");
    tiered(dir.path(), QUICK).await.stop().await.unwrap();
    // One closed segment is gone, a later one is empty.
    fs::remove_file(&segments(&home)[1]).unwrap();
    let emptied = segments(&home)[2].clone();
    fs::write(&emptied, "").unwrap();
    let next = base_of(&segments(&home)[3]);
    let running = start(dir.path(), QUICK).await;
    assert!(running.node.partitions.offline().is_empty());
    assert_eq!(running.node.metrics.log_segments_healed.get(), 2);
    let mut one = client(&running);
    compare(&mut one, "t", 0, RECORDS + 100).await;
    assert_eq!(offset_of(&mut one, "t", OffsetSpec::Earliest).await, 0);
    assert_eq!(offset_of(&mut one, "t", OffsetSpec::EarliestLocal).await, next);
    produce(&mut one, "t", RECORDS + 100, RECORDS + 200).await;
    compare(&mut one, "t", 0, RECORDS + 200).await;
    drop(one);
    running.stop().await.unwrap();

    // What the tier does not have is not given up: the active segment is cut short.
    let active = segments(&home).pop().unwrap();
    let length = active.metadata().unwrap().len();
    fs::OpenOptions::new().write(true).open(&active).unwrap().set_len(length - 10).unwrap();
    let running = start(dir.path(), QUICK).await;
    let offline = running.node.partitions.offline();
    assert_eq!(offline.len(), 1);
    assert!(offline[0].reason.contains("log repair"), "{}", offline[0].reason);
    assert_eq!(active.metadata().unwrap().len(), length - 10);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_was_lost_here_goes_on_at_the_tiers() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("t-0");
    let running = start(dir.path(), QUICK).await;
    drop(moved_up(&running, RECORDS).await);
    running.stop().await.unwrap();
    // The empty active segment and the last closed one.
    let all = segments(&home);
    for gone in &all[all.len() - 2..] {
        fs::remove_file(gone).unwrap();
    }
    let running = start(dir.path(), QUICK).await;
    assert!(running.node.partitions.offline().is_empty(), "{:?}", running.node.partitions.offline());
    let mut one = client(&running);
    produce(&mut one, "t", RECORDS, RECORDS + 10).await;
    compare(&mut one, "t", 0, RECORDS + 10).await;
    running.stop().await.unwrap();
}

/// Without its entry the log would start at the first segment that is here, and the manifest would follow it: the history
/// in the tier would be deleted. By hand, by a tool, or with the disk's last sectors.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_start_that_was_lost_is_the_manifests() {
    let dir = tempfile::tempdir().unwrap();
    let running = tiered(dir.path(), QUICK).await;
    running.control.evict("t".to_owned()).await.unwrap();
    let mut one = client(&running);
    let local_start = offset_of(&mut one, "t", OffsetSpec::EarliestLocal).await;
    assert!(local_start > 0);
    drop(one);
    running.stop().await.unwrap();
    fs::remove_file(dir.path().join("log-start-offset-checkpoint")).unwrap();

    let running = start(dir.path(), QUICK).await;
    let mut one = client(&running);
    assert_eq!(offset_of(&mut one, "t", OffsetSpec::Earliest).await, 0);
    // Each commit and each round of retention tells the manifest where the log starts.
    produce(&mut one, "t", RECORDS + 100, 2 * RECORDS).await;
    assert!(running.control.flush("t".to_owned(), true).await.unwrap().complete);
    compare(&mut one, "t", 0, 2 * RECORDS).await;
    drop(one);
    running.stop().await.unwrap();
    let running = start(dir.path(), QUICK).await;
    compare(&mut client(&running), "t", 0, 2 * RECORDS).await;
    running.stop().await.unwrap();
}

/// Turns the tier off, with what it holds; what lies only there is forgotten.
async fn turned_off(running: &Running) -> Arc<Partition> {
    let mut one = client(running);
    let set = |name: &str, value: &str| (name.to_owned(), ConfigOperation::Set(value.to_owned()));
    let off = [set("remote.storage.enable", "false"), set("remote.log.delete.on.disable", "true")];
    one.alter_topic_configs("t", &off, false).await.unwrap();
    let partition = partition(running);
    retain(&partition).await;
    partition
}

/// One round of both retentions, as the tier's service does it for a tier that was turned off.
async fn retain(partition: &Arc<Partition>) {
    let local = partition.clone();
    let config = partition.config();
    tokio::task::spawn_blocking(move || local.retain_local(&config, 0)).await.unwrap().unwrap();
    partition.tiered().unwrap().forget(partition.leader_epoch()).await.unwrap();
}

/// The tier still holds what is here too, until its turn to be forgotten comes: it is no reason to let local copies go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tier_that_is_to_be_forgotten_lets_no_local_copy_go() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("t-0");
    let running = tiered(dir.path(), QUIET).await;
    let partition = turned_off(&running).await;
    let mut one = client(&running);
    // Evicted, or healed after a read that found damage, and then forgotten.
    running.control.evict("t".to_owned()).await.unwrap_err();
    retain(&partition).await;
    assert_eq!(offset_of(&mut one, "t", OffsetSpec::EarliestLocal).await, 0);
    let damaged = segments(&home)[2].clone();
    overwrite(&damaged, 16, &[99]);
    compare(&mut one, "t", 0, RECORDS + 100).await;
    assert_eq!(running.node.metrics.log_segments_damaged.get(), 1);
    for _ in 0..2 {
        retain(&partition).await;
    }
    assert_eq!(offset_of(&mut one, "t", OffsetSpec::Earliest).await, 0);
    assert_eq!(running.node.metrics.log_segments_healed.get(), 0);
    compare(&mut one, "t", 0, RECORDS + 100).await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_finds_damage_leaves_nothing_to_a_tier_that_is_to_be_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("t-0");
    let running = tiered(dir.path(), QUIET).await;
    turned_off(&running).await;
    running.stop().await.unwrap();
    let damaged = segments(&home)[2].clone();
    let whole = fs::read(&damaged).unwrap();
    fs::write(&damaged, "").unwrap();
    let before = segments(&home);
    let running = start(dir.path(), QUIET).await;
    assert_eq!(running.node.partitions.offline().len(), 1);
    assert_eq!(segments(&home), before);
    running.stop().await.unwrap();
    fs::write(&damaged, whole).unwrap();
    let running = start(dir.path(), QUIET).await;
    compare(&mut client(&running), "t", 0, RECORDS + 100).await;
    running.stop().await.unwrap();
}
