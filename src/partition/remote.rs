//! A partition's history in the tier: opening it, reading it, and letting local copies go.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use stratalog_protocol::records::{BatchIter, first_record_at_or_after};
use stratalog_types::Offset;
use tokio::time::Instant;

use super::error::ReadError;
use super::leader::{Isolation, Partition};
use super::offsets::{ListedOffset, off_worker};
use super::tier::{TierError, Tiered, UploadedSegment};
use crate::log;

/// A batch of the tier before `end` that cannot be walked: an error as it is for a local one, never a record passed over.
fn unreadable(end: Offset, error: &dyn std::fmt::Display) -> ReadError {
    ReadError::Tier(TierError::Batch { end, what: error.to_string() })
}

impl Partition {
    /// The tier's half; `None` when nothing of this partition was ever to be tiered.
    pub fn tiered(&self) -> Option<Arc<Tiered>> {
        self.tiered.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_tiered(&self, tiered: Arc<Tiered>) {
        *self.tiered.write().unwrap_or_else(PoisonError::into_inner) = Some(tiered);
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
        let Some(tiered) = self.tiered() else { return Ok(()) };
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
            tiered.begin(self.leader_epoch(), false).await?;
            // The session began: the log agrees with the tier, or was restarted at its end.
            self.high_watermark().reset(self.log().log_end_offset());
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
        let Some(tiered) = self.tiered() else { return Ok((0, 0)) };
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
    pub(super) async fn tiered_max_timestamp(
        &self,
        at_least: i64,
        below: Offset,
        deadline: Instant,
    ) -> Result<Option<ListedOffset>, ReadError> {
        let Some(tiered) = self.known_tier()? else { return Ok(None) };
        match tiered.view().max_timestamp(self.log_start_offset(), below) {
            Some(newest) if newest >= at_least => self.tiered_at_timestamp(newest, below, deadline).await,
            _ => Ok(None),
        }
    }

    /// The first record below `below` at or after `timestamp`.
    pub(super) async fn tiered_at_timestamp(
        &self,
        timestamp: i64,
        below: Offset,
        deadline: Instant,
    ) -> Result<Option<ListedOffset>, ReadError> {
        let Some(tiered) = self.known_tier()? else { return Ok(None) };
        let log_start_offset = self.log_start_offset();
        let mut from = log_start_offset;
        // The manifest's head tells, without a request, whether any segment there is late enough.
        while tiered.view().max_timestamp(from, below).is_some_and(|newest| newest >= timestamp) {
            let chunk = tiered.chunk_at_timestamp(timestamp, from, deadline).await.map_err(ReadError::Tier)?;
            let Some(chunk) = chunk else { return Ok(None) };
            match off_worker(move || look(&chunk, from, timestamp, log_start_offset)).await?? {
                Looked::Found(found) => return Ok(Some(found)),
                Looked::NotBefore(next) if next > from => from = next,
                Looked::NotBefore(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Whole batches from the one that holds `from`; empty when the store is not in time.
    pub async fn read_remote(&self, from: Offset, bytes_max: u32, deadline: Instant) -> Result<Vec<Bytes>, ReadError> {
        let tiered = self.tiered().ok_or(ReadError::NoTier)?;
        tiered.read(from, bytes_max as usize, deadline).await.map_err(|error| {
            if error.is_corruption() {
                self.counters().corruptions.inc();
            }
            ReadError::Tier(error)
        })
    }
}

/// What a look into a chunk brought.
enum Looked {
    Found(ListedOffset),
    /// Nothing below this offset.
    NotBefore(Offset),
}

/// The first record of `chunk`, whose records start at `from` for the caller, at or after `timestamp`. Unpacks.
fn look(chunk: &Bytes, from: Offset, timestamp: i64, log_start_offset: Offset) -> Result<Looked, ReadError> {
    let mut last = from;
    for batch in BatchIter::new(chunk) {
        let batch = batch.map_err(|error| unreadable(last, &error))?;
        last = Offset(batch.header.next_offset());
        if batch.header.max_timestamp < timestamp || last <= log_start_offset {
            continue;
        }
        let bytes_max = log::LOOKUP_OUTPUT_BYTES_MAX;
        let found = first_record_at_or_after(&batch, timestamp, log_start_offset.0, bytes_max);
        if let Some(found) = found.map_err(|error| unreadable(last, &error))? {
            return Ok(Looked::Found(ListedOffset {
                offset: found.offset,
                timestamp: found.timestamp,
                leader_epoch: batch.header.partition_leader_epoch,
            }));
        }
    }
    Ok(Looked::NotBefore(last))
}
