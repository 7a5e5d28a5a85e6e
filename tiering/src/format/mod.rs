//! The bytes of a segment object, version 1.
//!
//! ```text
//! object   chunk* footer wrapped_key tail                 all integers big-endian
//!
//! chunk    a run of whole record batches, as one zstd frame or raw; described by its row of the chunk table
//!
//! footer   section*
//! section  kind u16, flags u16, length u32, body          flags bit 0: a reader that does not know the kind must stop
//!
//! kind 1   chunk table: count u32, then per chunk 56 bytes:
//!            base_offset i64      of its first batch
//!            last_offset i64      included
//!            min_timestamp i64    -1: none
//!            max_timestamp i64    -1: none
//!            position u64         from the object's start; chunks are in order and do not overlap
//!            stored_bytes u32
//!            raw_bytes u32
//!            crc u32              CRC-32C of the stored bytes
//!            codec u8             0 raw, 1 zstd
//!            reserved u8[3]       0
//! kind 2   aborted transactions: count u32, then producer_id i64, first_offset i64, last_offset i64,
//!            last_stable_offset i64 each
//! kind 3   leader epochs: count u32, then epoch i32, start_offset i64 each
//! kind 4   producer snapshot as of the segment's end: opaque
//! kind 5   topic: topic_id u8[16], partition i32, name string, count u32, then key string, value string each
//! kind 6   digest: algorithm u8 = 1 (SHA-256), segment u8[32], previous u8[32]
//! kind 7   reserved: key skip index
//! kind 8   reserved: encryption
//! string   length u16, UTF-8
//!
//! wrapped_key  the object's data key, wrapped; no bytes when key_id is 0
//!
//! tail     footer_position u64, footer_bytes u32, footer_crc u32 (CRC-32C), key_id u32 (0: not encrypted),
//!          wrapped_key_bytes u32, reserved u32, version u16, reserved u16, tail_crc u32 (CRC-32C of the 32 bytes
//!          before it), reserved u32, magic u8[8] = "STRATSEG"
//! ```
//!
//! `segment` digests the raw batches in order. `previous` is the chain of the object before: SHA-256 over its `previous`
//! and its `segment`; zeros when there is none. So one digest proves the history behind it.
//!
//! Owns encode and decode, no I/O. Decoding is bounded: counts are checked against the bytes left, lengths against the
//! object, and what a chunk unpacks to against its row. Version 1 is kept readable for ever (`tests/golden`).

mod chunk;
mod digest;
mod footer;
mod tail;
mod wire;

pub use chunk::{ChunkDecoder, ChunkEncoder, Codec, DEFAULT_LEVEL, EncodedChunk};
pub use digest::{Digest, SegmentDigest, Sha256};
pub use footer::{AbortedTransaction, ChunkRow, EpochStart, Footer, TopicSection};
pub use tail::{TAIL_BYTES, Tail};

/// The version written.
pub const VERSION: u16 = 1;

/// Raw bytes that a chunk aims at in a segment of ordinary size.
pub const CHUNK_RAW_BYTES: usize = 512 * 1024;
/// Raw bytes of the largest chunk that is written or read: one batch may need it all.
pub const CHUNK_RAW_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes of the largest footer that is read.
pub const FOOTER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Of a footer's section of producers, about 91,000 of them: above it a footer has none.
pub const PRODUCERS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Chunks that a segment aims at at most: their table stays under 48 KiB, which leaves room in a footer of 64 KiB.
const CHUNKS_PER_SEGMENT: u64 = 48 * 1024 / footer::CHUNK_ROW_BYTES as u64;

/// The raw bytes to put into a chunk of a segment of `segment_raw_bytes`.
pub fn chunk_target_bytes(segment_raw_bytes: u64) -> usize {
    let even = segment_raw_bytes.div_ceil(CHUNKS_PER_SEGMENT);
    usize::try_from(even).unwrap_or(CHUNK_RAW_BYTES_MAX).clamp(CHUNK_RAW_BYTES, CHUNK_RAW_BYTES_MAX)
}

/// Stored bytes are not what they should be; each says what and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error("the {what} is cut short")]
    Short { what: &'static str },
    #[error("not a segment object: the tail's magic is wrong")]
    Magic,
    #[error("written by a newer version ({version}): upgrade this reader")]
    Version { version: u16 },
    #[error("encrypted with key {key_id}, which this version cannot read")]
    Encrypted { key_id: u32 },
    #[error("needs section {kind}, which this version does not know: upgrade this reader")]
    UnknownSection { kind: u16 },
    #[error("the checksum of the {what} is wrong")]
    Checksum { what: &'static str },
    #[error("the {what} is invalid: {reason}")]
    Invalid { what: &'static str, reason: &'static str },
    #[error("a chunk of {bytes} bytes is above the limit of {CHUNK_RAW_BYTES_MAX}")]
    ChunkTooLarge { bytes: usize },
}

#[cfg(test)]
mod tests;
