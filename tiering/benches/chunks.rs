//! The hot loops of the object format, by the names of their functions.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stratalog_tiering::format::{
    ChunkDecoder, ChunkEncoder, ChunkRow, Codec, EpochStart, Footer, SegmentDigest, TopicSection,
};
use stratalog_tiering::object_key::TierPartition;
use stratalog_types::{LeaderEpoch, Offset, PartitionIndex, TopicId};

#[path = "events.rs"]
mod events;

/// Bytes that do not pack.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..length).map(|_| (events::next(&mut state) >> 24) as u8).collect()
}

fn row(base: i64, position: u64, stored: usize, raw: usize, crc: u32, codec: Codec) -> ChunkRow {
    ChunkRow {
        base_offset: Offset(base),
        last_offset: Offset(base + 9),
        min_timestamp: 1,
        max_timestamp: 2,
        position,
        stored_bytes: stored as u32,
        raw_bytes: raw as u32,
        crc,
        codec,
    }
}

fn chunks(c: &mut Criterion) {
    for (name, raw) in [("events", events::events(512 * 1024, 1)), ("noise", noise(512 * 1024, 2))] {
        let raw = Bytes::from(raw);
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Bytes(raw.len() as u64));
        for level in [1, 3] {
            let mut encoder = ChunkEncoder::new(level).expect("zstd");
            group.bench_function(format!("chunk_encode_level_{level}"), |b| {
                b.iter(|| encoder.encode(black_box(raw.clone())));
            });
        }
        let packed = ChunkEncoder::new(1).expect("zstd").encode(raw.clone()).expect("encodes");
        println!("{name}: ratio {:.2}", raw.len() as f64 / packed.stored.len() as f64);
        let row = row(0, 0, packed.stored.len(), raw.len(), packed.crc, packed.codec);
        let mut decoder = ChunkDecoder::new().expect("zstd");
        let mut buffer = Vec::with_capacity(raw.len());
        group.bench_function("chunk_decode_into", |b| {
            b.iter(|| decoder.decode_into(&row, black_box(&packed.stored), &mut buffer));
        });
        group.finish();
    }
}

fn footers(c: &mut Criterion) {
    let rows = (0..800).map(|n| row(n * 10, n as u64 * 1000, 1000, 5000, 7, Codec::ZSTD)).collect();
    let footer = Footer {
        chunks: rows,
        aborted: Vec::new(),
        epochs: vec![EpochStart { epoch: LeaderEpoch(1), start_offset: Offset(0) }],
        producer_snapshot: Bytes::from(vec![0; 4096]),
        topic: TopicSection {
            of: TierPartition { topic_id: TopicId::ZERO, partition: PartitionIndex(0) },
            name: "orders".into(),
            config: Vec::new(),
        },
        digest: SegmentDigest::default(),
    };
    let bytes = footer.encode().expect("encodes");
    let crc = crc32c::crc32c(&bytes);
    c.bench_function("footer_decode_800_chunks", |b| b.iter(|| Footer::decode(black_box(&bytes), crc, 1 << 30)));
    c.bench_function("footer_chunk_at", |b| b.iter(|| footer.chunk_at(black_box(Offset(4321)))));
}

criterion_group!(benches, chunks, footers);
criterion_main!(benches);
