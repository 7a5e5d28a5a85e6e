//! The local scrub in a broker: what it finds heals from the tier as what a reader finds.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use stratalog::broker::Running;
use stratalog::log::Pace;
use stratalog::metrics::Metrics;
use stratalog::net::client::Client;
use stratalog::partition::Scrubber;
use stratalog_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use tokio::sync::watch;

use super::tier_lifecycle::{partition, until};
use super::tiering::{compare, produce};
use super::{client, start, topic};
use crate::api::{BROKER, Fixture};

const RECORDS: i64 = 3000;

/// Several closed segments that stay.
async fn filled(dir: &tempfile::TempDir) -> (Running, Client) {
    let running = start(dir.path(), &[("log.retention.ms", "-1")]).await;
    let mut one = client(&running);
    one.create_topic(&topic("t", &[("segment.bytes", "1048576")]), false).await.unwrap();
    produce(&mut one, "t", 0, RECORDS).await;
    (running, one)
}

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
    let scrubber = Scrubber::new(node.partitions.clone(), node.metrics.clone(), node.clock.clone(), Box::new(|| 0));
    let round = async || {
        let scrubber = scrubber.clone();
        tokio::task::spawn_blocking(move || scrubber.round(7, &Pace::unlimited())).await.unwrap().unwrap();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scrub_follows_its_rate_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (running, _) = filled(&dir).await;
    let node = running.node.clone();
    let (rate, looks) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let told = {
        let (rate, looks) = (rate.clone(), looks.clone());
        move || {
            looks.fetch_add(1, SeqCst);
            rate.load(SeqCst)
        }
    };
    // The broker's own is off.
    let metrics = Arc::new(Metrics::new());
    let scrubber = Scrubber::new(node.partitions.clone(), metrics.clone(), node.clock.clone(), Box::new(told));
    let (stop, stopped) = watch::channel(false);
    let scrubbing = tokio::spawn(scrubber.run(stopped));
    let looked_twice = async || {
        let before = looks.load(SeqCst);
        until("the rate was looked at", || ready(looks.load(SeqCst) >= before + 2)).await;
    };
    looked_twice().await;
    assert_eq!(metrics.log_scrub_rounds.get(), 0);
    rate.store(1 << 40, SeqCst);
    until("a round is over", || ready(metrics.log_scrub_rounds.get() == 1)).await;
    let segments = metrics.log_scrub_segments.get();
    assert_eq!(segments, partition(&running).log().closed_segments().len() as u64);
    // Off and on again it does not wait for the end of its pause.
    rate.store(0, SeqCst);
    looked_twice().await;
    rate.store(1 << 40, SeqCst);
    until("a second round is over", || ready(metrics.log_scrub_rounds.get() == 2)).await;
    // In the middle of a segment, too: at this rate the first piece is paid for in days.
    rate.store(0, SeqCst);
    looked_twice().await;
    rate.store(1, SeqCst);
    looked_twice().await;
    rate.store(0, SeqCst);
    looked_twice().await;
    rate.store(1 << 40, SeqCst);
    until("a third round is over", || ready(metrics.log_scrub_rounds.get() == 3)).await;
    stop.send(true).unwrap();
    scrubbing.await.unwrap();
    running.stop().await.unwrap();
}

/// The broker's own scrub hears of what IncrementalAlterConfigs changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alterations_of_the_broker_reach_its_scrub() {
    let mut fixture = Fixture::start().await;
    assert!(!set_rate(&mut fixture, "-1").await);
    assert!(set_rate(&mut fixture, "1000000000").await);
    fixture.until(|metrics| metrics.log_scrub_rounds.get() == 1).await;
    fixture.stop().await;
}

async fn set_rate(fixture: &mut Fixture, value: &str) -> bool {
    let name = "stratalog.log.scrub.bytes.per.second".to_owned();
    let config = AlterableConfig { name, config_operation: 0, value: Some(value.to_owned()) };
    let resource = AlterConfigsResource { resource_type: BROKER, resource_name: "1".to_owned(), configs: vec![config] };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    fixture.ask(&request, 1).await.responses[0].error_code.is_none()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_an_index_is_found_within_a_round() {
    let dir = tempfile::tempdir().unwrap();
    let (running, mut one) = filled(&dir).await;
    let node = running.node.clone();
    let scrubber = Scrubber::new(node.partitions.clone(), node.metrics.clone(), node.clock.clone(), Box::new(|| 0));
    let round = async || {
        let scrubber = scrubber.clone();
        tokio::task::spawn_blocking(move || scrubber.round(0, &Pace::unlimited())).await.unwrap().unwrap();
        node.metrics.log_scrub_indexes_wrong.get()
    };
    compare(&mut one, "t", 0, RECORDS).await;
    assert_eq!(round().await, 0);
    let second = partition(&running).log().closed_segments()[1].base_offset;
    // The third entry of each: its position, and its timestamp, which goes up and down; and the last one's, which goes down.
    let harms = [("index", 2 * 8 + 5, 1), ("timeindex", 2 * 12 + 5, 0x40), ("timeindex", 2 * 12 + 3, 1)];
    for (count, (suffix, at, bit)) in (1..).zip(harms) {
        let path = dir.path().join(format!("t-0/{:020}.{suffix}", second.0));
        let whole = std::fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        bytes[at] ^= bit;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(round().await, count, "byte {at} of {suffix}");
        assert_eq!(std::fs::read(&path).unwrap(), whole, "byte {at} of {suffix}");
        assert_eq!(round().await, count, "byte {at} of {suffix}: it was made anew");
    }
    assert_eq!(node.metrics.log_segments_damaged.get(), 0);
    compare(&mut one, "t", 0, RECORDS).await;
    running.stop().await.unwrap();
}
