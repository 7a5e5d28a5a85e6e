//! What is damaged here and whole elsewhere is put aside here.
//!
//! Order of effects: the log start is checkpointed if it never was; then, oldest first, segments leave the front of the
//! log as in an eviction, except that the damaged one is renamed to `.damaged` and not unlinked. Of the last segment
//! the end goes to a `.cut` file, once the recovery point is lower. A crash in between leaves a log without gaps, which
//! the next start heals again.

use std::ops::Range;
use std::path::Path;

use stratalog_types::{Offset, TopicPartition};

use super::{aside, list};
use crate::log::Log;
use crate::log::dir::LogDir;
use crate::log::error::{Damage, Error};
use crate::log::names;

impl Log {
    /// Makes a log that is not open, and does not open for this damage, able to open: what is lost of it lies `elsewhere`,
    /// and is read from there from now on. False: some of it is nowhere else; nothing was changed.
    pub fn heal(
        dir: &LogDir,
        partition: &TopicPartition,
        damage: &Damage,
        elsewhere: Range<Offset>,
    ) -> Result<bool, Error> {
        let path = dir.path().join(partition.to_string());
        let files = list(&path)?;
        let bases: Vec<i64> =
            files.iter().filter(|(_, suffix)| suffix == names::LOG_SUFFIX).map(|(base, _)| *base).collect();
        let next = bases.iter().copied().find(|base| *base > damage.base_offset.0);
        match next {
            Some(next) if Offset(next) <= elsewhere.end => {
                let start = bases.first().map_or(Offset::ZERO, |base| Offset(*base));
                // An entry that was lost may have been lower than what is here.
                let start = start.min(damage.base_offset).min(elsewhere.start);
                dir.write_log_start_once(partition, start)?;
                for base in bases.iter().copied().filter(|base| *base < damage.base_offset.0) {
                    remove_segment(dir, &path, base)?;
                }
                set_damaged_aside(dir, &path, damage)?;
            }
            // The end of the log: what was synced of it ends where the tier goes on. What is whole behind that is
            // nowhere else.
            None if dir.recovery_point(partition).or(Offset(i64::MAX)) <= elsewhere.end
                && damage.first_offset < elsewhere.end =>
            {
                if bases.is_empty() {
                    remove_remains(dir, &path, &files)?;
                }
                dir.lower_recovery_point(partition, damage.first_offset)?;
                dir.distrust(partition);
                cut_end(dir, &path, damage)?;
            }
            Some(_) | None => return Ok(false),
        }
        tracing::error!(%partition, "healed, the tier has these records and serves them from now on: {damage}");
        Ok(true)
    }

    /// One past the last segment in which a read found damage.
    pub fn damaged_until(&self) -> Option<Offset> {
        let segments = crate::platform::read_lock(&self.segments);
        let damaged = segments.values().rev().find(|segment| segment.damage().is_some())?;
        Some(Offset(damaged.next_offset()))
    }
}

/// Takes a damaged segment out of its log; its bytes stay beside it.
pub fn set_damaged_aside(dir: &LogDir, path: &Path, damage: &Damage) -> Result<(), Error> {
    let base = damage.base_offset.0;
    let log = names::offset_file(path, base, names::LOG_SUFFIX);
    if log.try_exists().map_err(Error::io("look for", &log))? {
        let to = aside::free_name(path, base, damage.position, names::DAMAGED_SUFFIX);
        dir.disk.rename(&log, &to).map_err(Error::io("put aside", &log))?;
    }
    dir.disk.sync_directory(path).map_err(Error::io("sync directory", path))?;
    dir.metrics.log_segments_healed.inc();
    aside::remove_indexes(&dir.disk, path, base)
}

/// Takes the bytes from the damage on off the end of its log, which goes on behind the tier's.
fn cut_end(dir: &LogDir, path: &Path, damage: &Damage) -> Result<(), Error> {
    let file = names::offset_file(path, damage.base_offset.0, names::LOG_SUFFIX);
    if !file.try_exists().map_err(Error::io("look for", &file))? {
        return Ok(());
    }
    let log = dir.disk.open(&file).map_err(Error::io("open", &file))?;
    if damage.position < log.length().map_err(Error::io("look at", &file))? {
        aside::cut(&dir.disk, path, damage.base_offset.0, &log, damage.position, &damage.what)?;
    }
    Ok(())
}

/// What stood beside segments that are all gone.
fn remove_remains(dir: &LogDir, path: &Path, files: &[(i64, String)]) -> Result<(), Error> {
    let is_remain = |suffix: &str| suffix == names::SNAPSHOT_SUFFIX || names::is_index(suffix);
    for (offset, suffix) in files.iter().filter(|(_, suffix)| is_remain(suffix)) {
        let file = names::offset_file(path, *offset, suffix);
        dir.disk.unlink_if_exists(&file).map_err(Error::io("remove", &file))?;
    }
    dir.disk.sync_directory(path).map_err(Error::io("sync directory", path))
}

fn remove_segment(dir: &LogDir, path: &Path, base: i64) -> Result<(), Error> {
    let log = names::offset_file(path, base, names::LOG_SUFFIX);
    dir.disk.unlink_if_exists(&log).map_err(Error::io("remove", &log))?;
    aside::remove_indexes(&dir.disk, path, base)?;
    dir.disk.sync_directory(path).map_err(Error::io("sync directory", path))
}
