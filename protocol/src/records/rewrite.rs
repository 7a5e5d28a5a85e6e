//! Writing a batch anew from records that exist already: in another codec, or with fewer of them.
//!
//! Owns what stays and what is set: place, leader epoch, producer, sequence, kind and last offset are the source's, also
//! where its first or last records go. Records keep offset, timestamp, key, value and headers; their deltas are made
//! anew, as Kafka's builder does, so the bytes of a record may differ from the source's while all that it says is the
//! same. A batch that keeps no record is a header alone: what remembers a producer's last sequence.

use super::compression::compress;
use super::record::{RecordRef, put_record_ref};
use super::{Attributes, BATCH_HEADER_BYTES, BatchHeader, BuildError, CodecId, LOG_OVERHEAD_BYTES, TimestampType};

const CODEC_BITS: i16 = 0x07;
const NO_TIMESTAMP: i64 = -1;

/// A codec, and its own level; `None` is Kafka's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    pub codec: CodecId,
    pub level: Option<i32>,
}

impl Compression {
    /// The codec at its default level.
    pub fn of(codec: CodecId) -> Compression {
        Compression { codec, level: None }
    }
}

/// Takes records of one batch, in offset order, and makes one batch of them.
#[derive(Debug, Clone)]
pub struct BatchRewriter {
    source: BatchHeader,
    delete_horizon_ms: Option<i64>,
    base_timestamp: Option<i64>,
    max_timestamp: i64,
    last_offset: Option<i64>,
    record_count: i32,
    body: Vec<u8>,
}

impl BatchRewriter {
    /// A batch in the place of the one that `source` opens.
    pub fn of(source: &BatchHeader) -> BatchRewriter {
        BatchRewriter {
            source: *source,
            delete_horizon_ms: None,
            base_timestamp: None,
            max_timestamp: NO_TIMESTAMP,
            last_offset: None,
            record_count: 0,
            body: Vec::new(),
        }
    }

    /// Keeps `horizon_ms` in the batch (KIP-534): when its tombstones and markers may go.
    pub fn delete_horizon(mut self, horizon_ms: i64) -> BatchRewriter {
        self.delete_horizon_ms = Some(horizon_ms);
        self.base_timestamp = Some(horizon_ms);
        self
    }

    /// Makes room for so many bytes of records.
    pub fn reserve(mut self, body_bytes: usize) -> BatchRewriter {
        self.body.reserve(body_bytes);
        self
    }

    /// Adds a record of the source: its offset is within the source's and above the last one's.
    pub fn push(&mut self, record: &RecordRef<'_>) -> Result<(), BuildError> {
        let base_offset = self.source.base_offset;
        let out_of_order = BuildError::OffsetOrder { offset: record.offset, base_offset };
        let is_next = self.last_offset.is_none_or(|last| record.offset > last);
        if !is_next || record.offset < base_offset || record.offset > self.source.last_offset() {
            return Err(out_of_order);
        }
        let offset_delta = i32::try_from(record.offset - base_offset).map_err(|_| out_of_order)?;
        let base_timestamp = *self.base_timestamp.get_or_insert(record.timestamp);
        let timestamp_delta = record.timestamp.wrapping_sub(base_timestamp);
        let record_count = self.record_count.checked_add(1).ok_or(BuildError::TooLarge)?;
        put_record_ref(&mut self.body, offset_delta, timestamp_delta, record).ok_or(BuildError::TooLarge)?;
        self.record_count = record_count;
        self.last_offset = Some(record.offset);
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        Ok(())
    }

    pub fn record_count(&self) -> i32 {
        self.record_count
    }

    /// Bytes of the records, uncompressed.
    pub fn body_bytes(&self) -> usize {
        self.body.len()
    }

    /// The finished batch, with its CRC. One without records has no codec, no delete horizon, and the source's max
    /// timestamp.
    pub fn build(self, compression: Compression) -> Result<Vec<u8>, BuildError> {
        let is_empty = self.record_count == 0;
        let Compression { codec, level } = if is_empty { Compression::of(CodecId::NONE) } else { compression };
        let room = if codec == CodecId::NONE { self.body.len() } else { self.body.len() / 2 };
        let mut batch = Vec::with_capacity(BATCH_HEADER_BYTES + room);
        batch.resize(BATCH_HEADER_BYTES, 0);
        compress(codec, level, &self.body, &mut batch)?;

        let mut header = self.source;
        header.batch_length = i32::try_from(batch.len() - LOG_OVERHEAD_BYTES).map_err(|_| BuildError::TooLarge)?;
        header.record_count = self.record_count;
        header.attributes.0 &= !(CODEC_BITS | Attributes::DELETE_HORIZON);
        header.attributes.0 |= i16::from(codec.0);
        if is_empty {
            header.base_timestamp = NO_TIMESTAMP;
        } else {
            header.base_timestamp = self.base_timestamp.unwrap_or(NO_TIMESTAMP);
            if self.delete_horizon_ms.is_some() {
                header.attributes.0 |= Attributes::DELETE_HORIZON;
            }
            // Where the broker's clock rules, every record reads as of the source's max timestamp already.
            if header.attributes.timestamp_type() == TimestampType::CreateTime {
                header.max_timestamp = self.max_timestamp;
            }
        }
        header.seal(&mut batch);
        Ok(batch)
    }
}
