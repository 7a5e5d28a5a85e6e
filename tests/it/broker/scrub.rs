//! The local scrub in a broker: what it finds heals from the tier as what a reader finds.

use stratalog::partition::Scrubber;

use super::tier_lifecycle::partition;
use super::tiering::{compare, produce};
use super::{client, start, topic};

const RECORDS: i64 = 3000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_scrub_finds_heals_from_the_tier() {
    let dir = tempfile::tempdir().unwrap();
    // The broker's own scrub begins with nothing there; the rounds here are the test's.
    let settings = [("stratalog.log.scrub.bytes.per.second", "1000000000"), ("log.retention.check.interval.ms", "100")];
    let running = start(dir.path(), &settings).await;
    let mut one = client(&running);
    // The records are old: only damage takes them off the disk.
    let configs = [("segment.bytes", "1048576"), ("retention.ms", "-1"), ("local.retention.ms", "-2")];
    one.create_topic(&topic("t", &configs), false).await.unwrap();
    produce(&mut one, "t", 0, RECORDS).await;
    assert!(running.control.flush("t".to_owned(), true).await.unwrap().complete);
    let node = running.node.clone();
    let scrubber = Scrubber::new(node.partitions.clone(), node.metrics.clone(), node.clock.clone(), 1 << 40);
    let round = async || {
        let scrubber = scrubber.clone();
        tokio::task::spawn_blocking(move || scrubber.round(7)).await.unwrap().unwrap();
    };
    round().await;
    assert!(node.metrics.log_scrub_bytes.get() > 2 << 20 && node.metrics.log_scrub_segments.get() >= 2);
    assert_eq!(node.metrics.log_segments_damaged.get(), 0);
    let second = partition(&running).log().closed_segments()[1].base_offset;
    let path = dir.path().join(format!("t-0/{:020}.log", second.0));
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    round().await;
    assert_eq!(node.metrics.log_segments_damaged.get(), 1);
    let healed = async {
        while node.metrics.log_segments_healed.get() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), healed).await.expect("healed");
    compare(&mut one, "t", 0, RECORDS).await;
    running.stop().await.unwrap();
}
