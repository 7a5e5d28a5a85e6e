//! What a partition may forget: decided here as pure functions over intervals, done by the partition.
//!
//! Order of effects: the log start is durable first, then files go. A crash between leaves files below the log start,
//! which the next round removes. Log starts of one round are written together: a checkpoint has all of a data directory.

use std::sync::Arc;

use stratalog_types::Offset;

use super::leader::Partition;
use crate::config::TopicConfig;
use crate::log::{self, Log, LogDir, SegmentInfo};

/// Where the log start may move to: past closed segments that are too old, or over the size limit. `total_bytes` is the
/// size of the whole log over both tiers, each interval counted once; `segments` are the oldest closed ones first. One
/// whose age cannot be told is not too old: its disk may be away, and come back.
pub fn retained_start(
    segments: &[SegmentInfo],
    total_bytes: u64,
    log_start_offset: Offset,
    retention_ms: Option<u64>,
    retention_bytes: Option<u64>,
    now_ms: i64,
) -> Offset {
    let mut start = log_start_offset;
    let mut bytes_left = total_bytes;
    for segment in segments {
        let age_ms = segment.newest_ms.map(|newest_ms| now_ms.saturating_sub(newest_ms));
        let too_old =
            age_ms.zip(retention_ms).is_some_and(|(age_ms, limit)| age_ms > i64::try_from(limit).unwrap_or(i64::MAX));
        let over_size = retention_bytes.is_some_and(|limit| bytes_left.saturating_sub(segment.bytes) >= limit);
        let below_start = segment.end_offset <= log_start_offset;
        if !(too_old || over_size || below_start) {
            break;
        }
        bytes_left = bytes_left.saturating_sub(segment.bytes);
        start = start.max(segment.end_offset);
    }
    start
}

/// What a round on local disk does to a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalRetention {
    /// `None`: it stays, or the tier moves it.
    log_start: Option<Offset>,
    /// Closed segments wholly below it go.
    below: Offset,
}

impl LocalRetention {
    /// Moves the log starts that are to move, with few writes. Blocks. Who was left out moves on its own; answers the data
    /// directories where that failed.
    pub fn begin(planned: &[(Arc<Partition>, LocalRetention)]) -> Vec<(Arc<LogDir>, log::Error)> {
        let start_of = |(partition, plan): &(Arc<Partition>, LocalRetention)| {
            plan.log_start.map(|start| (Arc::clone(partition.log()), start))
        };
        let starts: Vec<(Arc<Log>, Offset)> = planned.iter().filter_map(start_of).collect();
        Log::advance_log_starts(&starts)
    }

    /// Whether all that is left to do is to remove files.
    pub fn has_begun(&self, partition: &Partition) -> bool {
        self.log_start.is_none_or(|start| start <= partition.log().log_start_offset())
    }
}

impl Partition {
    /// One round on local disk. Blocks.
    pub fn retain_local(&self, config: &TopicConfig, now_ms: i64) -> Result<(), log::Error> {
        let plan = self.plan_local_retention(config, now_ms)?;
        self.carry_out(&plan)
    }

    /// Moves the log start, if that is not done yet, and removes what lies before it. Blocks.
    pub fn carry_out(&self, plan: &LocalRetention) -> Result<(), log::Error> {
        if let Some(start) = plan.log_start {
            self.log().set_log_start_offset(start)?;
        }
        self.log().delete_local_below(plan.below).map(drop)
    }

    /// What may go now: the log start moves where no tier does it, and local copies go of what is tiered for good and past
    /// the hot set. Segments that are damaged here and whole in the tier go at once, and one that is wholly expired is
    /// closed. Blocks.
    pub fn plan_local_retention(&self, config: &TopicConfig, now_ms: i64) -> Result<LocalRetention, log::Error> {
        let log = self.log();
        log.expire_producers();
        self.heal()?;
        // Nothing has to be written first: on a full disk that makes room for what has to be.
        log.delete_local_below(log.log_start_offset())?;
        let copied = config.remote_storage_enable && !config.remote_log_copy_disable;
        if let Some(tiered) = self.tiered().filter(|_| copied && config.cleanup_delete) {
            let mut segments = log.closed_segments();
            // The tier has what is to go: a copy that cannot be read is no reason to keep those behind it.
            for segment in &mut segments {
                segment.newest_ms = segment.newest_ms.or(segment.last_modified_ms).or(Some(i64::MIN));
            }
            let start = retained_start(
                &segments,
                log.size_bytes(),
                log.local_log_start_offset(),
                config.local_retention_ms,
                config.local_retention_bytes,
                now_ms,
            );
            let start = start.min(tiered.durable_end_offset()).max(log.log_start_offset());
            return Ok(LocalRetention { log_start: None, below: start });
        }
        if !config.cleanup_delete {
            return Ok(LocalRetention { log_start: None, below: log.log_start_offset() });
        }
        self.roll_expired(config, now_ms)?;
        let segments = log.closed_segments();
        let start = retained_start(
            &segments,
            log.size_bytes(),
            log.log_start_offset(),
            config.retention_ms,
            config.retention_bytes,
            now_ms,
        );
        let stopped_at = segments.iter().find(|segment| segment.end_offset > start);
        if let Some(segment) = stopped_at.filter(|segment| segment.newest_ms.is_none()) {
            tracing::warn!(
                path = %log.path().display(), base_offset = %segment.base_offset,
                "retention stops at a segment that cannot be read: its age is not known. Put its files back, or move the \
                 log start past it with DeleteRecords"
            );
        }
        // Only what consumers could see may go: the rest is not durable yet.
        let start = start.min(self.high_watermark().get());
        Ok(LocalRetention { log_start: Some(start), below: start })
    }

    /// An active segment whose every record is expired is closed, so that it can go (as Kafka does).
    fn roll_expired(&self, config: &TopicConfig, now_ms: i64) -> Result<(), log::Error> {
        let Some(limit) = config.retention_ms else { return Ok(()) };
        let log = self.log();
        let newest = match log.max_timestamp_offset(log.log_end_offset()) {
            Ok(Some(newest)) => newest,
            Ok(None) | Err(_) => return Ok(()),
        };
        let expired = now_ms.saturating_sub(newest.timestamp) > i64::try_from(limit).unwrap_or(i64::MAX);
        match expired.then(|| log.roll()) {
            // The closed ones may go.
            Some(Err(log::Error::StorageFull { .. })) | None => Ok(()),
            Some(rolled) => rolled.map(drop),
        }
    }
}
