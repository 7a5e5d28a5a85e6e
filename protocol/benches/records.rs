//! Figures for record batches: `validate_produce` on the append path, the walk over records, and the codecs.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stratalog_protocol::records::TimestampType;
use stratalog_protocol::records::compression::{codec_name, compress, decompress};
use stratalog_protocol::records::{
    Batch, BatchBuilder, CodecId, NewRecord, ValidationRules, set_max_timestamp, validate_produce,
};

const NOW: i64 = 1_760_000_000_000;
const CODECS: [CodecId; 4] = [CodecId::GZIP, CodecId::SNAPPY, CodecId::LZ4, CodecId::ZSTD];

/// Records of `value_bytes` that look like log lines, until the batch has `batch_bytes`.
fn batch(codec: CodecId, batch_bytes: usize, value_bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(0).codec(codec);
    let mut value = Vec::new();
    let mut state = 1u32;
    while builder.uncompressed_bytes() + value_bytes < batch_bytes {
        value.clear();
        while value.len() < value_bytes {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            value.extend_from_slice(
                format!("{{\"user\":{},\"path\":\"/v1/item\",\"ms\":{}}} ", state >> 8, state >> 24).as_bytes(),
            );
        }
        value.truncate(value_bytes);
        let record = NewRecord { timestamp: NOW, key: Some(b"key-0001"), value: Some(&value), headers: &[] };
        builder.append(&record).expect("appends");
    }
    builder.build().expect("builds").to_vec()
}

fn validate(c: &mut Criterion) {
    let mut group = c.benchmark_group("validate_produce");
    let rules = ValidationRules { batch_bytes_max: 2 << 20, ..ValidationRules::kafka_defaults(NOW) };
    let full = ValidationRules { full: true, ..rules };
    for (name, bytes) in [("16KiB", 16 << 10), ("1MiB", 1 << 20)] {
        for value_bytes in [100, 1000] {
            let batch = batch(CodecId::NONE, bytes, value_bytes);
            group.throughput(Throughput::Bytes(batch.len() as u64));
            let id = BenchmarkId::new(format!("uncompressed, {value_bytes} byte records"), name);
            group.bench_function(id, |b| b.iter(|| validate_produce(black_box(&batch), &rules)));
        }
        let batch = batch(CodecId::LZ4, bytes, 1000);
        group.throughput(Throughput::Bytes(batch.len() as u64));
        let id = BenchmarkId::new("lz4, header and crc", name);
        group.bench_function(id, |b| b.iter(|| validate_produce(black_box(&batch), &rules)));
        let id = BenchmarkId::new("lz4, full", name);
        group.bench_function(id, |b| b.iter(|| validate_produce(black_box(&batch), &full)));
    }
    group.finish();
}

fn walk(c: &mut Criterion) {
    let mut group = c.benchmark_group("Records");
    for value_bytes in [100, 1000] {
        let bytes = batch(CodecId::NONE, 1 << 20, value_bytes);
        let batch = Batch::at_start(&bytes).expect("a batch");
        group.throughput(Throughput::Elements(batch.header.record_count as u64));
        group.bench_function(BenchmarkId::new("walk", value_bytes), |b| {
            b.iter(|| {
                let records = black_box(&batch).records(usize::MAX).expect("records");
                records.iter().flatten().map(|record| record.value.map_or(0, <[u8]>::len)).sum::<usize>()
            });
        });
    }
    group.finish();
}

fn stamp(c: &mut Criterion) {
    let mut group = c.benchmark_group("set_max_timestamp");
    let mut bytes = batch(CodecId::NONE, 1 << 20, 1000);
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("1MiB", |b| {
        b.iter(|| set_max_timestamp(black_box(&mut bytes), TimestampType::LogAppendTime, NOW));
    });
    group.finish();
}

fn codecs(c: &mut Criterion) {
    let plain = batch(CodecId::NONE, 1 << 20, 1000);
    let mut group = c.benchmark_group("compress");
    group.throughput(Throughput::Bytes(plain.len() as u64));
    group.sample_size(20);
    for codec in CODECS {
        group.bench_function(codec_name(codec), |b| {
            b.iter(|| {
                let mut out = Vec::with_capacity(plain.len());
                compress(codec, None, black_box(&plain), &mut out).expect("compresses");
                out
            });
        });
    }
    group.finish();
    let mut group = c.benchmark_group("decompress");
    group.throughput(Throughput::Bytes(plain.len() as u64));
    group.sample_size(20);
    for codec in CODECS {
        let mut compressed = Vec::new();
        compress(codec, None, &plain, &mut compressed).expect("compresses");
        group.bench_function(codec_name(codec), |b| b.iter(|| decompress(codec, black_box(&compressed), 2 << 20)));
    }
    group.finish();
}

criterion_group!(benches, validate, walk, stamp, codecs);
criterion_main!(benches);
