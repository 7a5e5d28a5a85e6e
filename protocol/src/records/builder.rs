//! Building a batch: what our own producer, internal topics, markers and tests write.
//!
//! Owns the encoding of records and the header's arithmetic. Keeps the records uncompressed until [`BatchBuilder::build`],
//! so its memory is what the caller appends.

use bytes::Bytes;

use super::compression::{CompressionError, compress};
use super::record::{NewRecord, put_record};
use super::{Attributes, BATCH_HEADER_BYTES, BatchHeader, CodecId, LOG_OVERHEAD_BYTES, TimestampType};

/// Why no batch came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    #[error("a batch holds one record at least")]
    Empty,
    #[error("a record or the batch passes the 2 GiB that a length field can say")]
    TooLarge,
    #[error("offset {offset} does not follow the last one, or is too far from base offset {base_offset}")]
    OffsetOrder { offset: i64, base_offset: i64 },
    #[error("the records cannot be compressed")]
    Compression(#[from] CompressionError),
}

/// Collects records, then makes one batch of magic 2 of them.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    header: BatchHeader,
    codec: CodecId,
    level: Option<i32>,
    append_time: Option<i64>,
    body: Vec<u8>,
}

impl BatchBuilder {
    /// A batch with no codec, no producer, create time and no leader epoch. A producer's batch has base offset 0.
    pub fn new(base_offset: i64) -> BatchBuilder {
        let header = BatchHeader::empty(base_offset);
        BatchBuilder { header, codec: CodecId::NONE, level: None, append_time: None, body: Vec::new() }
    }

    pub fn codec(mut self, codec: CodecId) -> BatchBuilder {
        self.codec = codec;
        self
    }

    /// The codec's own level; Kafka's default when not called.
    pub fn level(mut self, level: i32) -> BatchBuilder {
        self.level = Some(level);
        self
    }

    /// Timestamp type LogAppendTime: every record reads as of `timestamp`.
    pub fn log_append_time(mut self, timestamp: i64) -> BatchBuilder {
        self.append_time = Some(timestamp);
        self
    }

    /// An idempotent producer's identity; `base_sequence` is that of the first record.
    pub fn producer(mut self, producer_id: i64, producer_epoch: i16, base_sequence: i32) -> BatchBuilder {
        self.header.producer_id = producer_id;
        self.header.producer_epoch = producer_epoch;
        self.header.base_sequence = base_sequence;
        self
    }

    pub fn transactional(mut self) -> BatchBuilder {
        self.header.attributes.0 |= Attributes::TRANSACTIONAL;
        self
    }

    /// A control batch: its records are markers, not data.
    pub fn control(mut self) -> BatchBuilder {
        self.header.attributes.0 |= Attributes::CONTROL_BATCH;
        self
    }

    pub fn leader_epoch(mut self, leader_epoch: i32) -> BatchBuilder {
        self.header.partition_leader_epoch = leader_epoch;
        self
    }

    /// Adds a record at the next offset.
    pub fn append(&mut self, record: &NewRecord) -> Result<(), BuildError> {
        let delta = self.header.last_offset_delta.checked_add(1).ok_or(BuildError::TooLarge)?;
        self.push(delta, record)
    }

    /// Adds a record at `offset`, which may leave a hole, as compaction does.
    pub fn append_at(&mut self, offset: i64, record: &NewRecord) -> Result<(), BuildError> {
        let base_offset = self.header.base_offset;
        let delta = offset.checked_sub(base_offset).and_then(|delta| i32::try_from(delta).ok());
        match delta {
            Some(delta) if delta > self.header.last_offset_delta => self.push(delta, record),
            _ => Err(BuildError::OffsetOrder { offset, base_offset }),
        }
    }

    fn push(&mut self, offset_delta: i32, record: &NewRecord) -> Result<(), BuildError> {
        let base_timestamp = if self.is_empty() { record.timestamp } else { self.header.base_timestamp };
        let timestamp_delta = record.timestamp.wrapping_sub(base_timestamp);
        put_record(&mut self.body, offset_delta, timestamp_delta, record).ok_or(BuildError::TooLarge)?;
        self.header.base_timestamp = base_timestamp;
        self.header.max_timestamp = self.header.max_timestamp.max(record.timestamp);
        self.header.last_offset_delta = offset_delta;
        self.header.record_count += 1;
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.header.record_count == 0
    }

    pub fn record_count(&self) -> i32 {
        self.header.record_count
    }

    /// Bytes of the batch if it were not compressed.
    pub fn uncompressed_bytes(&self) -> usize {
        BATCH_HEADER_BYTES + self.body.len()
    }

    /// The finished batch, with its CRC.
    pub fn build(self) -> Result<Bytes, BuildError> {
        if self.is_empty() {
            return Err(BuildError::Empty);
        }
        let mut batch = Vec::with_capacity(self.uncompressed_bytes());
        batch.resize(BATCH_HEADER_BYTES, 0);
        compress(self.codec, self.level, &self.body, &mut batch)?;

        let mut header = self.header;
        header.batch_length = i32::try_from(batch.len() - LOG_OVERHEAD_BYTES).map_err(|_| BuildError::TooLarge)?;
        header.attributes.0 |= i16::from(self.codec.0);
        if let Some(timestamp) = self.append_time {
            header.attributes = header.attributes.with_timestamp_type(TimestampType::LogAppendTime);
            header.max_timestamp = timestamp;
        }
        header.seal(&mut batch);
        Ok(Bytes::from(batch))
    }
}
