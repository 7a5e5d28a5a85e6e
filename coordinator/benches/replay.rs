//! Records of committed offsets, decoded and replayed: what a restart costs for each of them.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use stratalog_coordinator::group::GroupMachine;
use stratalog_coordinator::records::{OffsetCommitValue, Record};
use uuid::Uuid;

const OFFSETS: usize = 100_000;

fn records() -> Vec<(Bytes, Option<Bytes>)> {
    let record = |number: usize| {
        let value = OffsetCommitValue {
            offset: 1_000_000 + number as i64,
            metadata: String::new(),
            commit_timestamp: 1_700_000_000_000,
            ..OffsetCommitValue::default()
        };
        let record = Record::OffsetCommit {
            group: format!("consumers-of-team-{}", number / 1_000),
            topic: format!("events-of-service-{}", number / 100 % 10),
            partition: (number % 100) as i32,
            value: Some(value),
        };
        record.encode().expect("encodes")
    };
    (0..OFFSETS).map(record).collect()
}

fn replay(criterion: &mut Criterion) {
    let records = records();
    let mut group = criterion.benchmark_group("replay");
    group.sample_size(20).throughput(Throughput::Elements(OFFSETS as u64));
    group.bench_function("offset_commit", |bencher| {
        bencher.iter_batched(
            || GroupMachine::new(Box::new(Uuid::new_v4)),
            |mut machine| {
                for (offset, (key, value)) in (0..).zip(&records) {
                    let record = Record::decode(key.clone(), value.clone()).expect("decodes");
                    machine.replay(offset, None, record);
                }
                black_box(machine)
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, replay);
criterion_main!(benches);
