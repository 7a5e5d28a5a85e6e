//! Tiering that was turned off with what it holds, over a log that lost something.

use std::fs;
use std::path::Path;

use stratalog::broker::Running;
use stratalog::metrics::ReasonLabel;
use stratalog::net::client::Client;
use stratalog_types::Offset;

use super::healing::{QUICK, segments};
use super::tier_lifecycle::{partition, set, until};
use super::tiering::{compare, moved_up, produce};
use super::{client, start};

const RECORDS: i64 = 5000;

/// What is tiered is there locally too; then it is to go from the tier.
async fn turned_off(running: &Running) -> Client {
    let mut one = moved_up(running, RECORDS).await;
    let off = [
        set("remote.storage.enable", "false"),
        set("remote.log.delete.on.disable", "true"),
        set("remote.log.copy.disable", "true"),
    ];
    one.alter_topic_configs("t", &off, false).await.unwrap();
    one
}

fn lose_the_directory(dir: &Path) {
    fs::remove_dir_all(dir.join("t-0")).unwrap();
}

/// As a disk does that never wrote what it said it had: nothing tells any more where the log ended.
fn lose_the_end(dir: &Path) {
    for name in [".kafka_cleanshutdown", "recovery-point-offset-checkpoint"] {
        fs::remove_file(dir.join(name)).unwrap();
    }
    let all = segments(&dir.join("t-0"));
    assert!(all.len() > 3, "{all:?}");
    for gone in &all[all.len() - 2..] {
        fs::remove_file(gone).unwrap();
    }
}

/// The tier has all that is missing: it is not forgotten as long as the log lacks it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tier_that_has_what_the_log_lost_is_not_forgotten() {
    for lose in [lose_the_directory, lose_the_end] {
        let dir = tempfile::tempdir().unwrap();
        let running = start(dir.path(), QUICK).await;
        drop(turned_off(&running).await);
        running.stop().await.unwrap();
        lose(dir.path());
        for _start in 0..2 {
            let running = start(dir.path(), QUICK).await;
            let held = partition(&running);
            let refused = ReasonLabel { reason: "manifest" };
            until("the log is judged", || {
                let refused = running.node.metrics.tier_upload_errors.get_or_create(&refused).get() > 0;
                let start = held.log_start_offset();
                async move { refused || start > Offset(0) }
            })
            .await;
            assert!(held.is_behind_tier(), "it starts at {}", held.log_start_offset());
            assert_eq!((held.log_start_offset(), held.tiered_end_offset()), (Offset(0), Some(Offset(RECORDS))));
            running.stop().await.unwrap();
        }

        let running = start(dir.path(), QUICK).await;
        let mut one = client(&running);
        one.alter_topic_configs("t", &[set("remote.log.delete.on.disable", "false")], false).await.unwrap();
        produce(&mut one, "t", RECORDS, RECORDS + 100).await;
        compare(&mut one, "t", 0, RECORDS + 100).await;
        running.stop().await.unwrap();
    }
}
