//! The 61 bytes that open a record batch.
//!
//! ```text
//!  0 base_offset i64
//!  8 batch_length i32   bytes after this field
//! 12 partition_leader_epoch i32
//! 16 magic i8 = 2
//! 17 crc u32            CRC-32C of bytes 21..end
//! 21 attributes i16
//! 23 last_offset_delta i32
//! 27 base_timestamp i64
//! 35 max_timestamp i64
//! 43 producer_id i64
//! 51 producer_epoch i16
//! 53 base_sequence i32
//! 57 record_count i32
//! 61 records
//! ```
//!
//! `base_offset` and `partition_leader_epoch` lie outside the CRC, so that the leader sets them without touching it.

/// Bytes of a batch header; the records follow.
pub const BATCH_HEADER_BYTES: usize = 61;
/// Bytes of `base_offset` and `batch_length`, which the length field does not count.
pub const LOG_OVERHEAD_BYTES: usize = 12;
const CRC_AT: usize = 17;
const CRC_COVERS_FROM: usize = 21;

/// The compression of a batch, attribute bits 0-2. Unknown values are kept for the validator to name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodecId(pub u8);

impl CodecId {
    pub const NONE: CodecId = CodecId(0);
    pub const GZIP: CodecId = CodecId(1);
    pub const SNAPPY: CodecId = CodecId(2);
    pub const LZ4: CodecId = CodecId(3);
    pub const ZSTD: CodecId = CodecId(4);
}

/// Who set the timestamps of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    CreateTime,
    LogAppendTime,
}

/// The attribute bits of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes(pub i16);

impl Attributes {
    pub const LOG_APPEND_TIME: i16 = 0x08;
    pub const TRANSACTIONAL: i16 = 0x10;
    pub const CONTROL_BATCH: i16 = 0x20;
    pub const DELETE_HORIZON: i16 = 0x40;

    pub fn codec(self) -> CodecId {
        CodecId((self.0 & 0x07) as u8)
    }

    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME == 0 { TimestampType::CreateTime } else { TimestampType::LogAppendTime }
    }

    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    pub fn is_control_batch(self) -> bool {
        self.0 & Self::CONTROL_BATCH != 0
    }

    /// KIP-534: the base timestamp is a delete horizon.
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    pub fn with_timestamp_type(self, timestamp_type: TimestampType) -> Attributes {
        match timestamp_type {
            TimestampType::CreateTime => Attributes(self.0 & !Self::LOG_APPEND_TIME),
            TimestampType::LogAppendTime => Attributes(self.0 | Self::LOG_APPEND_TIME),
        }
    }
}

/// A decoded batch header: sizes are plausible, nothing else is checked yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: i64,
    /// Bytes after the length field; at least 49.
    pub batch_length: i32,
    pub partition_leader_epoch: i32,
    pub magic: i8,
    pub crc: u32,
    pub attributes: Attributes,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub record_count: i32,
}

/// Why bytes are no batch header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("{have} bytes are fewer than a batch header's {BATCH_HEADER_BYTES}")]
    Truncated { have: usize },
    #[error("magic {0}: only magic 2 batches are stored; use a client of Kafka 0.11 or later")]
    UnsupportedMagic(i8),
    #[error("batch length {0} is below the header's own 49 bytes")]
    ImpossibleLength(i32),
}

impl BatchHeader {
    /// Of a batch without records, producer, epoch or times; `batch_length` and the CRC are to be filled in.
    pub fn empty(base_offset: i64) -> BatchHeader {
        BatchHeader {
            base_offset,
            batch_length: 0,
            partition_leader_epoch: -1,
            magic: 2,
            crc: 0,
            attributes: Attributes(0),
            last_offset_delta: -1,
            base_timestamp: -1,
            max_timestamp: -1,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: 0,
        }
    }

    /// Reads the header at the start of `bytes`. The magic is checked first: it lies at byte 16 in every format.
    pub fn decode(bytes: &[u8]) -> Result<BatchHeader, HeaderError> {
        if let Some(magic) = bytes.get(16).map(|b| *b as i8)
            && magic != 2
        {
            return Err(HeaderError::UnsupportedMagic(magic));
        }
        let Some(header) = bytes.first_chunk::<BATCH_HEADER_BYTES>() else {
            return Err(HeaderError::Truncated { have: bytes.len() });
        };
        let decoded = BatchHeader {
            base_offset: i64::from_be_bytes(field(header, 0)),
            batch_length: i32::from_be_bytes(field(header, 8)),
            partition_leader_epoch: i32::from_be_bytes(field(header, 12)),
            magic: i8::from_be_bytes(field(header, 16)),
            crc: u32::from_be_bytes(field(header, 17)),
            attributes: Attributes(i16::from_be_bytes(field(header, 21))),
            last_offset_delta: i32::from_be_bytes(field(header, 23)),
            base_timestamp: i64::from_be_bytes(field(header, 27)),
            max_timestamp: i64::from_be_bytes(field(header, 35)),
            producer_id: i64::from_be_bytes(field(header, 43)),
            producer_epoch: i16::from_be_bytes(field(header, 51)),
            base_sequence: i32::from_be_bytes(field(header, 53)),
            record_count: i32::from_be_bytes(field(header, 57)),
        };
        if decoded.batch_length < (BATCH_HEADER_BYTES - LOG_OVERHEAD_BYTES) as i32 {
            return Err(HeaderError::ImpossibleLength(decoded.batch_length));
        }
        Ok(decoded)
    }

    /// Writes the header over the first 61 bytes of `out`; the CRC is written as it stands.
    pub fn encode(&self, out: &mut [u8; BATCH_HEADER_BYTES]) {
        out[0..8].copy_from_slice(&self.base_offset.to_be_bytes());
        out[8..12].copy_from_slice(&self.batch_length.to_be_bytes());
        out[12..16].copy_from_slice(&self.partition_leader_epoch.to_be_bytes());
        out[16] = self.magic as u8;
        out[17..21].copy_from_slice(&self.crc.to_be_bytes());
        out[21..23].copy_from_slice(&self.attributes.0.to_be_bytes());
        out[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        out[27..35].copy_from_slice(&self.base_timestamp.to_be_bytes());
        out[35..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        out[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        out[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        out[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        out[57..61].copy_from_slice(&self.record_count.to_be_bytes());
    }

    /// Writes the header over the start of `batch` with the CRC of what is then there; returns that CRC.
    ///
    /// `batch` is the whole batch; shorter than a header it is a broken invariant of the caller.
    pub fn seal(&mut self, batch: &mut [u8]) -> u32 {
        let head = batch.first_chunk_mut::<BATCH_HEADER_BYTES>().expect("a batch is not shorter than its header");
        self.encode(head);
        self.crc = crc32c::crc32c(&batch[CRC_COVERS_FROM..]);
        batch[CRC_AT..CRC_AT + 4].copy_from_slice(&self.crc.to_be_bytes());
        self.crc
    }

    /// Bytes of the whole batch, header included.
    pub fn batch_bytes(&self) -> usize {
        LOG_OVERHEAD_BYTES + self.batch_length as usize
    }

    /// The offset of the last record, included.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// The offset after the last record.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    pub fn has_producer_id(&self) -> bool {
        self.producer_id >= 0
    }

    /// The sequence of the last record; wraps to 0 after `i32::MAX` (KIP-98).
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        let last = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        (last % (i64::from(i32::MAX) + 1)) as i32
    }

    /// Whether the CRC-32C of `batch` is the header's. `batch` is the whole batch.
    pub fn crc_matches(&self, batch: &[u8]) -> bool {
        self.crc_of(batch) == Some(self.crc)
    }

    /// The CRC-32C over what it covers; `None` when `batch` is not the whole batch.
    pub fn crc_of(&self, batch: &[u8]) -> Option<u32> {
        batch.get(CRC_COVERS_FROM..self.batch_bytes()).map(crc32c::crc32c)
    }
}

fn field<const N: usize>(header: &[u8; BATCH_HEADER_BYTES], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&header[at..at + N]);
    out
}
