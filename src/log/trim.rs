//! Taking away: segments from the front, records from the end.
//!
//! Order of effects of an eviction: the log start is checkpointed if it never was, for where there is no entry a start
//! takes the first segment's, as in a directory that Kafka wrote. Then per segment and oldest first: the producer snapshot
//! at the next one is synced, for nothing else tells of producers whose batches go; out of memory, so that no new read
//! finds it; the `.log` unlinked, or renamed if it keeps its room for a while, then its indexes; the directory synced
//! before the next segment is touched. A crash leaves a log without gaps, and perhaps indexes without a log, which the
//! next start removes. Reads under way keep their file.
//!
//! Order of effects of a truncation: recovery point lowered (durable), later segments unlinked newest first, the last
//! segment truncated; then all that is left is recovered as after a crash. A crash in between leaves a longer log than
//! asked for, which its owner truncates again. To go on elsewhere, an empty segment is created there first and the
//! others go after: at no moment does a start find no segment at all.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use stratalog_types::Offset;

use super::append::Appender;
use super::dir::LogDir;
use super::epochs::EpochStart;
use super::epochs::LeaderEpochs;
use super::error::Error;
use super::names;
use super::open::{Opened, assemble};
use super::partition_log::Log;
use super::recovery;
use super::segment::{Effort, Segment};
use crate::platform::disk::DiskFile;
use crate::platform::{lock, read_lock, write_lock};

impl Log {
    /// Removes closed segments wholly below `offset` from local disk; `log_start_offset` stays. Answers their bytes. What
    /// is deleted history keeps its room for `file.delete.delay.ms`; what the tier has goes at once.
    /// A log that was deleted is [`Error::Closed`]: its names may be another log's by now.
    pub fn delete_local_below(&self, offset: Offset) -> Result<u64, Error> {
        self.in_directory(|| self.evict_below(offset))?
    }

    fn evict_below(&self, offset: Offset) -> Result<u64, Error> {
        let goes = |second: &i64| *second <= offset.0;
        if !read_lock(&self.segments).keys().nth(1).is_some_and(goes) {
            return Ok(0);
        }
        self.dir.write_log_start_once(&self.topic_partition, self.log_start_offset())?;
        let mut freed = 0;
        loop {
            let (first, second) = {
                let segments = read_lock(&self.segments);
                let mut bases = segments.keys();
                let (Some(first), Some(second)) = (bases.next().copied(), bases.next().copied()) else { break };
                (first, second)
            };
            if !goes(&second) {
                break;
            }
            self.sync_snapshot(second)?;
            let evicted = write_lock(&self.segments).remove(&first);
            let Some(segment) = evicted else { break };
            freed += segment.size_bytes();
            segment.retire();
            let is_history = segment.next_offset() <= self.log_start_offset().0;
            let delay_ms = if is_history { self.config().file_delete_delay_ms } else { 0 };
            match segment.damage().filter(|_| !is_history) {
                Some(damage) => recovery::set_damaged_aside(&self.dir, &self.path, &damage)?,
                None => remove_segment(&self.dir, &self.path, &segment, delay_ms)?,
            }
        }
        if freed > 0 {
            self.remove_old_snapshots()?;
        }
        Ok(freed)
    }

    /// Of producers whose batches go, the snapshot at the new beginning is all that is left: it is made durable before.
    fn sync_snapshot(&self, base: i64) -> Result<(), Error> {
        let path = names::offset_file(&self.path, base, names::SNAPSHOT_SUFFIX);
        if !path.try_exists().map_err(Error::io("look for", &path))? {
            return Ok(());
        }
        let file = self.dir.disk.open(&path).map_err(Error::io("open", &path))?;
        file.sync().map_err(|e| {
            self.dir.take_offline(format!("sync of {} failed: {e}", path.display()));
            Error::io("sync", &path)(e)
        })?;
        self.dir.disk.sync_directory(&self.path).map_err(Error::io("sync directory", &self.path))
    }

    /// Snapshots older than the first segment serve nobody: the one at its base does.
    fn remove_old_snapshots(&self) -> Result<(), Error> {
        let Some(first) = read_lock(&self.segments).keys().next().copied() else { return Ok(()) };
        self.remove_snapshots(|at| at < first)
    }

    fn remove_snapshots(&self, unwanted: impl Fn(i64) -> bool) -> Result<(), Error> {
        for (offset, suffix) in recovery::list(&self.path)? {
            if suffix == names::SNAPSHOT_SUFFIX && unwanted(offset) {
                let path = names::offset_file(&self.path, offset, names::SNAPSHOT_SUFFIX);
                self.dir.disk.unlink_if_exists(&path).map_err(Error::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Removes the records from `offset` on, and the rest of a batch that contains it. For a follower whose leader has
    /// other ones. A log end at or before `offset` stays.
    pub fn truncate_to(&self, offset: Offset) -> Result<(), Error> {
        let mut appender = lock(&self.append);
        appender.check_not_closed()?;
        // Nothing is swapped in or removed meanwhile.
        let _files = lock(&self.deleted);
        if offset >= self.log_end_offset() {
            return Ok(());
        }
        let truncated = if offset < self.local_log_start_offset() {
            self.restart_at(&mut appender, offset, self.log_start_offset().min(offset))
        } else {
            self.truncate_locked(&mut appender, offset)
        };
        self.close_on_error(&mut appender, truncated)
    }

    /// Removes everything and goes on, empty, at `offset`, which becomes the log start: a new replica, or a log whose
    /// history is elsewhere.
    pub fn truncate_fully_and_start_at(&self, offset: Offset) -> Result<(), Error> {
        let mut appender = lock(&self.append);
        appender.check_not_closed()?;
        // Nothing is swapped in or removed meanwhile.
        let _files = lock(&self.deleted);
        let restarted = self.restart_at(&mut appender, offset, offset);
        self.close_on_error(&mut appender, restarted)
    }

    /// Sets everything aside and goes on, empty, at `offset`, the end of the tier, with the epochs and the producers that
    /// the tier remembers; the log start stays at `log_start`, whose history the tier has.
    ///
    /// Order of effects: the old segments get second names (`.log.aside`), epochs and producers are written, then the log
    /// restarts. A crash before the restart leaves the old log, which is set aside again.
    pub fn restart_behind_tier(
        &self,
        offset: Offset,
        log_start: Offset,
        epochs: &[EpochStart],
        producer_snapshot: &[u8],
    ) -> Result<(), Error> {
        let mut appender = lock(&self.append);
        appender.check_not_closed()?;
        // Nothing is swapped in or removed meanwhile.
        let _files = lock(&self.deleted);
        for segment in read_lock(&self.segments).values().filter(|segment| segment.size_bytes() > 0) {
            let file = segment.path(names::LOG_SUFFIX);
            let aside = file.with_extension("log.aside");
            match self.dir.disk.link(&file, &aside) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(Error::io("set aside", &file)(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        self.write_epochs(&LeaderEpochs::new(epochs.to_vec()))?;
        if !producer_snapshot.is_empty() {
            let snapshot = names::offset_file(&self.path, offset.0, names::SNAPSHOT_SUFFIX);
            self.dir.disk.replace(&snapshot, producer_snapshot).map_err(Error::io("write", &snapshot))?;
        }
        let restarted = self.restart_at(&mut appender, offset, log_start);
        self.close_on_error(&mut appender, restarted)
    }

    fn truncate_locked(&self, appender: &mut Appender, offset: Offset) -> Result<(), Error> {
        // Whole batches go: the one that has the offset with it.
        let segment = self.segment_at(offset);
        let located = segment.as_ref().map(|segment| segment.locate(offset.0, Effort::Any)).transpose();
        let located = located.map_err(|e| Error::Unreadable { path: self.path.clone(), source: e })?.flatten();
        let located = located.map(|(at, _)| at);
        // In a hole that compaction left, nothing says where the batch before it ends.
        let begins = located.as_ref().map(|at| at.header.base_offset).filter(|begins| *begins <= offset.0);
        let end = begins.or(segment.as_ref().map(|segment| segment.base_offset)).map_or(offset, Offset).min(offset);
        self.sync.truncate(end);
        self.dir.lower_recovery_point(&self.topic_partition, end)?;
        // The first segment stays, if only as an empty file: it says where the log begins.
        let first = read_lock(&self.segments).keys().next().copied().unwrap_or(offset.0);
        self.unlink(|base| base >= offset.0 && base > first)?;
        if let Some((at, segment)) = located.zip(segment).filter(|(_, segment)| !segment.is_retired()) {
            let truncated = segment.file_to_write().and_then(|file| file.truncate(at.position));
            truncated.map_err(Error::io("truncate", &self.path))?;
        }
        self.reload(appender)
    }

    fn restart_at(&self, appender: &mut Appender, offset: Offset, log_start: Offset) -> Result<(), Error> {
        self.sync.truncate(offset);
        self.dir.lower_recovery_point(&self.topic_partition, offset)?;
        self.dir.write_log_start(&self.topic_partition, log_start)?;
        Segment::create(&self.dir.files, &self.path, offset.0).map_err(Error::io("create a segment in", &self.path))?;
        self.dir.disk.sync_directory(&self.path).map_err(Error::io("sync directory", &self.path))?;
        self.unlink(|base| base != offset.0)?;
        // Producers of records that are not here any more, but for the state as of the new start.
        self.remove_snapshots(|at| at != offset.0)?;
        self.log_start.store(log_start.0, Ordering::SeqCst);
        self.reload(appender)
    }

    /// Unlinks the segments with such base offsets, newest first.
    fn unlink(&self, unwanted: impl Fn(i64) -> bool) -> Result<(), Error> {
        let removed: Vec<Arc<Segment>> = {
            let mut segments = write_lock(&self.segments);
            segments.extract_if(.., |base, _| unwanted(*base)).map(|(_, segment)| segment).collect()
        };
        for segment in removed.iter().rev() {
            segment.retire();
            remove_segment(&self.dir, &self.path, segment, 0)?;
        }
        Ok(())
    }

    /// Takes what is on disk now for the log. The caller holds the append lock.
    fn reload(&self, appender: &mut Appender) -> Result<(), Error> {
        let config = self.config();
        let recovered = recovery::recover(&self.dir, &self.path, &self.topic_partition, &config, true)?;
        // A truncation says that all that is left is durable.
        recovered.unsynced.iter().try_for_each(DiskFile::sync).map_err(Error::io("sync", &self.path))?;
        let Opened { appender: reopened, segments, epochs, log_end_offset, .. } =
            assemble(&self.dir, &self.path, &config, recovered)?;
        *write_lock(&self.epochs) = LeaderEpochs::new(epochs);
        let before = std::mem::replace(&mut *write_lock(&self.segments), segments);
        for segment in before.values() {
            segment.retire();
        }
        *appender = reopened;
        self.unstable.replace(&mut appender.producers);
        self.sync.truncated(appender.file.clone(), log_end_offset);
        self.log_end.reset(log_end_offset);
        Ok(())
    }

    /// A truncation that stopped half way leaves files that memory does not know: nothing may be appended to them, and
    /// the next start believes none of them, also after a clean stop.
    fn close_on_error(&self, appender: &mut Appender, done: Result<(), Error>) -> Result<(), Error> {
        if done.is_err() {
            appender.closed = Some("a truncation failed half way; a restart completes it");
            self.dir.distrust(&self.topic_partition);
        }
        done
    }
}

pub(super) fn remove_segment(dir: &LogDir, path: &Path, segment: &Segment, delay_ms: i64) -> Result<(), Error> {
    for suffix in names::SEGMENT_SUFFIXES {
        dir.remove_file(&segment.path(suffix), delay_ms)?;
    }
    dir.disk.sync_directory(path).map_err(Error::io("sync directory", path))?;
    dir.metrics.log_segments_deleted.inc();
    Ok(())
}
