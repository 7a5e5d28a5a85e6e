//! `.txnindex`: the aborted transactions whose markers lie in a segment, as Kafka writes them. Big-endian.
//!
//! ```text
//! version i16 = 0   producer_id i64   first_offset i64   last_offset i64   last_stable_offset i64
//! ```
//!
//! Entries are in the order of their markers. The file exists only where a transaction was aborted; compaction leaves
//! empty ones. An entry is written when its marker is, and synced with the segment it belongs to. After an unclean stop
//! recovery writes it anew; after a clean one, a file that cannot be right. A start does not see
//! an entry that names another producer, which `log verify` does, and none that is missing behind whole ones.

use std::io;
use std::path::Path;

use super::unreadable;
use crate::platform::disk::{Disk, DiskFile};

pub const ENTRY_BYTES: usize = 34;

/// A transaction whose records a read_committed consumer must skip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    pub producer_id: i64,
    pub first_offset: i64,
    /// The offset of the marker.
    pub last_offset: i64,
    /// What the last stable offset became with the marker.
    pub last_stable_offset: i64,
}

impl AbortedTransaction {
    pub fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut out = [0; ENTRY_BYTES];
        let fields = [self.producer_id, self.first_offset, self.last_offset, self.last_stable_offset];
        for (slot, field) in out[2..].chunks_exact_mut(8).zip(fields) {
            slot.copy_from_slice(&field.to_be_bytes());
        }
        out
    }

    /// `None`: a version that is not known.
    pub fn decode(bytes: &[u8; ENTRY_BYTES]) -> Option<AbortedTransaction> {
        let (version, fields) = bytes.split_first_chunk::<2>()?;
        if *version != [0, 0] {
            return None;
        }
        let mut fields = fields.chunks_exact(8).filter_map(|field| field.try_into().ok()).map(i64::from_be_bytes);
        Some(AbortedTransaction {
            producer_id: fields.next()?,
            first_offset: fields.next()?,
            last_offset: fields.next()?,
            last_stable_offset: fields.next()?,
        })
    }
}

/// Adds an entry behind the whole ones of the file, which is created if need be. Answers whether it was.
pub fn append(disk: &Disk, path: &Path, entry: &AbortedTransaction) -> io::Result<(DiskFile, bool)> {
    let created = !path.try_exists()?;
    let file = disk.open_or_create(path)?;
    let entries = file.length()? / ENTRY_BYTES as u64;
    file.write_at(&entry.encode(), entries * ENTRY_BYTES as u64)?;
    Ok((file, created))
}

/// Whether the bytes of a file can be the entries of a segment: whole ones, whose markers rise and lie in it.
pub fn are_of_segment(bytes: &[u8], offsets: std::ops::Range<i64>) -> bool {
    let entries = bytes.chunks_exact(ENTRY_BYTES);
    let mut free = offsets;
    entries.remainder().is_empty()
        && entries.filter_map(|entry| entry.try_into().ok()).map(AbortedTransaction::decode).all(|entry| {
            let Some(entry) = entry else { return false };
            let first_offsets = 0..=entry.last_offset;
            let is_next = free.contains(&entry.last_offset) && first_offsets.contains(&entry.first_offset);
            free.start = entry.last_offset.saturating_add(1);
            is_next
        })
}

/// All entries of a file. Bytes that are no entry are an error; the beginning of one at the end is of an append that
/// failed.
pub fn read_whole(path: &Path) -> io::Result<Vec<AbortedTransaction>> {
    let bytes = std::fs::read(path)?;
    let entries = bytes.chunks_exact(ENTRY_BYTES).filter_map(|entry| entry.try_into().ok());
    let entries: Option<Vec<AbortedTransaction>> = entries.map(AbortedTransaction::decode).collect();
    entries.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an entry has no version that is known"))
}

/// All entries of a file. Stops at bytes that are no entry.
pub fn read(path: &Path) -> io::Result<Vec<AbortedTransaction>> {
    let bytes = std::fs::read(path)?;
    let entries = bytes.chunks_exact(ENTRY_BYTES).filter_map(|entry| entry.try_into().ok());
    Ok(entries.map_while(AbortedTransaction::decode).collect())
}

/// Writes a file anew; without entries there is none.
pub fn rewrite(disk: &Disk, path: &Path, entries: &[AbortedTransaction]) -> io::Result<()> {
    if entries.is_empty() {
        return disk.unlink_if_exists(path);
    }
    let bytes: Vec<u8> = entries.iter().flat_map(AbortedTransaction::encode).collect();
    let file = unreadable::create(disk, path)?;
    file.write_at(&bytes, 0)?;
    file.sync()
}
