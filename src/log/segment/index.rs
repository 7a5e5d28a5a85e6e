//! The two indexes beside a segment, as Kafka writes them: fixed entries that rise, big-endian.
//!
//! ```text
//! .index      relative_offset i32 (last offset of a batch)   position i32 (of that batch)
//! .timeindex  timestamp i64 (largest so far)                 relative_offset i32 (of the batch that has it)
//! ```
//!
//! New entries wait in memory and reach the file in groups; the files only grow, and have no padding. They are never
//! synced by an append: after an unclean stop recovery writes them anew. Lookups read blocks of the file with `pread`;
//! nothing is mapped, so a disk that fails answers with an error, not with a signal.

use std::cmp::Ordering;
use std::io;
use std::marker::PhantomData;

use stratalog_protocol::records::BATCH_HEADER_BYTES;

use crate::platform::disk::DiskFile;

/// Entries that may wait in memory before they are written together.
const PENDING_ENTRIES_MAX: usize = 256;
const BLOCK_BYTES: u64 = 4096;
/// Of a file that is read from end to end.
const PIECE_BYTES: u64 = 64 << 10;

pub trait Entry: Copy {
    const BYTES: u64;
    fn decode(bytes: &[u8]) -> Option<Self>;
    fn encode(&self, out: &mut Vec<u8>);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetEntry {
    pub relative_offset: u32,
    pub position: u32,
}

impl Entry for OffsetEntry {
    const BYTES: u64 = 8;

    fn decode(bytes: &[u8]) -> Option<OffsetEntry> {
        let (offset, rest) = bytes.split_first_chunk()?;
        let (position, _) = rest.split_first_chunk()?;
        Some(OffsetEntry { relative_offset: u32::from_be_bytes(*offset), position: u32::from_be_bytes(*position) })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeEntry {
    pub timestamp: i64,
    pub relative_offset: u32,
}

impl Entry for TimeEntry {
    const BYTES: u64 = 12;

    fn decode(bytes: &[u8]) -> Option<TimeEntry> {
        let (timestamp, rest) = bytes.split_first_chunk()?;
        let (offset, _) = rest.split_first_chunk()?;
        Some(TimeEntry { timestamp: i64::from_be_bytes(*timestamp), relative_offset: u32::from_be_bytes(*offset) })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
    }
}

/// The entries of one index: those in its file, and those not yet written.
pub struct Index<E> {
    in_file: u64,
    pending: Vec<E>,
    last: Option<E>,
}

impl<E: Entry> Index<E> {
    pub fn empty() -> Index<E> {
        Index { in_file: 0, pending: Vec::new(), last: None }
    }

    /// Of a file whose first `in_file` entries are kept.
    pub fn kept(in_file: u64, last: Option<E>) -> Index<E> {
        Index { in_file, pending: Vec::new(), last }
    }

    pub fn entries(&self) -> u64 {
        self.in_file + self.pending.len() as u64
    }

    pub fn last(&self) -> Option<E> {
        self.last
    }

    pub fn push(&mut self, entry: E) {
        self.pending.push(entry);
        self.last = Some(entry);
    }

    pub fn wants_flush(&self) -> bool {
        self.pending.len() >= PENDING_ENTRIES_MAX
    }

    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Writes the waiting entries behind those in the file. None of their room is kept: a segment is in memory for as long
    /// as it is in the log, and most never get another entry.
    pub fn flush(&mut self, file: &DiskFile) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(self.pending.len() * E::BYTES as usize);
        for entry in &self.pending {
            entry.encode(&mut bytes);
        }
        file.write_at(&bytes, self.in_file * E::BYTES)?;
        self.in_file += self.pending.len() as u64;
        self.pending = Vec::new();
        Ok(())
    }

    /// The last waiting entry that does not lie after what is sought. `None`: ask the file, which has so many entries.
    pub fn floor_pending(&self, order: impl Fn(&E) -> Ordering) -> Option<E> {
        let above = self.pending.partition_point(|entry| order(entry) != Ordering::Greater);
        above.checked_sub(1).and_then(|at| self.pending.get(at)).copied()
    }

    pub fn in_file(&self) -> u64 {
        self.in_file
    }

    #[cfg(test)]
    pub fn memory_bytes(&self) -> usize {
        self.pending.capacity() * size_of::<E>()
    }
}

/// All entries of a file's bytes; `None` if they are no whole number of them.
pub fn decode_all<E: Entry>(bytes: &[u8]) -> Option<Vec<E>> {
    let entry_bytes = usize::try_from(E::BYTES).ok()?;
    let entries = bytes.chunks_exact(entry_bytes);
    if !entries.remainder().is_empty() {
        return None;
    }
    entries.map(E::decode).collect()
}

/// The entries that the index of a segment can have: each is of another batch.
pub fn entries_max(size_bytes: u64) -> u64 {
    size_bytes / BATCH_HEADER_BYTES as u64
}

/// How many entries a file has, and the last of them. `None`: they are no whole number, more than `entries_max`, or one
/// does not `follow` the one before it. A piece of the file is in memory at a time.
pub fn check_all<E: Entry>(
    file: &DiskFile,
    entries_max: u64,
    follows: impl Fn(&E, &E) -> bool,
) -> io::Result<Option<(u64, Option<E>)>> {
    let bytes = file.length()?;
    if !bytes.is_multiple_of(E::BYTES) || bytes / E::BYTES > entries_max {
        return Ok(None);
    }
    let piece_bytes = (PIECE_BYTES / E::BYTES * E::BYTES).min(bytes);
    let mut buffer = vec![0; usize::try_from(piece_bytes).unwrap_or(0)];
    let mut last: Option<E> = None;
    let mut agree = true;
    let reached = file.read_pieces(0..bytes, &mut buffer, |piece, _| {
        for entry in piece.chunks_exact(E::BYTES as usize).filter_map(E::decode) {
            agree &= last.is_none_or(|before| follows(&before, &entry));
            last = Some(entry);
        }
        Ok(())
    })?;
    Ok((agree && reached == bytes).then_some((bytes / E::BYTES, last)))
}

/// The last of the first `entries` of a file that does not lie after what is sought. `order` compares an entry with it.
pub fn floor_in_file<E: Entry>(file: &DiskFile, entries: u64, order: impl Fn(&E) -> Ordering) -> io::Result<Option<E>> {
    let mut reader = FileEntries::new(file);
    let (mut low, mut high) = (0, entries);
    let mut floor = None;
    while low < high {
        let middle = low + (high - low) / 2;
        let Some(entry) = reader.get(middle)? else {
            high = middle;
            continue;
        };
        if order(&entry) == Ordering::Greater {
            high = middle;
        } else {
            floor = Some(entry);
            low = middle + 1;
        }
    }
    Ok(floor)
}

/// Entries of a file, read a block at a time: the last steps of a search stay inside one block.
struct FileEntries<'f, E> {
    file: &'f DiskFile,
    block: Vec<u8>,
    block_start: u64,
    entry: PhantomData<E>,
}

impl<'f, E: Entry> FileEntries<'f, E> {
    fn new(file: &'f DiskFile) -> FileEntries<'f, E> {
        FileEntries { file, block: Vec::new(), block_start: 0, entry: PhantomData }
    }

    fn get(&mut self, at: u64) -> io::Result<Option<E>> {
        let position = at * E::BYTES;
        let block_end = self.block_start + self.block.len() as u64;
        if position < self.block_start || position + E::BYTES > block_end {
            let per_block = BLOCK_BYTES / E::BYTES;
            self.block_start = (at / per_block) * per_block * E::BYTES;
            self.block.resize(BLOCK_BYTES as usize, 0);
            let read = self.file.read_at(&mut self.block, self.block_start)?;
            self.block.truncate(read);
        }
        let from = usize::try_from(position - self.block_start).unwrap_or(usize::MAX);
        Ok(self.block.get(from..).and_then(E::decode))
    }
}
