//! What is on disk becomes a log again.
//!
//! After a clean stop the files are believed; only the last few batches behind the last index entry are walked. After
//! any other stop each segment that reaches past the recovery point is read in full, every CRC checked, its indexes
//! written anew. The first bytes that are no batch end the log there, if they lie above the recovery point: they were
//! never acknowledged. Below it they are corruption, and an error: nothing is cut silently.
//!
//! Order of effects of a cut: the bytes go to a `.cut` file, which is synced, then the segment is truncated and synced;
//! later segments are renamed away, newest first. A crash in between repeats the cut. Recovered bytes are synced before
//! the log says that they are flushed: until then they may be in the page cache only.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use stratalog_protocol::records::{BATCH_HEADER_BYTES, BatchHeader};
use stratalog_types::{LeaderEpoch, Offset, TopicPartition};

use super::checkpoint;
use super::config::LogConfig;
use super::dir::LogDir;
use super::epochs::{EpochStart, LeaderEpochs};
use super::error::Error;
use super::names;
use super::producers::Producers;
use super::replay::replay;
use super::scan::{HeaderScan, ScanError};
use super::segment::{Indexes, Segment};
use super::transactions;
use crate::platform::disk::{Disk, DiskFile};

const READ_BYTES: usize = 256 << 10;

/// A log as found, made consistent.
pub struct Recovered {
    pub segments: BTreeMap<i64, Arc<Segment>>,
    pub log_start_offset: Offset,
    pub log_end_offset: Offset,
    pub producers: Producers,
    pub epochs: Vec<EpochStart>,
    pub bytes_since_index_entry: u64,
    pub first_timestamp: Option<i64>,
    pub unclean: bool,
    pub cut_bytes: u64,
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

/// `unclean`: nothing above the recovery point is believed.
pub fn recover(
    dir: &LogDir,
    path: &Path,
    partition: &TopicPartition,
    config: &LogConfig,
    unclean: bool,
) -> Result<Recovered, Error> {
    let files = list(path)?;
    let bases: Vec<i64> =
        files.iter().filter(|(_, suffix)| suffix == names::LOG_SUFFIX).map(|(base, _)| *base).collect();
    remove_orphans(dir, path, &files, &bases)?;
    let checkpointed_start = dir.log_start(partition);
    let log_start_offset = checkpointed_start.or(bases.first().map(|base| Offset(*base))).unwrap_or_default();
    let mut recovery = Recovery {
        dir,
        path,
        config,
        recovery_point: dir.recovery_point(partition).unwrap_or_default(),
        epochs: LeaderEpochs::new(checkpoint::read_epochs(&path.join(names::LEADER_EPOCH_CHECKPOINT))?),
        segments: BTreeMap::new(),
        end: log_start_offset.0,
        bytes_since_index_entry: 0,
        first_timestamp: None,
        cut_bytes: 0,
        scanned: Vec::new(),
        first_rebuilt: None,
    };
    let unclean = unclean && !bases.is_empty();
    recovery.load_segments(&bases, unclean)?;
    recovery.finish(log_start_offset, unclean, &files)
}

/// Index and other files whose segment is gone: a removal that was cut short.
fn remove_orphans(dir: &LogDir, path: &Path, files: &[(i64, String)], bases: &[i64]) -> Result<(), Error> {
    for (offset, suffix) in files {
        let of_segment =
            [names::OFFSET_INDEX_SUFFIX, names::TIME_INDEX_SUFFIX, names::TXN_INDEX_SUFFIX].contains(&suffix.as_str());
        let orphan = of_segment && bases.binary_search(offset).is_err();
        if orphan || suffix.ends_with(names::DELETED_SUFFIX) {
            let file = names::offset_file(path, *offset, suffix);
            dir.disk.unlink(&file).map_err(Error::io("remove", &file))?;
        }
    }
    Ok(())
}

struct Recovery<'a> {
    dir: &'a LogDir,
    path: &'a Path,
    config: &'a LogConfig,
    recovery_point: Offset,
    epochs: LeaderEpochs,
    segments: BTreeMap<i64, Arc<Segment>>,
    /// One past the last record so far.
    end: i64,
    bytes_since_index_entry: u64,
    first_timestamp: Option<i64>,
    cut_bytes: u64,
    /// Files that were read in full, to be synced.
    scanned: Vec<DiskFile>,
    first_rebuilt: Option<i64>,
}

impl Recovery<'_> {
    fn load_segments(&mut self, bases: &[i64], unclean: bool) -> Result<(), Error> {
        for (at, base) in bases.iter().enumerate() {
            let next = bases.get(at + 1).copied();
            if at == 0 {
                self.end = *base;
            }
            // A gap above the recovery point: the end of the segment before never reached the disk.
            if unclean && *base > self.end && Offset(*base) > self.recovery_point {
                return self.set_aside(bases.get(at..).unwrap_or_default());
            }
            if *base < self.end {
                return Err(self.corrupt(*base, 0, "the segment before it reaches past its start".to_owned()));
            }
            match next {
                Some(next) if !unclean || Offset(next) <= self.recovery_point => self.trust_closed(*base, next)?,
                _ if unclean => self.rebuild(*base, next.is_some())?,
                _ => self.trust_active(*base)?,
            }
        }
        Ok(())
    }

    fn trust_closed(&mut self, base: i64, next: i64) -> Result<(), Error> {
        let file = names::offset_file(self.path, base, names::LOG_SUFFIX);
        let size_bytes = file.metadata().map_err(Error::io("look at", &file))?.len();
        self.complete_indexes(base, size_bytes)?;
        let segment = Segment::new(&self.dir.files, self.path, base, size_bytes, next, None);
        self.segments.insert(base, Arc::new(segment));
        self.end = next;
        Ok(())
    }

    /// A closed segment without one of its indexes gets both anew.
    fn complete_indexes(&mut self, base: i64, size_bytes: u64) -> Result<(), Error> {
        for suffix in [names::OFFSET_INDEX_SUFFIX, names::TIME_INDEX_SUFFIX] {
            let file = names::offset_file(self.path, base, suffix);
            if file.try_exists().map_err(Error::io("look for", &file))? {
                continue;
            }
            tracing::info!(path = %file.display(), "index is missing; writing it anew");
            let log = self.open_log_file(base)?;
            let scan = full_scan(&log, size_bytes, base, self.config, false).map_err(|e| self.io(base)(e))?;
            if let Some(bad) = scan.bad {
                return Err(self.corrupt(base, scan.end_position, bad));
            }
            let mut indexes = scan.indexes;
            indexes.push_time(base);
            self.write_indexes(base, &mut indexes)?;
            return Ok(());
        }
        Ok(())
    }

    /// The active segment after a clean stop.
    fn trust_active(&mut self, base: i64) -> Result<(), Error> {
        let log = self.open_log_file(base)?;
        let size_bytes = log.length().map_err(self.io(base))?;
        self.complete_indexes(base, size_bytes)?;
        let segment = Segment::new(&self.dir.files, self.path, base, size_bytes, base, None);
        let last = segment.last_offset_entry().map_err(self.io(base))?;
        let from = last.map_or(0, |entry| u64::from(entry.position));
        let mut scan = HeaderScan::new(log.file(), from, size_bytes);
        let mut next_offset = base;
        let mut largest = None;
        loop {
            match scan.next() {
                Ok(Some(at)) => {
                    next_offset = at.header.next_offset();
                    if at.header.max_timestamp > largest.map_or(-1, |(timestamp, _)| timestamp) {
                        largest = Some((at.header.max_timestamp, at.header.last_offset()));
                    }
                }
                Ok(None) => break,
                Err(ScanError::Io(e)) => return Err(self.io(base)(e)),
                Err(ScanError::Bad { position, what }) => return Err(self.corrupt(base, position, what)),
            }
        }
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

    /// Reads a whole segment. A bad end is cut.
    fn rebuild(&mut self, base: i64, closed: bool) -> Result<(), Error> {
        let log = self.open_log_file(base)?;
        let size_bytes = log.length().map_err(self.io(base))?;
        let mut scan = full_scan(&log, size_bytes, base, self.config, true).map_err(self.io(base))?;
        if let Some(bad) = scan.bad.take() {
            if Offset(scan.next_offset) < self.recovery_point {
                return Err(self.corrupt(base, scan.end_position, bad));
            }
            self.cut(base, &log, scan.end_position, size_bytes, &bad)?;
        }
        self.epochs.truncate_from_end(Offset(scan.next_offset).max(self.recovery_point));
        // Only news: a segment's first batch continues an epoch that began before it.
        for news in scan.epochs.iter().filter(|entry| entry.epoch > self.epochs.latest()).collect::<Vec<_>>() {
            self.epochs.assign(news.epoch, news.start_offset);
        }
        if closed {
            scan.indexes.push_time(base);
        }
        self.write_indexes(base, &mut scan.indexes)?;
        let segment =
            Segment::new(&self.dir.files, self.path, base, scan.end_position, scan.next_offset, Some(scan.indexes));
        self.segments.insert(base, Arc::new(segment));
        self.end = scan.next_offset;
        self.bytes_since_index_entry = scan.bytes_since_index_entry;
        self.first_timestamp = scan.first_timestamp;
        self.scanned.push(log);
        self.first_rebuilt.get_or_insert(base);
        Ok(())
    }

    fn cut(&mut self, base: i64, log: &DiskFile, from: u64, size_bytes: u64, what: &str) -> Result<(), Error> {
        let aside = self.path.join(format!("{base:020}.{from}.{}", names::CUT_SUFFIX));
        let copied = copy_aside(&self.dir.disk, log, from, size_bytes, &aside);
        copied.map_err(Error::io("copy a torn tail to", &aside))?;
        self.dir.disk.sync_directory(self.path).map_err(Error::io("sync directory", self.path))?;
        log.truncate(from).map_err(self.io(base))?;
        self.cut_bytes += size_bytes - from;
        let bytes = size_bytes - from;
        tracing::warn!(path = %self.path.display(), base_offset = base, position = from, bytes, what, "cut a torn tail");
        Ok(())
    }

    /// Segments behind a cut are no part of the log any more: renamed, newest first, so that a crash leaves no gap.
    fn set_aside(&mut self, bases: &[i64]) -> Result<(), Error> {
        let disk = &self.dir.disk;
        for base in bases.iter().rev() {
            let log = names::offset_file(self.path, *base, names::LOG_SUFFIX);
            self.cut_bytes += log.metadata().map_err(Error::io("look at", &log))?.len();
            let aside = self.path.join(format!("{base:020}.0.{}", names::CUT_SUFFIX));
            disk.rename(&log, &aside).map_err(Error::io("set aside", &log))?;
            disk.sync_directory(self.path).map_err(Error::io("sync directory", self.path))?;
            for suffix in [names::OFFSET_INDEX_SUFFIX, names::TIME_INDEX_SUFFIX, names::TXN_INDEX_SUFFIX] {
                let file = names::offset_file(self.path, *base, suffix);
                disk.unlink_if_exists(&file).map_err(Error::io("remove", &file))?;
            }
            tracing::warn!(path = %log.display(), "set aside a segment behind a torn one");
        }
        Ok(())
    }

    fn finish(mut self, start: Offset, unclean: bool, files: &[(i64, String)]) -> Result<Recovered, Error> {
        for file in &self.scanned {
            file.sync().map_err(Error::io("sync", self.path))?;
        }
        let mut log_start_offset = start;
        if let Some(first) = self.segments.keys().next()
            && self.end < start.0
        {
            // What is here ends below the start: all of it is deleted history.
            tracing::warn!(path = %self.path.display(), first, end = self.end, start = start.0, "log ends below its start");
            let bases: Vec<i64> = self.segments.keys().copied().collect();
            self.segments.clear();
            self.set_aside(&bases)?;
            self.end = start.0;
        }
        log_start_offset = log_start_offset.max(Offset::ZERO);
        let before = self.epochs.clone();
        self.epochs.truncate_from_end(Offset(self.end));
        if unclean || before != self.epochs {
            let path = self.path.join(names::LEADER_EPOCH_CHECKPOINT);
            checkpoint::write_epochs(&self.dir.disk, &path, self.epochs.entries())?;
        }
        let producers = self.load_producers(files)?;
        Ok(Recovered {
            segments: self.segments,
            log_start_offset,
            log_end_offset: Offset(self.end),
            producers,
            epochs: self.epochs.entries().to_vec(),
            bytes_since_index_entry: self.bytes_since_index_entry,
            first_timestamp: self.first_timestamp,
            unclean,
            cut_bytes: self.cut_bytes,
        })
    }

    /// Producers as of the log end, and the transaction indexes of segments that were read in full. Snapshots of a
    /// future that was cut go, and damaged ones.
    fn load_producers(&self, files: &[(i64, String)]) -> Result<Producers, Error> {
        let mut snapshots: Vec<i64> =
            files.iter().filter(|(_, suffix)| suffix == names::SNAPSHOT_SUFFIX).map(|(offset, _)| *offset).collect();
        let kept = snapshots.partition_point(|offset| *offset <= self.end);
        let mut unwanted = snapshots.split_off(kept);
        let snapshot_max = self.first_rebuilt.unwrap_or(self.end);
        let replayed = replay(self.path, &self.segments, &snapshots, snapshot_max, self.end);
        let replayed = replayed.map_err(|source| Error::Unreadable { path: self.path.to_owned(), source })?;
        unwanted.extend(&replayed.damaged_snapshots);
        for offset in unwanted {
            let path = names::offset_file(self.path, offset, names::SNAPSHOT_SUFFIX);
            self.dir.disk.unlink(&path).map_err(Error::io("remove", &path))?;
        }
        if let Some(first_rebuilt) = self.first_rebuilt {
            for base in self.segments.range(first_rebuilt..).map(|(base, _)| *base) {
                let path = names::offset_file(self.path, base, names::TXN_INDEX_SUFFIX);
                let aborted = replayed.aborted.get(&base).map(Vec::as_slice).unwrap_or_default();
                transactions::rewrite(&self.dir.disk, &path, aborted).map_err(Error::io("write", &path))?;
            }
            self.dir.disk.sync_directory(self.path).map_err(Error::io("sync directory", self.path))?;
        }
        Ok(replayed.producers)
    }

    fn write_indexes(&self, base: i64, indexes: &mut Indexes) -> Result<(), Error> {
        let write = |suffix: &str| {
            let path = names::offset_file(self.path, base, suffix);
            self.dir.disk.create(&path).map_err(Error::io("write", &path))
        };
        let offsets = write(names::OFFSET_INDEX_SUFFIX)?;
        indexes.offsets.flush(&offsets).and_then(|()| offsets.sync()).map_err(self.io(base))?;
        let times = write(names::TIME_INDEX_SUFFIX)?;
        indexes.times.flush(&times).and_then(|()| times.sync()).map_err(self.io(base))
    }

    fn open_log_file(&self, base: i64) -> Result<DiskFile, Error> {
        let path = names::offset_file(self.path, base, names::LOG_SUFFIX);
        self.dir.disk.open(&path).map_err(Error::io("open", &path))
    }

    fn io(&self, base: i64) -> impl FnOnce(io::Error) -> Error + use<> {
        let path = names::offset_file(self.path, base, names::LOG_SUFFIX);
        move |source| Error::Io { operation: "recover", path, source }
    }

    fn corrupt(&self, base: i64, position: u64, what: String) -> Error {
        let path = names::offset_file(self.path, base, names::LOG_SUFFIX);
        Error::Corrupt { path, position, recovery_point: self.recovery_point, what }
    }
}

/// What a walk over a whole segment found.
struct FullScan {
    /// The end of the last good batch.
    end_position: u64,
    next_offset: i64,
    indexes: Indexes,
    epochs: Vec<EpochStart>,
    bytes_since_index_entry: u64,
    first_timestamp: Option<i64>,
    /// Why the walk ended before the file did.
    bad: Option<String>,
}

fn full_scan(log: &DiskFile, size_bytes: u64, base: i64, config: &LogConfig, check_crc: bool) -> io::Result<FullScan> {
    let mut found = FullScan {
        end_position: 0,
        next_offset: base,
        indexes: Indexes::empty(),
        epochs: Vec::new(),
        bytes_since_index_entry: 0,
        first_timestamp: None,
        bad: None,
    };
    let mut buffer = vec![0; READ_BYTES];
    let mut scan = HeaderScan::new(log.file(), 0, size_bytes);
    loop {
        let at = match scan.next() {
            Ok(Some(at)) => at,
            Ok(None) => return Ok(found),
            Err(ScanError::Io(e)) => return Err(e),
            Err(ScanError::Bad { what, .. }) => {
                found.bad = Some(what);
                return Ok(found);
            }
        };
        let header = &at.header;
        let in_range = header.base_offset >= found.next_offset && header.last_offset() - base <= i64::from(i32::MAX);
        if !in_range {
            found.bad = Some(format!("offset {} after offset {}", header.base_offset, found.next_offset - 1));
            return Ok(found);
        }
        if check_crc && batch_crc(log, at.position, header, &mut buffer)? != header.crc {
            found.bad = Some("the checksum of a batch does not match".to_owned());
            return Ok(found);
        }
        found.note(base, &at.header, at.position, config);
    }
}

impl FullScan {
    fn note(&mut self, base: i64, header: &BatchHeader, position: u64, config: &LogConfig) {
        let batch_bytes = header.batch_bytes() as u64;
        self.indexes.note_timestamp(header.max_timestamp, header.last_offset());
        if self.bytes_since_index_entry > u64::from(config.index_interval_bytes) {
            self.indexes.push_offset(base, header.last_offset(), position);
            self.indexes.push_time(base);
            self.bytes_since_index_entry = 0;
        }
        self.bytes_since_index_entry += batch_bytes;
        self.first_timestamp.get_or_insert(header.max_timestamp);
        let epoch = LeaderEpoch(header.partition_leader_epoch);
        if self.epochs.last().is_none_or(|last| last.epoch < epoch) {
            self.epochs.push(EpochStart { epoch, start_offset: Offset(header.base_offset) });
        }
        self.end_position = position + batch_bytes;
        self.next_offset = header.next_offset();
    }
}

/// The CRC-32C of a batch in a file, read piece by piece.
fn batch_crc(log: &DiskFile, position: u64, header: &BatchHeader, buffer: &mut [u8]) -> io::Result<u32> {
    const COVERED_FROM: u64 = 21;
    debug_assert!(COVERED_FROM < BATCH_HEADER_BYTES as u64);
    let end = position + header.batch_bytes() as u64;
    let mut at = position + COVERED_FROM;
    let mut crc = 0;
    while at < end {
        let wanted = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        let piece = buffer.get_mut(..wanted).unwrap_or_default();
        let read = log.read_at(piece, at)?;
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        crc = crc32c::crc32c_append(crc, piece.get(..read).unwrap_or_default());
        at += read as u64;
    }
    Ok(crc)
}

fn first_timestamp(log: &DiskFile, size_bytes: u64) -> io::Result<Option<i64>> {
    match HeaderScan::new(log.file(), 0, size_bytes).next() {
        Ok(first) => Ok(first.map(|at| at.header.max_timestamp)),
        Err(ScanError::Io(e)) => Err(e),
        Err(ScanError::Bad { .. }) => Ok(None),
    }
}

/// Copies `from..until` of a log to a new synced file. Nothing but zeros, as a file that was extended and never written
/// has, is not worth one.
fn copy_aside(disk: &Disk, log: &DiskFile, from: u64, until: u64, aside: &Path) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    let mut to: Option<DiskFile> = None;
    let mut at = from;
    while at < until {
        let wanted = buffer.len().min(usize::try_from(until - at).unwrap_or(usize::MAX));
        let piece = buffer.get_mut(..wanted).unwrap_or_default();
        let read = log.read_at(piece, at)?;
        if read == 0 {
            break;
        }
        let piece = piece.get(..read).unwrap_or_default();
        if to.is_none() && piece.iter().any(|byte| *byte != 0) {
            to = Some(disk.create(aside)?);
        }
        if let Some(to) = &to {
            to.write_at(piece, at - from)?;
        }
        at += read as u64;
    }
    to.map_or(Ok(()), |to| to.sync())
}
