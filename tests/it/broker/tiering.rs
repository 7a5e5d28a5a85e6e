//! Records that went up to the tier and whose local copies are gone are read as if nothing had happened.

use std::ops::ControlFlow;
use std::time::Duration;

use stratalog::broker::Running;
use stratalog::net::client::{
    Client, Error, IsolationLevel, OffsetSpec, OutgoingRecord, Producer, ProducerSettings, visible_records,
};
use stratalog_protocol::records::RecordRef;

use super::{client, start, topic};

const RECORDS: i64 = 6000;
pub(super) const SMALL_SEGMENTS: &[(&str, &str)] = &[("segment.bytes", "1048576")];

/// The record at `offset`: about 1 KiB, so that the records fill several segments of 1 MiB.
fn value(offset: i64) -> Vec<u8> {
    let mut state = offset as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut value = format!("record {offset} ").into_bytes();
    while value.len() < 1000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        value.push((state >> 56) as u8);
    }
    value
}

pub(super) fn timestamp(offset: i64) -> i64 {
    1_700_000_000_000 + offset * 10
}

pub(super) async fn produce(client: &mut Client, name: &str, from: i64, to: i64) {
    let settings = ProducerSettings { batch_bytes: 64 << 10, create_topic: false, ..ProducerSettings::default() };
    let mut producer = Producer::open(client, name, settings).await.unwrap();
    for offset in from..to {
        let (key, value) = (offset.to_string(), value(offset));
        let record = OutgoingRecord {
            partition: Some(0),
            key: Some(key.as_bytes()),
            value: Some(&value),
            headers: &[("h", Some(b"x"))],
            timestamp_ms: timestamp(offset),
        };
        producer.send(client, record).await.unwrap();
    }
    producer.flush(client).await.unwrap();
}

/// Makes the topic `t`, of small segments, and moves so many records to the tier.
pub(super) async fn moved_up(running: &Running, records: i64) -> Client {
    let mut one = client(running);
    one.create_topic(&topic("t", SMALL_SEGMENTS), false).await.unwrap();
    produce(&mut one, "t", 0, records).await;
    assert!(running.control.flush("t".to_owned(), true).await.unwrap().complete);
    one
}

/// Hands on each record that a consumer sees from `from` to `to`; answers the offset that it would fetch next.
pub(super) async fn each_record(
    client: &mut Client,
    name: &str,
    from: i64,
    to: i64,
    mut take: impl FnMut(&RecordRef<'_>),
) -> i64 {
    let mut next = from;
    while next < to {
        let wait = Duration::from_millis(500);
        let fetched = client.fetch(name, &[(0, next)], wait, 300_000, IsolationLevel::ReadUncommitted).await.unwrap();
        for partition in &fetched {
            assert!(!partition.out_of_range, "offset {next} is out of range");
            next = visible_records(partition, next, IsolationLevel::ReadUncommitted, |fetched| {
                take(&fetched.record);
                Ok::<_, Error>(ControlFlow::Continue(()))
            })
            .unwrap();
        }
    }
    next
}

/// Reads from `from` to `to` and compares every record.
pub(super) async fn compare(client: &mut Client, name: &str, from: i64, to: i64) {
    let next = each_record(client, name, from, to, |record| {
        let offset = record.offset;
        assert_eq!(record.key, Some(offset.to_string().as_bytes()));
        assert_eq!(record.value, Some(value(offset).as_slice()));
        assert_eq!(record.timestamp, timestamp(offset));
    });
    assert_eq!(next.await, to);
}

pub(super) async fn offset_of(client: &mut Client, name: &str, spec: OffsetSpec) -> i64 {
    client.list_offsets(name, &[(0, spec)]).await.unwrap()[0].offset
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_reads_the_same_from_both_tiers() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path(), &[]).await;
    let mut one = client(&running);
    one.create_topic(&topic("t", SMALL_SEGMENTS), false).await.unwrap();
    produce(&mut one, "t", 0, RECORDS).await;
    compare(&mut one, "t", 0, RECORDS).await;

    let flushed = running.control.flush("t".to_owned(), true).await.unwrap();
    assert!(flushed.complete, "{flushed:?}");
    assert!(flushed.partitions[0].segments_uploaded >= 5, "{flushed:?}");
    compare(&mut one, "t", 0, RECORDS).await;
    let evicted = running.control.evict("t".to_owned()).await.unwrap();
    assert_eq!(evicted.partitions[0].local_log_start_offset, RECORDS);
    compare(&mut one, "t", 0, RECORDS).await;
    // Any offset, not only borders.
    for from in [1, 17, RECORDS / 2, RECORDS - 1] {
        compare(&mut one, "t", from, RECORDS).await;
    }

    // New records go on behind the evicted ones, and both are read in one go.
    produce(&mut one, "t", RECORDS, RECORDS + 500).await;
    compare(&mut one, "t", 0, RECORDS + 500).await;

    assert_eq!(offset_of(&mut one, "t", OffsetSpec::Earliest).await, 0);
    assert_eq!(offset_of(&mut one, "t", OffsetSpec::Latest).await, RECORDS + 500);
    assert_eq!(offset_of(&mut one, "t", OffsetSpec::EarliestLocal).await, RECORDS);
    assert_eq!(offset_of(&mut one, "t", OffsetSpec::LatestTiered).await, RECORDS - 1);
    for offset in [0, 1, 2999, RECORDS - 1, RECORDS, RECORDS + 499] {
        assert_eq!(offset_of(&mut one, "t", OffsetSpec::Timestamp(timestamp(offset))).await, offset);
        assert_eq!(offset_of(&mut one, "t", OffsetSpec::Timestamp(timestamp(offset) - 9)).await, offset);
    }
    assert_eq!(offset_of(&mut one, "t", OffsetSpec::MaxTimestamp).await, RECORDS + 499);

    let verified = running.control.verify("t".to_owned()).await.unwrap();
    assert!(verified.is_sound() && verified.partitions[0].objects >= 5, "{verified:?}");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_start_finds_all() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path(), &[]).await;
    let mut one = client(&running);
    one.create_topic(&topic("t", SMALL_SEGMENTS), false).await.unwrap();
    produce(&mut one, "t", 0, 3000).await;
    running.control.flush("t".to_owned(), true).await.unwrap();
    running.control.evict("t".to_owned()).await.unwrap();
    produce(&mut one, "t", 3000, 3100).await;
    drop(one);
    running.stop().await.unwrap();

    let running = start(dir.path(), &[]).await;
    let mut two = client(&running);
    compare(&mut two, "t", 0, 3100).await;
    produce(&mut two, "t", 3100, 5000).await;
    let flushed = running.control.flush("t".to_owned(), true).await.unwrap();
    assert!(flushed.complete, "{flushed:?}");
    running.control.evict("t".to_owned()).await.unwrap();
    compare(&mut two, "t", 0, 5000).await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_object_is_an_error_and_nothing_wrong_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path(), &[]).await;
    let mut one = client(&running);
    one.create_topic(&topic("t", SMALL_SEGMENTS), false).await.unwrap();
    produce(&mut one, "t", 0, 3000).await;
    running.control.flush("t".to_owned(), true).await.unwrap();
    let listing = running.control.list(Some("t".to_owned())).await.unwrap();
    let object = dir.path().join("tier").join(&listing.partitions[0].segments[1].object);
    let mut bytes = std::fs::read(&object).unwrap();
    bytes[1000] ^= 0x20;
    std::fs::write(&object, bytes).unwrap();
    running.control.evict("t".to_owned()).await.unwrap();

    let damaged = listing.partitions[0].segments[1].base_offset;
    compare(&mut one, "t", 0, damaged).await;
    let report = running.control.verify("t".to_owned()).await.unwrap();
    assert_eq!(report.partitions[0].problems.len(), 1, "{report:?}");
    assert!(report.partitions[0].problems[0].contains(&listing.partitions[0].segments[1].object), "{report:?}");
    let wait = Duration::from_millis(300);
    let answer = one.fetch("t", &[(0, damaged)], wait, 300_000, IsolationLevel::ReadUncommitted).await;
    // The client treats a storage error as retriable: it brings nothing.
    assert!(answer.unwrap().iter().all(|partition| partition.records.is_empty()));
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_start_inside_a_batch_does_not_stop_the_tier() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path(), &[]).await;
    let mut one = client(&running);
    one.create_topic(&topic("t", SMALL_SEGMENTS), false).await.unwrap();
    produce(&mut one, "t", 0, 2500).await;
    let id = running.node.image().topic("t").unwrap().id;
    let partition = running.node.partitions.get(id, 0).unwrap();
    partition.log().set_log_start_offset(stratalog_types::Offset(1234)).unwrap();
    let flushed = running.control.flush("t".to_owned(), true).await.unwrap();
    assert!(flushed.complete, "{flushed:?}");
    running.control.evict("t".to_owned()).await.unwrap();
    assert_eq!(offset_of(&mut one, "t", OffsetSpec::Earliest).await, 1234);
    compare(&mut one, "t", 1234, 2500).await;
    running.stop().await.unwrap();
}

/// Protocol 3.1, step 4: a short log never appends over tiered offsets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_directory_goes_on_at_the_end_of_the_tier() {
    let dir = tempfile::tempdir().unwrap();
    let quick: &[(&str, &str)] = &[("remote.log.manager.task.interval.ms", "50")];
    let running = start(dir.path(), quick).await;
    let mut one = client(&running);
    one.create_topic(&topic("t", SMALL_SEGMENTS), false).await.unwrap();
    produce(&mut one, "t", 0, 3000).await;
    running.control.flush("t".to_owned(), true).await.unwrap();
    drop(one);
    running.stop().await.unwrap();
    std::fs::remove_dir_all(dir.path().join("t-0")).unwrap();

    let running = start(dir.path(), quick).await;
    let mut two = client(&running);
    // The producer's first attempts are refused as retriable until the tier has been asked.
    produce(&mut two, "t", 3000, 3200).await;
    compare(&mut two, "t", 0, 3200).await;
    assert_eq!(offset_of(&mut two, "t", OffsetSpec::Earliest).await, 0);
    let flushed = running.control.flush("t".to_owned(), true).await.unwrap();
    assert!(flushed.complete, "{flushed:?}");
    running.stop().await.unwrap();
}
