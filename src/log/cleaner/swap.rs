//! A cleaned segment takes the place of those that it was made of.
//!
//! Order of effects:
//!
//! 1. `.cleaned` files are written and synced; nothing else has changed. A crash leaves files that recovery removes.
//! 2. The recovery point is past all that is replaced (the holes of a cleaned segment would look like a torn log).
//! 3. The indexes are renamed to `.swap`, the directory is synced, then the `.log`, and the directory is synced. From
//!    here on the swap is decided: recovery completes it.
//! 4. In memory the new segment takes the others' place. It is read under its `.swap` names.
//! 5. The old segments but the first go, oldest first, the directory synced after each: at every moment what is left
//!    of them is their end, which holds the record or tombstone that made an older one go.
//! 6. The `.swap` names become the first segment's: indexes, sync, the `.log`, sync.
//!
//! What a crash left is told by its names (`left`). Recovery does 5 for those old segments that the new one overlaps, and
//! 6. Others may stay: they hold nothing but records that have a later one behind them, and the next pass removes them
//! again.
//!
//! All of 3 to 6 holds `deleted`, as every removal and truncation does; appends and reads go on. Reads under way keep
//! the files that they hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::CleanError;
use super::cleaned_segment::{CleanedSegment, cleaned};
use super::left::Left;
use crate::log::Log;
use crate::log::dir::LogDir;
use crate::log::error::Error;
use crate::log::names;
use crate::log::recovery;
use crate::log::scan::{HeaderScan, ScanError};
use crate::log::segment::Segment;
use crate::log::trim::remove_segment;
use crate::platform::disk::Disk;
use crate::platform::{lock, read_lock, write_lock};

/// How often, and how long each time, a swap that is decided waits until a file can be opened: a minute.
const OUT_OF_FILES_TRIES: u32 = 600;
const OUT_OF_FILES_PAUSE: Duration = Duration::from_millis(100);

impl Log {
    /// `replaced` are neighbours, and `next` is the base offset of the segment behind them.
    pub(super) fn swap(
        &self,
        replaced: &[Arc<Segment>],
        segment: CleanedSegment,
        next: i64,
    ) -> Result<Arc<Segment>, CleanError> {
        let deleted = lock(&self.deleted);
        if *deleted {
            return Err(CleanError::Closed);
        }
        self.check_unchanged(replaced)?;
        let (disk, base) = (&self.dir.disk, segment.base_offset);
        let has_aborted = !segment.aborted.is_empty();
        // An index that is renamed and a log that is not: undone by recovery, and by the next attempt.
        let sync = || sync(disk, &self.path);
        to_swap(disk, &self.path, base, &names::INDEX_SUFFIXES).and_then(|()| sync())?;
        self.decided(to_swap(disk, &self.path, base, &[names::LOG_SUFFIX]).and_then(|()| patiently(sync)))?;
        let size_bytes = segment.size_bytes();
        let new = Segment::in_swap(&self.dir.files, &self.path, (base, next), size_bytes, segment.indexes, has_aborted);
        let new = Arc::new(new);
        {
            let mut segments = write_lock(&self.segments);
            for old in replaced {
                segments.remove(&old.base_offset);
            }
            segments.insert(base, Arc::clone(&new));
        }
        for old in replaced {
            old.retire();
        }
        self.decided(self.complete(replaced, base))?;
        new.leave_swap();
        Ok(new)
    }

    pub(super) fn check_unchanged(&self, expected: &[Arc<Segment>]) -> Result<(), CleanError> {
        let segments = read_lock(&self.segments);
        let same = |old: &Arc<Segment>| segments.get(&old.base_offset).is_some_and(|known| Arc::ptr_eq(known, old));
        if expected.iter().all(same) { Ok(()) } else { Err(CleanError::Changed) }
    }

    fn complete(&self, replaced: &[Arc<Segment>], base: i64) -> Result<(), Error> {
        for old in replaced.iter().filter(|old| old.base_offset != base) {
            patiently(|| remove_segment(&self.dir, &self.path, old, 0))?;
            let snapshot = names::offset_file(&self.path, old.base_offset, names::SNAPSHOT_SUFFIX);
            self.dir.disk.unlink_if_exists(&snapshot).map_err(Error::io("remove", &snapshot))?;
        }
        settle(&self.dir.disk, &self.path, base)
    }

    /// A step that fails after the swap was decided leaves names that memory does not know: the directory is broken.
    fn decided(&self, done: Result<(), Error>) -> Result<(), CleanError> {
        done.map_err(|e| {
            let error = CleanError::Log(e);
            let partition = &self.topic_partition;
            let chain = crate::log::append::Chain(&error);
            self.dir.health.take_offline(format!("{partition}: a cleaned segment is half swapped: {chain}"));
            error
        })
    }
}

/// `.cleaned` files become `.swap`.
fn to_swap(disk: &Disk, path: &Path, base: i64, suffixes: &[&str]) -> Result<(), Error> {
    suffixes.iter().try_for_each(|suffix| rename(disk, &cleaned(path, base, suffix), &in_swap(path, base, suffix)))
}

/// A swap that is decided cannot be left half way because a directory cannot be opened to be synced: that is tried again
/// for a while.
fn patiently(step: impl Fn() -> Result<(), Error>) -> Result<(), Error> {
    for _ in 0..OUT_OF_FILES_TRIES {
        match step() {
            Err(Error::TooManyOpenFiles { .. }) => std::thread::sleep(OUT_OF_FILES_PAUSE),
            done => return done,
        }
    }
    step()
}

/// Step 6: the `.swap` files take their names. Those of indexes may have it already.
fn settle(disk: &Disk, path: &Path, base: i64) -> Result<(), Error> {
    for suffix in names::INDEX_SUFFIXES {
        let before = in_swap(path, base, suffix);
        if before.try_exists().map_err(Error::io("look for", &before))? {
            rename(disk, &before, &names::offset_file(path, base, suffix))?;
        }
    }
    let sync = || sync(disk, path);
    patiently(sync)?;
    rename(disk, &in_swap(path, base, names::LOG_SUFFIX), &names::offset_file(path, base, names::LOG_SUFFIX))?;
    patiently(sync)
}

fn sync(disk: &Disk, path: &Path) -> Result<(), Error> {
    disk.sync_directory(path).map_err(Error::io("sync directory", path))
}

fn rename(disk: &Disk, from: &Path, to: &Path) -> Result<(), Error> {
    disk.rename(from, to).map_err(Error::io("rename", from))
}

/// `00000000000000000042.log.swap`
fn in_swap(directory: &Path, base_offset: i64, suffix: &str) -> PathBuf {
    names::offset_file(directory, base_offset, &format!("{suffix}.{}", names::SWAP_SUFFIX))
}

/// Removes the files of an attempt that came to nothing, as far as possible; recovery does the rest.
pub fn discard(disk: &Disk, path: &Path, base: i64) {
    for suffix in names::SEGMENT_SUFFIXES {
        let file = cleaned(path, base, suffix);
        if let Err(error) = disk.unlink_if_exists(&file) {
            tracing::warn!(path = %file.display(), %error, "left by a cleaning that failed; the next start removes it");
        }
    }
}

/// Completes the swaps that a crash cut short, and undoes those that were not decided. To be called before a log
/// directory is looked at in any other way.
pub fn recover(dir: &LogDir, path: &Path) -> Result<(), Error> {
    let files = recovery::list(path)?;
    let left = Left(&files);
    if left.bases().is_empty() {
        return Ok(());
    }
    left.settle_undecided(&dir.disk, path)?;
    let log_in_swap = format!("{}.{}", names::LOG_SUFFIX, names::SWAP_SUFFIX);
    for (base, _) in files.iter().filter(|(base, suffix)| *suffix == log_in_swap && left.is_decided(*base)) {
        let next_offset = end_of(dir, path, *base, &log_in_swap)?;
        tracing::info!(path = %path.display(), base, next_offset, "completing the swap of a cleaned segment");
        // What it overlaps, and the indexes of what had gone already.
        let is_log = |suffix: &str| suffix == names::LOG_SUFFIX;
        let stays = files.iter().filter(|(other, suffix)| is_log(suffix) && *other >= next_offset && other > base);
        let until = stays.map(|(other, _)| *other).min().unwrap_or(i64::MAX);
        let mut going: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
        for (other, suffix) in files.iter().filter(|(other, _)| *other > *base && *other < until) {
            if is_log(suffix) || names::is_index(suffix) {
                going.entry(*other).or_default().push(suffix);
            }
        }
        for (other, mut suffixes) in going {
            // The log first: without its transaction index it would show aborted records.
            suffixes.sort_by_key(|suffix| !is_log(suffix));
            for suffix in suffixes {
                let file = names::offset_file(path, other, suffix);
                dir.disk.unlink(&file).map_err(Error::io("remove", &file))?;
            }
            dir.disk.sync_directory(path).map_err(Error::io("sync directory", path))?;
        }
        if left.has_stale_transactions(*base) {
            let file = names::offset_file(path, *base, names::TXN_INDEX_SUFFIX);
            dir.disk.unlink(&file).map_err(Error::io("remove", &file))?;
        }
        settle(&dir.disk, path, *base)?;
    }
    dir.disk.sync_directory(path).map_err(Error::io("sync directory", path))
}

/// One past the last offset of a log in swap: it was synced before it got its name.
fn end_of(dir: &LogDir, path: &Path, base: i64, suffix: &str) -> Result<i64, Error> {
    let file = names::offset_file(path, base, suffix);
    let log = dir.disk.open(&file).map_err(Error::io("open", &file))?;
    let size_bytes = log.length().map_err(Error::io("read", &file))?;
    let mut scan = HeaderScan::new(log.file(), 0, size_bytes);
    let mut next_offset = base;
    loop {
        match scan.next() {
            Ok(Some(at)) => next_offset = at.header.next_offset(),
            Ok(None) => return Ok(next_offset),
            Err(ScanError::Io(e)) => return Err(Error::io("read", &file)(e)),
            Err(ScanError::Bad { position, what }) => {
                return Err(Error::invalid(&file, format!("no batch at byte {position}: {what}")));
            }
        }
    }
}
