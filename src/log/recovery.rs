//! What is on disk becomes a log again.
//!
//! After a clean stop the files are believed; only the last few batches behind the last index entry are walked. After
//! any other stop what lies above the recovery point is read, every CRC checked, and its index entries written anew; the
//! segments of a log in parallel, `num.recovery.threads.per.data.dir` walks at a time in a data directory. The first bytes
//! above it that are no batch end the log there: they were never acknowledged (`aside`). Below it they are damage, and an
//! error that names file, position and offsets: nothing is cut silently.
//!
//! Where the recovery points did not read, nothing says what was acknowledged: every segment is read, and what does not
//! read is a torn tail only where nothing whole follows it.
//!
//! Recovered bytes may be in the page cache only. They are synced, in the background, before the log says that they are
//! flushed, and what depends on it waits for that.

mod aside;
mod heal;
pub mod walk;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use stratalog_types::{Offset, TopicPartition};

use self::walk::{Trust, Walk, first_timestamp, walk};
use super::checkpoint;
use super::cleaner;
use super::config::LogConfig;
use super::dir::{LogDir, RecoveryPoint};
use super::epochs::{EpochStart, LeaderEpochs};
use super::error::{Damage, Error, ReadError};
use super::names;
use super::producers::Producers;
use super::replay::replay;
use super::scan::{HeaderScan, ScanError};
use super::segment::Segment;
use super::transactions;
use crate::platform::disk::DiskFile;
use crate::platform::lock;

pub use self::heal::set_damaged_aside;
pub use self::walk::batch_crc;

/// A log as found, made consistent.
pub struct Recovered {
    pub segments: BTreeMap<i64, Arc<Segment>>,
    pub log_start_offset: Offset,
    pub log_end_offset: Offset,
    /// Everything before it is durable.
    pub flushed: Offset,
    /// What is to be synced before the rest is.
    pub unsynced: Vec<DiskFile>,
    pub producers: Producers,
    pub epochs: Vec<EpochStart>,
    pub bytes_since_index_entry: u64,
    pub first_timestamp: Option<i64>,
    pub unclean: bool,
    pub cut_bytes: u64,
    /// There is a producer snapshot at the end, and nothing is to be synced.
    pub settled: bool,
}

/// The files of a partition directory that are named after an offset.
pub fn list(path: &Path) -> Result<Vec<(i64, String)>, Error> {
    let failed = |e| Error::io("list", path)(e);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if let Some((offset, suffix)) = name.to_str().and_then(names::parse_offset_file) {
            files.push((offset, suffix.to_owned()));
        }
    }
    files.sort();
    Ok(files)
}

/// Bytes of the `.log` files of a partition directory that is not open.
pub fn segment_bytes(path: &Path) -> u64 {
    let files = list(path).unwrap_or_default();
    let logs = files.iter().filter(|(_, suffix)| suffix == names::LOG_SUFFIX);
    logs.filter_map(|(base, suffix)| names::offset_file(path, *base, suffix).metadata().ok()).map(|m| m.len()).sum()
}

/// `unclean`: nothing above the recovery point is believed.
pub fn recover(
    dir: &LogDir,
    path: &Path,
    partition: &TopicPartition,
    config: &LogConfig,
    unclean: bool,
) -> Result<Recovered, Error> {
    cleaner::swap::recover(dir, path)?;
    let files = list(path)?;
    let bases: Vec<i64> =
        files.iter().filter(|(_, suffix)| suffix == names::LOG_SUFFIX).map(|(base, _)| *base).collect();
    // What is clean was synced before it took the place of what was there.
    let recovery_point = dir.recovery_point(partition).at_least(dir.cleaner_point(partition));
    let log_start_offset = dir.log_start(partition).or(bases.first().map(|base| Offset(*base))).unwrap_or_default();
    let (epochs, epochs_damaged) = read_epochs(path)?;
    // Every append is of an epoch, and writes that down before.
    let epochs_damaged = epochs_damaged || (epochs.is_empty() && bases.iter().any(|base| !is_empty(path, *base)));
    let unclean = unclean && !bases.is_empty();
    let mut recovery = Recovery {
        dir,
        path,
        config,
        files: &files,
        recovery_point,
        saved_epochs: epochs.clone(),
        epochs: LeaderEpochs::new(epochs),
        segments: BTreeMap::new(),
        end: log_start_offset.0,
        bytes_since_index_entry: 0,
        first_timestamp: None,
        cut_bytes: 0,
        unsynced: Vec::new(),
        first_rebuilt: None,
    };
    recovery.check_for_first(&bases)?;
    recovery.check_for_missing(&bases)?;
    recovery.remove_orphans(&bases)?;
    recovery.load_segments(&bases, unclean)?;
    if epochs_damaged {
        recovery.epochs_from_segments()?;
    }
    recovery.finish(log_start_offset, unclean)
}

/// The entries of the checkpoint, and whether it could not be read: then the batches say which epoch they are of.
fn read_epochs(path: &Path) -> Result<(Vec<EpochStart>, bool), Error> {
    let file = path.join(names::LEADER_EPOCH_CHECKPOINT);
    match checkpoint::read_epochs(&file) {
        Ok(entries) => Ok((entries, false)),
        Err(Error::InvalidFile { what, .. }) => {
            tracing::error!(path = %file.display(), what, "leader epochs are damaged: taken from the batches that are here");
            Ok((Vec::new(), true))
        }
        Err(error) => Err(error),
    }
}

struct Recovery<'a> {
    dir: &'a LogDir,
    path: &'a Path,
    config: &'a LogConfig,
    files: &'a [(i64, String)],
    recovery_point: RecoveryPoint,
    /// As they are in the file.
    saved_epochs: Vec<EpochStart>,
    epochs: LeaderEpochs,
    segments: BTreeMap<i64, Arc<Segment>>,
    /// One past the last record so far.
    end: i64,
    bytes_since_index_entry: u64,
    first_timestamp: Option<i64>,
    cut_bytes: u64,
    unsynced: Vec<DiskFile>,
    first_rebuilt: Option<i64>,
}

impl Recovery<'_> {
    /// No segment at all: a creation that was cut short left no more than empty indexes, and wrote no recovery point.
    fn check_for_first(&self, bases: &[i64]) -> Result<(), Error> {
        if !bases.is_empty() {
            return Ok(());
        }
        let start = self.end;
        let is_left = |(offset, suffix): &&(i64, String)| {
            let had_batches = is_index(suffix) && !is_file_empty(&names::offset_file(self.path, *offset, suffix));
            had_batches || (suffix == names::SNAPSHOT_SUFFIX && *offset > start)
        };
        let left = self.files.iter().filter(is_left).map(|(offset, _)| *offset);
        let left: Vec<i64> = left.collect();
        let point = self.recovery_point.or(Offset(start)).0;
        if point <= start && left.is_empty() {
            return Ok(());
        }
        let first = left.iter().copied().min().unwrap_or(start);
        let last = left.iter().copied().max().unwrap_or(start).max(point);
        let what = "the file is missing, and so is every other segment, although there were records".to_owned();
        Err(self.damage(first.min(start), 0, Offset(start), Offset(last.max(start + 1)), what))
    }

    /// An index between two segments whose `.log` is gone: removals go from the front, oldest first and the `.log` before
    /// its indexes, or from the end, newest first.
    fn check_for_missing(&self, bases: &[i64]) -> Result<(), Error> {
        let (Some(first), Some(last)) = (bases.first(), bases.last()) else { return Ok(()) };
        if self.path.join(names::GIVEN_UP).exists() {
            return Ok(());
        }
        let between = self.files.iter().filter(|(offset, suffix)| offset > first && offset < last && is_index(suffix));
        for (offset, _) in between {
            if bases.binary_search(offset).is_err() {
                let next = bases.iter().find(|base| *base > offset).copied().unwrap_or(*last);
                let what = "the file is missing; its index is there".to_owned();
                return Err(self.damage(*offset, 0, Offset(*offset), Offset(next), what));
            }
        }
        Ok(())
    }

    /// Index and other files whose segment is gone: a removal that was cut short.
    fn remove_orphans(&self, bases: &[i64]) -> Result<(), Error> {
        for (offset, suffix) in self.files {
            let orphan = is_index(suffix) && bases.binary_search(offset).is_err();
            if orphan || suffix.ends_with(names::DELETED_SUFFIX) {
                let file = names::offset_file(self.path, *offset, suffix);
                self.dir.disk.unlink(&file).map_err(Error::io("remove", &file))?;
            }
        }
        Ok(())
    }

    fn load_segments(&mut self, bases: &[i64], unclean: bool) -> Result<(), Error> {
        let walked = if unclean { self.first_walked(bases) } else { bases.len() };
        let mut walks = self.walk_all(bases.get(walked..).unwrap_or_default())?.into_iter();
        for (at, base) in bases.iter().copied().enumerate() {
            let next = bases.get(at + 1).copied();
            if at == 0 {
                self.end = base;
            }
            // A gap above the recovery point: the end of the segment before never reached the disk. No hole of a
            // compaction lies there: before a swap the recovery point passes what is replaced, and the cleaner's counts.
            if at >= walked && base > self.end && self.recovery_point.is_below(base) {
                self.check_end(Offset::ZERO)?;
                return self.set_aside(bases.get(at..).unwrap_or_default());
            }
            if base < self.end {
                let what = "the segment before it reaches past its start".to_owned();
                return Err(self.damage(base, 0, Offset(base), Offset(self.end), what));
            }
            match (next, if at >= walked { walks.next() } else { None }) {
                (_, Some(found)) => self.rebuilt(base, found, next)?,
                (Some(next), None) => self.trust_closed(base, next)?,
                (None, None) => self.trust_active(base)?,
            }
        }
        Ok(())
    }

    /// The first segment that reaches past the recovery point.
    fn first_walked(&self, bases: &[i64]) -> usize {
        match self.recovery_point {
            RecoveryPoint::Unknown => 0,
            RecoveryPoint::At(point) => bases.iter().skip(1).take_while(|next| Offset(**next) <= point).count(),
        }
    }

    /// Walks segments side by side, as many as the data directory has walks to spare.
    fn walk_all(&self, bases: &[i64]) -> Result<Vec<Walk>, Error> {
        let queue = Mutex::new(bases.iter().enumerate());
        let done: Mutex<Vec<(usize, Result<Walk, Error>)>> = Mutex::new(Vec::with_capacity(bases.len()));
        let run = || {
            while let Some((at, base)) = { lock(&queue).next() } {
                let walked = self.dir.walks.while_held(|| self.walk_one(*base));
                let failed = walked.is_err();
                lock(&done).push((at, walked));
                if failed {
                    return;
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.dir.walks.max().min(bases.len()) {
                let _ = std::thread::Builder::new().name("log-recovery".to_owned()).spawn_scoped(scope, run);
            }
            run();
        });
        let mut walked = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        walked.sort_unstable_by_key(|(at, _)| *at);
        walked.into_iter().map(|(_, walked)| walked).collect()
    }

    fn walk_one(&self, base: i64) -> Result<Walk, Error> {
        let log = self.open_log_file(base)?;
        let trust = match self.recovery_point {
            RecoveryPoint::At(point) if point.0 > base => Trust { below: point.0, indexes: true },
            RecoveryPoint::At(_) | RecoveryPoint::Unknown => Trust::NOTHING,
        };
        walk(log, self.path, base, self.config, trust).map_err(self.io(base))
    }

    fn trust_closed(&mut self, base: i64, next: i64) -> Result<(), Error> {
        let file = names::offset_file(self.path, base, names::LOG_SUFFIX);
        let size_bytes = file.metadata().map_err(Error::io("look at", &file))?.len();
        if size_bytes == 0 && self.had_batches(base)? {
            let what = "the file is empty, and segments follow it".to_owned();
            return Err(self.damage(base, 0, Offset(base), Offset(next), what));
        }
        // Its indexes are looked at when they are first needed.
        let segment = Segment::new(&self.dir.files, self.path, base, size_bytes, next, None);
        self.segments.insert(base, Arc::new(segment));
        self.end = next;
        Ok(())
    }

    /// Whether the indexes of an empty closed segment tell of batches: compaction may have left nothing of it.
    fn had_batches(&self, base: i64) -> Result<bool, Error> {
        for suffix in [names::OFFSET_INDEX_SUFFIX, names::TIME_INDEX_SUFFIX] {
            let file = names::offset_file(self.path, base, suffix);
            match file.metadata() {
                Ok(metadata) if metadata.len() == 0 => {}
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io("look at", &file)(e)),
                Ok(_) | Err(_) => return Ok(true),
            }
        }
        Ok(false)
    }

    /// The active segment after a clean stop.
    fn trust_active(&mut self, base: i64) -> Result<(), Error> {
        let log = self.open_log_file(base)?;
        let size_bytes = log.length().map_err(self.io(base))?;
        if size_bytes == 0 {
            let segment = Segment::new(&self.dir.files, self.path, base, 0, base, None);
            self.segments.insert(base, Arc::new(segment));
            self.end = base;
            return Ok(());
        }
        // Its end is not known yet: whatever an index says lies before it.
        let segment = Segment::new(&self.dir.files, self.path, base, size_bytes, i64::MAX, None);
        let last = segment.last_offset_entry().map_err(self.io(base))?;
        let mut from = last.map_or(0, |entry| u64::from(entry.position));
        let (next_offset, largest) = match self.walk_tail(base, &log, from, size_bytes) {
            // An entry that points beside the batches.
            Err(Error::Corrupt(_)) if from > 0 => {
                segment.distrust_indexes("the last entry of the offset index is wrong");
                from = 0;
                self.walk_tail(base, &log, from, size_bytes)?
            }
            walked => walked?,
        };
        let noted = segment.with_tail(|tail, indexes| {
            tail.next_offset = next_offset;
            if let Some((timestamp, offset)) = largest {
                indexes.note_timestamp(timestamp, offset);
            }
        });
        noted.map_err(self.io(base))?;
        self.first_timestamp = first_timestamp(&log, size_bytes).map_err(self.io(base))?;
        self.bytes_since_index_entry = size_bytes - from;
        self.segments.insert(base, Arc::new(segment));
        self.end = next_offset;
        Ok(())
    }

    /// The headers from `from` to the end: one past the last offset, and the largest timestamp with its batch's last offset.
    fn walk_tail(
        &self,
        base: i64,
        log: &DiskFile,
        from: u64,
        size_bytes: u64,
    ) -> Result<(i64, Option<(i64, i64)>), Error> {
        let mut scan = HeaderScan::new(log.file(), from, size_bytes);
        let mut next_offset = base;
        let mut largest: Option<(i64, i64)> = None;
        loop {
            match scan.next() {
                Ok(Some(at)) => {
                    next_offset = at.header.next_offset();
                    if at.header.max_timestamp > largest.map_or(-1, |(timestamp, _)| timestamp) {
                        largest = Some((at.header.max_timestamp, at.header.last_offset()));
                    }
                }
                Ok(None) => return Ok((next_offset, largest)),
                Err(ScanError::Io(e)) => return Err(self.io(base)(e)),
                Err(ScanError::Bad { position, what }) => {
                    let end = self.recovery_point.or(Offset(next_offset));
                    return Err(self.damage(base, position, Offset(next_offset), end, what));
                }
            }
        }
    }

    /// Takes over what a walk found. A bad end is cut, unless it is damage.
    fn rebuilt(&mut self, base: i64, mut found: Walk, next: Option<i64>) -> Result<(), Error> {
        let reached = Offset(found.next_offset);
        if let Some(what) = found.bad.take() {
            let until = found.resumes_at.map_or(next, |(_, offset)| Some(offset));
            let torn = match self.recovery_point {
                RecoveryPoint::At(point) => reached >= point,
                RecoveryPoint::Unknown => next.is_none() && found.resumes_at.is_none(),
            };
            if !torn {
                let until = until.map_or_else(|| self.recovery_point.or(reached), Offset);
                return Err(self.damage(base, found.end_position, reached, until, what));
            }
            self.cut_bytes += aside::cut(&self.dir.disk, self.path, base, &found.log, found.end_position, &what)?;
        }
        self.epochs.truncate_from_end(reached.max(self.recovery_point.or(Offset::ZERO)));
        // Only news: a segment's first batch continues an epoch that began before it.
        for news in found.epochs.iter().filter(|entry| entry.epoch > self.epochs.latest()).collect::<Vec<_>>() {
            self.epochs.assign(news.epoch, news.start_offset);
        }
        if next.is_some() {
            found.indexes.push_time(base);
        }
        let indexes = self.write_indexes(base, &mut found)?;
        if found.next_offset > self.recovery_point.or(Offset::ZERO).0 {
            self.unsynced.push(found.log);
            self.unsynced.extend(indexes);
        }
        let segment =
            Segment::new(&self.dir.files, self.path, base, found.end_position, found.next_offset, Some(found.indexes));
        self.segments.insert(base, Arc::new(segment));
        self.end = found.next_offset;
        self.bytes_since_index_entry = found.bytes_since_index_entry;
        self.first_timestamp = found.first_timestamp;
        self.first_rebuilt.get_or_insert(base);
        Ok(())
    }

    fn set_aside(&mut self, bases: &[i64]) -> Result<(), Error> {
        self.cut_bytes += aside::set_aside(&self.dir.disk, self.path, bases)?;
        Ok(())
    }

    /// The epochs of every batch that is here.
    fn epochs_from_segments(&mut self) -> Result<(), Error> {
        let mut epochs = LeaderEpochs::new(Vec::new());
        for base in self.segments.keys().copied() {
            let log = self.open_log_file(base)?;
            let found = walk(log, self.path, base, self.config, Trust::BATCHES).map_err(self.io(base))?;
            for news in found.epochs.iter().filter(|entry| entry.epoch > epochs.latest()).collect::<Vec<_>>() {
                epochs.assign(news.epoch, news.start_offset);
            }
        }
        self.epochs = epochs;
        Ok(())
    }

    /// A log that ends below its recovery point lost what was synced, unless all of that was deleted.
    fn check_end(&self, start: Offset) -> Result<(), Error> {
        if let RecoveryPoint::At(point) = self.recovery_point
            && self.end < point.0
            && start < point
            && let Some((base, segment)) = self.segments.last_key_value()
        {
            let what = "the log ends here: the file was cut short, or a later one is missing".to_owned();
            return Err(self.damage(*base, segment.size_bytes(), Offset(self.end), point, what));
        }
        Ok(())
    }

    fn finish(mut self, start: Offset, unclean: bool) -> Result<Recovered, Error> {
        self.check_end(start)?;
        if let Some(first) = self.segments.keys().next()
            && self.end < start.0
        {
            // What is here ends below the start: all of it is deleted history.
            tracing::warn!(path = %self.path.display(), first, end = self.end, start = start.0, "log ends below its start");
            let bases: Vec<i64> = self.segments.keys().copied().collect();
            self.segments.clear();
            self.unsynced.clear();
            self.set_aside(&bases)?;
            self.end = start.0;
        }
        let end = Offset(self.end);
        self.epochs.truncate_from_end(end);
        if self.saved_epochs != self.epochs.entries() {
            let path = self.path.join(names::LEADER_EPOCH_CHECKPOINT);
            checkpoint::write_epochs(&self.dir.disk, &path, self.epochs.entries())?;
        }
        let producers = self.load_producers()?;
        let at_end = self.files.iter().any(|(at, suffix)| *at == self.end && suffix == names::SNAPSHOT_SUFFIX);
        let settled = at_end && self.unsynced.is_empty();
        let flushed = if self.unsynced.is_empty() { end } else { self.recovery_point.or(Offset::ZERO).min(end) };
        Ok(Recovered {
            segments: self.segments,
            log_start_offset: start.max(Offset::ZERO),
            log_end_offset: end,
            flushed,
            unsynced: self.unsynced,
            producers,
            epochs: self.epochs.entries().to_vec(),
            bytes_since_index_entry: self.bytes_since_index_entry,
            first_timestamp: self.first_timestamp,
            unclean,
            cut_bytes: self.cut_bytes,
            settled,
        })
    }

    /// Producers as of the log end, and the transaction indexes of segments that were walked. Snapshots of a future that
    /// was cut go, and damaged ones.
    fn load_producers(&mut self) -> Result<Producers, Error> {
        let mut snapshots: Vec<i64> = self
            .files
            .iter()
            .filter(|(_, suffix)| suffix == names::SNAPSHOT_SUFFIX)
            .map(|(offset, _)| *offset)
            .collect();
        let kept = snapshots.partition_point(|offset| *offset <= self.end);
        let mut unwanted = snapshots.split_off(kept);
        let snapshot_max = self.first_rebuilt.unwrap_or(self.end);
        let replayed = replay(self.path, &self.segments, &snapshots, snapshot_max, self.end);
        let replayed = replayed.map_err(|source| self.unreadable(source))?;
        unwanted.extend(&replayed.damaged_snapshots);
        for offset in unwanted {
            let path = names::offset_file(self.path, offset, names::SNAPSHOT_SUFFIX);
            self.dir.disk.unlink(&path).map_err(Error::io("remove", &path))?;
        }
        if let Some(first_rebuilt) = self.first_rebuilt {
            let mut changed = false;
            for base in self.segments.range(first_rebuilt..).map(|(base, _)| *base) {
                let path = names::offset_file(self.path, base, names::TXN_INDEX_SUFFIX);
                let aborted = replayed.aborted.get(&base).map(Vec::as_slice).unwrap_or_default();
                let exists = self.files.iter().any(|(at, suffix)| *at == base && suffix == names::TXN_INDEX_SUFFIX);
                if !exists && aborted.is_empty() {
                    continue;
                }
                transactions::rewrite(&self.dir.disk, &path, aborted).map_err(Error::io("write", &path))?;
                changed = true;
            }
            if changed {
                self.dir.disk.sync_directory(self.path).map_err(Error::io("sync directory", self.path))?;
            }
        }
        Ok(replayed.producers)
    }

    /// Writes what the index files lack of a walk, or all of it.
    fn write_indexes(&self, base: i64, found: &mut Walk) -> Result<[DiskFile; 2], Error> {
        let open = |suffix: &str, kept: u64, entry_bytes: u64| {
            let path = names::offset_file(self.path, base, suffix);
            let opened = if kept == 0 {
                self.dir.disk.create(&path)
            } else {
                self.dir.disk.open(&path).and_then(|file| {
                    let length = kept * entry_bytes;
                    if file.length()? != length { file.truncate(length).map(|()| file) } else { Ok(file) }
                })
            };
            opened.map_err(Error::io("write", &path))
        };
        use super::segment::index::{Entry, OffsetEntry, TimeEntry};
        let offsets = open(names::OFFSET_INDEX_SUFFIX, found.kept.0, OffsetEntry::BYTES)?;
        found.indexes.offsets.flush(&offsets).map_err(self.io(base))?;
        let times = open(names::TIME_INDEX_SUFFIX, found.kept.1, TimeEntry::BYTES)?;
        found.indexes.times.flush(&times).map_err(self.io(base))?;
        Ok([offsets, times])
    }

    /// A walk of headers for the producers' sake read further back than the walk for the log's.
    fn unreadable(&self, source: ReadError) -> Error {
        let ReadError::Corrupt { path, position, what } = source else {
            return Error::Unreadable { path: self.path.to_owned(), source };
        };
        let name = path.file_name().and_then(|name| name.to_str()).and_then(names::parse_offset_file);
        let base = name.map_or(0, |(base, _)| base);
        let next = self.segments.get(&base).map_or(self.end, |segment| segment.next_offset());
        self.damage(base, position, Offset(base), Offset(next), what)
    }

    fn open_log_file(&self, base: i64) -> Result<DiskFile, Error> {
        let path = names::offset_file(self.path, base, names::LOG_SUFFIX);
        self.dir.disk.open(&path).map_err(Error::io("open", &path))
    }

    fn io(&self, base: i64) -> impl FnOnce(io::Error) -> Error + use<> {
        let path = self.log_path(base);
        move |source| Error::Io { operation: "recover", path, source }
    }

    fn log_path(&self, base: i64) -> PathBuf {
        names::offset_file(self.path, base, names::LOG_SUFFIX)
    }

    fn damage(&self, base: i64, position: u64, first_offset: Offset, next_offset: Offset, what: String) -> Error {
        let path = self.log_path(base);
        Error::Corrupt(Damage { path, base_offset: Offset(base), position, first_offset, next_offset, what })
    }
}

fn is_empty(path: &Path, base: i64) -> bool {
    is_file_empty(&names::offset_file(path, base, names::LOG_SUFFIX))
}

fn is_file_empty(file: &Path) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.len() == 0)
}

fn is_index(suffix: &str) -> bool {
    names::INDEX_SUFFIXES.contains(&suffix)
}
