//! What the manifest says of one stored segment.

use stratalog_types::{LeaderEpoch, Offset};
use uuid::Uuid;

/// One tiered segment: the interval it holds, where its object is, and what a reader needs to open it with one GET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub base_offset: Offset,
    /// One past the last offset held. Intervals of a manifest are contiguous.
    pub end_offset: Offset,
    /// The leader epoch under which it was uploaded; part of the object's name.
    pub leader_epoch: LeaderEpoch,
    /// Never used for a second upload.
    pub uuid: Uuid,
    /// Bytes of the whole object as stored.
    pub object_bytes: u64,
    /// Bytes of the record batches before compression.
    pub raw_bytes: u64,
    /// Bytes from the object's start to its footer.
    pub footer_position: u64,
    /// Bytes of the footer, without the fixed tail.
    pub footer_bytes: u32,
    /// CRC-32C of the footer.
    pub footer_crc: u32,
    /// Milliseconds since the epoch, over all batches' base and max timestamps; -1 when there is none.
    pub min_timestamp: i64,
    pub max_timestamp: i64,
    /// Milliseconds since the epoch, for people: nothing compares it.
    pub committed_at: i64,
    /// Raised when the interval is rewritten.
    pub generation: u32,
}
