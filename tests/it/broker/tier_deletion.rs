//! What is left of a deleted topic in the bucket: nothing, once a broker that has the tier was there.

use std::path::Path;
use std::time::Duration;

use stratalog::broker::Running;
use stratalog::net::client::ConfigOperation;
use stratalog::partition::tier::{Deletions, Service, ServiceHandle};

use super::tier_lifecycle::{QUICK, set, until};
use super::tiering::{SMALL_SEGMENTS, moved_up, produce};
use super::{client, start, topic};

/// Deletion ends: objects, heads, marker and the intent itself are gone, whichever way tiering was turned off before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_topic_leaves_nothing_behind() {
    for off in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let waits = [
            ("stratalog.tier.late.put.max.ms", "300"),
            ("stratalog.tier.delete.grace.ms", "3600000"),
            ("log.segment.delete.delay.ms", "0"),
        ];
        let running = start(dir.path(), &[QUICK, &waits].concat()).await;
        let mut one = client(&running);
        let mut asked = topic("t", SMALL_SEGMENTS);
        asked.partitions = Some(2);
        one.create_topic(&asked, false).await.unwrap();
        produce(&mut one, "t", 0, 3000).await;
        running.control.flush("t".to_owned(), true).await.unwrap();
        let id = running.node.image().topic("t").unwrap().id;
        if off {
            let removed = ("remote.storage.enable".to_owned(), ConfigOperation::Delete);
            let deletes = set("remote.log.delete.on.disable", "true");
            one.alter_topic_configs("t", &[deletes, removed], false).await.unwrap();
        }
        one.delete_topic("t").await.unwrap();
        let objects = dir.path().join("tier/v1").join(id.to_string());
        until("the purge has ended", || {
            let left = running.node.image().deleting.len() + count_files(&objects);
            async move { left == 0 }
        })
        .await;
        assert!(
            std::fs::read_dir(dir.path()).unwrap().all(|e| !e.unwrap().file_name().to_string_lossy().starts_with("t-"))
        );
        running.stop().await.unwrap();
    }
}

fn count_files(directory: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries.map(|entry| entry.unwrap().path()).map(|path| if path.is_dir() { count_files(&path) } else { 1 }).sum()
}

/// A round of deletions as the broker does it, but when the test says so.
async fn round(running: &Running, deletions: Deletions) -> Deletions {
    let node = &running.node;
    let service = Service {
        tier: node.partitions.tier().cloned(),
        partitions: node.partitions.clone(),
        metadata: node.metadata.clone(),
        metrics: node.metrics.clone(),
        clock: node.clock.clone(),
        handle: ServiceHandle::default(),
        interval: Duration::from_secs(1),
        expire_concurrency: 1,
        retention_interval: Duration::from_secs(1),
        deletions: tokio::sync::Mutex::new(deletions),
    };
    service.remove_all_deleted().await;
    service.deletions.into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_deleted_without_its_tier_is_purged_when_the_tier_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let waits = [("stratalog.tier.late.put.max.ms", "300"), ("log.segment.delete.delay.ms", "0")];
    let with_tier = [QUICK, &waits].concat();
    let rare = ("log.retention.check.interval.ms", "3600000");
    let without_tier = [("remote.log.storage.system.enable", "false"), rare, waits[1]];
    let running = start(dir.path(), &with_tier).await;
    drop(moved_up(&running, 2000).await);
    let id = running.node.image().topic("t").unwrap().id;
    running.stop().await.unwrap();

    let running = start(dir.path(), &without_tier).await;
    let mut one = client(&running);
    one.delete_topic("t").await.unwrap();
    // The name is free.
    one.create_topic(&topic("t", &[]), false).await.unwrap();
    produce(&mut one, "t", 0, 10).await;
    let deletions = round(&running, Deletions::default()).await;
    drop(round(&running, deletions).await);
    let image = running.node.image();
    assert!(image.deleting.contains_key(&id), "nothing remembers what is in the bucket");
    drop((one, image));
    running.stop().await.unwrap();
    // Nor does a start forget it.
    let running = start(dir.path(), &without_tier).await;
    drop(round(&running, Deletions::default()).await);
    assert!(running.node.image().deleting.contains_key(&id));
    running.stop().await.unwrap();

    let objects = dir.path().join("tier/v1").join(id.to_string());
    assert!(count_files(&objects) > 0);
    let running = start(dir.path(), &with_tier).await;
    until("the purge has ended", || {
        let left = running.node.image().deleting.len() + count_files(&objects);
        async move { left == 0 }
    })
    .await;
    running.stop().await.unwrap();
}
