//! The checkpoints of a data directory at its start: one that does not read stops nobody.
//!
//! Order of effects for a damaged file: a copy of it, `<name>.damaged`, is durable before what can be read of it takes
//! its place: a crash in between salvages the same entries again. As long as the copy is there, a partition without an
//! entry may have had one: its recovery point is unknown (everything is read, and only a tail that nothing follows
//! counts as torn), its log start is taken from its first segment, or from the tier, offsets may be missing in
//! it. A stop that finds every partition well removes it; that of the cleaner's points stays until each log was looked
//! through (`doubt`).
//!
//! Each is written, empty, before there is a log: where one is missing beside segments it was lost, and an empty
//! `.damaged` says so before it is written anew. Apache Kafka makes each as a file of 0 bytes: one beside entries of Kafka
//! was never written. Here none is ever so short.

use std::path::{Path, PathBuf};

use crate::log::checkpoint::{self, OffsetsByPartition};
use crate::log::error::Error;
use crate::log::{names, recovery};
use crate::platform::disk::Disk;

/// What a checkpoint says.
pub struct Read {
    pub offsets: OffsetsByPartition,
    /// Every entry that was ever written is there.
    pub whole: bool,
}

pub fn read(disk: &Disk, path: &Path) -> Result<Read, Error> {
    let damaged = damaged_name(path);
    if is_kafkas_first(path)? {
        checkpoint::write_offsets(disk, path, &OffsetsByPartition::new())?;
    }
    let (offsets, problem) = checkpoint::salvage_offsets(path)?;
    let Some(problem) = problem else {
        let whole = !damaged.try_exists().map_err(Error::io("look for", &damaged))?;
        return Ok(Read { offsets, whole });
    };
    tracing::error!(
        path = %path.display(), problem, entries = offsets.len(),
        "checkpoint is damaged: of logs without an entry, {}; what the file was is kept as .damaged", what_is_assumed(path)
    );
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    disk.replace(&damaged, &bytes).map_err(Error::io("write", &damaged))?;
    checkpoint::write_offsets(disk, path, &offsets)?;
    Ok(Read { offsets, whole: false })
}

/// Whether a checkpoint is as Kafka makes it before it writes it, in a directory that Kafka wrote to last.
fn is_kafkas_first(path: &Path) -> Result<bool, Error> {
    if !path.metadata().is_ok_and(|metadata| metadata.len() == 0) {
        return Ok(false);
    }
    let mut is_kafkas = false;
    for name in [names::RECOVERY_POINTS, names::LOG_STARTS, names::CLEANER_POINTS] {
        match checkpoint::has_sums(&path.with_file_name(name))? {
            // We never leave one empty.
            Some(true) => return Ok(false),
            Some(false) => is_kafkas = true,
            None => {}
        }
    }
    Ok(is_kafkas)
}

/// Notes that a checkpoint of a data directory was lost, if its logs are there and it is not.
pub fn miss(disk: &Disk, directory: &Path, name: &str) -> Result<(), Error> {
    let path = directory.join(name);
    if path.try_exists().map_err(Error::io("look for", &path))? {
        return Ok(());
    }
    let damaged = damaged_name(&path);
    if !damaged.try_exists().map_err(Error::io("look for", &damaged))? && holds_segments(directory)? {
        tracing::error!(path = %path.display(), "checkpoint is missing: of each log, {}", what_is_assumed(&path));
        checkpoint::replace(disk, &damaged, "")?;
    }
    checkpoint::write_offsets(disk, &path, &OffsetsByPartition::new())
}

/// Of a log whose entry was lost.
fn what_is_assumed(path: &Path) -> &'static str {
    if path.ends_with(names::LOG_STARTS) {
        "the start is that of its tier, or of its first segment: records that were deleted there are back"
    } else if path.ends_with(names::CLEANER_POINTS) {
        "offsets that are missing may be what compaction removed"
    } else {
        "everything is read at this start"
    }
}

/// Whether there are partitions of ours, or of Kafka's: any directory may have a name like one's.
pub fn holds_segments(directory: &Path) -> Result<bool, Error> {
    let failed = |e| Error::io("list", directory)(e);
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let is_partition = entry.file_name().to_str().and_then(names::parse_partition_directory).is_some();
        if is_partition
            && entry.path().metadata().map_err(Error::io("look at", &entry.path()))?.is_dir()
            && recovery::list(&entry.path())?.iter().any(|(_, suffix)| suffix == names::LOG_SUFFIX)
        {
            return Ok(true);
        }
    }
    Ok(false)
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
