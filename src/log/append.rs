//! Append and roll.
//!
//! Order of effects of an append: checks (nothing changes), roll if due, one write behind the published end, then in
//! memory the segment's end and indexes, the producer's state, the log end; last the sync is asked for. A crash before
//! the sync leaves a whole batch, a torn one or nothing behind the flushed end: recovery keeps the first and cuts the
//! second. A write that fails half way is truncated away; if that fails too, the directory goes offline.
//!
//! Order of effects of a roll: indexes of the old segment are written out, its producer snapshot, then the three files
//! of the new one are created. The directory is synced before anything in the new segment is acknowledged.

use std::io;
use std::sync::Arc;

use stratalog_protocol::records::{
    BATCH_HEADER_BYTES, Batch, BatchHeader, BatchIter, EndTransactionMarker, TimestampType,
};
use stratalog_types::{LeaderEpoch, Offset};

use super::dir::LogDir;
use super::error::{AppendError, Error};
use super::names;
use super::partition_log::Log;
use super::producers::{BatchNote, Origin, Producers, Verdict, encode_snapshot};
use super::segment::Segment;
use super::transactions::{self, AbortedTransaction};
use crate::platform::disk::DiskFile;
use crate::platform::{lock, write_lock};

/// Where a batch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: Offset,
    pub last_offset: Offset,
    /// The broker's timestamp, if the batch carries it.
    pub log_append_time: Option<i64>,
    pub log_start_offset: Offset,
    /// It was in the log already: a producer's retry. The offsets are the original ones.
    pub duplicate: bool,
}

/// What appends change; the lock around it is the partition's append lock.
pub struct Appender {
    pub active: Arc<Segment>,
    pub file: DiskFile,
    pub size_bytes: u64,
    pub producers: Producers,
    pub bytes_since_index_entry: u64,
    /// The segment's age counts from its first batch's timestamp, or from its creation while it is empty.
    pub first_timestamp: Option<i64>,
    pub created_ms: i64,
    pub jitter_ms: i64,
    /// Nothing was appended since there was a producer snapshot at the end: a clean stop has nothing to write.
    pub settled: bool,
    /// Set when the log takes no more appends.
    pub closed: Option<&'static str>,
}

impl Appender {
    pub fn check_not_closed(&self) -> Result<(), Error> {
        if self.closed.is_some() { Err(Error::Closed) } else { Ok(()) }
    }
}

impl Log {
    /// Appends one validated batch and assigns its offsets. `header` is the decoded header of `batch`.
    pub fn append(
        &self,
        batch: &[u8],
        header: BatchHeader,
        leader_epoch: LeaderEpoch,
        origin: Origin,
    ) -> Result<Appended, AppendError> {
        if batch.len() != header.batch_bytes() || header.last_offset_delta < 0 {
            return Err(AppendError::InvalidBatch("its length or offset delta contradicts its header"));
        }
        // What coordinators write lets groups and transactions go on, and is little.
        if origin == Origin::Client && self.dir.is_below_reserve() {
            return Err(AppendError::StorageFull);
        }
        let marker = marker_of(batch, &header);
        let mut appender = lock(&self.append);
        self.check_open(&appender)?;
        if let Some(marker) = marker {
            appender.producers.check_marker(&header, marker, origin)?;
        } else if let Verdict::Duplicate(note) = appender.producers.check(&header, origin)? {
            return Ok(self.duplicate(note, &header));
        }
        let mut placed = header;
        placed.base_offset = self.log_end_offset().0;
        placed.partition_leader_epoch = leader_epoch.0;
        self.place(&mut appender, batch, &placed, marker)?;
        self.publish(&mut appender, &placed);
        Ok(self.appended(&placed))
    }

    /// Appends what a leader's log has, with its offsets and epochs. Answers the new log end. On an error the batches
    /// before the one at fault are in the log.
    pub fn append_replicated(&self, batches: &[u8]) -> Result<Offset, AppendError> {
        let mut appender = lock(&self.append);
        self.check_open(&appender)?;
        for batch in BatchIter::new(batches) {
            let batch = batch.map_err(|_| AppendError::InvalidBatch("its header does not decode"))?;
            let (got, log_end_offset) = (Offset(batch.header.base_offset), self.log_end_offset());
            if got < log_end_offset {
                return Err(AppendError::UnexpectedOffset { log_end_offset, got });
            }
            let marker = marker_of(batch.bytes, &batch.header);
            self.place(&mut appender, batch.bytes, &batch.header, marker)?;
            self.publish(&mut appender, &batch.header);
        }
        Ok(self.log_end_offset())
    }

    fn check_open(&self, appender: &Appender) -> Result<(), AppendError> {
        if let Some(reason) = appender.closed {
            return Err(AppendError::Offline(reason.to_owned()));
        }
        match self.offline_reason() {
            Some(reason) => Err(AppendError::Offline(reason)),
            None => Ok(()),
        }
    }

    /// Writes a batch whose header is final, behind the end.
    fn place(
        &self,
        appender: &mut Appender,
        batch: &[u8],
        placed: &BatchHeader,
        marker: Option<EndTransactionMarker>,
    ) -> Result<(), AppendError> {
        let batch_bytes = batch.len() as u64;
        self.roll_if_due(appender, batch_bytes, placed)?;
        self.save_epochs().map_err(|e| self.write_failed(e))?;
        if placed.partition_leader_epoch > self.leader_epoch().0 {
            let (epoch, start) = (LeaderEpoch(placed.partition_leader_epoch), Offset(placed.base_offset));
            self.assign_epoch(epoch, start).map_err(|e| self.write_failed(e))?;
        }
        appender.settled = false;
        let mut head = [0; BATCH_HEADER_BYTES];
        placed.encode(&mut head);
        let rest = batch.get(BATCH_HEADER_BYTES..).unwrap_or_default();
        let position = appender.size_bytes;
        let aborted = marker.and_then(|marker| appender.producers.aborted_by(placed, marker));
        let written = appender.file.write_pair_at(&head, rest, position).and_then(|()| match aborted {
            Some(aborted) => self.note_aborted(&appender.active, &aborted),
            None => Ok(()),
        });
        let written = written.map_err(Error::io("write", &self.path));
        if let Err(e) = written.and_then(|()| self.index(appender, placed, position, batch_bytes)) {
            if let Err(e) = appender.file.truncate(position) {
                self.dir.health.take_offline(format!("cannot undo a failed write to {}: {e}", self.path.display()));
            }
            return Err(self.write_failed(e));
        }
        // Not before: a batch that is refused is no duplicate when it comes again.
        match marker {
            Some(marker) => appender.producers.note_marker(placed, marker),
            None => appender.producers.note(placed),
        }
        Ok(())
    }

    fn note_aborted(&self, active: &Segment, aborted: &AbortedTransaction) -> io::Result<()> {
        let path = active.path(names::TXN_INDEX_SUFFIX);
        let (file, created) = transactions::append(&self.dir.disk, &path, aborted)?;
        active.has_aborted();
        self.sync.also(file, created);
        Ok(())
    }

    /// Publishes the batch to readers of its segment. A failure to write index entries out leaves them in memory.
    fn index(&self, appender: &mut Appender, placed: &BatchHeader, at: u64, batch_bytes: u64) -> Result<(), Error> {
        let entry_due = appender.bytes_since_index_entry > u64::from(self.config().index_interval_bytes);
        let base_offset = appender.active.base_offset;
        let failed = |e: io::Error| Error::io("write the index of", &self.path)(e);
        let wants_flush = appender
            .active
            .with_tail(|tail, indexes| {
                indexes.note_timestamp(placed.max_timestamp, placed.last_offset());
                if entry_due {
                    indexes.push_offset(base_offset, placed.last_offset(), at);
                    indexes.push_time(base_offset);
                }
                tail.size_bytes = at + batch_bytes;
                tail.next_offset = placed.next_offset();
                indexes.offsets.wants_flush() || indexes.times.wants_flush()
            })
            .map_err(failed)?;
        appender.size_bytes = at + batch_bytes;
        appender.bytes_since_index_entry =
            if entry_due { batch_bytes } else { appender.bytes_since_index_entry + batch_bytes };
        appender.first_timestamp.get_or_insert(placed.max_timestamp);
        if wants_flush && let Err(e) = appender.active.flush_indexes(false) {
            tracing::warn!(path = %self.path.display(), error = %e, "index entries wait in memory");
        }
        Ok(())
    }

    fn publish(&self, appender: &mut Appender, placed: &BatchHeader) {
        self.unstable.follow(&mut appender.producers);
        let end = Offset(placed.next_offset());
        self.log_end.advance(end);
        let bytes = placed.batch_bytes() as u64;
        if self.sync.written(end, bytes, self.config().flush_messages, || self.dir.clock.now_ms()) {
            self.dir.syncer.enqueue(&self.sync);
        }
    }

    fn appended(&self, placed: &BatchHeader) -> Appended {
        let stamped = placed.attributes.timestamp_type() == TimestampType::LogAppendTime;
        Appended {
            base_offset: Offset(placed.base_offset),
            last_offset: Offset(placed.last_offset()),
            log_append_time: stamped.then_some(placed.max_timestamp),
            log_start_offset: self.log_start_offset(),
            duplicate: false,
        }
    }

    fn duplicate(&self, note: BatchNote, header: &BatchHeader) -> Appended {
        let stamped = header.attributes.timestamp_type() == TimestampType::LogAppendTime;
        Appended {
            base_offset: Offset(note.first_offset()),
            last_offset: Offset(note.last_offset),
            log_append_time: stamped.then_some(note.timestamp),
            log_start_offset: self.log_start_offset(),
            duplicate: true,
        }
    }

    /// A full disk, and a file that could not be opened because too many are, are the producer's to retry; any other failed
    /// write ends the directory.
    fn write_failed(&self, error: Error) -> AppendError {
        match error {
            Error::StorageFull { .. } => {
                self.dir.tell_refused("no space left on the disk");
                return AppendError::StorageFull;
            }
            Error::TooManyOpenFiles { .. } => {
                self.dir.tell_refused("too many open files; raise the limit (LimitNOFILE, ulimit -n)");
                return AppendError::TooManyOpenFiles;
            }
            _ => {}
        }
        self.dir.health.take_offline(format!("{}: {}", self.topic_partition, Chain(&error)));
        AppendError::Offline(self.offline_reason().unwrap_or_default())
    }

    fn roll_if_due(&self, appender: &mut Appender, batch_bytes: u64, placed: &BatchHeader) -> Result<(), AppendError> {
        let config = self.config();
        let segment_bytes = u64::from(config.segment_bytes.min(i32::MAX as u32));
        if batch_bytes > segment_bytes {
            return Err(AppendError::BatchTooLarge { batch_bytes, segment_bytes });
        }
        if appender.size_bytes == 0 {
            return Ok(());
        }
        let age_ms = match appender.first_timestamp.filter(|first| *first >= 0) {
            Some(first) => placed.max_timestamp.saturating_sub(first),
            None => self.dir.clock.now_ms().saturating_sub(appender.created_ms),
        };
        let full_by_bytes = appender.size_bytes + batch_bytes > segment_bytes;
        let full_by_age = age_ms > config.segment_ms.saturating_sub(appender.jitter_ms);
        let full_by_offset = placed.last_offset() - appender.active.base_offset > i64::from(i32::MAX);
        let full_by_index = {
            let entries =
                appender.active.index_entries().map_err(|e| self.write_failed(Error::io("read", &self.path)(e)))?;
            entries.0 + 1 >= u64::from(config.segment_index_bytes) / 8
                || entries.1 + 1 >= u64::from(config.segment_index_bytes) / 12
        };
        if full_by_bytes || full_by_age || full_by_offset || full_by_index {
            self.roll_locked(appender).map_err(|e| self.write_failed(e))?;
        }
        Ok(())
    }

    /// Closes the active segment and starts a new one at the log end. Answers the new base offset; an empty active
    /// segment stays.
    pub fn roll(&self) -> Result<Offset, Error> {
        let mut appender = lock(&self.append);
        if let Some(reason) = self.offline_reason() {
            return Err(Error::Offline { path: self.dir.path().to_owned(), reason });
        }
        appender.check_not_closed()?;
        if appender.size_bytes > 0 {
            // What is closed may go: on a full disk that makes room.
            self.dir.with_spare(|| self.roll_locked(&mut appender))?;
        }
        Ok(Offset(appender.active.base_offset))
    }

    /// Closes an active segment that was started more than `age_ms` ago and holds something: a quiet topic's last records
    /// move on too. Answers whether it did.
    pub fn roll_if_older_than(&self, age_ms: i64) -> Result<bool, Error> {
        let due = {
            let appender = lock(&self.append);
            appender.size_bytes > 0 && self.dir.clock.now_ms().saturating_sub(appender.created_ms) > age_ms
        };
        // An append between the two locks may have rolled already: then the young segment closes early, once.
        if due { self.roll().map(|_| true) } else { Ok(false) }
    }

    fn roll_locked(&self, appender: &mut Appender) -> Result<(), Error> {
        let base_offset = self.log_end_offset().0;
        let indexes = appender.active.seal_indexes().map_err(Error::io("write the indexes of", &self.path))?;
        self.write_snapshot(&appender.producers, base_offset)?;
        let (segment, file) = Segment::create(&self.dir.files, &self.path, base_offset)
            .map_err(Error::io("create a segment in", &self.path))?;
        let segment = Arc::new(segment);
        write_lock(&self.segments).insert(base_offset, Arc::clone(&segment));
        let before = std::mem::replace(&mut appender.active, segment);
        before.unpin();
        appender.file = file.clone();
        appender.size_bytes = 0;
        appender.bytes_since_index_entry = 0;
        appender.first_timestamp = None;
        appender.created_ms = self.dir.clock.now_ms();
        appender.jitter_ms = jitter_ms(self.config().segment_jitter_ms, base_offset, &self.path);
        self.sync.rolled(file, indexes);
        self.dir.metrics.log_segments_rolled.inc();
        self.flush();
        Ok(())
    }

    /// The producers as of `offset`. Not synced: its checksum tells a torn one, and an older one serves as well. One that
    /// is there already may be all that is left of producers whose records are gone, and is replaced as a whole.
    fn write_snapshot(&self, producers: &Producers, offset: i64) -> Result<(), Error> {
        let path = names::offset_file(&self.path, offset, names::SNAPSHOT_SUFFIX);
        let bytes = encode_snapshot(producers);
        let written = match path.try_exists() {
            Ok(false) => self.dir.disk.create(&path).and_then(|file| file.write_at(&bytes, 0)),
            Ok(true) => self.dir.disk.replace(&path, &bytes),
            Err(e) => Err(e),
        };
        written.map_err(Error::io("write", &path))
    }

    /// Removes the log and its directory. Readers that hold a range of it may finish.
    pub fn delete(self: &Arc<Log>) -> Result<(), Error> {
        Log::delete_all(std::slice::from_ref(self))
    }

    /// As [`Log::delete`], with few writes. One that fails does not keep the others; the first error is the answer.
    pub fn delete_all(logs: &[Arc<Log>]) -> Result<(), Error> {
        let mut by_dir: Vec<(&LogDir, Vec<&Log>)> = Vec::new();
        for log in logs {
            log.end_deleted();
            match by_dir.iter_mut().find(|(dir, _)| std::ptr::eq(*dir, &*log.dir)) {
                Some((_, of_dir)) => of_dir.push(log),
                None => by_dir.push((&log.dir, vec![log])),
            }
        }
        by_dir.into_iter().map(|(dir, logs)| dir.remove_logs(&logs)).fold(Ok(()), Result::and)
    }

    /// From now on nobody looks for its files by name.
    fn end_deleted(&self) {
        let mut appender = lock(&self.append);
        appender.closed = Some("the partition was deleted");
        self.sync.flushed().close();
        self.log_end.close();
        let mut deleted = lock(&self.deleted);
        *deleted = true;
        let segments = std::mem::take(&mut *write_lock(&self.segments));
        for segment in segments.values() {
            segment.retire();
        }
    }

    /// The clean stop of one log: everything synced, indexes and producer snapshot written. False: it was closed before,
    /// for another reason, and nothing was done.
    pub(super) fn close_clean(&self) -> Result<bool, Error> {
        let mut appender = lock(&self.append);
        if appender.closed.is_some() {
            return Ok(false);
        }
        appender.closed = Some("the broker is stopping");
        if self.sync.is_unsynced() {
            self.dir.syncer.run_one(&self.sync);
        }
        if let Some(reason) = self.offline_reason() {
            return Err(Error::Offline { path: self.dir.path().to_owned(), reason });
        }
        if self.sync.is_unsynced() && !self.sync.flushed().is_closed() {
            return Err(Error::TooManyOpenFiles { operation: "sync directory", path: self.path.clone() });
        }
        // Neither needs a sync: an index is checked when it is used, a snapshot has a checksum, and both can be made anew.
        appender.active.flush_indexes(true).map_err(Error::io("close", &self.path))?;
        if !appender.settled {
            self.write_snapshot(&appender.producers, self.log_end_offset().0)?;
        }
        self.sync.flushed().close();
        self.log_end.close();
        Ok(true)
    }
}

/// The end marker that a control batch is.
pub(super) fn marker_of(batch: &[u8], header: &BatchHeader) -> Option<EndTransactionMarker> {
    if !header.attributes.is_control_batch() || !header.has_producer_id() {
        return None;
    }
    let records = Batch::at_start(batch).ok()?.records(batch.len()).ok()?;
    let record = records.iter().next()?.ok()?;
    EndTransactionMarker::of_record(&record)
}

/// A stable spread of roll times: no randomness that a test would have to inject.
pub(super) fn jitter_ms(jitter_max_ms: i64, base_offset: i64, path: &std::path::Path) -> i64 {
    if jitter_max_ms <= 0 {
        return 0;
    }
    let seed = crc32c::crc32c_append(base_offset as u32, path.as_os_str().as_encoded_bytes());
    i64::from(seed) % jitter_max_ms
}

/// An error with all its causes.
pub(super) struct Chain<'e>(pub &'e dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
