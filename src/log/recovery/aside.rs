//! Bytes that are no part of a log any more, kept for a person to look at.
//!
//! Order of effects of a cut: later segments are renamed away, newest first; the bytes go to a `.cut` file, which is synced,
//! then the segment is truncated and synced: what is appended next must not meet them again. A crash in between repeats the
//! cut.

use std::io;
use std::path::{Path, PathBuf};

use super::walk::READ_BYTES;
use crate::log::error::Error;
use crate::log::names;
use crate::platform::disk::{Disk, DiskFile};

/// Takes the bytes from `from` on off the end of a segment. Answers how many.
pub fn cut(disk: &Disk, directory: &Path, base: i64, log: &DiskFile, from: u64, what: &str) -> Result<u64, Error> {
    let path = names::offset_file(directory, base, names::LOG_SUFFIX);
    let size_bytes = log.length().map_err(Error::io("look at", &path))?;
    let aside = free_name(directory, base, from, names::CUT_SUFFIX);
    copy_aside(disk, log, from, size_bytes, &aside).map_err(|error| {
        // What was copied of it is still there, and the room is needed.
        if let Err(left) = disk.unlink_if_exists(&aside) {
            tracing::warn!(path = %aside.display(), "part of a torn tail is not removed: {left}");
        }
        Error::io("copy a torn tail to", &aside)(error)
    })?;
    disk.sync_directory(directory).map_err(Error::io("sync directory", directory))?;
    log.truncate(from).and_then(|()| log.sync()).map_err(Error::io("recover", &path))?;
    let bytes = size_bytes - from;
    tracing::warn!(path = %path.display(), position = from, bytes, what, "cut a torn tail; kept beside it as .cut");
    Ok(bytes)
}

/// Segments that are no part of the log any more: renamed, newest first, so that a crash leaves no gap. Answers their
/// bytes.
pub fn set_aside(disk: &Disk, directory: &Path, bases: &[i64]) -> Result<u64, Error> {
    let mut bytes = 0;
    for base in bases.iter().rev() {
        let log = names::offset_file(directory, *base, names::LOG_SUFFIX);
        bytes += log.metadata().map_err(Error::io("look at", &log))?.len();
        let aside = free_name(directory, *base, 0, names::CUT_SUFFIX);
        disk.rename(&log, &aside).map_err(Error::io("set aside", &log))?;
        disk.sync_directory(directory).map_err(Error::io("sync directory", directory))?;
        remove_indexes(disk, directory, *base)?;
        tracing::warn!(path = %log.display(), "set aside a segment behind a torn one");
    }
    Ok(bytes)
}

pub fn remove_indexes(disk: &Disk, directory: &Path, base: i64) -> Result<(), Error> {
    for suffix in names::INDEX_SUFFIXES {
        let file = names::offset_file(directory, base, suffix);
        disk.unlink_if_exists(&file).map_err(Error::io("remove", &file))?;
    }
    Ok(())
}

/// `<base>.<position>.<suffix>`; with a number where an earlier start left one of that name: nothing is overwritten.
pub fn free_name(directory: &Path, base: i64, position: u64, suffix: &str) -> PathBuf {
    let first = directory.join(format!("{base:020}.{position}.{suffix}"));
    let later = (2..).map(|number| directory.join(format!("{base:020}.{position}-{number}.{suffix}")));
    std::iter::once(first).chain(later).find(|name| !name.exists()).unwrap_or_default()
}

/// Copies `from..until` of a log to a new synced file. Nothing but zeros, as a file that was extended and never written
/// has, is not worth one.
fn copy_aside(disk: &Disk, log: &DiskFile, from: u64, until: u64, aside: &Path) -> io::Result<()> {
    let mut to: Option<DiskFile> = None;
    log.read_pieces(from..until, &mut vec![0; READ_BYTES], |piece, at| {
        if to.is_none() && piece.iter().any(|byte| *byte != 0) {
            to = Some(disk.create(aside)?);
        }
        to.as_ref().map_or(Ok(()), |to| to.write_at(piece, at - from))
    })?;
    to.map_or(Ok(()), |to| to.sync())
}
