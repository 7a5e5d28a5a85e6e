//! Chunks from the store: neighbours in one GET, checked and unpacked on the codec threads, each landed as it is ready.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use uuid::Uuid;

use super::ReplayError;
use super::flight::{Flight, Flights, Joined, Landing};
use super::throttle::Throttle;
use crate::cache::{BufferPool, ChunkCache, ChunkKey};
use crate::codec_pool::{CodecPool, WorkerFailed};
use crate::entry::Entry;
use crate::format::{ChunkDecoder, ChunkRow, Codec, FormatError};
use crate::object_key::TierPartition;
use crate::store::{Purpose, Store, StoreError};

/// A GET below this costs as much as one of this.
pub(super) const GET_BYTES_MIN: u64 = 1 << 20;
/// A GET above this delays its first chunk for its last.
const GET_BYTES_MAX: u64 = 8 << 20;
/// What a read may load beyond what it asked for, unpacked.
pub(super) const DEMAND_RAW_BYTES: u64 = 2 << 20;
/// Unpacked bytes of one group of chunks, unless one chunk is larger.
pub(super) const GROUP_RAW_BYTES_MAX: u64 = 16 << 20;
/// Unneeded bytes between two chunks that are still read through.
const GAP_BYTES_MAX: u64 = 64 * 1024;
/// Budgets count in this unit, as permits are counted in 32 bits.
pub(super) const BUDGET_UNIT_BYTES: u64 = 1024;

/// An object by name.
#[derive(Debug, Clone)]
pub(super) struct ObjectRef {
    pub(super) key: Arc<str>,
    pub(super) uuid: Uuid,
}

impl ObjectRef {
    pub(super) fn new(of: TierPartition, entry: &Entry) -> ObjectRef {
        ObjectRef { key: of.segment_of(entry).into(), uuid: entry.uuid }
    }

    fn chunk(&self, chunk: u32) -> ChunkKey {
        ChunkKey { object: self.uuid, chunk }
    }
}

#[derive(Clone)]
pub(super) struct Loads {
    store: Arc<dyn Store>,
    pool: CodecPool,
    cache: ChunkCache,
    buffers: BufferPool,
    flights: Flights<ChunkKey, Bytes>,
    loading: Arc<Semaphore>,
    loading_units: u32,
    gets: Throttle,
}

/// Chunks asked for, in order.
pub(super) struct Asked(VecDeque<Place>);

enum Place {
    Here(Bytes),
    Waits(Flight<Bytes>),
}

impl Asked {
    /// The next chunk; `None` past the last one or the deadline.
    pub(super) async fn next(&mut self, deadline: Instant) -> Result<Option<Bytes>, ReplayError> {
        match self.0.pop_front() {
            None => Ok(None),
            Some(Place::Here(chunk)) => Ok(Some(chunk)),
            Some(Place::Waits(flight)) => match tokio::time::timeout_at(deadline, flight.wait()).await {
                Ok(chunk) => chunk.map(Some),
                Err(_) => Ok(None),
            },
        }
    }

    pub(super) async fn wait_first(mut self) -> Result<Bytes, ReplayError> {
        match self.0.pop_front() {
            Some(Place::Here(chunk)) => Ok(chunk),
            Some(Place::Waits(flight)) => flight.wait().await,
            None => Err(ReplayError::Worker(WorkerFailed)),
        }
    }
}

/// A chunk that is ours to load.
struct Ours {
    chunk: u32,
    row: ChunkRow,
    landing: Landing<ChunkKey, Bytes>,
}

impl Loads {
    pub(super) fn new(
        store: Arc<dyn Store>,
        pool: CodecPool,
        cache: ChunkCache,
        buffers: BufferPool,
        loading_bytes_max: u64,
        gets_max: usize,
    ) -> Loads {
        let loading_units = units(loading_bytes_max);
        Loads {
            store,
            pool,
            cache,
            buffers,
            flights: Flights::default(),
            loading: Arc::new(Semaphore::new(loading_units as usize)),
            loading_units,
            gets: Throttle::new(gets_max),
        }
    }

    pub(super) fn cache(&self) -> &ChunkCache {
        &self.cache
    }

    pub(super) fn is_cached(&self, object: &ObjectRef, chunk: usize) -> bool {
        u32::try_from(chunk).is_ok_and(|chunk| self.cache.get(&object.chunk(chunk)).is_some())
    }

    /// Starts what is neither here nor on its way. The loads go on whatever becomes of the answer.
    pub(super) fn load(&self, object: &ObjectRef, rows: &[(u32, ChunkRow)], purpose: Purpose) -> Asked {
        let mut asked = VecDeque::with_capacity(rows.len());
        let mut group: Vec<Ours> = Vec::new();
        for (chunk, row) in rows {
            let key = object.chunk(*chunk);
            match self.flights.join(key, || self.cache.get(&key)) {
                Joined::Here(bytes) => asked.push_back(Place::Here(bytes)),
                Joined::Waits(flight) => asked.push_back(Place::Waits(flight)),
                Joined::Ours(landing, flight) => {
                    asked.push_back(Place::Waits(flight));
                    if !group.last().is_none_or(|last| fits(&group, last, row)) {
                        self.start(object, std::mem::take(&mut group), purpose);
                    }
                    group.push(Ours { chunk: *chunk, row: *row, landing });
                }
            }
        }
        if !group.is_empty() {
            self.start(object, group, purpose);
        }
        Asked(asked)
    }

    fn start(&self, object: &ObjectRef, group: Vec<Ours>, purpose: Purpose) {
        let (this, object) = (self.clone(), object.clone());
        tokio::spawn(async move { this.run(&object, group, purpose).await });
    }

    /// Reserve, GET, unpack all, land each.
    async fn run(&self, object: &ObjectRef, group: Vec<Ours>, purpose: Purpose) {
        let _reserved = self.reserve(&group).await;
        let (Some(first), Some(last)) = (group.first(), group.last()) else { return };
        let (start, end) = (first.row.position, last.row.end_position());
        let stored = match self.get(object, start..end, purpose).await {
            Ok(stored) => stored,
            Err(error) => {
                for ours in group {
                    ours.landing.land(Err(error.clone()));
                }
                return;
            }
        };
        let mut unpacking = Vec::with_capacity(group.len());
        for ours in group {
            let from = usize::try_from(ours.row.position - start).unwrap_or(usize::MAX);
            let to = from.saturating_add(ours.row.stored_bytes as usize);
            let packed = if to <= stored.len() { stored.slice(from..to) } else { Bytes::new() };
            unpacking.push((self.submit(ours.row, packed).await, ours));
        }
        drop(stored);
        for (unpacked, ours) in unpacking {
            let outcome = match unpacked.await.unwrap_or(Err(None)) {
                Ok(chunk) => Ok(chunk),
                Err(None) => Err(ReplayError::Worker(WorkerFailed)),
                Err(Some(source)) => self.once_more(object, &ours, source, purpose).await,
            };
            if let Ok(chunk) = &outcome {
                self.cache.insert(object.chunk(ours.chunk), chunk.clone());
            }
            ours.landing.land(outcome);
        }
    }

    /// Room for the packed and unpacked bytes of a group, before its GET.
    async fn reserve(&self, group: &[Ours]) -> Option<OwnedSemaphorePermit> {
        let bytes: u64 =
            group.iter().map(|ours| u64::from(ours.row.stored_bytes) + u64::from(ours.row.raw_bytes)).sum();
        // A group above the whole budget goes alone.
        let wanted = units(bytes).min(self.loading_units);
        self.loading.clone().acquire_many_owned(wanted).await.ok()
    }

    async fn get(
        &self,
        object: &ObjectRef,
        range: std::ops::Range<u64>,
        purpose: Purpose,
    ) -> Result<Bytes, ReplayError> {
        let slot = self.gets.enter().await;
        let outcome = self.store.get_range(&object.key, range, purpose).await;
        slot.leave(!matches!(outcome, Err(StoreError::Unavailable { .. })));
        outcome.map_err(|error| object.explain(error))
    }

    async fn submit(
        &self,
        row: ChunkRow,
        packed: Bytes,
    ) -> tokio::sync::oneshot::Receiver<Result<Bytes, Option<FormatError>>> {
        let buffers = self.buffers.clone();
        self.pool
            .submit(move |worker| {
                if row.codec == Codec::RAW {
                    ChunkDecoder::check(&row, &packed).map_err(Some)?;
                    // A copy: the slice would keep its whole group in memory.
                    let mut buffer = buffers.take(packed.len());
                    buffer.extend_from_slice(&packed);
                    return Ok(buffers.share(buffer));
                }
                let mut buffer = buffers.take(row.raw_bytes as usize);
                worker.decoder.decode_into(&row, &packed, &mut buffer).map_err(Some)?;
                Ok(buffers.share(buffer))
            })
            .await
    }

    /// A chunk whose bytes were wrong may have been damaged on the way: it is fetched again, alone, once.
    async fn once_more(
        &self,
        object: &ObjectRef,
        ours: &Ours,
        source: FormatError,
        purpose: Purpose,
    ) -> Result<Bytes, ReplayError> {
        tracing::warn!(key = %object.key, chunk = ours.chunk, error = %source, "damaged chunk, fetching it again");
        let packed = self.get(object, ours.row.position..ours.row.end_position(), purpose).await?;
        match self.submit(ours.row, packed).await.await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(Some(source))) => Err(ReplayError::CorruptChunk {
                key: object.key.clone(),
                chunk: ours.chunk,
                position: ours.row.position,
                source,
            }),
            Ok(Err(None)) | Err(_) => Err(ReplayError::Worker(WorkerFailed)),
        }
    }
}

/// Whether `row` belongs into the GET of `group`.
fn fits(group: &[Ours], last: &Ours, row: &ChunkRow) -> bool {
    let start = group.first().map_or(row.position, |first| first.row.position);
    let near = row.position.checked_sub(last.row.end_position()).is_some_and(|gap| gap <= GAP_BYTES_MAX);
    near && row.end_position().saturating_sub(start) <= GET_BYTES_MAX
}

/// Bytes in units of the budgets, rounded up.
pub(super) fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(BUDGET_UNIT_BYTES)).unwrap_or(u32::MAX).min(Semaphore::MAX_PERMITS as u32).max(1)
}
