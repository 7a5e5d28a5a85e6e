//! What of a log is clean, what may be cleaned, and how much it matters.

use std::sync::Arc;

use stratalog_types::Offset;

use super::{CleanError, unless_removed};
use crate::log::Log;
use crate::log::partition_log::last_modified_ms;
use crate::log::scan::HeaderScan;
use crate::log::segment::Segment;
use crate::platform::{lock, read_lock};

/// How dirty a log is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dirt {
    /// Below it every key has one record, or a tombstone.
    pub first_dirty_offset: Offset,
    /// The first offset that may not be cleaned: the base of a segment.
    pub end_offset: Offset,
    pub clean_bytes: u64,
    pub dirty_bytes: u64,
    /// How long some record has waited beyond `max.compaction.lag.ms`.
    pub overdue_ms: i64,
}

impl Dirt {
    /// The dirty share of what a cleaning would read.
    pub fn ratio(&self) -> f64 {
        let total = self.clean_bytes + self.dirty_bytes;
        if total == 0 { 0.0 } else { self.dirty_bytes as f64 / total as f64 }
    }
}

impl Log {
    /// How dirty the log is. `high_watermark`: nothing at or behind it is cleaned.
    pub fn dirt(&self, high_watermark: Offset) -> Result<Dirt, CleanError> {
        let config = self.config();
        let now_ms = self.dir.clock.now_ms();
        let stable = self.first_unstable_offset(high_watermark).unwrap_or(high_watermark);
        let stable = stable.min(high_watermark).min(self.flushed().get());
        let segments: Vec<Arc<Segment>> = read_lock(&self.segments).values().cloned().collect();
        let Some((active, closed)) = segments.split_last() else { return Err(CleanError::Closed) };
        let first_dirty = self.first_dirty_offset();
        let lag_ms = config.compaction.min_lag_ms;
        let mut end = active.base_offset.min(base_of(closed, stable.0).unwrap_or(active.base_offset));
        for segment in closed.iter().filter(|segment| lag_ms > 0 && segment.next_offset() > first_dirty.0) {
            let largest =
                segment.largest_timestamp().map_err(|e| unless_removed([segment], segment.read_error(e.into())))?;
            let newest = largest.map(|(timestamp, _)| timestamp).or_else(|| last_modified_ms(segment));
            if newest.is_none_or(|newest| newest > now_ms.saturating_sub(lag_ms)) {
                end = end.min(segment.base_offset);
                break;
            }
        }
        let end = end.max(first_dirty.0.min(active.base_offset));
        let bytes = |from: i64, until: i64| -> u64 {
            let within = |segment: &&Arc<Segment>| segment.base_offset >= from && segment.base_offset < until;
            closed.iter().filter(within).map(|segment| segment.size_bytes()).sum()
        };
        // The segment that the first dirty offset lies in counts as dirty, as Kafka has it.
        let border = base_of(closed, first_dirty.0).unwrap_or(first_dirty.0).min(end);
        let overdue_ms = match config.compaction.max_lag_ms {
            Some(lag_ms) => overdue_ms(closed, first_dirty.0, now_ms.saturating_sub(lag_ms))?,
            None => 0,
        };
        Ok(Dirt {
            first_dirty_offset: first_dirty,
            end_offset: Offset(end),
            clean_bytes: bytes(i64::MIN, border),
            dirty_bytes: bytes(border, end),
            overdue_ms,
        })
    }

    /// The checkpoint, unless the log does not have that offset: then all of it is dirty.
    fn first_dirty_offset(&self) -> Offset {
        let (start, end) = (self.local_log_start_offset(), self.log_end_offset());
        match self.dir.cleaner_point(&self.topic_partition) {
            Some(point) if point >= start && point <= end => point,
            _ => start,
        }
    }

    /// Closes an active segment whose first record is older than `max.compaction.lag.ms`, so that it can be cleaned.
    /// Answers whether it did.
    pub fn roll_for_compaction(&self) -> Result<bool, CleanError> {
        let Some(lag_ms) = self.config().compaction.max_lag_ms else { return Ok(false) };
        let due = {
            let appender = lock(&self.append);
            let first = appender.first_timestamp.filter(|first| *first > 0).unwrap_or(appender.created_ms);
            appender.size_bytes > 0 && self.dir.clock.now_ms().saturating_sub(first) > lag_ms
        };
        if due { Ok(self.roll().map(|_| true)?) } else { Ok(false) }
    }
}

/// The base offset of the segment that has `offset`.
fn base_of(segments: &[Arc<Segment>], offset: i64) -> Option<i64> {
    let behind = segments.partition_point(|segment| segment.base_offset <= offset);
    let segment = segments.get(behind.checked_sub(1)?)?;
    (segment.next_offset() > offset).then_some(segment.base_offset)
}

/// By how much the oldest first batch of a dirty segment is older than `until`.
fn overdue_ms(closed: &[Arc<Segment>], first_dirty: i64, until: i64) -> Result<i64, CleanError> {
    let mut oldest = i64::MAX;
    for segment in closed.iter().filter(|segment| segment.next_offset() > first_dirty) {
        let file = segment.file().map_err(|e| unless_removed([segment], segment.read_error(e.into())))?;
        let first = HeaderScan::new(file.file(), 0, segment.size_bytes()).next();
        let first = first.map_err(|e| segment.read_error(e))?;
        oldest = oldest.min(first.map(|at| at.header.max_timestamp).filter(|at| *at > 0).unwrap_or(i64::MAX));
    }
    Ok(if oldest < until { until - oldest } else { 0 })
}
