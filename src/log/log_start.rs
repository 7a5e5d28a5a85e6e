//! The log start: the first offset that exists, here or in the tier.
//!
//! Order of effects of a move: the data directory's checkpoint (durable), memory, then the leader epochs of which
//! nothing is left. A crash in between leaves epochs that begin too early; the next move drops them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use stratalog_types::Offset;

use super::append::Appender;
use super::dir::LogDir;
use super::error::Error;
use super::partition_log::Log;
use crate::platform::{lock, try_lock, write_lock};

impl Log {
    /// The first offset that exists, here or in the tier.
    pub fn log_start_offset(&self) -> Offset {
        Offset(self.log_start.load(Ordering::SeqCst))
    }

    /// Moves the log start forward. Durable when this returns; visible only then. A start behind is ignored.
    pub fn set_log_start_offset(&self, offset: Offset) -> Result<(), Error> {
        let appender = lock(&self.append);
        appender.check_not_closed()?;
        let log_end_offset = self.log_end_offset();
        if offset > log_end_offset {
            return Err(Error::StartPastEnd { offset, log_end_offset });
        }
        self.advance_log_start(offset)
    }

    /// As [`Log::set_log_start_offset`], on behalf of the tier, whose history may go on where this log ends too early (its
    /// directory was lost): then the start is only written down, for the log to restart behind it.
    pub fn checkpoint_log_start(&self, offset: Offset) -> Result<(), Error> {
        let appender = lock(&self.append);
        appender.check_not_closed()?;
        if offset > self.log_end_offset() {
            return self.dir.write_log_start(&self.topic_partition, offset);
        }
        self.advance_log_start(offset)
    }

    /// A head start for many logs that are about to be moved: one write of a data directory's checkpoint has the starts of
    /// all of its logs, and appends to them wait for it. Each is to be moved by itself then, which finds it done, or does
    /// it: a log that somebody appends to now, or that cannot be moved, is left out. Answers the directories where that
    /// failed. They come one after the other, and appends wait for their own alone.
    pub fn advance_log_starts(moves: &[(Arc<Log>, Offset)]) -> Vec<(Arc<LogDir>, Error)> {
        let mut failed = Vec::new();
        let mut left: Vec<&(Arc<Log>, Offset)> = moves.iter().collect();
        while let Some((first, _)) = left.first() {
            let dir = Arc::clone(&first.dir);
            let of_dir: Vec<_> = left.extract_if(.., |(log, _)| log.is_in(&dir)).collect();
            let held: Vec<Move<'_>> = of_dir.iter().filter_map(|(log, offset)| Move::begin(log, *offset)).collect();
            let starts: Vec<_> = held.iter().map(|of| (of.log.topic_partition.clone(), of.offset)).collect();
            if starts.is_empty() {
                continue;
            }
            match dir.write_log_starts(starts) {
                Ok(()) => held.iter().for_each(|of| of.log.log_start.store(of.offset.0, Ordering::SeqCst)),
                Err(error) => failed.push((dir, error)),
            }
        }
        failed
    }

    pub fn is_in(&self, dir: &Arc<LogDir>) -> bool {
        Arc::ptr_eq(&self.dir, dir)
    }

    /// The caller holds the append lock.
    fn advance_log_start(&self, offset: Offset) -> Result<(), Error> {
        if offset > self.log_start_offset() {
            self.dir.write_log_start(&self.topic_partition, offset)?;
            self.log_start.store(offset.0, Ordering::SeqCst);
        }
        let mut epochs = write_lock(&self.epochs);
        let mut changed = epochs.clone();
        if changed.truncate_from_start(self.log_start_offset()) {
            self.write_epochs(&changed)?;
            *epochs = changed;
        }
        Ok(())
    }

    /// Lowers a start that was assumed to what somebody else knows of it. It was where no checkpoint has it: the first
    /// segment's was taken. Every move of a start writes an entry first, so either none took place, or the entry was lost.
    pub fn lower_assumed_start(&self, offset: Offset) {
        if offset >= self.log_start_offset() {
            return;
        }
        // A start that is being moved has its entry before anybody sees it.
        let _appender = lock(&self.append);
        if self.dir.log_start(&self.topic_partition).is_none() {
            tracing::warn!(
                partition = %self.topic_partition, from = %self.log_start_offset(), to = %offset,
                "no checkpoint has the log start: it is the manifest's"
            );
            self.log_start.fetch_min(offset.0, Ordering::SeqCst);
        }
    }
}

/// A log start that moves, and nothing else does in its log meanwhile.
struct Move<'l> {
    log: &'l Log,
    offset: Offset,
    _held: MutexGuard<'l, Appender>,
}

impl Move<'_> {
    fn begin(log: &Log, offset: Offset) -> Option<Move<'_>> {
        let held = try_lock(&log.append)?;
        let moves = log.log_start_offset() < offset && offset <= log.log_end_offset();
        (moves && held.check_not_closed().is_ok()).then_some(Move { log, offset, _held: held })
    }
}
