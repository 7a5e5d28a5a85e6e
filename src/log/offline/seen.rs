//! What a plan went by: the files as they were, and what a data directory says of its partitions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use stratalog_types::{Offset, TopicPartition};

use crate::log::checkpoint::{self, OffsetsByPartition};
use crate::log::error::Error;
use crate::log::names;

use super::partition::Checkpointed;
use super::target::entries;

/// Length and time of the last write.
type Stamp = (u64, SystemTime);

/// Files as they were before they were read.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    files: BTreeMap<PathBuf, Stamp>,
}

impl Seen {
    /// Looks at the files of a directory.
    pub fn note(&mut self, directory: &Path) -> Result<(), Error> {
        for name in entries(directory)? {
            let file = directory.join(name);
            if let Some(stamp) = stamp(&file)? {
                self.files.insert(file, stamp);
            }
        }
        Ok(())
    }

    /// An error if the file is another one than it was, or came, or went.
    pub fn check(&self, file: &Path) -> Result<(), Error> {
        if stamp(file)? == self.files.get(file).copied() {
            return Ok(());
        }
        Err(Error::invalid(file, "it changed after the plan was made: nothing was done, plan again"))
    }
}

/// `None`: there is no such file.
fn stamp(file: &Path) -> Result<Option<Stamp>, Error> {
    let metadata = match file.metadata() {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("look at", file)(e)),
    };
    if !metadata.is_file() {
        return Ok(None);
    }
    let written = metadata.modified().map_err(Error::io("look at", file))?;
    Ok(Some((metadata.len(), written)))
}

/// The checkpoints of a data directory.
pub struct Checkpoints {
    /// Whether a partition without an entry never had a recovery point.
    whole: bool,
    log_starts_whole: bool,
    recovery_points: OffsetsByPartition,
    log_starts: OffsetsByPartition,
}

impl Checkpoints {
    pub fn read(directory: &Path) -> Result<Checkpoints, Error> {
        let file = directory.join(names::RECOVERY_POINTS);
        let recovery_points = readable(&file)?;
        let whole = is_whole(&file, recovery_points.is_some())?;
        let file = directory.join(names::LOG_STARTS);
        let log_starts = readable(&file)?;
        Ok(Checkpoints {
            whole,
            log_starts_whole: is_whole(&file, log_starts.is_some())?,
            recovery_points: recovery_points.unwrap_or_default(),
            log_starts: log_starts.unwrap_or_default(),
        })
    }

    pub fn of(&self, partition: &TopicPartition) -> Checkpointed {
        Checkpointed {
            recovery_point: self.recovery_points.get(partition).copied(),
            log_start: self.log_starts.get(partition).copied(),
            log_starts_whole: self.log_starts_whole,
        }
    }

    /// Records below it may have been acknowledged: all of them, where nobody knows.
    pub fn synced(&self, partition: &TopicPartition) -> Offset {
        let unknown = if self.whole { Offset::ZERO } else { Offset(i64::MAX) };
        self.recovery_points.get(partition).copied().unwrap_or(unknown)
    }
}

/// Whether every entry that a checkpoint ever had is in it. What a start salvaged of a damaged one may lack some.
pub fn is_whole(file: &Path, reads: bool) -> Result<bool, Error> {
    let exists = |file: &Path| file.try_exists().map_err(Error::io("look for", file));
    Ok(reads && exists(file)? && !exists(&file.with_added_extension("damaged"))?)
}

/// `None`: the file is damaged.
fn readable(file: &Path) -> Result<Option<OffsetsByPartition>, Error> {
    match checkpoint::read_offsets(file) {
        Ok(offsets) => Ok(Some(offsets)),
        Err(Error::InvalidFile { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
