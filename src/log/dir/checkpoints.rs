//! The checkpoints of a data directory at its start: one that does not read stops nobody.
//!
//! Order of effects for a damaged file: it is renamed to `<name>.damaged`, and what can be read of it is written anew.
//! As long as the renamed file is there, a partition without an entry may have had one: its recovery point is unknown
//! (everything is read, and only a tail that nothing follows counts as torn), its log start is taken from its first
//! segment, or from the tier. A stop that finds every partition well removes it.

use std::path::{Path, PathBuf};

use crate::log::checkpoint::{self, OffsetsByPartition};
use crate::log::error::Error;
use crate::platform::disk::Disk;

/// What a checkpoint says.
pub struct Read {
    pub offsets: OffsetsByPartition,
    /// Every entry that was ever written is there.
    pub whole: bool,
}

pub fn read(disk: &Disk, path: &Path) -> Result<Read, Error> {
    let damaged = damaged_name(path);
    let (offsets, problem) = checkpoint::salvage_offsets(path)?;
    let Some(problem) = problem else {
        let whole = !damaged.try_exists().map_err(Error::io("look for", &damaged))?;
        return Ok(Read { offsets, whole });
    };
    tracing::error!(
        path = %path.display(), problem, entries = offsets.len(),
        "checkpoint is damaged: logs without an entry are read in full; what the file was is kept as .damaged"
    );
    disk.rename(path, &damaged).map_err(Error::io("rename", path))?;
    checkpoint::write_offsets(disk, path, &offsets)?;
    Ok(Read { offsets, whole: false })
}

/// Every partition has an entry again.
pub fn forget_damage(disk: &Disk, path: &Path) -> Result<(), Error> {
    let damaged = damaged_name(path);
    disk.unlink_if_exists(&damaged).map_err(Error::io("remove", &damaged))
}

fn damaged_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".damaged");
    PathBuf::from(name)
}
