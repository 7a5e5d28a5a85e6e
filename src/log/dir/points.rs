//! What a data directory remembers of each partition: recovery points, log starts, cleaner points.
//!
//! Owns the entries, of partitions that are not open too. Each file is written as a whole.

use stratalog_types::{Offset, TopicPartition};

use super::LogDir;
use crate::log::checkpoint;
use crate::log::error::Error;
use crate::log::names;
use crate::platform::lock;

/// What is known to be synced of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecoveryPoint {
    /// Everything before it.
    At(Offset),
    /// The checkpoint did not read.
    Unknown,
}

impl RecoveryPoint {
    pub fn or(self, unknown: Offset) -> Offset {
        match self {
            RecoveryPoint::At(point) => point,
            RecoveryPoint::Unknown => unknown,
        }
    }

    /// Where something else says what is synced too.
    pub fn at_least(self, synced: Option<Offset>) -> RecoveryPoint {
        match self {
            RecoveryPoint::At(point) => RecoveryPoint::At(point.max(synced.unwrap_or_default())),
            RecoveryPoint::Unknown => RecoveryPoint::Unknown,
        }
    }

    /// Whether `offset` is known to lie above it.
    pub fn is_below(self, offset: i64) -> bool {
        match self {
            RecoveryPoint::At(point) => point.0 < offset,
            RecoveryPoint::Unknown => false,
        }
    }
}

impl LogDir {
    /// Writes the recovery points: what is synced now of each open log.
    pub fn checkpoint_recovery_points(&self) -> Result<(), Error> {
        let mut points = lock(&self.recovery_points);
        for log in self.open_logs() {
            let flushed = log.flushed().get();
            // Unknown until all that was found of it is synced: an entry would say that what lies above was never acknowledged.
            let is_unknown = !self.recovery_points_whole && !points.contains_key(log.topic_partition());
            if is_unknown && flushed == Offset::ZERO && log.log_end_offset() > flushed {
                continue;
            }
            points.insert(log.topic_partition().clone(), flushed);
        }
        checkpoint::write_offsets(&self.disk, &self.path.join(names::RECOVERY_POINTS), &points)
    }

    pub(in crate::log) fn recovery_point(&self, partition: &TopicPartition) -> RecoveryPoint {
        match lock(&self.recovery_points).get(partition) {
            Some(point) => RecoveryPoint::At(*point),
            // Younger than the last checkpoint: nothing of it is known to be synced.
            None if self.recovery_points_whole => RecoveryPoint::At(Offset::ZERO),
            None => RecoveryPoint::Unknown,
        }
    }

    /// Durable when this returns: records from `offset` on may be gone after the next crash.
    pub(in crate::log) fn lower_recovery_point(&self, partition: &TopicPartition, offset: Offset) -> Result<(), Error> {
        // First, for it lies below the recovery point.
        let mut clean = lock(&self.cleaner_points);
        if clean.get(partition).is_some_and(|point| *point > offset) {
            clean.insert(partition.clone(), offset);
            checkpoint::write_offsets(&self.disk, &self.path.join(names::CLEANER_POINTS), &clean)?;
        }
        drop(clean);
        let mut points = lock(&self.recovery_points);
        if points.get(partition).is_none_or(|point| *point <= offset) {
            return Ok(());
        }
        points.insert(partition.clone(), offset);
        checkpoint::write_offsets(&self.disk, &self.path.join(names::RECOVERY_POINTS), &points)
    }

    /// Whether a cleaner has been at a log, or may have been.
    pub(in crate::log) fn was_compacted(&self, partition: &TopicPartition) -> bool {
        !self.cleaner_points_whole || self.cleaner_point(partition).is_some()
    }

    /// Up to where a log is clean, as checkpointed.
    pub(in crate::log) fn cleaner_point(&self, partition: &TopicPartition) -> Option<Offset> {
        lock(&self.cleaner_points).get(partition).copied()
    }

    /// Durable when this returns.
    pub(in crate::log) fn write_cleaner_point(&self, partition: &TopicPartition, offset: Offset) -> Result<(), Error> {
        let mut points = lock(&self.cleaner_points);
        points.insert(partition.clone(), offset);
        checkpoint::write_offsets(&self.disk, &self.path.join(names::CLEANER_POINTS), &points)
    }

    pub(in crate::log) fn log_start(&self, partition: &TopicPartition) -> Option<Offset> {
        lock(&self.log_starts).get(partition).copied()
    }

    /// Durable when this returns.
    pub(in crate::log) fn write_log_start(&self, partition: &TopicPartition, offset: Offset) -> Result<(), Error> {
        let mut starts = lock(&self.log_starts);
        let before = starts.insert(partition.clone(), offset);
        let written = checkpoint::write_offsets(&self.disk, &self.path.join(names::LOG_STARTS), &starts);
        if written.is_err() {
            match before {
                Some(before) => starts.insert(partition.clone(), before),
                None => starts.remove(partition),
            };
        }
        written
    }

    /// Writes the log start of a partition that has no entry yet.
    pub(in crate::log) fn write_log_start_once(&self, partition: &TopicPartition, offset: Offset) -> Result<(), Error> {
        if self.log_start(partition).is_some() {
            return Ok(());
        }
        self.write_log_start(partition, offset)
    }

    /// Removes what the checkpoints say of a partition; durable when this returns. A new log of the same name must not
    /// find its predecessor's entries: a log start would hide its records. So a creation asks for this too, in case the
    /// deletion was cut short.
    pub(in crate::log) fn forget_checkpoints(&self, partition: &TopicPartition) -> Result<(), Error> {
        let checkpoints = [
            (names::RECOVERY_POINTS, &self.recovery_points),
            (names::LOG_STARTS, &self.log_starts),
            (names::CLEANER_POINTS, &self.cleaner_points),
        ];
        lock(&self.distrusted).remove(partition);
        lock(&self.closed).remove(partition);
        for (name, map) in checkpoints {
            let mut offsets = lock(map);
            if offsets.remove(partition).is_some() {
                checkpoint::write_offsets(&self.disk, &self.path.join(name), &offsets)?;
            }
        }
        Ok(())
    }
}
