//! Making a log whole again, in two steps: a plan to be read, then what it says, under the directory's lock.
//!
//! Nothing is thrown away: bytes that leave a log go to a file beside it first (`.cut` from its end, `.damaged` from its
//! middle), a file that is replaced is renamed. What is lost is said in the plan, offset by offset, and happens only where
//! it was asked for.
//!
//! A plan to be applied is made under that lock. One that was not is applied only to files that are still as they were seen:
//! beside a running broker the batch that is being written looks like a torn end.

use std::path::{Path, PathBuf};

use serde::Serialize;
use stratalog_types::{Offset, TopicPartition};

use super::action::Action;
use super::apply::apply;
use super::batches::Misplaced;
use super::filler;
use super::findings::Findings;
use super::partition::{self, Checkpointed, PartitionFacts};
use super::seen::{Checkpoints, Seen};
use super::segment::BadBytes;
use super::target::{Kind, Target, entries};
use crate::log::dir::DirectoryLock;
use crate::log::error::Error;
use crate::log::names;
use crate::platform::disk::Disk;

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
