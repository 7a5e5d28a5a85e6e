//! A partition's history in the tier: opening it, reading it, and letting local copies go.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use stratalog_protocol::records::{Batch, BatchIter, RecordTime, first_record_at_or_after, record_of_max_timestamp};
use stratalog_types::Offset;
use tokio::time::Instant;

use super::error::ReadError;
use super::leader::{Isolation, Partition};
use super::offsets::{ListedOffset, off_worker};
use super::tier::{Standing, TierError, Tiered, UploadedSegment};
use crate::log::{self, AbortedTransaction};

/// A batch of the tier before `end` that cannot be walked: an error as it is for a local one, never a record passed over.
fn unreadable(end: Offset, error: &dyn std::fmt::Display) -> ReadError {
    ReadError::Tier(TierError::Batch { end, what: error.to_string() })
}

/// What the tier gave.
#[derive(Debug, Default)]
pub struct RemoteRecords {
    pub batches: Vec<Bytes>,
    /// What a reader of read_committed has to be told of.
    pub aborted: Option<Vec<AbortedTransaction>>,
}

impl Partition {
    /// The tier's half; `None` when nothing of this partition was ever to be tiered.
    pub fn tiered(&self) -> Option<Arc<Tiered>> {
        self.tiered.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_tiered(&self, tiered: Arc<Tiered>) {
        *self.tiered.write().unwrap_or_else(PoisonError::into_inner) = Some(tiered);
    }

    /// The tier's half, where local copies may go for its sake. Not once it was turned off with what it holds: what lies
    /// before the first local segment is forgotten then, so each local copy that goes takes the tier's with it.
    pub fn keeping_tier(&self) -> Option<Arc<Tiered>> {
        self.tiered().filter(|_| !self.config().forgets_tier())
    }

    /// One past the last offset in the tier; `None` when nothing is there.
    pub fn tiered_end_offset(&self) -> Option<Offset> {
        self.tiered()?.view().tiered_end_offset()
    }

    /// Whether the tier has the record at `offset` for good.
    pub(super) fn is_tiered(&self, offset: Offset) -> bool {
        self.tiered().is_some_and(|tiered| {
            let view = tiered.view();
            view.is_known() && view.log_start_offset() <= offset && offset < tiered.durable_end_offset()
        })
    }

    /// Puts segments aside in which a read found damage, with what lies before them, where the tier has all of it. Blocks.
    pub(super) fn heal(&self) -> Result<(), log::Error> {
        let Some(tiered) = self.keeping_tier() else { return Ok(()) };
        match self.log().damaged_until() {
            Some(until) if until <= tiered.durable_end_offset() => {
                tracing::error!(
                    partition = %self.topic_partition(), %until,
                    "healed: the tier serves what lies before it; the damaged segment is kept as .damaged"
                );
                self.log().delete_local_below(until).map(drop)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Moves the next closed segment up, if this partition is tiered and one is ready.
    pub async fn upload_next(&self) -> Result<Option<UploadedSegment>, TierError> {
        let config = self.config();
        let Some(tiered) = self.tiered() else { return Ok(None) };
        if self.is_behind_tier() {
            // Also where nothing is copied any more: what was tiered decides where the log goes on.
            let standing = Standing { clean: false, forgets_tier: config.forgets_tier() };
            tiered.begin(self.leader_epoch(), standing).await?;
            // The session began: the log agrees with the tier, or was restarted at its end.
            let log = self.log().clone();
            tokio::task::spawn_blocking(move || log.settle_loss()).await.map_err(|_| TierError::CutOff)??;
            self.log_was_restarted();
            self.set_behind_tier(false);
        }
        if !config.remote_storage_enable || config.remote_log_copy_disable {
            return Ok(None);
        }
        tiered.upload_next(self.leader_epoch(), self.tierable_end()).await
    }

    /// One past the last offset that may be in the tier: committed, and durable here, also where acknowledgements do not
    /// wait for it (manifest protocol 3.2, step 1). Else a power cut leaves a tier that is ahead of its log.
    pub fn tierable_end(&self) -> Offset {
        self.visible_end(Isolation::ReadCommitted).min(self.log().flushed().get())
    }

    /// Closes the active segment of a tiered topic that had no roll for `segment.ms`, or for
    /// `stratalog.tier.untiered.age.max.ms` where that is less: a quiet topic's last records move up too.
    pub fn roll_quiet(&self) -> Result<bool, log::Error> {
        let config = self.config();
        let Some(tiered) = self.tiered().filter(|_| config.remote_storage_enable && !config.remote_log_copy_disable)
        else {
            return Ok(false);
        };
        let segment_ms = i64::try_from(config.segment_ms).unwrap_or(i64::MAX);
        let untiered = tiered.config().untiered_age_max.and_then(|age| i64::try_from(age.as_millis()).ok());
        self.log().roll_if_older_than(untiered.map_or(segment_ms, |age| segment_ms.min(age)))
    }

    /// Drops the local copies of all that is tiered for good. Blocks. Returns segments and bytes dropped.
    pub fn evict(&self) -> Result<(u64, u64), log::Error> {
        let Some(tiered) = self.keeping_tier() else { return Ok((0, 0)) };
        let durable = tiered.durable_end_offset();
        let going = self.log().closed_segments().into_iter().filter(|s| s.end_offset <= durable);
        let (segments, bytes) = going.fold((0, 0), |(count, bytes), s| (count + 1, bytes + s.bytes));
        self.log().delete_local_below(durable)?;
        Ok((segments, bytes))
    }

    /// The tier's half, once its manifest is known: before, it would tell of no record where there are some.
    fn known_tier(&self) -> Result<Option<Arc<Tiered>>, ReadError> {
        match self.tiered() {
            Some(tiered) if !tiered.view().is_known() => Err(ReadError::Tier(TierError::NotKnown)),
            tiered => Ok(tiered),
        }
    }

    /// The first of the records below `below` with the largest timestamp, where that is at least `at_least`.
    ///
    /// What a segment's largest timestamp promises may lie below the log start, and hide what is left. So the look begins
    /// with what is there for sure and goes on, segment by segment, as long as one promises more; a segment that the log
    /// start cuts is looked through chunk by chunk. So is one that does not keep its promise: it begins within a batch,
    /// where the log start was when it was uploaded.
    pub(super) async fn tiered_max_timestamp(
        &self,
        at_least: i64,
        below: Offset,
        deadline: Instant,
    ) -> Result<Option<ListedOffset>, ReadError> {
        let tiered = self.known_tier()?.ok_or(ReadError::NoTier)?;
        let start = self.log_start_offset();
        let mut least = tiered.view().max_timestamp_within(start, below).unwrap_or(0).max(at_least);
        let (mut from, mut best) = (start, None);
        let mut broken = HashSet::new();
        while tiered.view().max_timestamp(from, below).is_some_and(|newest| newest >= least) {
            let segment = tiered.segment_at_timestamp(least, from, deadline).await.map_err(ReadError::Tier)?;
            let Some(segment) = segment.filter(|segment| segment.base_offset < below) else { break };
            let within = segment.base_offset >= from && segment.end_offset <= below;
            let is_whole = within && !broken.contains(&segment.base_offset);
            let sought = if is_whole { segment.max_timestamp } else { least };
            let chunk = tiered.chunk_of(&segment, sought, from, deadline).await.map_err(ReadError::Tier)?;
            let Some((chunk, chunk_end)) = chunk.filter(|(_, end)| *end > from) else {
                from = segment.end_offset;
                continue;
            };
            let bounds = Bounds { from: start, below };
            let found = off_worker(move || newest_of(&chunk, bounds, sought)).await??;
            if found.is_none() && is_whole {
                broken.insert(segment.base_offset);
                if best.is_none() {
                    (from, least) = (start, at_least);
                }
                continue;
            }
            if let Some(found) = found {
                least = found.timestamp.saturating_add(1);
                best = Some(found);
            }
            from = if is_whole && found.is_some() { segment.end_offset } else { chunk_end };
        }
        Ok(best)
    }

    /// The first record below `below` at or after `timestamp`.
    pub(super) async fn tiered_at_timestamp(
        &self,
        timestamp: i64,
        below: Offset,
        deadline: Instant,
    ) -> Result<Option<ListedOffset>, ReadError> {
        let tiered = self.known_tier()?.ok_or(ReadError::NoTier)?;
        let start = self.log_start_offset();
        let mut from = start;
        // The manifest's head tells, without a request, whether any segment there is late enough.
        while tiered.view().max_timestamp(from, below).is_some_and(|newest| newest >= timestamp) {
            let segment = tiered.segment_at_timestamp(timestamp, from, deadline).await.map_err(ReadError::Tier)?;
            let Some(segment) = segment.filter(|segment| segment.base_offset < below) else { break };
            let chunk = tiered.chunk_of(&segment, timestamp, from, deadline).await.map_err(ReadError::Tier)?;
            let Some((chunk, chunk_end)) = chunk.filter(|(_, end)| *end > from) else {
                from = segment.end_offset;
                continue;
            };
            let bounds = Bounds { from: start, below };
            if let Some(found) = off_worker(move || first_of(&chunk, bounds, timestamp)).await?? {
                return Ok(Some(found));
            }
            from = chunk_end;
        }
        Ok(None)
    }

    /// Whole batches from the one that holds `from`; none when the store is not in time.
    pub async fn read_remote(
        &self,
        from: Offset,
        bytes_max: u32,
        isolation: Isolation,
        deadline: Instant,
    ) -> Result<RemoteRecords, ReadError> {
        match self.try_read_remote(from, bytes_max, isolation, deadline).await {
            Err(ReadError::Tier(TierError::NotInTime)) => Ok(RemoteRecords::default()),
            Err(ReadError::Tier(error)) if error.is_corruption() => {
                self.counters().corruptions.inc();
                Err(ReadError::Tier(error))
            }
            read => read,
        }
    }

    async fn try_read_remote(
        &self,
        from: Offset,
        bytes_max: u32,
        isolation: Isolation,
        deadline: Instant,
    ) -> Result<RemoteRecords, ReadError> {
        let tiered = self.tiered().ok_or(ReadError::NoTier)?;
        let (batches, next_offset) = tiered.read(from, bytes_max as usize, deadline).await.map_err(ReadError::Tier)?;
        // What an earlier release moved up may lie behind the last stable offset. All that is in the tier was committed: the
        // high watermark, which is lower after a start until what was recovered is synced, does not count.
        let stable = self.last_stable_offset();
        let is_held_back = isolation == Isolation::ReadCommitted && stable < self.high_watermark().get();
        let (batches, next_offset) = match is_held_back && next_offset > stable {
            true => (cut_at(batches, stable)?, stable),
            false => (batches, next_offset),
        };
        let aborted = match isolation {
            Isolation::ReadUncommitted => None,
            Isolation::ReadCommitted => Some(self.aborted_in_tier(&tiered, from, next_offset, deadline).await?),
        };
        Ok(RemoteRecords { batches, aborted })
    }
}

/// The batches that begin before `end`.
fn cut_at(slices: Vec<Bytes>, end: Offset) -> Result<Vec<Bytes>, ReadError> {
    let mut kept = Vec::new();
    for slice in slices {
        let mut length = 0;
        for batch in BatchIter::new(&slice) {
            let header = batch.map_err(|error| unreadable(end, &error))?.header;
            if header.base_offset >= end.0 {
                kept.push(slice.slice(..length));
                return Ok(kept);
            }
            length += header.batch_bytes();
        }
        kept.push(slice);
    }
    Ok(kept)
}

/// The offsets that count.
#[derive(Clone, Copy)]
struct Bounds {
    from: Offset,
    below: Offset,
}

/// The first record of `chunk` at or after `timestamp`. Unpacks.
fn first_of(chunk: &Bytes, bounds: Bounds, timestamp: i64) -> Result<Option<ListedOffset>, ReadError> {
    for batch in BatchIter::new(chunk) {
        let batch = batch.map_err(|error| unreadable(bounds.from, &error))?;
        let found = in_batch(&batch, bounds, timestamp, |batch| {
            first_record_at_or_after(batch, timestamp, bounds.from.0, log::LOOKUP_OUTPUT_BYTES_MAX)
        });
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The first record of `chunk` with the largest timestamp, where that is at least `at_least`. Unpacks.
fn newest_of(chunk: &Bytes, bounds: Bounds, at_least: i64) -> Result<Option<ListedOffset>, ReadError> {
    let mut best: Option<ListedOffset> = None;
    for batch in BatchIter::new(chunk) {
        let batch = batch.map_err(|error| unreadable(bounds.from, &error))?;
        let least = best.map_or(at_least, |best| best.timestamp.saturating_add(1));
        let found = in_batch(&batch, bounds, least, |batch| {
            record_of_max_timestamp(batch, bounds.from.0, log::LOOKUP_OUTPUT_BYTES_MAX)
        });
        best = found.or(best);
    }
    Ok(best)
}

/// What `find` finds in a batch that may hold a record within the bounds and at or after `timestamp`.
fn in_batch(
    batch: &Batch<'_>,
    bounds: Bounds,
    timestamp: i64,
    find: impl Fn(&Batch<'_>) -> Option<RecordTime>,
) -> Option<ListedOffset> {
    let header = batch.header;
    let outside = header.next_offset() <= bounds.from.0 || header.base_offset >= bounds.below.0;
    if outside || header.max_timestamp < timestamp {
        return None;
    }
    let found = find(batch).filter(|found| found.timestamp >= timestamp && found.offset < bounds.below.0)?;
    Some(ListedOffset { offset: found.offset, timestamp: found.timestamp, leader_epoch: header.partition_leader_epoch })
}
