//! Figures for the two hot messages: reading Produce and Fetch requests, and writing Fetch responses.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stratalog_protocol::messages::{FetchRequest, FetchResponse, ProduceRequest, Request};
use stratalog_protocol::messages::{fetch, produce};
use stratalog_protocol::{Decoder, FileRange, Message, Part, Records, RequestHeader, encode_request, encode_response};
use uuid::Uuid;

const PARTITIONS: [i32; 3] = [1, 10, 1000];
const BATCH_BYTES: usize = 16 << 10;

/// A frame without its length.
fn frame<R: Request>(request: &R, version: i16) -> Bytes {
    let parts = encode_request(request, version, 7, Some("bench")).expect("encodes");
    let memory = |part| match part {
        Part::Bytes(bytes) => bytes,
        Part::File(_) => unreachable!("no records in files"),
    };
    parts.into_iter().flat_map(memory).skip(4).collect()
}

fn produce_frame(partitions: i32, version: i16) -> Bytes {
    let records = Bytes::from(vec![0; BATCH_BYTES]);
    let partition = |index| produce::PartitionProduceData { index, records: Records::Bytes(records.clone()) };
    let topic = produce::TopicProduceData {
        name: "telemetry.readings".into(),
        topic_id: Uuid::from_u128(7),
        partition_data: (0..partitions).map(partition).collect(),
    };
    let request = ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic], ..Default::default() };
    frame(&request, version)
}

fn fetch_frame(partitions: i32, version: i16) -> Bytes {
    let partition = |partition| fetch::FetchPartition {
        partition,
        fetch_offset: 1 << 40,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    let topic = fetch::FetchTopic {
        topic: "telemetry.readings".into(),
        topic_id: Uuid::from_u128(7),
        partitions: (0..partitions).map(partition).collect(),
    };
    frame(&FetchRequest { max_wait_ms: 500, topics: vec![topic], ..Default::default() }, version)
}

fn fetch_response(partitions: i32, records: &Records) -> FetchResponse {
    let partition = |partition_index| fetch::PartitionData {
        partition_index,
        high_watermark: 1 << 40,
        aborted_transactions: None,
        records: records.clone(),
        ..Default::default()
    };
    let topic = fetch::FetchableTopicResponse {
        topic: "telemetry.readings".into(),
        topic_id: Uuid::from_u128(7),
        partitions: (0..partitions).map(partition).collect(),
    };
    FetchResponse { responses: vec![topic], ..Default::default() }
}

fn decode_frame<R: Request>(frame: &Bytes) -> R {
    let mut decoder = Decoder::new(frame.clone());
    let header = RequestHeader::decode(&mut decoder).expect("a header");
    R::decode(&mut decoder, header.api_version).expect("a request")
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    for partitions in PARTITIONS {
        group.throughput(Throughput::Elements(partitions as u64));
        let latest = (ProduceRequest::MAX_VERSION, FetchRequest::MAX_VERSION);
        for (produce_version, fetch_version) in [(7, 11), latest] {
            let produce = produce_frame(partitions, produce_version);
            let id = BenchmarkId::new(format!("ProduceRequest v{produce_version}"), partitions);
            group.bench_function(id, |b| b.iter(|| black_box(decode_frame::<ProduceRequest>(black_box(&produce)))));
            let fetch = fetch_frame(partitions, fetch_version);
            let id = BenchmarkId::new(format!("FetchRequest v{fetch_version}"), partitions);
            group.bench_function(id, |b| b.iter(|| black_box(decode_frame::<FetchRequest>(black_box(&fetch)))));
        }
    }
    group.finish();
}

fn encode_responses(c: &mut Criterion) {
    let file = Arc::new(std::fs::File::open(file!()).or_else(|_| std::fs::File::open("Cargo.toml")).expect("a file"));
    let range = FileRange { file, position: 0, length: BATCH_BYTES as u32 };
    let kinds = [
        ("empty", Records::Bytes(Bytes::new())),
        ("bytes", Records::Bytes(Bytes::from(vec![0; BATCH_BYTES]))),
        ("file", Records::Parts(vec![Part::File(range)])),
    ];
    let mut group = c.benchmark_group("encode_response");
    for partitions in PARTITIONS {
        group.throughput(Throughput::Elements(partitions as u64));
        for (kind, records) in &kinds {
            let response = fetch_response(partitions, records);
            let id = BenchmarkId::new(format!("FetchResponse {kind}"), partitions);
            let version = FetchResponse::MAX_VERSION;
            group
                .bench_function(id, |b| b.iter(|| encode_response(black_box(&response), version, 7).expect("encodes")));
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30);
    targets = decode, encode_responses
}
criterion_main!(benches);
