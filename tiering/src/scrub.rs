//! Reads one object's real bytes and says whether they are right.
//!
//! `read_back` compares a new object with what was sent. `verify` needs only the manifest entry: checksums of tail,
//! footer and every chunk, and, when asked, that each chunk unpacks to whole batches inside its offsets and that all of
//! them together have the digest of the footer. Owns no repair.

use bytes::{Bytes, BytesMut};
use stratalog_types::Offset;

use crate::batches;
use crate::codec_pool::{CodecPool, WorkerFailed};
use crate::entry::Entry;
use crate::format::{ChunkDecoder, ChunkRow, Digest, Footer, FormatError, TAIL_BYTES, Tail};
use crate::object_key::TierPartition;
use crate::store::{Purpose, Store, StoreError};

/// Bytes of one ranged GET of a scrub.
const SCRUB_READ_BYTES: u64 = 4 * 1024 * 1024;

#[derive(Debug, Clone, thiserror::Error)]
pub enum ScrubError {
    /// The store did not answer: nothing is known.
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{key}: chunk {chunk} at byte {position} (offsets {base_offset} to {last_offset}) is damaged")]
    Chunk {
        key: String,
        chunk: usize,
        position: u64,
        base_offset: Offset,
        last_offset: Offset,
        #[source]
        source: FormatError,
    },
    #[error("{key}: its end is damaged")]
    End {
        key: String,
        #[source]
        source: FormatError,
    },
    #[error(transparent)]
    Worker(#[from] WorkerFailed),
}

/// What an object was made of, to compare it with what is stored.
#[derive(Debug, Clone)]
pub struct ObjectImage {
    pub chunks: Vec<ChunkRow>,
    pub footer: Bytes,
    pub tail: Bytes,
}

/// What a verify has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    pub chunks: usize,
    pub bytes: u64,
}

/// How far a verify goes.
#[derive(Clone)]
pub enum Depth {
    /// Checksums of the stored bytes.
    Stored,
    /// Unpacked on these threads as well: batch borders, offsets, digest.
    Unpacked(CodecPool),
}

/// Compares a stored object with the one that was sent, byte for byte by checksum.
pub async fn read_back(store: &dyn Store, key: &str, image: &ObjectImage) -> Result<(), ScrubError> {
    let mut stream = RangedRead::new(store, key, Purpose::Verify);
    for (index, row) in image.chunks.iter().enumerate() {
        let stored = stream.take(row.position, u64::from(row.stored_bytes)).await?;
        ChunkDecoder::check(row, &stored).map_err(|source| damaged(key, index, row, source))?;
    }
    let end = image.chunks.last().map_or(0, ChunkRow::end_position);
    let footer = stream.take(end, image.footer.len() as u64).await?;
    let tail = stream.take(end + image.footer.len() as u64, image.tail.len() as u64).await?;
    let what = match (footer == image.footer, tail == image.tail) {
        (true, true) => return Ok(()),
        (false, _) => "footer",
        (true, false) => "tail",
    };
    Err(ScrubError::End { key: key.to_owned(), source: FormatError::Checksum { what } })
}

/// Checks a committed object against its manifest entry.
pub async fn verify(
    store: &dyn Store,
    of: TierPartition,
    entry: &Entry,
    depth: &Depth,
) -> Result<Verified, ScrubError> {
    let key = of.segment_of(entry);
    let footer = open(store, &key, entry).await?;
    if footer.topic.of != of {
        let source = FormatError::Invalid { what: "topic section", reason: "another partition's object" };
        return Err(ScrubError::End { key, source });
    }
    let mut stream = RangedRead::new(store, &key, Purpose::Scrub);
    let mut digest = Digest::default();
    for (index, row) in footer.chunks.iter().enumerate() {
        let stored = stream.take(row.position, u64::from(row.stored_bytes)).await?;
        match depth {
            Depth::Stored => ChunkDecoder::check(row, &stored).map_err(|source| damaged(&key, index, row, source))?,
            Depth::Unpacked(pool) => {
                let row_copy = *row;
                digest = pool
                    .run(move |worker| {
                        let raw = worker.decoder.decode(&row_copy, stored)?;
                        if !batches::are_whole(&raw, row_copy.base_offset, row_copy.last_offset) {
                            return Err(FormatError::Invalid { what: "chunk", reason: "not whole batches in order" });
                        }
                        digest.update(&raw);
                        Ok(digest)
                    })
                    .await?
                    .map_err(|source| damaged(&key, index, row, source))?;
            }
        }
    }
    if matches!(depth, Depth::Unpacked(_)) && digest.finish() != footer.digest.segment {
        return Err(ScrubError::End { key, source: FormatError::Checksum { what: "segment digest" } });
    }
    Ok(Verified { chunks: footer.chunks.len(), bytes: entry.object_bytes })
}

/// The footer of a committed object, with its tail checked against the entry.
async fn open(store: &dyn Store, key: &str, entry: &Entry) -> Result<Footer, ScrubError> {
    let end = |source| ScrubError::End { key: key.to_owned(), source };
    let range = entry.footer_position..entry.object_bytes;
    if range.end.saturating_sub(range.start) < u64::from(entry.footer_bytes) + TAIL_BYTES as u64 {
        return Err(end(FormatError::Short { what: "manifest entry's object" }));
    }
    let bytes = store.get_range(key, range, Purpose::Scrub).await?;
    let tail = Tail::decode(&bytes, entry.object_bytes).map_err(end)?;
    let expected =
        Tail { footer_position: entry.footer_position, footer_bytes: entry.footer_bytes, footer_crc: entry.footer_crc };
    if tail != expected {
        return Err(end(FormatError::Invalid { what: "tail", reason: "not what the manifest says" }));
    }
    let footer = bytes.slice(..bytes.len().min(entry.footer_bytes as usize));
    Footer::decode(&footer, entry.footer_crc, entry.footer_position).map_err(end)
}

/// The footer of an object that is known by name and size alone: how a bucket is opened without its manifest.
pub async fn open_unlisted(store: &dyn Store, key: &str, object_bytes: u64) -> Result<(Tail, Footer), ScrubError> {
    let end = |source| ScrubError::End { key: key.to_owned(), source };
    let guess = object_bytes.min(64 * 1024);
    let bytes = store.get_range(key, object_bytes - guess..object_bytes, Purpose::Scrub).await?;
    let tail = Tail::decode(&bytes, object_bytes).map_err(end)?;
    let have_from = object_bytes - guess;
    let (from, to) = (tail.footer_position, tail.footer_position + u64::from(tail.footer_bytes));
    let footer = match from.checked_sub(have_from).and_then(|start| usize::try_from(start).ok()) {
        Some(start) => bytes.slice(start..start + tail.footer_bytes as usize),
        None => store.get_range(key, from..to, Purpose::Scrub).await?,
    };
    let footer = Footer::decode(&footer, tail.footer_crc, tail.footer_position).map_err(end)?;
    Ok((tail, footer))
}

fn damaged(key: &str, chunk: usize, row: &ChunkRow, source: FormatError) -> ScrubError {
    ScrubError::Chunk {
        key: key.to_owned(),
        chunk,
        position: row.position,
        base_offset: row.base_offset,
        last_offset: row.last_offset,
        source,
    }
}

/// An object read front to back in large ranges, handed out in pieces.
struct RangedRead<'a> {
    store: &'a dyn Store,
    key: &'a str,
    purpose: Purpose,
    have: BytesMut,
    have_from: u64,
    /// How far the object is known to reach.
    bytes: Option<u64>,
}

impl<'a> RangedRead<'a> {
    fn new(store: &'a dyn Store, key: &'a str, purpose: Purpose) -> RangedRead<'a> {
        RangedRead { store, key, purpose, have: BytesMut::new(), have_from: 0, bytes: None }
    }

    /// Positions must not go back.
    async fn take(&mut self, position: u64, length: u64) -> Result<Bytes, ScrubError> {
        let short = || ScrubError::End { key: self.key.to_owned(), source: FormatError::Short { what: "object" } };
        if position != self.have_from {
            let gap = position.checked_sub(self.have_from).ok_or_else(short)?;
            match usize::try_from(gap) {
                Ok(gap) if gap <= self.have.len() => drop(self.have.split_to(gap)),
                _ => self.have.clear(),
            }
            self.have_from = position;
        }
        let object_bytes = match self.bytes {
            Some(bytes) => bytes,
            None => self.store.head(self.key, self.purpose).await?.bytes,
        };
        self.bytes = Some(object_bytes);
        let wanted = usize::try_from(length).map_err(|_| short())?;
        while self.have.len() < wanted {
            let from = self.have_from + self.have.len() as u64;
            let to = (from + SCRUB_READ_BYTES.max((wanted - self.have.len()) as u64)).min(object_bytes);
            if from >= to {
                return Err(short());
            }
            self.have.extend_from_slice(&self.store.get_range(self.key, from..to, self.purpose).await?);
        }
        self.have_from += length;
        Ok(self.have.split_to(wanted).freeze())
    }
}

#[cfg(test)]
mod tests;
