//! Removing partition directories, and files that may wait for it.
//!
//! Order of effects for a directory: renamed to `topic-partition.<32 hex digits>-delete`, data directory synced, then
//! emptied and removed, at once or after `file.delete.delay.ms`. A crash before the sync may bring the partition back;
//! its owner removes it again. A crash after it leaves a directory whose name says what it is: it is removed after the
//! next start, which does not wait for that. So are files that were renamed to `.deleted`. Directories that
//! go together are all renamed before that sync.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stratalog_types::TopicPartition;

use super::{LogDir, PartitionDir};
use crate::log::Log;
use crate::log::error::Error;
use crate::log::names;
use crate::platform::disk::Disk;
use crate::platform::lock;

/// Kafka keeps a directory's name below this many bytes, and shortens the topic for it.
const NAME_BYTES_MAX: usize = 255;

/// What is out of use and waits for its removal, by the time at which it is due.
#[derive(Default)]
pub struct Removals {
    /// A directory was renamed, and a power cut may still bring it back.
    unsynced: AtomicBool,
    waiting: Mutex<BTreeMap<i64, Vec<PathBuf>>>,
}

impl Removals {
    /// What an earlier removal left is due.
    pub fn find_left(&self, data_directory: &Path, now_ms: i64) -> Result<(), Error> {
        let failed = |e| Error::io("list", data_directory)(e);
        for entry in std::fs::read_dir(data_directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.ends_with(names::DELETED_DIRECTORY_SUFFIX) && name.contains('.') && path.is_dir() {
                self.add(path, now_ms);
            }
        }
        Ok(())
    }

    pub fn add(&self, path: PathBuf, due_ms: i64) {
        lock(&self.waiting).entry(due_ms).or_default().push(path);
    }

    /// Removes what is due, and leaves the rest for later after `time`. What cannot be removed is left to the next start.
    pub fn carry_out(&self, disk: &Disk, now_ms: i64, time: Duration) {
        let began = Instant::now();
        let due = {
            let mut waiting = lock(&self.waiting);
            match now_ms.checked_add(1) {
                Some(later) => {
                    let later = waiting.split_off(&later);
                    std::mem::replace(&mut *waiting, later)
                }
                None => std::mem::take(&mut *waiting),
            }
        };
        for (due_ms, path) in due.into_iter().flat_map(|(at, paths)| paths.into_iter().map(move |path| (at, path))) {
            if began.elapsed() >= time {
                self.add(path, due_ms);
                continue;
            }
            // The partition's directory may have gone before its file's time came.
            let removed = match path.is_dir() {
                true => empty_and_remove(disk, &path),
                false => disk.unlink_if_exists(&path).map_err(Error::io("remove", &path)),
            };
            if let Err(error) = removed {
                tracing::warn!(path = %path.display(), "out of use and not removed; the next start tries again: {error}");
            }
        }
    }
}

impl LogDir {
    /// Removes the directory of a partition that is not open.
    pub fn remove_partition(&self, partition: &PartitionDir) -> Result<(), Error> {
        self.remove_partitions(&[partition])
    }

    /// As [`LogDir::remove_partition`], many of them together.
    pub fn remove_partitions(&self, partitions: &[&PartitionDir]) -> Result<(), Error> {
        let at_once = |partition: &PartitionDir| (partition.topic_partition.clone(), partition.path.clone(), 0);
        self.remove_together(partitions.iter().map(|partition| at_once(partition)).collect())
    }

    /// Removes the directories of logs that were open.
    pub(in crate::log) fn remove_logs(&self, logs: &[&Log]) -> Result<(), Error> {
        let of_log =
            |log: &Log| (log.topic_partition().clone(), log.path().to_owned(), log.config().file_delete_delay_ms);
        self.remove_together(logs.iter().map(|log| of_log(log)).collect())
    }

    /// Partitions, their directories, and how long these keep their room. The data directory is synced once for all of
    /// them, and each checkpoint is written once. One that fails does not keep the others; the first error is the answer.
    /// Nothing to rename is well only when all that was renamed before is durable.
    fn remove_together(&self, removing: Vec<(TopicPartition, PathBuf, i64)>) -> Result<(), Error> {
        let mut outcome = Ok(());
        let mut renamed = Vec::with_capacity(removing.len());
        for (partition, path, delay_ms) in removing {
            lock(&self.open).remove(&partition);
            match rename_away(&self.disk, &self.path, &path) {
                Ok(away) => renamed.push((partition, away, delay_ms)),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        if renamed.is_empty() && !self.removals.unsynced.load(Ordering::SeqCst) {
            return outcome;
        }
        self.removals.unsynced.store(true, Ordering::SeqCst);
        let synced = self.disk.sync_directory(&self.path).map_err(Error::io("sync directory", &self.path));
        if synced.is_ok() {
            self.removals.unsynced.store(false, Ordering::SeqCst);
        }
        outcome = outcome.and(synced);
        let mut partitions = Vec::with_capacity(renamed.len());
        for (partition, away, delay_ms) in renamed {
            let removed = match self.removal_due(delay_ms) {
                Some(due_ms) => {
                    self.removals.add(away, due_ms);
                    Ok(())
                }
                None => empty_and_remove(&self.disk, &away),
            };
            outcome = outcome.and(removed);
            partitions.push(partition);
        }
        if partitions.is_empty() { outcome } else { outcome.and(self.forget_checkpoints(&partitions)) }
    }

    /// Removes a file that is out of use; after `delay_ms` if the disk has room for it until then. Directories are not
    /// synced: a name that comes back after a power cut is found by the next start as what it was.
    pub(in crate::log) fn remove_file(&self, path: &Path, delay_ms: i64) -> Result<(), Error> {
        let Some(due_ms) = self.removal_due(delay_ms) else {
            return self.disk.unlink_if_exists(path).map_err(Error::io("remove", path));
        };
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}", names::DELETED_SUFFIX));
        let away = PathBuf::from(name);
        match self.disk.rename(path, &away) {
            Ok(()) => self.removals.add(away, due_ms),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("rename", path)(error)),
        }
        Ok(())
    }

    /// A file of an earlier life of this directory that was out of use.
    pub(in crate::log) fn remove_left(&self, path: PathBuf) {
        self.removals.add(path, self.clock.now_ms());
    }

    /// When what goes out of use now is removed; `None`: at once.
    fn removal_due(&self, delay_ms: i64) -> Option<i64> {
        let waits = delay_ms > 0 && !self.is_short_of_room();
        waits.then(|| self.clock.now_ms().saturating_add(delay_ms))
    }

    /// Removes what waited for it long enough, or all of it if the disk has no room.
    pub fn remove_due(&self) {
        self.remove_due_within(Duration::MAX);
    }

    /// The same, as far as it comes.
    pub(super) fn remove_due_within(&self, time: Duration) {
        let now_ms = if self.is_short_of_room() { i64::MAX } else { self.clock.now_ms() };
        self.removals.carry_out(&self.disk, now_ms, time);
    }
}

/// Takes a partition's directory out of use; answers what it is called from then on. The caller syncs the data directory.
fn rename_away(disk: &Disk, data_directory: &Path, partition: &Path) -> Result<PathBuf, Error> {
    let name = partition.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let suffix = format!(".{}{}", uuid::Uuid::new_v4().simple(), names::DELETED_DIRECTORY_SUFFIX);
    let kept = name.get(..name.len().min(NAME_BYTES_MAX - suffix.len())).unwrap_or_default();
    let away = data_directory.join(format!("{kept}{suffix}"));
    disk.rename(partition, &away).map_err(Error::io("rename", partition))?;
    Ok(away)
}

pub fn empty_and_remove(disk: &Disk, directory: &Path) -> Result<(), Error> {
    let failed = |e| Error::io("remove", directory)(e);
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        disk.unlink(&path).map_err(Error::io("remove", &path))?;
    }
    disk.remove_directory(directory).map_err(failed)
}
