//! The pieces of an object in order, packed ahead by a few chunks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use stratalog_types::Offset;
use tokio::sync::oneshot;

use super::{ByteBudget, Run, RunSource, SegmentUpload, UploadError, Uploaded};
use crate::batches;
use crate::codec_pool::{CodecPool, WorkerFailed};
use crate::entry::Entry;
use crate::format::{
    ChunkRow, Digest, EncodedChunk, Footer, FormatError, PRODUCERS_BYTES_MAX, SegmentDigest, Sha256, Tail,
    chunk_target_bytes,
};
use crate::scrub::ObjectImage;
use crate::store::{PartSource, StoreError};

/// Chunks in work beyond the threads that pack them.
const CHUNKS_AHEAD: usize = 2;

/// A chunk in work.
struct Pending {
    row: ChunkRow,
    packed: oneshot::Receiver<Result<EncodedChunk, FormatError>>,
}

pub(super) struct ObjectParts<'a> {
    upload: SegmentUpload,
    source: &'a mut dyn RunSource,
    source_ended: bool,
    pool: CodecPool,
    budget: Arc<ByteBudget>,
    chunk_target: usize,
    /// A run that was read but belongs to the next chunk.
    held: Option<Run>,
    pending: VecDeque<Pending>,
    chunks: Vec<ChunkRow>,
    digest: Arc<OrderedDigest>,
    submitted: usize,
    position: u64,
    raw_bytes: u64,
    last_offset: Option<Offset>,
    stage: Stage,
    failed: Option<UploadError>,
}

enum Stage {
    Chunks,
    Tail { tail: Bytes, done: (Uploaded, ObjectImage) },
    End { done: (Uploaded, ObjectImage) },
}

impl<'a> ObjectParts<'a> {
    pub(super) fn new(
        upload: SegmentUpload,
        source: &'a mut dyn RunSource,
        pool: CodecPool,
        budget: Arc<ByteBudget>,
    ) -> ObjectParts<'a> {
        let chunk_target = chunk_target_bytes(upload.raw_bytes_hint);
        ObjectParts {
            upload,
            source,
            source_ended: false,
            pool,
            budget,
            chunk_target,
            held: None,
            pending: VecDeque::new(),
            chunks: Vec::new(),
            digest: Arc::default(),
            submitted: 0,
            position: 0,
            raw_bytes: 0,
            last_offset: None,
            stage: Stage::Chunks,
            failed: None,
        }
    }

    /// What was written, once all of it was handed out; the source's failure, if that was why it was not; `None` when
    /// the store gave up before the end.
    pub(super) fn finish(self) -> Result<Option<(Uploaded, ObjectImage)>, UploadError> {
        match (self.failed, self.stage) {
            (Some(error), _) => Err(error),
            (None, Stage::End { done } | Stage::Tail { done, .. }) => Ok(Some(done)),
            (None, Stage::Chunks) => Ok(None),
        }
    }

    async fn produce(&mut self) -> Result<Option<Bytes>, UploadError> {
        if let Stage::Tail { .. } | Stage::End { .. } = self.stage {
            return Ok(self.take_tail());
        }
        while self.pending.len() < self.pool.threads() + CHUNKS_AHEAD {
            let Some((row, raw)) = self.gather().await? else { break };
            self.submit(row, raw).await;
        }
        match self.pending.pop_front() {
            Some(pending) => {
                let packed = pending.packed.await.map_err(|_| WorkerFailed)??;
                self.place(pending.row, packed).map(Some)
            }
            None => self.footer().map(Some),
        }
    }

    fn take_tail(&mut self) -> Option<Bytes> {
        match std::mem::replace(&mut self.stage, Stage::Chunks) {
            Stage::Tail { tail, done } => {
                self.stage = Stage::End { done };
                Some(tail)
            }
            stage => {
                self.stage = stage;
                None
            }
        }
    }

    async fn next_run(&mut self) -> Result<Option<Run>, UploadError> {
        if let Some(run) = self.held.take() {
            return Ok(Some(run));
        }
        if self.source_ended {
            return Ok(None);
        }
        let Some(run) = self.source.next().await? else {
            self.source_ended = true;
            return Ok(None);
        };
        let (start, may_have_holes) = (self.upload.name.base_offset, self.upload.may_have_holes);
        let in_order = match self.last_offset {
            Some(last) if may_have_holes => run.base_offset > last,
            Some(last) => run.base_offset == last.next(),
            // The first batch may begin before the interval: a log start may lie inside it.
            None => run.last_offset >= start && (may_have_holes || run.base_offset <= start),
        };
        let below_end = self.upload.end_offset.is_none_or(|end| run.last_offset < end);
        let whole = batches::are_whole(&run.bytes, run.base_offset, run.last_offset);
        if !in_order || !below_end || !whole {
            return Err(UploadError::InvalidRun { base_offset: run.base_offset });
        }
        self.last_offset = Some(run.last_offset);
        self.raw_bytes += run.bytes.len() as u64;
        Ok(Some(run))
    }

    /// The next chunk: one run as it is, or several copied together up to the target.
    async fn gather(&mut self) -> Result<Option<(ChunkRow, Bytes)>, UploadError> {
        let Some(first) = self.next_run().await? else { return Ok(None) };
        let mut row = ChunkRow {
            base_offset: first.base_offset,
            last_offset: first.last_offset,
            min_timestamp: first.min_timestamp,
            max_timestamp: first.max_timestamp,
            position: 0,
            stored_bytes: 0,
            raw_bytes: 0,
            crc: 0,
            codec: crate::format::Codec::RAW,
        };
        let mut raw = first.bytes;
        let mut joined: Option<BytesMut> = None;
        loop {
            let have = joined.as_ref().map_or(raw.len(), BytesMut::len);
            if have >= self.chunk_target {
                break;
            }
            let Some(run) = self.next_run().await? else { break };
            // Half over is nearer to the target than half under.
            if have + run.bytes.len() > self.chunk_target + self.chunk_target / 2 {
                self.held = Some(run);
                break;
            }
            let joined = joined.get_or_insert_with(|| {
                let mut joined = BytesMut::with_capacity(self.chunk_target + self.chunk_target / 2);
                joined.extend_from_slice(&raw);
                joined
            });
            joined.extend_from_slice(&run.bytes);
            row.last_offset = run.last_offset;
            row.min_timestamp = earlier(row.min_timestamp, run.min_timestamp);
            row.max_timestamp = row.max_timestamp.max(run.max_timestamp);
        }
        if let Some(joined) = joined {
            raw = joined.freeze();
        }
        row.raw_bytes = u32::try_from(raw.len()).map_err(|_| FormatError::ChunkTooLarge { bytes: raw.len() })?;
        Ok(Some((row, raw)))
    }

    async fn submit(&mut self, row: ChunkRow, raw: Bytes) {
        let (digest, number) = (self.digest.clone(), self.submitted);
        self.submitted += 1;
        let packed = self
            .pool
            .submit(move |worker| {
                digest.add(number, raw.clone());
                worker.encoder.encode(raw)
            })
            .await;
        self.pending.push_back(Pending { row, packed });
    }

    fn place(&mut self, mut row: ChunkRow, packed: EncodedChunk) -> Result<Bytes, UploadError> {
        row.position = self.position;
        row.stored_bytes = u32::try_from(packed.stored.len())
            .map_err(|_| FormatError::ChunkTooLarge { bytes: packed.stored.len() })?;
        row.codec = packed.codec;
        row.crc = packed.crc;
        self.position = row.end_position();
        self.chunks.push(row);
        Ok(packed.stored)
    }

    /// All chunks are out: the footer, with the tail to follow.
    fn footer(&mut self) -> Result<Bytes, UploadError> {
        let last_offset = self.last_offset.ok_or(UploadError::Empty)?;
        let digest =
            SegmentDigest { segment: self.digest.finish().ok_or(WorkerFailed)?, previous: self.upload.previous_digest };
        let upload = &mut self.upload;
        // A log that goes on behind such a segment begins without producers, as one whose snapshots are lost does. A footer
        // that is too large would be found out when all else is there, and again with each try.
        if upload.producer_snapshot.len() > PRODUCERS_BYTES_MAX {
            let (of, base_offset, bytes) = (upload.topic.of, upload.name.base_offset, upload.producer_snapshot.len());
            tracing::warn!(%of, %base_offset, bytes, "too many producers for a footer: the segment goes up without them");
            upload.producer_snapshot = Bytes::new();
        }
        let footer = Footer {
            chunks: std::mem::take(&mut self.chunks),
            aborted: std::mem::take(&mut upload.aborted),
            epochs: std::mem::take(&mut upload.epochs),
            producer_snapshot: std::mem::take(&mut upload.producer_snapshot),
            topic: upload.topic.clone(),
            digest,
        };
        let bytes = footer.encode()?;
        let footer_bytes = u32::try_from(bytes.len()).map_err(|_| FormatError::Short { what: "footer" })?;
        let tail = Tail { footer_position: self.position, footer_bytes, footer_crc: crc32c::crc32c(&bytes) };
        let tail_bytes = tail.encode();
        let entry = Entry {
            base_offset: upload.name.base_offset,
            end_offset: upload.end_offset.unwrap_or(last_offset.next()),
            leader_epoch: upload.name.leader_epoch,
            uuid: upload.name.uuid,
            object_bytes: self.position + (bytes.len() + tail_bytes.len()) as u64,
            raw_bytes: self.raw_bytes,
            footer_position: self.position,
            footer_bytes,
            footer_crc: tail.footer_crc,
            min_timestamp: footer.chunks.iter().map(|row| row.min_timestamp).fold(-1, earlier),
            max_timestamp: footer.chunks.iter().map(|row| row.max_timestamp).fold(-1, i64::max),
            committed_at: upload.now_ms,
            generation: 0,
        };
        let image = ObjectImage { chunks: footer.chunks, footer: bytes.clone(), tail: tail_bytes.clone() };
        self.stage = Stage::Tail { tail: tail_bytes, done: (Uploaded { entry, digest }, image) };
        Ok(bytes)
    }
}

impl PartSource for ObjectParts<'_> {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        Box::pin(async move {
            match self.produce().await {
                Ok(Some(part)) => {
                    self.budget.take(part.len() as u64).await;
                    Ok(Some(part))
                }
                Ok(None) => Ok(None),
                Err(error) => {
                    let key = self.upload.topic.of.segment(&self.upload.name);
                    let reason = format!("the source failed: {error}");
                    self.failed = Some(error);
                    Err(StoreError::Unavailable { key, reason })
                }
            }
        })
    }
}

/// The smaller of two times where -1 is none.
fn earlier(a: i64, b: i64) -> i64 {
    match (a, b) {
        (-1, other) | (other, -1) => other,
        (a, b) => a.min(b),
    }
}

/// A digest over chunks that threads finish out of order: each hands in its chunk, whoever finds the next in line
/// hashes on. Nobody waits for another.
#[derive(Default)]
struct OrderedDigest(Mutex<DigestState>);

struct DigestState {
    next: usize,
    waiting: BTreeMap<usize, Bytes>,
    /// Taken while a thread hashes.
    digest: Option<Digest>,
}

impl Default for DigestState {
    fn default() -> Self {
        DigestState { next: 0, waiting: BTreeMap::new(), digest: Some(Digest::default()) }
    }
}

impl OrderedDigest {
    fn add(&self, number: usize, raw: Bytes) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting.insert(number, raw);
        let Some(mut digest) = state.digest.take() else { return };
        loop {
            let next = state.next;
            let Some(raw) = state.waiting.remove(&next) else { break };
            state.next += 1;
            drop(state);
            digest.update(&raw);
            state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        }
        state.digest = Some(digest);
    }

    /// `None` when a thread died over it.
    fn finish(&self) -> Option<Sha256> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting.is_empty().then_some(())?;
        state.digest.take().map(Digest::finish)
    }
}
