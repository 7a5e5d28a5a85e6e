//! Retention and files that cannot be looked at.

use std::fs;
use std::path::{Path, PathBuf};

use stratalog::broker::Running;
use stratalog::clock::Clock;
use stratalog::net::client::{ConfigOperation, OffsetSpec};
use stratalog_types::Offset;

use super::healing::segments;
use super::tier_lifecycle::partition;
use super::tiering::{compare, moved_up, offset_of};
use super::{client, start};

const RECORDS: i64 = 4000;
/// Records of 2023 are younger, and what has the time 0 is older.
const YEARS_40_MS: &str = "1262304000000";
/// Retention waits until it is called.
const QUIET: &[(&str, &str)] = &[("log.retention.ms", "-1"), ("log.local.retention.ms", "-2")];

/// A log of several closed segments, of which nothing is in memory.
async fn started_again(directory: &Path) -> Running {
    let running = start(directory, QUIET).await;
    drop(moved_up(&running, RECORDS).await);
    running.stop().await.unwrap();
    start(directory, QUIET).await
}

async fn set(running: &Running, configs: &[(&str, &str)]) {
    let set = |(name, value): &(&str, &str)| ((*name).to_owned(), ConfigOperation::Set((*value).to_owned()));
    let configs: Vec<_> = configs.iter().map(set).collect();
    client(running).alter_topic_configs("t", &configs, false).await.unwrap();
}

fn move_away(segment: &Path) -> PathBuf {
    let away = segment.with_extension("away");
    fs::rename(segment, &away).unwrap();
    away
}

async fn retain(running: &Running) {
    let partition = partition(running);
    let config = partition.config();
    let retain = move || partition.retain_local(&config, Clock::System.now_ms());
    tokio::task::spawn_blocking(retain).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_looked_at_is_not_taken_for_old() {
    let dir = tempfile::tempdir().unwrap();
    let running = started_again(dir.path()).await;
    set(&running, &[("remote.log.copy.disable", "true"), ("retention.ms", YEARS_40_MS)]).await;
    let all = segments(&dir.path().join("t-0"));
    let away: Vec<_> = all[..2].iter().map(|segment| move_away(segment)).collect();
    retain(&running).await;
    assert_eq!(partition(&running).log_start_offset(), Offset(0));
    for (away, segment) in away.iter().zip(&all) {
        fs::rename(away, segment).unwrap();
    }
    // All is as it was; and its real age still counts.
    retain(&running).await;
    compare(&mut client(&running), "t", 0, RECORDS).await;
    set(&running, &[("retention.ms", "1000")]).await;
    retain(&running).await;
    assert_eq!(partition(&running).log_start_offset(), Offset(RECORDS));
    running.stop().await.unwrap();
}

/// Local copies behind it go, and so does what is left of it: the tier has them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_copy_that_is_away_keeps_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let running = started_again(dir.path()).await;
    move_away(&segments(&dir.path().join("t-0"))[0]);
    set(&running, &[("local.retention.ms", "1000")]).await;
    retain(&running).await;
    let mut one = client(&running);
    assert_eq!(offset_of(&mut one, "t", OffsetSpec::EarliestLocal).await, RECORDS);
    assert_eq!(offset_of(&mut one, "t", OffsetSpec::Earliest).await, 0);
    compare(&mut one, "t", 0, RECORDS).await;
    drop(one);
    running.stop().await.unwrap();
}
