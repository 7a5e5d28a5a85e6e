//! What a data directory remembers of each partition: recovery points, log starts, cleaner points.
//!
//! Owns what the entries mean, of partitions that are not open too.

use stratalog_types::{Offset, TopicPartition};

use super::LogDir;
use crate::log::error::Error;
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
        // Under the lock of the entries: a log that is truncated lowers its own after this, or is seen as it is then.
        self.recovery_points.change(|entries| {
            let mut points = Vec::new();
            for log in self.open_logs() {
                let flushed = log.flushed().get();
                // Unknown until all that was found of it is synced: an entry would say that what lies above was never acknowledged.
                let is_unknown = !self.recovery_points.is_whole() && entries.wanted(log.topic_partition()).is_none();
                if is_unknown && flushed == Offset::ZERO && log.log_end_offset() > flushed {
                    continue;
                }
                points.push((log.topic_partition().clone(), Some(flushed)));
            }
            Some(points)
        })
    }

    pub(in crate::log) fn recovery_point(&self, partition: &TopicPartition) -> RecoveryPoint {
        match self.recovery_points.get(partition) {
            Some(point) => RecoveryPoint::At(point),
            // Younger than the last checkpoint: nothing of it is known to be synced.
            None if self.recovery_points.is_whole() => RecoveryPoint::At(Offset::ZERO),
            None => RecoveryPoint::Unknown,
        }
    }

    /// Durable when this returns: records from `offset` on may be gone after the next crash.
    pub(in crate::log) fn lower_recovery_point(&self, partition: &TopicPartition, offset: Offset) -> Result<(), Error> {
        // First, for it lies below the recovery point.
        self.cleaner_points.lower(partition, offset)?;
        self.recovery_points.lower(partition, offset)
    }

    /// Whether a cleaner has been at a log, or may have been.
    pub(in crate::log) fn was_compacted(&self, partition: &TopicPartition) -> bool {
        self.cleaner_point(partition).is_some() || self.may_lack_cleaner_point(partition)
    }

    /// Whether a cleaner may have been at a log, and what it noted is lost. An entry may be of a part of its holes, where a
    /// crash cut short the recovery that notes them.
    pub(in crate::log) fn may_lack_cleaner_point(&self, partition: &TopicPartition) -> bool {
        !self.cleaner_points.is_whole() && !self.doubts.is_whole(partition)
    }

    /// Up to where a log is clean, as checkpointed.
    pub(in crate::log) fn cleaner_point(&self, partition: &TopicPartition) -> Option<Offset> {
        self.cleaner_points.get(partition)
    }

    /// Durable when this returns.
    pub(in crate::log) fn write_cleaner_point(&self, partition: &TopicPartition, offset: Offset) -> Result<(), Error> {
        self.cleaner_points.put(partition, offset)
    }

    pub(in crate::log) fn log_start(&self, partition: &TopicPartition) -> Option<Offset> {
        self.log_starts.get(partition)
    }

    /// Whether the start of a log moved, or an entry that said so may be lost.
    pub(in crate::log) fn may_have_moved_start(&self, partition: &TopicPartition) -> bool {
        !self.log_starts.is_whole() || self.log_start(partition).is_some()
    }

    /// Durable when this returns.
    pub(in crate::log) fn write_log_start(&self, partition: &TopicPartition, offset: Offset) -> Result<(), Error> {
        self.with_spare(|| self.log_starts.put(partition, offset))
    }

    /// All of them with one write; durable when this returns.
    pub(in crate::log) fn write_log_starts(&self, starts: Vec<(TopicPartition, Offset)>) -> Result<(), Error> {
        let changes: Vec<_> = starts.into_iter().map(|(name, offset)| (name, Some(offset))).collect();
        self.with_spare(|| self.log_starts.change(|_| Some(changes.clone())))
    }

    /// Writes the log start of a partition that has no entry yet.
    pub(in crate::log) fn write_log_start_once(&self, partition: &TopicPartition, offset: Offset) -> Result<(), Error> {
        self.with_spare(|| self.log_starts.put_missing(&[(partition.clone(), offset)]))
    }

    /// Removes what the checkpoints say of partitions; durable when this returns. A new log of the same name must not
    /// find its predecessor's entries: a log start would hide its records. So a creation asks for this too, in case the
    /// deletion was cut short.
    pub(in crate::log) fn forget_checkpoints(&self, partitions: &[TopicPartition]) -> Result<(), Error> {
        for partition in partitions {
            lock(&self.distrusted).remove(partition);
            lock(&self.closed).remove(partition);
            if !self.cleaner_points.is_whole() {
                self.doubts.has_none_of(partition);
            }
        }
        for checkpoint in [&self.recovery_points, &self.log_starts, &self.cleaner_points] {
            self.with_spare(|| checkpoint.remove(partitions))?;
        }
        Ok(())
    }
}
