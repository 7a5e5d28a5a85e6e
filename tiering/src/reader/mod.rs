//! The cold read path: an offset in, whole batches out, with everything between here and the store done ahead.
//!
//! A read finds its segment in the manifest, the segment's footer in a cache (else one GET), its chunks in a cache (else
//! one ranged GET for neighbours together), and hands out slices of unpacked chunks without a copy. Loads run in tasks of
//! their own, one per chunk however many wait for it: a reader that goes away, or whose deadline passes, does not stop
//! its load, which lands in the cache for the next poll. A reader that goes on where it stopped is sequential: chunks
//! ahead of it are loaded, over segment borders, in a window that grows with its use.
//!
//! Bounds: unpacked chunks by the cache, loads in work and loads ahead by byte budgets that are reserved before the GET.
//! Every chunk's checksum is checked before its bytes are used; a bad chunk is fetched once more, then named.
//!
//! Owns no truth: a segment may be gone when its GET arrives (`ObjectMissing`), and the caller then re-reads the head.

mod ahead;
mod flight;
mod footers;
mod loads;
mod manifest_index;
mod streams;
mod throttle;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use stratalog_types::Offset;
use tokio::time::Instant;

use crate::batches;
use crate::cache::{BufferPool, ChunkCache};
use crate::codec_pool::{CodecPool, WorkerFailed};
use crate::entry::Entry;
use crate::format::{Footer, FormatError};
use crate::object_key::TierPartition;
use crate::store::{Purpose, Store, StoreError};
use footers::Footers;
use loads::{Loads, ObjectRef};
use streams::Streams;

/// Segments that one read may pass over because nothing is left in them at or after the offset.
const EMPTY_SEGMENTS_MAX: usize = 64;

/// Where a partition's segments are, by the manifest.
pub trait SegmentIndex: Send + Sync + 'static {
    /// The segment that holds `offset`, else the first one after it; `None` past the tiered end.
    fn find(&self, offset: Offset) -> BoxFuture<'_, Result<Option<Entry>, IndexError>>;
}

/// The manifest could not answer, for now.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the manifest cannot be read")]
pub struct IndexError(#[source] pub Arc<dyn std::error::Error + Send + Sync>);

#[derive(Debug, Clone)]
pub struct ReplayConfig {
    /// Unpacked chunks kept.
    pub cache_bytes: u64,
    /// Footers kept.
    pub footer_cache_bytes: u64,
    /// Packed and unpacked bytes of loads that somebody waits for.
    pub loading_bytes_max: u64,
    /// Unpacked bytes loaded ahead of all readers together; at most half of the cache is used.
    pub ahead_bytes_max: u64,
    /// Unpacked bytes loaded ahead of one reader.
    pub ahead_bytes_per_reader: u64,
    /// Ranged GETs at a time while the store keeps up; a store that throttles gets fewer.
    pub gets_max: usize,
    /// Unpacked buffers kept for reuse.
    pub free_buffer_bytes: usize,
}

impl Default for ReplayConfig {
    fn default() -> Self {
        ReplayConfig {
            cache_bytes: 256 << 20,
            footer_cache_bytes: 32 << 20,
            loading_bytes_max: 128 << 20,
            ahead_bytes_max: 128 << 20,
            ahead_bytes_per_reader: 32 << 20,
            gets_max: 64,
            free_buffer_bytes: 64 << 20,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct ReadRequest {
    pub of: TierPartition,
    pub offset: Offset,
    /// Passed over only by a first batch that is larger.
    pub bytes_max: usize,
    /// When the caller wants an answer, whatever it is.
    pub deadline: Instant,
}

/// Whole batches in order, part of one chunk.
#[derive(Debug, Clone)]
pub struct Slice {
    pub bytes: Bytes,
    /// Of the first batch: may be below the offset asked for, which lies inside it, or above it, where a log was
    /// compacted.
    pub base_offset: Offset,
}

#[derive(Debug, Clone)]
pub struct ColdRead {
    /// Never empty.
    pub slices: Vec<Slice>,
    /// Nothing below it is left to read here.
    pub next_offset: Offset,
}

#[derive(Debug, Clone)]
pub enum ReadAnswer {
    Data(ColdRead),
    /// Not in time: the load goes on, ask again.
    Pending,
    /// Past the tiered end.
    End,
}

/// Named by what the caller does next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReplayError {
    /// Deleted after its manifest was read, or lost: re-read the head. Still named there, it is lost.
    #[error("object {key} is missing")]
    ObjectMissing { key: Arc<str> },
    /// Damaged, twice in a row.
    #[error("{key}: chunk {chunk} at byte {position} is damaged")]
    CorruptChunk {
        key: Arc<str>,
        chunk: u32,
        position: u64,
        #[source]
        source: FormatError,
    },
    #[error("{key}: the footer is damaged")]
    CorruptFooter {
        key: Arc<str>,
        #[source]
        source: FormatError,
    },
    /// Retriable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Retriable.
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Worker(#[from] WorkerFailed),
}

/// The cold reader of a broker; clones share everything.
#[derive(Clone)]
pub struct Replay {
    footers: Footers,
    loads: Loads,
    streams: Streams,
}

impl Replay {
    /// `pool` unpacks; give it threads of its own, apart from uploads.
    pub fn new(store: Arc<dyn Store>, pool: CodecPool, config: &ReplayConfig) -> Replay {
        let cache = ChunkCache::new(config.cache_bytes);
        let buffers = BufferPool::new(config.free_buffer_bytes);
        Replay {
            footers: Footers::new(store.clone(), config.footer_cache_bytes),
            loads: Loads::new(store, pool, cache, buffers, config.loading_bytes_max, config.gets_max),
            streams: Streams::new(
                config.ahead_bytes_max.min(config.cache_bytes / 2),
                config.ahead_bytes_per_reader.min(config.cache_bytes / 4),
            ),
        }
    }

    /// Batches from the one that holds `request.offset`.
    pub async fn read(&self, index: &Arc<dyn SegmentIndex>, request: ReadRequest) -> Result<ReadAnswer, ReplayError> {
        let mut progress = Progress { slices: Vec::new(), next: request.offset, room: request.bytes_max };
        let ReadRequest { of, deadline, .. } = request;
        // A segment's error behind data that is ready waits for the next read, which starts at it.
        for _ in 0..EMPTY_SEGMENTS_MAX {
            let step = self.read_segment(&**index, of, deadline, &mut progress);
            match tokio::time::timeout_at(deadline, step).await {
                Ok(Ok(Step::Further)) => {}
                Ok(Ok(Step::Done)) | Err(_) => break,
                Ok(Ok(Step::End)) if progress.slices.is_empty() => return Ok(ReadAnswer::End),
                Ok(Ok(Step::End)) => break,
                Ok(Err(error)) if progress.slices.is_empty() => return Err(error),
                Ok(Err(_)) => break,
            }
        }
        let sequential = self.streams.on_read(of, request.offset, progress.next, !progress.slices.is_empty());
        if let Some(stream) = sequential {
            ahead::fill(self.clone(), index.clone(), of, stream);
        }
        if progress.slices.is_empty() {
            return Ok(ReadAnswer::Pending);
        }
        Ok(ReadAnswer::Data(ColdRead { slices: progress.slices, next_offset: progress.next }))
    }

    /// The first chunk of a segment with a time of at least `timestamp`: whole, as one slice. The caller looks into it.
    pub async fn chunk_at_timestamp(
        &self,
        of: TierPartition,
        entry: &Entry,
        timestamp: i64,
        from: Offset,
        deadline: Instant,
    ) -> Result<ReadAnswer, ReplayError> {
        let load = async {
            let object = ObjectRef::new(of, entry);
            let footer = self.footers.get(&object, entry).await?;
            let Some((chunk, row)) = footer
                .chunk_at_timestamp(timestamp, from)
                .and_then(|chunk| Some((u32::try_from(chunk).ok()?, footer.chunks.get(chunk)?)))
            else {
                return Ok(ReadAnswer::End);
            };
            let bytes = self.loads.load(&object, &[(chunk, *row)], Purpose::Replay).wait_first().await?;
            let slices = vec![Slice { bytes, base_offset: row.base_offset }];
            Ok(ReadAnswer::Data(ColdRead { slices, next_offset: row.last_offset.next() }))
        };
        tokio::time::timeout_at(deadline, load).await.unwrap_or(Ok(ReadAnswer::Pending))
    }

    /// A segment's footer: aborted transactions, epochs, producer state. `None` when not in time.
    pub async fn footer(
        &self,
        of: TierPartition,
        entry: &Entry,
        deadline: Instant,
    ) -> Result<Option<Arc<Footer>>, ReplayError> {
        let object = ObjectRef::new(of, entry);
        match tokio::time::timeout_at(deadline, self.footers.get(&object, entry)).await {
            Ok(footer) => footer.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Unpacked bytes kept in memory now.
    pub fn cached_bytes(&self) -> u64 {
        self.loads.cache().bytes()
    }

    /// Takes what one segment has at the place of `progress`. Past the first slice it takes only what is already here.
    async fn read_segment(
        &self,
        index: &dyn SegmentIndex,
        of: TierPartition,
        deadline: Instant,
        progress: &mut Progress,
    ) -> Result<Step, ReplayError> {
        let Some(entry) = index.find(progress.next).await? else { return Ok(Step::End) };
        let object = ObjectRef::new(of, &entry);
        let footer = match self.footers.cached(&entry) {
            Some(footer) => footer,
            None if !progress.slices.is_empty() => return Ok(Step::Done),
            None => self.footers.get(&object, &entry).await?,
        };
        let Some(first) = footer.chunk_at(progress.next) else {
            progress.next = entry.end_offset.max(progress.next.next());
            return Ok(Step::Further);
        };
        if !progress.slices.is_empty() && !self.loads.is_cached(&object, first) {
            return Ok(Step::Done);
        }
        let wanted = demand(&footer, first, progress.room);
        let mut flights = self.loads.load(&object, &wanted, Purpose::Replay);
        for (_, row) in &wanted {
            if progress.room == 0 {
                return Ok(Step::Done);
            }
            // Rows behind what was asked for are on their way to the cache, not awaited.
            let Some(chunk) = flights.next(deadline).await? else { return Ok(Step::Done) };
            if !progress.take(chunk, row.last_offset) {
                return Ok(Step::Done);
            }
        }
        if footer.chunks.len() == first + wanted.len() {
            progress.next = progress.next.max(entry.end_offset);
        }
        Ok(Step::Further)
    }
}

enum Step {
    Further,
    Done,
    End,
}

/// What a read has gathered.
struct Progress {
    slices: Vec<Slice>,
    next: Offset,
    room: usize,
}

impl Progress {
    /// Takes the batches of an unpacked chunk from `next` on, as far as there is room; false when that was not to its
    /// end.
    fn take(&mut self, chunk: Bytes, last_offset: Offset) -> bool {
        let from = batches::start_of(&chunk, self.next);
        let rest = chunk.slice(from..);
        let bytes = batches::whole_bytes_within(&rest, self.room);
        if bytes > self.room && !self.slices.is_empty() {
            self.room = 0;
            return false;
        }
        let base_offset = batches::spans(&rest).next().map_or(self.next, |span| span.base_offset);
        let behind = rest.slice(bytes..);
        self.next = match batches::spans(&behind).next() {
            Some(span) => span.base_offset,
            None => last_offset.next(),
        };
        self.room = self.room.saturating_sub(bytes);
        self.slices.push(Slice { bytes: rest.slice(..bytes), base_offset });
        behind.is_empty()
    }
}

/// The chunks to load for a read that starts in chunk `first`: enough for `room`, and no GET of a few KiB.
fn demand(footer: &Footer, first: usize, room: usize) -> Vec<(u32, crate::format::ChunkRow)> {
    let mut wanted = Vec::new();
    let (mut raw, mut stored) = (0u64, 0u64);
    for (chunk, row) in footer.chunks.iter().enumerate().skip(first) {
        let enough = raw >= room as u64 && (stored >= loads::GET_BYTES_MIN || raw >= loads::DEMAND_RAW_BYTES);
        if enough || (!wanted.is_empty() && raw + u64::from(row.raw_bytes) > loads::GROUP_RAW_BYTES_MAX) {
            break;
        }
        raw += u64::from(row.raw_bytes);
        stored += u64::from(row.stored_bytes);
        let Ok(chunk) = u32::try_from(chunk) else { break };
        wanted.push((chunk, *row));
    }
    wanted
}

#[cfg(test)]
mod tests;
