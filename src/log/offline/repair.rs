//! Making a log whole again, in two steps: a plan to be read, then what it says, under the directory's lock.
//!
//! Nothing is thrown away: bytes that leave a log go to a file beside it first (`.cut` from its end, `.damaged` from its
//! middle), a file that is replaced is renamed. What is lost is said in the plan, offset by offset, and happens only where
//! it was asked for.
//!
//! A plan to be applied is made under that lock. One that was not is applied only to files that are still as they were seen:
//! beside a running broker the batch that is being written looks like a torn end.
//!
//! A batch that is whole but for its base offset, which lies under no CRC, stays: where its neighbours say what that
//! was, it is set again, in place.
//!
//! Order of effects, of each other action: the side file is written and synced, then the log is replaced by rename (or
//! cut) and synced, then its indexes go, to be written anew from what is left. A crash in between leaves a side file
//! too many, or a log without indexes: the next start, or the next repair, makes them.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;
use stratalog_types::{LeaderEpoch, Offset, TopicPartition};

use crate::log::checkpoint;
use crate::log::config::LogConfig;
use crate::log::dir::DirectoryLock;
use crate::log::epochs::LeaderEpochs;
use crate::log::error::Error;
use crate::log::names;
use crate::log::segment::Indexes;
use crate::log::unreadable::free_name;
use crate::platform::disk::{Disk, DiskFile};

use super::batches::{Batches, Found, Misplaced};
use super::filler;
use super::findings::Findings;
use super::partition::{self, Checkpointed, PartitionFacts};
use super::seen::{Checkpoints, Seen};
use super::segment::BadBytes;
use super::target::{Kind, Target, entries};

const COPY_BYTES: usize = 1 << 20;

/// One step of a repair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum Action {
    /// Both indexes of a segment are written anew from its batches.
    RebuildIndexes { log: PathBuf },
    /// Bytes behind the last whole batch of a log go to a side file.
    CutTail { log: PathBuf, position: u64, bytes: u64, what: String },
    /// Bytes between whole batches go to a side file; the offsets are lost here.
    DropDamaged { log: PathBuf, position: u64, end: u64, first_offset: i64, last_offset: i64, what: String },
    /// A batch gets the base offset that its neighbours say it had: no CRC covers it.
    SetBaseOffset { log: PathBuf, position: u64, from: i64, to: i64, what: String },
    /// A file that nobody can read is renamed to `.damaged`: it is made anew from the log.
    SetAside { file: PathBuf },
    /// The epochs are read from the batches again.
    RebuildEpochs { file: PathBuf },
    /// Records were synced and are not there: the recovery point goes back to the log's end.
    LowerRecoveryPoint { file: PathBuf, partition: String, to: i64, lost_last_offset: i64 },
    /// Offsets are missing in this log and may be: a broker opens it, and readers step over them.
    AcceptMissing { file: PathBuf },
    /// Damage that is left as it is: it needs `--drop-damaged`.
    Leave { log: PathBuf, position: u64, first_offset: i64, last_offset: Option<i64>, what: String },
}

impl Action {
    /// The file that it is about.
    fn file(&self) -> &Path {
        match self {
            Action::RebuildIndexes { log }
            | Action::CutTail { log, .. }
            | Action::DropDamaged { log, .. }
            | Action::SetBaseOffset { log, .. }
            | Action::Leave { log, .. } => log,
            Action::SetAside { file }
            | Action::RebuildEpochs { file }
            | Action::LowerRecoveryPoint { file, .. }
            | Action::AcceptMissing { file } => file,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::RebuildIndexes { log } => write!(f, "rebuild the indexes of {}", log.display()),
            Action::CutTail { log, position, bytes, what } => {
                write!(f, "cut {bytes} bytes off the end of {} at byte {position} ({what})", log.display())
            }
            Action::DropDamaged { log, position, end, first_offset, last_offset, what } => write!(
                f,
                "DROP bytes {position} to {end} of {}: offsets {first_offset} to {last_offset} are LOST ({what})",
                log.display()
            ),
            Action::SetBaseOffset { log, position, from, to, what } => write!(
                f,
                "set the base offset of the batch at byte {position} of {} to {to}: it is {from} ({what})",
                log.display()
            ),
            Action::SetAside { file } => write!(f, "set {} aside", file.display()),
            Action::RebuildEpochs { file } => write!(f, "write {} anew from the batches", file.display()),
            Action::LowerRecoveryPoint { partition, to, lost_last_offset, .. } => write!(
                f,
                "move the recovery point of {partition} back to {to}: offsets {to} to {lost_last_offset} were synced and \
                 are LOST"
            ),
            Action::AcceptMissing { file } => write!(f, "note in {} that offsets are missing", file.display()),
            Action::Leave { log, position, first_offset, last_offset, what } => {
                write!(f, "LEAVE {} byte {position} as it is ({what}): offsets {first_offset} ", log.display())?;
                match last_offset {
                    Some(last) => write!(f, "to {last} would be lost; --drop-damaged gives them up"),
                    None => f.write_str("and later may be lost; --drop-damaged gives them up"),
                }
            }
        }
    }
}

/// What is to be done, in order.
#[derive(Debug, Default, Serialize)]
pub struct Repair {
    pub actions: Vec<Action>,
    /// The data directory whose lock has to be held.
    #[serde(skip)]
    data_directory: Option<PathBuf>,
    #[serde(skip)]
    lock: Option<DirectoryLock>,
    #[serde(skip)]
    seen: Seen,
}

/// Looks, and says what would be done. `drop_damaged` gives up records that cannot be read.
pub fn plan(target: &Target, drop_damaged: bool, findings: &mut Findings<'_>) -> Result<Repair, Error> {
    let repair = Repair { data_directory: data_directory_of(target)?, ..Repair::default() };
    repair.planned(target, drop_damaged, findings)
}

/// As [`plan`], with the directory's lock, which the answer keeps: what was looked at stays as it is until it is applied.
pub fn plan_to_apply(target: &Target, drop_damaged: bool, findings: &mut Findings<'_>) -> Result<Repair, Error> {
    let mut repair = Repair { data_directory: data_directory_of(target)?, ..Repair::default() };
    repair.lock = repair.take_lock()?;
    repair.planned(target, drop_damaged, findings)
}

fn data_directory_of(target: &Target) -> Result<Option<PathBuf>, Error> {
    match target.kind {
        Kind::DataDirectory => Ok(Some(target.path.clone())),
        Kind::Partition => match target.path.parent() {
            Some(parent) if target.path.file_name().is_some() => {
                let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
                Ok(Some(parent.to_owned()))
            }
            // `.` and its like say nothing of where they lie.
            _ => Ok(full_path(&target.path)?.parent().map(Path::to_owned)),
        },
        Kind::File => {
            let what = "repair works on a partition's directory or a data directory: a file is not whole by itself";
            Err(Error::invalid(&target.path, what))
        }
    }
}

fn full_path(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(Error::io("look at", path))
}

/// What is known of a partition from outside its directory.
struct Known {
    partition: Option<TopicPartition>,
    checkpointed: Option<Checkpointed>,
    /// Records below it may have been acknowledged.
    synced: Offset,
}

impl Repair {
    /// Whether something stays damaged that more courage would drop.
    pub fn leaves_damage(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, Action::Leave { .. }))
    }

    fn take_lock(&self) -> Result<Option<DirectoryLock>, Error> {
        match &self.data_directory {
            Some(directory) => DirectoryLock::take_for_repair(directory).map(Some),
            None => Ok(None),
        }
    }

    fn planned(mut self, target: &Target, drop_damaged: bool, findings: &mut Findings<'_>) -> Result<Repair, Error> {
        let checkpoints = match self.data_directory.clone() {
            Some(directory) => {
                self.seen.note(&directory)?;
                Some(Checkpoints::read(&directory)?)
            }
            None => None,
        };
        let known = |name: Option<&str>| {
            let partition = name.and_then(names::parse_partition_directory);
            let of = partition.as_ref().zip(checkpoints.as_ref());
            let checkpointed = of.map(|(partition, checkpoints)| checkpoints.of(partition));
            let synced = of.map_or(Offset(i64::MAX), |(partition, checkpoints)| checkpoints.synced(partition));
            Known { partition, checkpointed, synced }
        };
        if target.kind == Kind::DataDirectory {
            for name in entries(&target.path)? {
                if names::parse_partition_directory(&name).is_some() {
                    self.partition(&target.path.join(&name), &known(Some(&name)), drop_damaged, findings)?;
                }
            }
        } else {
            let path = if target.path.file_name().is_some() { target.path.clone() } else { full_path(&target.path)? };
            let name = path.file_name().and_then(|name| name.to_str());
            self.partition(&path, &known(name), drop_damaged, findings)?;
        }
        Ok(self)
    }

    fn partition(
        &mut self,
        directory: &Path,
        known: &Known,
        drop_damaged: bool,
        findings: &mut Findings<'_>,
    ) -> Result<(), Error> {
        self.seen.note(directory)?;
        let facts = partition::verify_partition(directory, known.checkpointed, findings)?;
        let last_base = facts.segments.last().map(|last| last.base_offset);
        for segment in &facts.segments {
            let log = names::offset_file(directory, segment.base_offset, names::LOG_SUFFIX);
            let is_last = Some(segment.base_offset) == last_base;
            // From the end: positions before it stay right.
            for bad in segment.bad.iter().rev() {
                // No tear leaves a batch whose checksum matches elsewhere.
                let may_be_torn = is_last && bad.end == segment.size_bytes && bad.misplaced.is_none();
                let is_torn_end = may_be_torn && bad.first_offset >= known.synced.0;
                self.actions.push(of_bad_bytes(&log, bad, is_torn_end, drop_damaged));
            }
            if segment.is_index_wrong || !segment.bad.is_empty() {
                self.actions.push(Action::RebuildIndexes { log });
            }
        }
        let accepted = directory.join(names::GIVEN_UP);
        if drop_damaged && !accepted.exists() && has_missing(&facts) {
            self.actions.push(Action::AcceptMissing { file: accepted });
        }
        for offset in &facts.bad_snapshots {
            let file = names::offset_file(directory, *offset, names::SNAPSHOT_SUFFIX);
            self.actions.push(Action::SetAside { file });
        }
        if facts.is_epoch_file_bad {
            self.actions.push(Action::RebuildEpochs { file: directory.join(names::LEADER_EPOCH_CHECKPOINT) });
        }
        self.recovery_point(known, &facts, drop_damaged);
        Ok(())
    }

    fn recovery_point(&mut self, known: &Known, facts: &PartitionFacts, drop_damaged: bool) {
        let Some(Checkpointed { recovery_point: Some(Offset(synced)), .. }) = known.checkpointed else { return };
        let (Some(partition), Some(parent)) = (&known.partition, &self.data_directory) else { return };
        let Some(end) = facts.end_offset() else { return };
        if synced > end && drop_damaged {
            self.actions.push(Action::LowerRecoveryPoint {
                file: parent.join(names::RECOVERY_POINTS),
                partition: partition.to_string(),
                to: end,
                lost_last_offset: synced - 1,
            });
        }
    }

    /// Does what the plan says, if the files are still those that it was made from. `step` is told each action before it
    /// is done.
    pub fn apply(&self, step: impl FnMut(&Action)) -> Result<(), Error> {
        self.apply_on(&Disk::default(), step)
    }

    /// As [`Repair::apply`], on a disk that somebody looks at.
    pub fn apply_on(&self, disk: &Disk, mut step: impl FnMut(&Action)) -> Result<(), Error> {
        let _lock = if self.lock.is_none() { self.take_lock()? } else { None };
        for action in &self.actions {
            self.seen.check(action.file())?;
        }
        for action in &self.actions {
            step(action);
            apply(disk, action)?;
        }
        Ok(())
    }
}

/// Whether offsets are missing in a log, or will be: a start takes that for damage. Where one batch can stand for what is
/// dropped, none are.
fn has_missing(facts: &PartitionFacts) -> bool {
    let is_dropped = |bad: &BadBytes| bad.misplaced.is_none_or(|misplaced| misplaced.right.is_none());
    let leaves_gap = |bad: &BadBytes| {
        is_dropped(bad) && bad.until_offset.is_some_and(|until| !filler::fits(bad.first_offset, until - 1))
    };
    facts.misses_segments || facts.segments.iter().any(|segment| segment.bad.iter().any(leaves_gap))
}

fn of_bad_bytes(log: &Path, bad: &BadBytes, is_torn_end: bool, drop_damaged: bool) -> Action {
    let (log, what) = (log.to_owned(), bad.what.clone());
    let (position, bytes) = (bad.position, bad.end - bad.position);
    if let Some(Misplaced { base_offset: from, right: Some(to), .. }) = bad.misplaced {
        return Action::SetBaseOffset { log, position, from, to, what };
    }
    match bad.until_offset {
        // Above the recovery point nothing was acknowledged.
        None if is_torn_end || drop_damaged => Action::CutTail { log, position, bytes, what },
        Some(until) if drop_damaged => Action::DropDamaged {
            log,
            position,
            end: bad.end,
            first_offset: bad.first_offset,
            last_offset: until - 1,
            what,
        },
        until => Action::Leave {
            log,
            position,
            first_offset: bad.first_offset,
            last_offset: until.map(|until| until - 1),
            what,
        },
    }
}

fn apply(disk: &Disk, action: &Action) -> Result<(), Error> {
    match action {
        Action::RebuildIndexes { log } => rebuild_indexes(disk, log),
        Action::CutTail { log, position, .. } => cut_tail(disk, log, *position),
        Action::DropDamaged { log, position, end, first_offset, last_offset, .. } => {
            let filler = filler::bytes(log, *position, *first_offset, *last_offset)?;
            drop_bytes(disk, log, *position..*end, &filler)
        }
        Action::SetBaseOffset { log, position, from, to, .. } => set_base_offset(disk, log, *position, *from, *to),
        Action::SetAside { file } => {
            let aside = free_name(file, names::DAMAGED_SUFFIX);
            disk.rename(file, &aside).map_err(Error::io("set aside", file))?;
            sync_parent(disk, file)
        }
        Action::RebuildEpochs { file } => rebuild_epochs(disk, file),
        Action::LowerRecoveryPoint { file, partition, to, .. } => {
            let mut offsets = checkpoint::read_offsets(file)?;
            if let Some(partition) = names::parse_partition_directory(partition) {
                offsets.insert(partition, Offset(*to));
            }
            checkpoint::write_offsets(disk, file, &offsets)
        }
        Action::AcceptMissing { file } => {
            let text = b"offsets are missing in this log: stratalog log repair --drop-damaged\n";
            disk.replace(file, text).map_err(Error::io("write", file))
        }
        Action::Leave { .. } => Ok(()),
    }
}

fn sync_parent(disk: &Disk, file: &Path) -> Result<(), Error> {
    let parent = file.parent().unwrap_or(Path::new("."));
    disk.sync_directory(parent).map_err(Error::io("sync directory", parent))
}

/// Copies a range to where `end` says, and answers where that ends.
fn copy(source: &DiskFile, range: Range<u64>, to: &DiskFile, end: u64) -> std::io::Result<u64> {
    let start = range.start;
    let reached =
        source.read_pieces(range, &mut vec![0; COPY_BYTES], |piece, at| to.write_at(piece, end + (at - start)))?;
    Ok(end + (reached - start))
}

fn keep_aside(disk: &Disk, log: &Path, source: &DiskFile, range: Range<u64>, suffix: &str) -> Result<(), Error> {
    let aside = free_name(&log.with_extension(range.start.to_string()), suffix);
    let failed = |e| Error::io("write", &aside)(e);
    let to = disk.create_new(&aside).map_err(failed)?;
    copy(source, range, &to, 0).map_err(failed)?;
    to.sync().map_err(failed)?;
    sync_parent(disk, log)
}

fn cut_tail(disk: &Disk, log: &Path, position: u64) -> Result<(), Error> {
    let failed = |e| Error::io("repair", log)(e);
    let file = disk.open(log).map_err(failed)?;
    let size_bytes = file.length().map_err(failed)?;
    keep_aside(disk, log, &file, position..size_bytes, names::CUT_SUFFIX)?;
    file.truncate(position).and_then(|()| file.sync()).map_err(failed)
}

/// Takes bytes out of the middle of a log, and puts `filler` in their place.
fn drop_bytes(disk: &Disk, log: &Path, bad: Range<u64>, filler: &[u8]) -> Result<(), Error> {
    let failed = |e| Error::io("repair", log)(e);
    let file = disk.open(log).map_err(failed)?;
    let size_bytes = file.length().map_err(failed)?;
    keep_aside(disk, log, &file, bad.clone(), names::DAMAGED_SUFFIX)?;
    let mut name = log.as_os_str().to_owned();
    name.push(".tmp");
    let whole = PathBuf::from(name);
    let to = disk.create(&whole).map_err(failed)?;
    let copied = copy(&file, 0..bad.start, &to, 0)
        .and_then(|at| to.write_at(filler, at).map(|()| at + filler.len() as u64))
        .and_then(|at| copy(&file, bad.end..size_bytes, &to, at));
    copied.and_then(|_| to.sync()).map_err(failed)?;
    // The indexes of what was there must not outlive it.
    remove_indexes(disk, log)?;
    disk.rename(&whole, log).map_err(failed)?;
    sync_parent(disk, log)
}

/// Eight bytes in place: a crash half way leaves a batch at another wrong offset, which the next repair sets right.
fn set_base_offset(disk: &Disk, log: &Path, position: u64, from: i64, to: i64) -> Result<(), Error> {
    let failed = |e| Error::io("repair", log)(e);
    let file = disk.open(log).map_err(failed)?;
    let mut bytes = [0; 8];
    let read = file.read_at(&mut bytes, position).map_err(failed)?;
    if read < bytes.len() || i64::from_be_bytes(bytes) != from {
        return Err(Error::invalid(log, format!("no base offset {from} is at byte {position} any more")));
    }
    file.write_at(&to.to_be_bytes(), position).and_then(|()| file.sync()).map_err(failed)
}

fn remove_indexes(disk: &Disk, log: &Path) -> Result<(), Error> {
    for suffix in [names::OFFSET_INDEX_SUFFIX, names::TIME_INDEX_SUFFIX] {
        let file = log.with_extension(suffix);
        disk.unlink_if_exists(&file).map_err(Error::io("remove", &file))?;
    }
    Ok(())
}

/// Every index is written aside and renamed: a crash leaves the old one, which the next start judges.
fn rebuild_indexes(disk: &Disk, log: &Path) -> Result<(), Error> {
    let base_offset = base_of(log)?;
    let interval_bytes = u64::from(LogConfig::default().index_interval_bytes);
    let mut indexes = Indexes::empty();
    let mut bytes_since_entry = 0;
    let mut batches = Batches::open(log, Some(base_offset))?;
    while let Some(found) = batches.next_found()? {
        let Found::Batch(at) = found else { continue };
        indexes.note_timestamp(at.header.max_timestamp, at.header.last_offset());
        if bytes_since_entry > interval_bytes {
            indexes.push_offset(base_offset, at.header.last_offset(), at.position);
            indexes.push_time(base_offset);
            bytes_since_entry = 0;
        }
        bytes_since_entry += at.header.batch_bytes() as u64;
    }
    indexes.push_time(base_offset);
    for suffix in [names::OFFSET_INDEX_SUFFIX, names::TIME_INDEX_SUFFIX] {
        let path = log.with_extension(suffix);
        let aside = log.with_extension(format!("{suffix}.tmp"));
        let failed = |e| Error::io("write", &path)(e);
        let file = disk.create(&aside).map_err(failed)?;
        let written = if suffix == names::OFFSET_INDEX_SUFFIX {
            indexes.offsets.flush(&file)
        } else {
            indexes.times.flush(&file)
        };
        written.and_then(|()| file.sync()).and_then(|()| disk.rename(&aside, &path)).map_err(failed)?;
    }
    sync_parent(disk, log)
}

fn base_of(log: &Path) -> Result<i64, Error> {
    let name = log.file_name().and_then(|name| name.to_str()).and_then(names::parse_offset_file);
    name.map(|(base, _)| base).ok_or_else(|| Error::invalid(log, "its name is no offset"))
}

fn rebuild_epochs(disk: &Disk, file: &Path) -> Result<(), Error> {
    let directory = file.parent().unwrap_or(Path::new("."));
    let mut epochs = LeaderEpochs::default();
    for name in entries(directory)? {
        let Some((base, names::LOG_SUFFIX)) = names::parse_offset_file(&name) else { continue };
        let mut batches = Batches::open(&directory.join(&name), Some(base))?;
        while let Some(found) = batches.next_found()? {
            let Found::Batch(at) = found else { continue };
            let epoch = LeaderEpoch(at.header.partition_leader_epoch);
            if epoch > epochs.latest() {
                epochs.assign(epoch, Offset(at.header.base_offset));
            }
        }
    }
    if file.exists() {
        let aside = free_name(file, names::DAMAGED_SUFFIX);
        disk.rename(file, &aside).map_err(Error::io("set aside", file))?;
    }
    checkpoint::write_epochs(disk, file, epochs.entries())
}
