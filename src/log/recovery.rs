//! What is on disk becomes a log again.
//!
//! After a clean stop the files are believed; only the last few batches behind the last index entry are walked, and
//! have to end at the recovery point: a stop syncs all. Where they do not, the log is recovered as after any other stop.
//! After any other stop what lies above the recovery point is read, every CRC checked, and its index entries written anew;
//! the segments of a log in parallel, `num.recovery.threads.per.data.dir` walks at a time in a data directory. What was
//! found is taken over in order, and not kept: of the segments of a log only a few are in memory with their entries
//! (`in_order`). The first bytes above it that are no batch end the log there: they were never acknowledged (`aside`). Below
//! it they are damage, and an error that names file, position and offsets: nothing is cut silently.
//!
//! Where the recovery points did not read, nothing says what was acknowledged: every segment is read, and what does not
//! read is a torn tail only where nothing whole follows it.
//!
//! Recovered bytes may be in the page cache only. They are synced, in the background, before the log says that they are
//! flushed, and what depends on it waits for that.

mod aside;
mod believed;
mod heal;
mod in_order;
mod missing;
mod producers;
mod rebuilt;
pub mod resync;
#[cfg(test)]
mod tests;
pub mod walk;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stratalog_types::{Offset, TopicPartition};

use self::walk::{Bounds, Trust, walk};
use super::checkpoint;
use super::cleaner;
use super::config::LogConfig;
use super::dir::{LogDir, RecoveryPoint};
use super::epochs::{EpochStart, LeaderEpochs};
use super::error::{Damage, Error};
use super::names;
use super::producers::Producers;
use super::segment::Segment;
use super::unreadable;
use crate::platform::disk::{Disk, DiskFile};

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
    let (epochs, epochs_damaged) = read_epochs(&dir.disk, path)?;
    let is_kafkas = checkpoint::is_without_sums(&path.join(names::LEADER_EPOCH_CHECKPOINT))?;
    // Every append is of an epoch, and writes that down before.
    let epochs_damaged = epochs_damaged || (epochs.is_empty() && bases.iter().any(|base| !is_empty(path, *base)));
    let mut unclean = unclean && !bases.is_empty();
    let mut recovery = Recovery {
        dir,
        path,
        partition,
        config,
        files: &files,
        recovery_point,
        may_be_hole: config.may_have_holes && (dir.may_lack_cleaner_point(partition) || is_kafkas),
        holes: Holes::of(dir, path, partition, config),
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
    if is_kafkas {
        // Kafka shortens the file a little later than the log; with the next change nothing tells any more that it was Kafka's.
        recovery.epochs.truncate_from_start(log_start_offset);
    } else {
        recovery.check_for_beginning(&bases)?;
    }
    recovery.check_for_missing(&bases)?;
    recovery.remove_orphans(&bases)?;
    let loaded = recovery.load_segments(&bases, unclean);
    if !unclean && recovery.is_not_as_stopped(&loaded) {
        unclean = true;
        // Also when this opening fails, and comes again.
        dir.distrust(partition);
        recovery.segments.clear();
        recovery.load_segments(&bases, unclean)?;
    } else {
        loaded?;
    }
    if epochs_damaged {
        recovery.epochs_from_segments()?;
    }
    recovery.finish(log_start_offset, unclean)
}

/// The entries of the checkpoint, and whether it could not be read: then the batches say which epoch they are of.
fn read_epochs(disk: &Disk, path: &Path) -> Result<(Vec<EpochStart>, bool), Error> {
    let file = path.join(names::LEADER_EPOCH_CHECKPOINT);
    match checkpoint::read_epochs(&file) {
        Ok(entries) => Ok((entries, false)),
        Err(Error::InvalidFile { what, .. }) => {
            tracing::error!(path = %file.display(), what, "leader epochs are damaged: taken from the batches that are here");
            Ok((Vec::new(), true))
        }
        Err(Error::Io { source, .. }) if unreadable::tells_of_bytes(&source) => {
            unreadable::set_aside(disk, &file, &source).map_err(Error::io("set aside", &file))?;
            Ok((Vec::new(), true))
        }
        Err(error) => Err(error),
    }
}

/// Where offsets may be missing between batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holes {
    None,
    /// In what a cleaner has been at.
    OfCompaction,
    /// Somebody gave up what is missing.
    Anywhere,
}

impl Holes {
    fn of(dir: &LogDir, path: &Path, partition: &TopicPartition, config: &LogConfig) -> Holes {
        if path.join(names::GIVEN_UP).exists() {
            Holes::Anywhere
        } else if config.may_have_holes || dir.was_compacted(partition) {
            Holes::OfCompaction
        } else {
            Holes::None
        }
    }

    /// Up to where offsets may be missing between the batches of a segment. No cleaner has been at the last one since it
    /// took batches, and what was cleaned before lies below the recovery point.
    fn below(self, recovery_point: RecoveryPoint, is_last: bool) -> i64 {
        match (recovery_point, self) {
            (_, Holes::None) => i64::MIN,
            (RecoveryPoint::At(point), Holes::OfCompaction) if is_last => point.0,
            (_, Holes::OfCompaction | Holes::Anywhere) => i64::MAX,
        }
    }
}

struct Recovery<'a> {
    dir: &'a LogDir,
    path: &'a Path,
    partition: &'a TopicPartition,
    config: &'a LogConfig,
    files: &'a [(i64, String)],
    recovery_point: RecoveryPoint,
    /// A gap above the recovery point may be of a compaction: Kafka, which wrote to this log last, cleans above it; or what
    /// the cleaner noted is lost.
    may_be_hole: bool,
    holes: Holes,
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
    fn load_segments(&mut self, bases: &[i64], unclean: bool) -> Result<(), Error> {
        let Some(first) = bases.first() else { return Ok(()) };
        self.end = *first;
        let (believed, walked) = bases.split_at(if unclean { self.first_walked(bases) } else { bases.len() });
        for (at, base) in believed.iter().copied().enumerate() {
            self.check_overlap(base)?;
            match bases.get(at + 1) {
                Some(next) => self.trust_closed(base, *next)?,
                None => self.trust_active(base)?,
            }
        }
        self.walk_all(walked)
    }

    /// A segment that begins before the one before it ends.
    fn check_overlap(&self, base: i64) -> Result<(), Error> {
        if base >= self.end {
            return Ok(());
        }
        let what = "the segment before it reaches past its start".to_owned();
        Err(self.damage(base, 0, Offset(base), Offset(self.end), what))
    }

    fn set_aside(&mut self, bases: &[i64]) -> Result<(), Error> {
        let bytes = aside::set_aside(&self.dir.disk, self.path, bases)?;
        self.count_cut(bytes);
        Ok(())
    }

    fn count_cut(&mut self, bytes: u64) {
        self.cut_bytes += bytes;
        self.dir.metrics.log_recovery_bytes_cut.inc_by(bytes);
    }

    /// The epochs of every batch that is here.
    fn epochs_from_segments(&mut self) -> Result<(), Error> {
        let mut epochs = LeaderEpochs::new(Vec::new());
        for base in self.segments.keys().copied() {
            let log = self.open_log_file(base)?;
            let found = walk(log, self.path, base, self.config, Trust::BATCHES, Bounds::NONE).map_err(self.io(base))?;
            for news in found.epochs.iter().filter(|entry| entry.epoch > epochs.latest()).collect::<Vec<_>>() {
                epochs.assign(news.epoch, news.start_offset);
            }
        }
        self.epochs = epochs;
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

    fn open_log_file(&self, base: i64) -> Result<DiskFile, Error> {
        let path = names::offset_file(self.path, base, names::LOG_SUFFIX);
        self.dir.disk.open(&path).map_err(Error::io("open", &path))
    }

    fn io(&self, base: i64) -> impl FnOnce(io::Error) -> Error + use<> {
        let path = self.log_path(base);
        move |source| Error::io("recover", &path)(source)
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
