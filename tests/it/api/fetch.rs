//! Fetch: its bounds over both tiers, and what ends a wait.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use stratalog::broker::{self, Running};
use stratalog::clock::Clock;
use stratalog::config::{self, Sources};
use stratalog::platform::disk::Disk;
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use stratalog_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData};
use stratalog_protocol::{Part, decode_response, encode_request};
use stratalog_types::TopicId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Fixture;
use crate::log::indexes::{FIRST_INDEX, HeldDisk};

/// A test that hangs says so.
const HANG: Duration = Duration::from_secs(60);
const FOREVER_MS: i32 = i32::MAX;
const PARTITIONS: i32 = 4;
/// Bytes of one batch on the wire, about.
const BATCH: usize = 8 << 10;

fn request(topic: &str, partitions: i32, max_bytes: i32, max_wait_ms: i32) -> FetchRequest {
    let partition = |partition| FetchPartition {
        partition,
        fetch_offset: 0,
        partition_max_bytes: max_bytes,
        ..FetchPartition::default()
    };
    let topic = FetchTopic {
        topic: topic.to_owned(),
        partitions: (0..partitions).map(partition).collect(),
        ..FetchTopic::default()
    };
    FetchRequest { max_wait_ms, min_bytes: 1, max_bytes, topics: vec![topic], ..FetchRequest::default() }
}

async fn fetch(fixture: &mut Fixture, request: &FetchRequest) -> Vec<PartitionData> {
    fixture.ask(request, 12).await.responses.into_iter().flat_map(|topic| topic.partitions).collect()
}

/// A topic whose partitions lie in the tier alone, ten batches each.
async fn cold_topic(fixture: &mut Fixture, name: &str) {
    fixture.create(name, PARTITIONS, &[("remote.storage.enable", "true")]).await;
    for partition in 0..PARTITIONS {
        for _ in 0..10 {
            fixture.produce_batch(name, partition, &[b'x'; BATCH], 30_000).await.unwrap();
        }
    }
    let control = fixture.running.control.clone();
    assert!(control.flush(name.to_owned(), true).await.unwrap().complete);
    for evicted in control.evict(name.to_owned()).await.unwrap().partitions {
        assert_eq!(evicted.local_log_start_offset, 10, "{evicted:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cold_partitions_share_the_bytes_of_a_fetch() {
    let mut fixture = Fixture::start().await;
    cold_topic(&mut fixture, "t").await;
    let bytes_max = 3 * BATCH;
    // Until every chunk is in the cache, so that all reads answer at once.
    for partition in 0..PARTITIONS {
        let mut one = request("t", PARTITIONS, 1 << 20, 30_000);
        one.topics[0].partitions.retain(|p| p.partition == partition);
        let got = fetch(&mut fixture, &one).await;
        assert!(!got[0].records.is_empty(), "{got:?}");
    }
    for _ in 0..20 {
        let got = fetch(&mut fixture, &request("t", PARTITIONS, i32::try_from(bytes_max).unwrap(), 30_000)).await;
        let bytes: usize = got.iter().map(|partition| partition.records.length()).sum();
        assert!(bytes > 0 && bytes <= bytes_max, "{bytes} of {bytes_max}");
    }
    // KIP-74: one batch that is larger than everything asked for still comes, and only one.
    let got = fetch(&mut fixture, &request("t", PARTITIONS, 100, 30_000)).await;
    assert_eq!(got.iter().filter(|partition| !partition.records.is_empty()).count(), 1, "{got:?}");
    fixture.stop().await;
}

fn wire(request: &FetchRequest) -> Vec<u8> {
    let mut wire = Vec::new();
    for part in encode_request(request, 12, 1, Some("it")).unwrap() {
        let Part::Bytes(bytes) = part else { panic!("requests are memory") };
        wire.extend_from_slice(&bytes);
    }
    wire
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cold_answers_keep_to_the_memory_and_all_come() {
    let memory = 128 << 10;
    let mut fixture = Fixture::start_with(&[("stratalog.fetch.memory.bytes", "131072")]).await;
    cold_topic(&mut fixture, "t").await;
    let metrics = fixture.running.node.metrics.clone();
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let address = fixture.running.address();
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                let mut missing: Vec<i32> = (0..PARTITIONS).collect();
                // An answer without records is no error: its fetch had no room in time.
                while !missing.is_empty() {
                    let mut cold = request("t", PARTITIONS, 1 << 20, 30_000);
                    cold.topics[0].partitions.retain(|p| missing.contains(&p.partition));
                    stream.write_all(&wire(&cold)).await.unwrap();
                    for row in read_fetch(&mut stream).await.responses.remove(0).partitions {
                        assert_eq!(row.error_code, ErrorCode::NONE);
                        missing.retain(|partition| row.records.is_empty() || *partition != row.partition_index);
                    }
                }
            })
        })
        .collect();
    for reader in readers {
        while !reader.is_finished() {
            assert!(metrics.answer_memory.get() <= memory);
            tokio::task::yield_now().await;
        }
        timeout(HANG, reader).await.unwrap().unwrap();
    }
    assert_eq!(metrics.answer_memory.get(), 0);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_fetch_without_room_answers_without_records_and_has_them_later() {
    let mut fixture = Fixture::start_with(&[("stratalog.fetch.memory.bytes", "16384")]).await;
    cold_topic(&mut fixture, "t").await;
    fixture.create("hot", 1, &[]).await;
    let mut keeper = TcpStream::connect(fixture.running.address()).await.unwrap();
    // A long poll, and behind it an answer that is ready, waits for it, and has all the memory.
    let pipelined = [wire(&request("hot", 1, 1 << 20, FOREVER_MS)), wire(&request("t", 1, 1 << 20, 30_000))].concat();
    keeper.write_all(&pipelined).await.unwrap();
    fixture.until(|metrics| metrics.answer_memory.get() > 0).await;
    let without = fetch(&mut fixture, &request("t", 1, 1 << 20, 50)).await;
    assert_eq!((without[0].error_code, without[0].records.length()), (ErrorCode::NONE, 0));
    // Records that are not cold go out without: straight from their file.
    fixture.produce_batch("hot", 0, &[b'x'; BATCH], 30_000).await.unwrap();
    let hot = fetch(&mut fixture, &request("hot", 1, 1 << 20, 30_000)).await;
    assert!(hot[0].records.length() > BATCH, "{hot:?}");
    for _ in 0..2 {
        assert!(!read_fetch(&mut keeper).await.responses[0].partitions[0].records.is_empty());
    }
    let cold = fetch(&mut fixture, &request("t", 1, 1 << 20, 30_000)).await;
    assert!(!cold[0].records.is_empty(), "{cold:?}");
    fixture.until(|metrics| metrics.answer_memory.get() == 0).await;
    fixture.stop().await;
}

async fn read_fetch(stream: &mut TcpStream) -> FetchResponse {
    let length = timeout(HANG, stream.read_i32()).await.unwrap().unwrap();
    let mut frame = BytesMut::zeroed(usize::try_from(length).unwrap());
    stream.read_exact(&mut frame).await.unwrap();
    decode_response::<FetchResponse>(frame.freeze(), 12).unwrap().1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_topic_ends_the_waits_for_it() {
    let mut fixture = Fixture::start().await;
    fixture.create("t", 1, &[]).await;
    let waiting = fixture.another(&request("t", 1, 1 << 20, FOREVER_MS), 12).await;
    fixture.until(|metrics| metrics.fetches_waiting.get() == 1).await;
    let topics = vec![DeleteTopicState { name: Some("t".to_owned()), ..DeleteTopicState::default() }];
    let deleted = fixture.ask(&DeleteTopicsRequest { topics, ..DeleteTopicsRequest::default() }, 6).await;
    assert_eq!(deleted.responses[0].error_code, ErrorCode::NONE);
    let answer = timeout(HANG, waiting).await.unwrap().unwrap();
    assert_eq!(answer.responses[0].partitions[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_has_gone_leaves_no_wait_behind() {
    let mut fixture = Fixture::start().await;
    fixture.create("t", 1, &[]).await;
    let mut wire = Vec::new();
    // More than may be in flight: the broker reads no further, and finds the end all the same.
    for correlation_id in 0..100 {
        let long = request("t", 1, 1 << 20, FOREVER_MS);
        for part in encode_request(&long, 12, correlation_id, Some("it")).unwrap() {
            let Part::Bytes(bytes) = part else { panic!("requests are memory") };
            wire.extend_from_slice(&bytes);
        }
    }
    let mut peer = TcpStream::connect(fixture.running.address()).await.unwrap();
    peer.write_all(&wire).await.unwrap();
    fixture.until(|metrics| metrics.fetches_waiting.get() > 0).await;
    peer.shutdown().await.unwrap();
    // Its side is still open for answers: each request has one.
    let mut answers = Vec::new();
    timeout(HANG, peer.read_to_end(&mut answers)).await.unwrap().unwrap();
    assert!(!answers.is_empty());
    fixture.until(|metrics| metrics.fetches_waiting.get() == 0 && metrics.connections.get() == 1).await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_are_counted_when_they_are_answered() {
    let mut fixture = Fixture::start().await;
    fixture.create("t", 1, &[]).await;
    fixture.produce_batch("t", 0, &[b'x'; BATCH], 30_000).await.unwrap();
    let mut long = request("t", 1, 1 << 20, 60_000);
    long.min_bytes = i32::try_from(2 * BATCH).unwrap();
    let waiting = fixture.another(&long, 12).await;
    fixture.until(|metrics| metrics.fetches_waiting.get() == 1).await;
    for _ in 0..2 {
        fixture.produce_batch("t", 0, &[b'x'; BATCH], 30_000).await.unwrap();
    }
    let answer = timeout(HANG, waiting).await.unwrap().unwrap();
    let answered = answer.responses[0].partitions[0].records.length() as u64;
    let lane = stratalog::metrics::LaneLabel { lane: "local" };
    assert_eq!(fixture.running.node.metrics.fetch_bytes.get_or_create(&lane).get(), answered);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_failed_answers_at_once() {
    let mut fixture = Fixture::start().await;
    let id = fixture.create("t", 1, &[]).await;
    let partition = fixture.running.node.partitions.get(stratalog_types::TopicId(id), 0).unwrap();
    let waiting = fixture.another(&request("t", 1, 1 << 20, FOREVER_MS), 12).await;
    fixture.until(|metrics| metrics.fetches_waiting.get() == 1).await;
    // As a failed sync does: nothing that is appended from now on will be synced.
    partition.log().flushed().close();
    let answer = timeout(HANG, waiting).await.unwrap().unwrap();
    assert_eq!(answer.responses[0].partitions[0].error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    let produced = timeout(HANG, fixture.produce_batch("t", 0, b"v", FOREVER_MS)).await.unwrap();
    assert_eq!(produced, Err(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_failed_ends_the_wait_of_a_fetch_that_has_no_bytes_left_for_it() {
    let mut fixture = Fixture::start().await;
    let id = fixture.create("t", 2, &[]).await;
    fixture.produce_batch("t", 0, &[b'x'; BATCH], 30_000).await.unwrap();
    let partition = fixture.running.node.partitions.get(stratalog_types::TopicId(id), 1).unwrap();
    // The one batch of the first partition takes all bytes, and more are waited for.
    let mut long = request("t", 2, 100, FOREVER_MS);
    long.min_bytes = i32::MAX;
    let waiting = fixture.another(&long, 12).await;
    fixture.until(|metrics| metrics.fetches_waiting.get() == 1).await;
    partition.log().flushed().close();
    // The one before and one that comes to a log that has failed already.
    for waiting in [waiting, fixture.another(&long, 12).await] {
        let answer = timeout(HANG, waiting).await.unwrap().unwrap();
        assert!(!answer.responses[0].partitions[0].records.is_empty(), "{answer:?}");
    }
    fixture.stop().await;
}

/// One batch of one record whose value is `value`.
pub fn batch(value: &[u8]) -> Bytes {
    use stratalog_protocol::records::{BatchBuilder, NewRecord};
    let mut batch = BatchBuilder::new(0);
    batch.append(&NewRecord { timestamp: 1_700_000_000_000, value: Some(value), ..NewRecord::default() }).unwrap();
    batch.build().unwrap()
}

/// One worker: whatever a fetch did on it, everybody else would wait for.
#[tokio::test]
async fn an_index_that_is_made_anew_for_a_fetch_holds_up_no_other_request() {
    let dir = tempfile::tempdir().unwrap();
    let mut fixture = Fixture::on(start_on(dir.path(), Disk::default()).await).await;
    let id = fixture.create("t", 1, &[]).await;
    fixture.produce("t", 3, false).await;
    fixture.node().partitions.find(TopicId(id), 0).unwrap().log().roll().unwrap();
    fixture.produce("t", 3, false).await;
    fixture.stop().await;
    std::fs::remove_file(dir.path().join("t-0").join(FIRST_INDEX)).unwrap();

    let (disk, begun, release) = HeldDisk::new();
    let mut fixture = Fixture::on(start_on(dir.path(), Disk::observed(disk.clone())).await).await;
    disk.hold();
    let cold = fixture.another(&request("t", 1, 1 << 20, 1000), 12).await;
    tokio::task::spawn_blocking(move || begun.recv_timeout(HANG)).await.unwrap().unwrap();
    fixture.produce("t", 1, false).await;
    let _ = release.send(());
    let row = timeout(HANG, cold).await.unwrap().unwrap().responses.remove(0).partitions.remove(0);
    assert_eq!((row.error_code, row.records.is_empty()), (ErrorCode::NONE, false));
    assert!(!disk.hung.load(Ordering::SeqCst), "the produce waited for the fetch");
    assert_eq!(disk.made.load(Ordering::SeqCst), 1);
    fixture.stop().await;
}

async fn start_on(dir: &std::path::Path, disk: Disk) -> Running {
    let settings = [
        ("listeners", "PLAINTEXT://127.0.0.1:0"),
        ("log.dirs", dir.to_str().unwrap()),
        ("stratalog.admin.listener", ""),
        ("stratalog.tier.default.enable", "false"),
    ];
    let flags = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let loaded = config::load(&Sources { flags, ..Sources::default() }).unwrap();
    broker::start_with(loaded.config, Clock::System, disk).await.unwrap()
}
