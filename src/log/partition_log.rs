//! One partition's log: what it consists of, and the questions it answers without touching a file.
//!
//! Locks, in the order in which they may be taken: `append`, `deleted`, `segments`, `epochs`, a segment's tail, that of
//! `unstable`. Readers never take `append` or `deleted`.
//!
//! Files are addressed by the directory's name, which another log of the same topic name may take over as soon as this
//! one is deleted. So whatever writes or unlinks by name holds `append` or `deleted`, and asks first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use stratalog_types::{LeaderEpoch, Offset, TopicId, TopicPartition};

use super::append::Appender;
use super::checkpoint;
use super::config::LogConfig;
use super::dir::LogDir;
use super::epochs::{EpochStart, LeaderEpochs};
use super::error::Error;
use super::names;
use super::producers::ProducerState;
use super::segment::Segment;
use super::sync::LogSync;
use super::unstable::Unstable;
use crate::platform::{lock, read_lock, write_lock};
use crate::watermark::Watermark;

/// One partition's log. Shared; every method takes `&self`.
pub struct Log {
    pub(super) dir: Arc<LogDir>,
    pub(super) topic_partition: TopicPartition,
    pub(super) topic_id: TopicId,
    pub(super) path: PathBuf,
    pub(super) config: RwLock<Arc<LogConfig>>,
    pub(super) segments: RwLock<BTreeMap<i64, Arc<Segment>>>,
    pub(super) append: Mutex<Appender>,
    /// Held while files are written or unlinked by name without `append`. True once the directory is gone.
    pub(super) deleted: Mutex<bool>,
    pub(super) epochs: RwLock<LeaderEpochs>,
    pub(super) log_start: AtomicI64,
    pub(super) log_end: Watermark,
    pub(super) sync: Arc<LogSync>,
    pub(super) unstable: Arc<Unstable>,
    /// The epochs in memory are newer than the file: written before the next append.
    pub(super) epochs_unsaved: AtomicBool,
    /// Somebody gave up what is missing.
    pub(super) given_up: bool,
    pub(super) unclean: bool,
    pub(super) cut_bytes: u64,
}

/// A closed segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentInfo {
    pub base_offset: Offset,
    /// One past the last record.
    pub end_offset: Offset,
    pub bytes: u64,
    /// The largest timestamp; where no record has one, when it was last written. `None`: that cannot be looked at now.
    pub newest_ms: Option<i64>,
    /// Milliseconds since 1970. `None`: its file cannot be looked at now.
    pub last_modified_ms: Option<i64>,
}

impl Log {
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    pub fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn config(&self) -> Arc<LogConfig> {
        Arc::clone(&read_lock(&self.config))
    }

    pub fn update_config(&self, config: LogConfig) {
        *write_lock(&self.config) = Arc::new(config);
    }

    /// The first offset that is here.
    pub fn local_log_start_offset(&self) -> Offset {
        let first = read_lock(&self.segments).keys().next().copied().unwrap_or_default();
        Offset(first).max(self.log_start_offset())
    }

    /// One past the last record.
    pub fn log_end_offset(&self) -> Offset {
        self.log_end.get()
    }

    /// The log end, to wait at.
    pub fn log_end(&self) -> &Watermark {
        &self.log_end
    }

    /// Everything before it survives a power cut.
    pub fn flushed(&self) -> &Watermark {
        self.sync.flushed()
    }

    /// Whether its directory takes no more writes.
    pub fn is_offline(&self) -> bool {
        self.dir.offline().is_some()
    }

    /// Whether its disk has room for copies that can wait.
    pub fn may_be_copied(&self) -> bool {
        !self.dir.is_short_of_room()
    }

    /// How long who writes to it should pause: its disk has little room left.
    pub fn throttle(&self) -> Duration {
        self.dir.throttle()
    }

    /// The latest leader epoch that the log knows; -1 without one.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        read_lock(&self.epochs).latest()
    }

    pub fn leader_epochs(&self) -> Vec<EpochStart> {
        read_lock(&self.epochs).entries().to_vec()
    }

    /// The largest known epoch not after `epoch`, and its end. `None`: unknown here.
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        read_lock(&self.epochs).end_offset_for(epoch, self.log_end_offset())
    }

    /// The epoch that wrote `offset`.
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        read_lock(&self.epochs).epoch_of(offset)
    }

    /// A new leadership begins at the log end. Durable before its first append: until then nobody can miss it.
    pub fn start_leader_epoch(&self, epoch: LeaderEpoch) -> Result<Offset, Error> {
        let appender = lock(&self.append);
        appender.check_not_closed()?;
        let start = self.log_end_offset();
        if write_lock(&self.epochs).assign(epoch, start) {
            self.epochs_unsaved.store(true, Ordering::SeqCst);
        }
        Ok(start)
    }

    /// The caller holds the append lock, and is about to append.
    pub(super) fn save_epochs(&self) -> Result<(), Error> {
        if self.epochs_unsaved.load(Ordering::SeqCst) {
            self.write_epochs(&read_lock(&self.epochs))?;
            self.epochs_unsaved.store(false, Ordering::SeqCst);
        }
        Ok(())
    }

    /// The caller holds the append lock. The file is written before memory says so.
    pub(super) fn assign_epoch(&self, epoch: LeaderEpoch, start_offset: Offset) -> Result<(), Error> {
        let mut epochs = write_lock(&self.epochs);
        let mut changed = epochs.clone();
        if changed.assign(epoch, start_offset) {
            self.write_epochs(&changed)?;
            *epochs = changed;
        }
        Ok(())
    }

    pub(super) fn write_epochs(&self, epochs: &LeaderEpochs) -> Result<(), Error> {
        let path = self.path.join(names::LEADER_EPOCH_CHECKPOINT);
        self.dir.with_spare(|| checkpoint::write_epochs(&self.dir.disk, &path, epochs.entries()))
    }

    /// Whether the last stop was not clean and this log had to be recovered: its leader takes a new epoch before it
    /// appends, because offsets above what was flushed may have been given out before.
    pub fn was_unclean(&self) -> bool {
        self.unclean
    }

    /// Bytes that recovery cut off the end, and kept in side files.
    pub fn cut_bytes(&self) -> u64 {
        self.cut_bytes
    }

    pub fn size_bytes(&self) -> u64 {
        self.all_segments().iter().map(|segment| segment.size_bytes()).sum()
    }

    /// For who asks each of them something: none of their locks is waited for with that of the map held, which a roll
    /// needs, and everybody after it.
    fn all_segments(&self) -> Vec<Arc<Segment>> {
        read_lock(&self.segments).values().cloned().collect()
    }

    /// All segments but the active one, oldest first.
    pub fn closed_segments(&self) -> Vec<SegmentInfo> {
        let segments = self.all_segments();
        let closed = segments.len().saturating_sub(1);
        segments.iter().take(closed).map(|segment| describe(segment)).collect()
    }

    /// The oldest closed segment that ends after `offset`: its end and its bytes.
    pub fn closed_segment_beyond(&self, offset: Offset) -> Option<(Offset, u64)> {
        let (bytes, end) = self.closed_beyond(offset)?.end();
        Some((Offset(end), bytes))
    }

    /// Milliseconds since 1970 at which the oldest closed segment that ends after `offset` was last written.
    pub fn closed_since_ms(&self, offset: Offset) -> Option<i64> {
        last_modified_ms(&*self.closed_beyond(offset)?)
    }

    fn closed_beyond(&self, offset: Offset) -> Option<Arc<Segment>> {
        let segments = read_lock(&self.segments);
        let closed = segments.len().saturating_sub(1);
        // Cleaning may leave one without a batch: there is nothing to copy in it.
        let is_next = |segment: &&Arc<Segment>| segment.next_offset() > offset.0 && segment.size_bytes() > 0;
        segments.values().take(closed).find(is_next).cloned()
    }

    /// Bytes of the segments that do not end at or below `offset`.
    pub fn bytes_beyond(&self, offset: Offset) -> u64 {
        let ends = self.all_segments().into_iter().map(|segment| segment.end());
        ends.filter(|(_, end)| *end > offset.0).map(|(bytes, _)| bytes).sum()
    }

    /// The first offset of the oldest transaction that is open, or whose marker is not below `high_watermark`; the last
    /// stable offset is this or the high watermark.
    pub fn first_unstable_offset(&self, high_watermark: Offset) -> Option<Offset> {
        self.unstable.first_offset(high_watermark.0).map(Offset)
    }

    /// What [`Log::first_unstable_offset`] asks.
    pub fn unstable(&self) -> &Arc<Unstable> {
        &self.unstable
    }

    /// What is remembered of producers, for DescribeProducers.
    pub fn active_producers(&self) -> Vec<ProducerState> {
        lock(&self.append).producers.entries().cloned().collect()
    }

    /// Forgets idle producers; answers how many.
    pub fn expire_producers(&self) -> usize {
        let expiration_ms = self.config().producer_id_expiration_ms;
        lock(&self.append).producers.expire(self.dir.clock.now_ms(), expiration_ms)
    }

    /// Runs `write`, which changes files in the log's directory by name, unless the log was deleted.
    pub fn in_directory<T>(&self, write: impl FnOnce() -> T) -> Result<T, Error> {
        let deleted = lock(&self.deleted);
        if *deleted { Err(Error::Closed) } else { Ok(write()) }
    }

    /// Asks for a sync of all that was appended; `flushed` says when it happened.
    pub fn flush(&self) {
        if self.sync.want_all() {
            self.dir.syncer.enqueue(&self.sync);
        }
    }

    pub(super) fn flush_if_overdue(&self, now_ms: i64) {
        let flush_ms = self.config().flush_ms;
        if flush_ms < i64::MAX && self.sync.is_overdue(now_ms, flush_ms) {
            self.flush();
        }
    }

    pub(super) fn offline_reason(&self) -> Option<String> {
        self.dir.offline().map(str::to_owned)
    }
}

fn describe(segment: &Segment) -> SegmentInfo {
    let (bytes, next_offset) = segment.end();
    let last_modified_ms = last_modified_ms(segment);
    let newest_ms = match segment.largest_timestamp() {
        Ok(Some((timestamp, _))) => Some(timestamp),
        Ok(None) => last_modified_ms,
        Err(error) => {
            let error = segment.read_error(error.into());
            tracing::debug!(base_offset = segment.base_offset, %error, "its age is not known");
            None
        }
    };
    SegmentInfo {
        base_offset: Offset(segment.base_offset),
        end_offset: Offset(next_offset),
        bytes,
        newest_ms,
        last_modified_ms,
    }
}

/// Milliseconds since 1970; `None` where the file cannot be looked at.
pub(super) fn last_modified_ms(segment: &Segment) -> Option<i64> {
    let modified = segment.path(names::LOG_SUFFIX).metadata().and_then(|metadata| metadata.modified()).ok()?;
    // Before 1970 is as old as can be.
    let since_epoch = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).ok()
}
