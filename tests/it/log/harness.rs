//! What the log tests share: batches, a log in a temporary directory, and its records as plain numbers.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use stratalog::clock::Clock;
use stratalog::log::{AppendError, Appended, Log, LogConfig, LogDir, LogDirOptions, Origin};
use stratalog_protocol::records::{BatchBuilder, BatchHeader, BatchIter, NewRecord};
use stratalog_types::{LeaderEpoch, Offset, TopicId, TopicPartition};

pub const NOW_MS: i64 = 1_700_000_000_000;

/// A log directory without threads: syncs happen when a test says so.
pub fn manual_options() -> LogDirOptions {
    LogDirOptions { sync_threads_max: 0, clock: Clock::manual(NOW_MS), ..LogDirOptions::default() }
}

pub fn topic_id() -> TopicId {
    TopicId::from_bytes([7; 16])
}

pub fn partition() -> TopicPartition {
    TopicPartition::new("events", 0)
}

pub fn open_log(dir: &Arc<LogDir>, config: &LogConfig) -> Arc<Log> {
    let opened = if dir.contains(&partition()) {
        Log::open(dir, partition(), topic_id(), config.clone())
    } else {
        Log::create(dir, partition(), topic_id(), config.clone())
    };
    opened.expect("log opens")
}

pub fn open_dir(path: &Path) -> Arc<LogDir> {
    LogDir::open(path, manual_options()).expect("directory opens")
}

/// A batch whose records have these values and consecutive timestamps from `timestamp` on.
pub fn batch(values: &[u64], timestamp: i64, padding_bytes: usize) -> Bytes {
    build(BatchBuilder::new(0), values, timestamp, padding_bytes)
}

pub fn idempotent(values: &[u64], producer: (i64, i16, i32)) -> Bytes {
    build(BatchBuilder::new(0).producer(producer.0, producer.1, producer.2), values, NOW_MS, 0)
}

pub fn transactional(values: &[u64], producer: (i64, i16, i32)) -> Bytes {
    build(BatchBuilder::new(0).producer(producer.0, producer.1, producer.2).transactional(), values, NOW_MS, 0)
}

fn build(mut builder: BatchBuilder, values: &[u64], timestamp: i64, padding_bytes: usize) -> Bytes {
    for (at, value) in values.iter().enumerate() {
        let mut bytes = value.to_be_bytes().to_vec();
        bytes.resize(8 + padding_bytes, b'.');
        let timestamp = timestamp + at as i64;
        builder.append(&NewRecord { timestamp, value: Some(&bytes), ..NewRecord::default() }).expect("record fits");
    }
    builder.build().expect("batch builds")
}

pub fn append(log: &Log, batch: &[u8]) -> Result<Appended, AppendError> {
    append_as(log, batch, 1)
}

pub fn append_as(log: &Log, batch: &[u8], epoch: i32) -> Result<Appended, AppendError> {
    let header = BatchHeader::decode(batch).expect("header decodes");
    log.append(batch, header, LeaderEpoch(epoch), Origin::Client)
}

/// All data records from `from` to the log end as (offset, value), read `max_bytes` at a time.
pub fn read_all(log: &Log, from: Offset, max_bytes: u32) -> Vec<(i64, u64)> {
    let end = log.log_end_offset();
    let mut records = Vec::new();
    let mut at = from;
    while at < end {
        let slice = log.read(at, max_bytes, end, true).expect("reads");
        let bytes = range_bytes(&slice.range);
        assert!(!bytes.is_empty(), "a read below the end at {at} is empty");
        let mut batches = BatchIter::new(&bytes);
        for batch in &mut batches {
            let batch = batch.expect("a batch");
            assert!(batch.crc_matches(), "crc at {}", batch.header.base_offset);
            if batch.header.attributes.is_control_batch() {
                continue;
            }
            for record in &batch.records(1 << 20).expect("records") {
                let record = record.expect("a record");
                if record.offset >= at.0 {
                    let value = record.value.and_then(|value| value.first_chunk()).expect("8 bytes");
                    records.push((record.offset, u64::from_be_bytes(*value)));
                }
            }
        }
        assert_eq!(batches.consumed_bytes(), bytes.len(), "a slice holds whole batches");
        assert!(slice.next_offset > at, "a read at {at} moves on");
        at = slice.next_offset;
    }
    records
}

pub fn range_bytes(range: &stratalog_protocol::part::FileRange) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; range.length as usize];
    range.file.read_exact_at(&mut bytes, range.position).expect("the range is in the file");
    bytes
}
