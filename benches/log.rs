//! `append`, `read`, `index_lookup`, `offset_for_timestamp` of the local log, and how fast acknowledgements come.
//!
//! `cargo bench --bench log`. Appends here do not wait for a sync (`flush.messages` is large) unless the name says so.

use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stratalog::log::{Log, LogConfig, LogDir, LogDirOptions, Origin};
use stratalog_protocol::records::{BatchBuilder, BatchHeader, NewRecord};
use stratalog_types::{LeaderEpoch, Offset, TopicId, TopicPartition};

fn batch(bytes: usize) -> (Vec<u8>, BatchHeader) {
    let value = vec![b'x'; 1000];
    let mut builder = BatchBuilder::new(0);
    while builder.is_empty() || builder.uncompressed_bytes() + value.len() < bytes {
        let record = NewRecord { timestamp: 1_700_000_000_000, value: Some(&value), ..NewRecord::default() };
        builder.append(&record).expect("record fits");
    }
    let batch = builder.build().expect("batch builds").to_vec();
    let header = BatchHeader::decode(&batch).expect("header decodes");
    (batch, header)
}

struct Bench {
    _directory: tempfile::TempDir,
    dir: Arc<LogDir>,
    log: Arc<Log>,
}

fn open(flush_messages: i64) -> Bench {
    let directory = tempfile::tempdir().expect("temporary directory");
    let dir = LogDir::open(directory.path(), LogDirOptions::default()).expect("directory opens");
    let config = LogConfig { segment_bytes: 64 << 20, flush_messages, ..LogConfig::default() };
    let log = Log::create(&dir, TopicPartition::new("bench", 0), TopicId::random(), config).expect("log opens");
    Bench { _directory: directory, dir, log }
}

fn append_one(log: &Log, batch: &[u8], header: BatchHeader) -> Offset {
    log.append(batch, header, LeaderEpoch(0), Origin::Client).expect("appends").last_offset.next()
}

/// Keeps the disk from filling: local history goes once there is a gibibyte of it.
fn bound(log: &Log) {
    if log.log_end_offset().0 % 64 == 0 && log.size_bytes() > 1 << 30 {
        log.delete_local_below(log.flushed().get()).expect("evicts");
    }
}

fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    for bytes in [1 << 10, 16 << 10, 64 << 10, 1 << 20] {
        let bench = open(i64::MAX);
        let (batch, header) = batch(bytes);
        group.throughput(Throughput::Bytes(batch.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(batch.len()), |b| {
            b.iter_batched(|| bound(&bench.log), |()| append_one(&bench.log, &batch, header), BatchSize::PerIteration);
        });
        drop(bench);
    }
    group.finish();
}

fn append_synced(c: &mut Criterion) {
    let bench = open(1);
    let (batch, header) = batch(16 << 10);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    c.bench_function("append_synced/16k_one_in_flight", |b| {
        b.iter(|| {
            let end = append_one(&bench.log, &batch, header);
            runtime.block_on(bench.log.flushed().wait_for(end)).expect("flushed");
        });
    });
    assert!(bench.dir.offline().is_none());
}

fn filled(batch_bytes: usize, total_bytes: u64) -> Bench {
    let bench = open(i64::MAX);
    let (batch, header) = batch(batch_bytes);
    while bench.log.size_bytes() < total_bytes {
        append_one(&bench.log, &batch, header);
    }
    bench
}

fn read(c: &mut Criterion) {
    let bench = filled(16 << 10, 256 << 20);
    let end = bench.log.log_end_offset();
    let mut group = c.benchmark_group("read");
    group.bench_function("sequential_1m", |b| {
        let mut at = Offset(0);
        b.iter(|| {
            let slice = bench.log.read(at, 1 << 20, end, true).expect("reads");
            at = if slice.next_offset >= end { Offset(0) } else { slice.next_offset };
            slice.range.length
        });
    });
    group.bench_function("tail", |b| {
        let last = Offset(end.0 - 16);
        b.iter(|| bench.log.read(last, 1 << 20, end, true).expect("reads").range.length);
    });
    group.finish();
}

fn index_lookup(c: &mut Criterion) {
    let bench = filled(1 << 10, 128 << 20);
    let end = bench.log.log_end_offset();
    let mut at = 0i64;
    c.bench_function("index_lookup/random_offset", |b| {
        b.iter(|| {
            at = (at + 7_919_777) % end.0;
            bench.log.read(Offset(at), 1, end, true).expect("reads").base_offset
        });
    });
    c.bench_function("offset_for_timestamp", |b| {
        b.iter(|| bench.log.offset_for_timestamp(1_700_000_000_000).expect("finds"));
    });
}

criterion_group!(benches, append, append_synced, read, index_lookup);
criterion_main!(benches);
