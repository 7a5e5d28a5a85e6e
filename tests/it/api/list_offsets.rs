//! ListOffsets by time: the tier is asked for what the disk does not have, and all partitions at once.

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use stratalog::partition::{Isolation, OffsetSpec};
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsTopic,
};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

use super::Fixture;

const MAX_TIMESTAMP: i64 = -3;
/// What `Fixture::produce` and `produce_batch` write.
const TIME: i64 = 1_700_000_000_000;
const PARTITIONS: i32 = 6;

fn request(partitions: i32, timestamp: i64) -> ListOffsetsRequest {
    let partition = |partition_index| ListOffsetsPartition { partition_index, timestamp, current_leader_epoch: -1 };
    let topic = ListOffsetsTopic { name: "t".to_owned(), partitions: (0..partitions).map(partition).collect() };
    ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..ListOffsetsRequest::default() }
}

async fn list(fixture: &mut Fixture, partitions: i32, timestamp: i64) -> Vec<ListOffsetsPartitionResponse> {
    fixture.ask(&request(partitions, timestamp), 7).await.topics.remove(0).partitions
}

fn remove_objects(directory: &Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            remove_objects(&path);
        } else if path.extension().is_some_and(|extension| extension == "seg") {
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_disk_is_found_without_the_tier() {
    let mut fixture = Fixture::start().await;
    fixture.create("t", 1, &[("remote.storage.enable", "true")]).await;
    fixture.produce("t", 10, false).await;
    let control = fixture.running.control.clone();
    assert!(control.flush("t".to_owned(), true).await.unwrap().complete);
    remove_objects(&fixture.data_dir().join("tier"));
    for timestamp in [TIME, MAX_TIMESTAMP] {
        let found = list(&mut fixture, 1, timestamp).await.remove(0);
        assert_eq!((found.error_code, found.offset, found.timestamp), (ErrorCode::NONE, 0, TIME));
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_is_named_twice_is_refused() {
    let mut fixture = Fixture::start().await;
    fixture.create("t", 2, &[]).await;
    fixture.produce("t", 1, false).await;
    let mut twice = request(2, TIME);
    let (first, second) = (twice.topics[0].partitions[0].clone(), twice.topics[0].partitions[1].clone());
    twice.topics[0].partitions.push(first.clone());
    // Also where the topic is named again, or unknown.
    twice.topics.push(twice.topics[0].clone());
    twice.topics[1].partitions = vec![ListOffsetsPartition { partition_index: 7, ..second }, first];
    let topics = fixture.ask(&twice, 7).await.topics;
    let codes = |topic: usize| topics[topic].partitions.iter().map(|p| (p.partition_index, p.error_code)).collect();
    let (first, second): (Vec<_>, Vec<_>) = (codes(0), codes(1));
    let refused = ErrorCode::INVALID_REQUEST;
    assert_eq!(first, [(0, refused), (1, ErrorCode::NONE), (0, refused)]);
    assert_eq!(second, [(7, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), (0, refused)]);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timestamps_are_looked_for_off_the_workers() {
    let mut fixture = Fixture::start().await;
    let id = fixture.create("t", 1, &[]).await;
    fixture.produce("t", 10, false).await;
    let partition = fixture.running.node.partitions.get(stratalog_types::TopicId(id), 0).unwrap();
    for spec in [OffsetSpec::Timestamp(TIME), OffsetSpec::MaxTimestamp] {
        let mut handed_over = false;
        // The pool may be faster than the poll: not every time.
        for _ in 0..1000 {
            let mut listed = pin!(partition.list_offset(spec, Isolation::ReadUncommitted, Instant::now()));
            // Without the runtime's own bound of polls, which would make it pending once in a while.
            let polled = async { futures::poll!(&mut listed) };
            handed_over |= tokio::task::unconstrained(polled).await.is_pending();
            if handed_over {
                assert_eq!(listed.await.unwrap().offset, 0);
                break;
            }
        }
        assert!(handed_over, "{spec:?} reads files on the caller's thread");
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cold_partitions_are_looked_up_side_by_side() {
    let mut fixture = Fixture::start().await;
    fixture.create("t", PARTITIONS, &[("remote.storage.enable", "true")]).await;
    for partition in 0..PARTITIONS {
        fixture.produce_batch("t", partition, b"v", 30_000).await.unwrap();
    }
    let control = fixture.running.control.clone();
    assert!(control.flush("t".to_owned(), true).await.unwrap().complete);
    control.evict("t".to_owned()).await.unwrap();
    // A store that takes requests and never answers.
    let store = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", store.local_addr().unwrap());
    let settings = [
        ("stratalog.tier.url", "s3://bucket/prefix"),
        ("stratalog.tier.s3.endpoint", endpoint.as_str()),
        ("stratalog.tier.s3.access.key.id", "k"),
        ("stratalog.tier.s3.secret.access.key", "s"),
        ("stratalog.tier.s3.allow.http", "true"),
        ("stratalog.shutdown.timeout.ms", "100"),
        ("remote.list.offsets.request.timeout.ms", "3000"),
    ];
    let fixture = fixture.restart_with(&settings).await;
    let answer = fixture.another(&request(PARTITIONS, TIME), 7).await;
    let looked_up = async {
        let mut asked = Vec::new();
        while asked.len() < PARTITIONS as usize {
            let (mut connection, _) = store.accept().await.unwrap();
            let mut head = vec![0; 16 << 10];
            let length = connection.read(&mut head).await.unwrap();
            if String::from_utf8_lossy(&head[..length]).lines().next().is_some_and(|line| line.contains(".seg")) {
                asked.push(connection);
            }
        }
        asked
    };
    let held = timeout(Duration::from_secs(60), looked_up).await.unwrap();
    assert!(!answer.is_finished(), "the look-ups came one after the other");
    // A store that is not in time is a retriable error, never "no such record".
    let answer = timeout(Duration::from_secs(60), answer).await.unwrap().unwrap();
    for partition in &answer.topics[0].partitions {
        assert!(partition.error_code.is_retriable(), "{partition:?}");
    }
    drop((held, fixture));
}
