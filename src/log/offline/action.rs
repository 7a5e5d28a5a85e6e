//! The steps that a repair consists of, as a plan tells them.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

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
    pub fn file(&self) -> &Path {
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
