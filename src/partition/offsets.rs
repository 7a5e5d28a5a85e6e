//! Where a timestamp, or one of Kafka's special timestamps, lies: over both tiers.
//!
//! A look for a timestamp reads index and log files and unpacks batches: off the worker.

use stratalog_types::{LeaderEpoch, Offset};
use tokio::time::Instant;

use super::error::ReadError;
use super::leader::{Isolation, Partition};
use super::off_worker::OffWorker;
use crate::log;

/// Each may unpack a batch.
static LOOKS: OffWorker = OffWorker::new(4);

pub(super) async fn off_worker<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> Result<T, ReadError> {
    LOOKS.run(look).await
}

/// What ListOffsets may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// -1: one past the last visible record.
    Latest,
    /// -2: the log start, over both tiers.
    Earliest,
    /// -3: the record with the largest timestamp (KIP-734).
    MaxTimestamp,
    /// -4: the first offset on the local disk (KIP-405).
    EarliestLocal,
    /// -5: the last offset in the tier, -1 without one (KIP-1005).
    LatestTiered,
    /// -6: the first offset that the tier does not have, -1 without a tier (KIP-1023).
    EarliestPendingUpload,
    /// The first record with this timestamp or a later one.
    Timestamp(i64),
}

/// Kafka's answer; -1 stands for "none" in each field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedOffset {
    pub offset: i64,
    pub timestamp: i64,
    pub leader_epoch: i32,
}

impl ListedOffset {
    pub const NONE: ListedOffset = ListedOffset { offset: -1, timestamp: -1, leader_epoch: -1 };
}

impl Partition {
    /// Answers from the local log where it can; asks the tier, until `deadline`, for what is not on disk.
    pub async fn list_offset(
        &self,
        spec: OffsetSpec,
        isolation: Isolation,
        deadline: Instant,
    ) -> Result<ListedOffset, ReadError> {
        if self.is_behind_tier() {
            return Err(ReadError::BehindTier);
        }
        let of_the_end = matches!(spec, OffsetSpec::Latest | OffsetSpec::MaxTimestamp | OffsetSpec::Timestamp(_));
        if of_the_end && !self.shows_its_end() {
            return Err(ReadError::EndNotKnown);
        }
        match spec {
            OffsetSpec::Latest => Ok(ListedOffset {
                offset: self.visible_end(isolation).0,
                timestamp: -1,
                leader_epoch: self.leader_epoch().0,
            }),
            OffsetSpec::Earliest => Ok(self.listed_at(self.log_start_offset())),
            OffsetSpec::EarliestLocal => Ok(self.listed_at(self.log().local_log_start_offset())),
            OffsetSpec::LatestTiered => Ok(match self.tiered_end_offset() {
                Some(end) if end.0 > 0 => self.listed_at(Offset(end.0 - 1)),
                _ => ListedOffset::NONE,
            }),
            OffsetSpec::EarliestPendingUpload => Ok(self.earliest_pending_upload()),
            OffsetSpec::MaxTimestamp => self.max_timestamp(isolation, deadline).await,
            OffsetSpec::Timestamp(timestamp) => self.at_timestamp(timestamp, isolation, deadline).await,
        }
    }

    fn listed_at(&self, offset: Offset) -> ListedOffset {
        let leader_epoch = self.log().epoch_of(offset).unwrap_or(LeaderEpoch::NONE).0;
        ListedOffset { offset: offset.0, timestamp: -1, leader_epoch }
    }

    fn earliest_pending_upload(&self) -> ListedOffset {
        if !self.config().remote_storage_enable {
            return ListedOffset::NONE;
        }
        match self.tiered_end_offset() {
            Some(end) => self.listed_at(end.max(self.log_start_offset())),
            None if self.log().local_log_start_offset() == self.log_start_offset() => {
                self.listed_at(self.log_start_offset())
            }
            None => ListedOffset::NONE,
        }
    }

    async fn max_timestamp(&self, isolation: Isolation, deadline: Instant) -> Result<ListedOffset, ReadError> {
        loop {
            let local_start = self.log().local_log_start_offset();
            let (own, until) = (self.log().clone(), self.visible_end(isolation));
            let local = off_worker(move || own.max_timestamp_offset(until)).await?;
            let Some(local) = self.unless_evicted(local_start, local)? else { continue };
            let local = local.map(ListedOffset::from);
            let at_least = local.map_or(0, |local| local.timestamp);
            let tiered = match self.tiered_below_local() {
                Some(below) => self.tiered_max_timestamp(at_least, below.min(until), deadline).await?,
                None => None,
            };
            // Of two equal ones the earlier, as Kafka takes the first record with the largest timestamp.
            return Ok(tiered.or(local).unwrap_or(ListedOffset::NONE));
        }
    }

    async fn at_timestamp(
        &self,
        timestamp: i64,
        isolation: Isolation,
        deadline: Instant,
    ) -> Result<ListedOffset, ReadError> {
        let found = loop {
            let local_start = self.log().local_log_start_offset();
            if let Some(below) = self.tiered_below_local()
                && let Some(found) = self.tiered_at_timestamp(timestamp, below, deadline).await?
            {
                let is_visible = found.offset < self.visible_end(isolation).0;
                return Ok(if is_visible { found } else { ListedOffset::NONE });
            }
            let local = self.log().clone();
            let found = off_worker(move || local.offset_for_timestamp(timestamp)).await?;
            if let Some(found) = self.unless_evicted(local_start, found)? {
                break found;
            }
        };
        let visible = found.filter(|found| found.offset < self.visible_end(isolation));
        Ok(visible.map_or(ListedOffset::NONE, ListedOffset::from))
    }

    /// What a look into the local log found; `None` where the local log has lost its beginning meanwhile: what was evicted
    /// was looked for in neither place, and may have been missed with an error.
    fn unless_evicted<T>(&self, local_start: Offset, found: Result<T, log::ReadError>) -> Result<Option<T>, ReadError> {
        if self.log().local_log_start_offset() != local_start {
            return Ok(None);
        }
        found.map(Some).map_err(ReadError::Log)
    }

    /// Where the local log starts, if only the tier has what lies before it.
    fn tiered_below_local(&self) -> Option<Offset> {
        let local_start = self.log().local_log_start_offset();
        (local_start > self.log_start_offset()).then_some(local_start)
    }
}

impl From<log::TimestampedOffset> for ListedOffset {
    fn from(found: log::TimestampedOffset) -> ListedOffset {
        ListedOffset { offset: found.offset.0, timestamp: found.timestamp, leader_epoch: found.leader_epoch.0 }
    }
}
