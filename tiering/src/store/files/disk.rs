//! The blocking half: one object is one file, and a file is never changed once it has its name.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};
use uuid::Uuid;

use super::super::Etag;

/// Files being written; the name tells the key.
pub(super) const INCOMING: &str = ".incoming";
/// Locked exclusively around compare, rename and directory sync; shared by readers that will rely on what they saw.
const LOCK: &str = ".lock";
/// A directory may be removed between its creation and the rename into it.
const PUBLISH_ATTEMPTS: usize = 16;
/// Past it the set starts anew, at the cost of syncs.
const SYNCED_DIRECTORIES_MAX: usize = 100_000;

/// Where a write stopped.
#[derive(Debug)]
pub(super) enum DiskError {
    /// Nothing is visible.
    Before(io::Error),
    /// The name may be visible and is not known to be durable: the store must not be used on.
    Unsynced(io::Error),
    AlreadyExists,
    Precondition,
    NotFound,
}

impl From<io::Error> for DiskError {
    fn from(error: io::Error) -> DiskError {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => DiskError::NotFound,
            _ => DiskError::Before(error),
        }
    }
}

/// What must hold of the key when the file takes its name.
#[derive(Debug, Clone)]
pub(super) enum Condition {
    Absent,
    Is(Etag),
}

/// A file that has no name yet; dropped unpublished, it is removed.
pub(super) struct Incoming {
    path: PathBuf,
    file: File,
    published: bool,
}

impl Incoming {
    pub(super) fn create(root: &Path, key: &str) -> io::Result<Incoming> {
        let name = format!("{}!{}", Uuid::new_v4().simple(), key.replace('/', "!"));
        let path = root.join(INCOMING).join(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(Incoming { path, file, published: false })
    }

    /// The key a file in the incoming directory was meant for.
    pub(super) fn key_of(name: &str) -> Option<String> {
        name.split_once('!').map(|(_, key)| key.replace('!', "/"))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Contents durable; nothing is visible yet, and no lock is held for it.
    pub(super) fn sync(&self) -> Result<(), DiskError> {
        self.file.sync_all().map_err(DiskError::Before)
    }

    /// Gives the file its name if `condition` holds: its version is set and synced, then rename, then directory sync.
    pub(super) fn publish(
        mut self,
        root: &Path,
        directories: &SyncedDirectories,
        key: &str,
        condition: &Condition,
    ) -> Result<Etag, DiskError> {
        let target = root.join(key);
        let _lock = lock(root, FlockOperation::LockExclusive).map_err(DiskError::Before)?;
        let current = match fs::metadata(&target) {
            Ok(metadata) => Some(version(&metadata).map_err(DiskError::Before)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(DiskError::Before(error)),
        };
        let after = match (condition, &current) {
            (Condition::Absent, None) => Duration::ZERO,
            (Condition::Absent, Some(_)) => return Err(DiskError::AlreadyExists),
            (Condition::Is(_), None) => return Err(DiskError::NotFound),
            (Condition::Is(expected), Some(version)) if version.etag != *expected => {
                return Err(DiskError::Precondition);
            }
            (Condition::Is(_), Some(version)) => version.modified,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let modified = now.max(after + Duration::from_nanos(1));
        self.file.set_modified(UNIX_EPOCH + modified).map_err(DiskError::Before)?;
        self.file.sync_all().map_err(DiskError::Before)?;
        let etag = version(&self.file.metadata().map_err(DiskError::Before)?).map_err(DiskError::Before)?.etag;
        self.rename(root, directories, &target)?;
        sync_parent(&target).map_err(DiskError::Unsynced)?;
        Ok(etag)
    }

    fn rename(&mut self, root: &Path, directories: &SyncedDirectories, target: &Path) -> Result<(), DiskError> {
        let mut attempts = 0;
        loop {
            directories.make_above(root, target)?;
            match fs::rename(&self.path, target) {
                Ok(()) => {
                    self.published = true;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempts < PUBLISH_ATTEMPTS => attempts += 1,
                Err(error) => return Err(DiskError::Before(error)),
            }
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.published {
            // Left behind, it is found by `abort_stale_uploads`.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A file's version: its modification time, which every publish makes greater than the one before.
pub(super) struct Version {
    pub(super) etag: Etag,
    pub(super) modified: Duration,
}

pub(super) fn version(metadata: &fs::Metadata) -> io::Result<Version> {
    let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Version { etag: Etag(format!("\"{:x}-{:x}\"", modified.as_nanos(), metadata.len())), modified })
}

/// Held until dropped. Each lock opens the file anew, so it excludes threads of one process as well as processes.
fn lock(root: &Path, operation: FlockOperation) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(root.join(LOCK))?;
    loop {
        match flock(&file, operation) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Directories that this process has synced into their parents. One that merely exists may be a killed process's, whose
/// name a power loss would still take away together with what we put into it.
#[derive(Debug, Default)]
pub(super) struct SyncedDirectories(Mutex<HashSet<PathBuf>>);

impl SyncedDirectories {
    /// Creates the directories above `target`, each synced into its parent.
    fn make_above(&self, root: &Path, target: &Path) -> Result<(), DiskError> {
        let Some(directory) = target.parent() else { return Ok(()) };
        if directory == root || (self.knows(directory) && directory.is_dir()) {
            return Ok(());
        }
        self.make_above(root, directory)?;
        match fs::create_dir(directory) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // The parent went between: the caller's rename fails and it tries again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(DiskError::Before(error)),
        }
        sync_parent(directory).map_err(DiskError::Unsynced)?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= SYNCED_DIRECTORIES_MAX {
            known.clear();
        }
        known.insert(directory.to_owned());
        Ok(())
    }

    fn knows(&self, directory: &Path) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(directory)
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Makes the directory a store: its own folders exist and it keeps nanosecond times, which versions are made of.
pub(super) fn prepare(root: &Path) -> Result<(), String> {
    let explain = |what: &str, error: io::Error| format!("cannot {what} {}: {error}", root.display());
    fs::create_dir_all(root.join(INCOMING)).map_err(|error| explain("create", error))?;
    sync_parent(&root.join(INCOMING)).map_err(|error| explain("sync", error))?;
    let probe = Incoming::create(root, "probe").map_err(|error| explain("write in", error))?;
    let odd = UNIX_EPOCH + Duration::new(1_600_000_000, 123_456_789);
    probe.file.set_modified(odd).map_err(|error| explain("set file times in", error))?;
    let seen = probe.file.metadata().and_then(|metadata| metadata.modified());
    if seen.map_err(|error| explain("read file times in", error))? != odd {
        return Err(format!(
            "the file system of {} does not keep times in nanoseconds, which versions need: use another directory",
            root.display()
        ));
    }
    Ok(())
}

pub(super) fn read(root: &Path, key: &str) -> Result<(Bytes, Etag), DiskError> {
    // A version seen here is relied on, so it must not be one whose rename is not durable yet.
    let _lock = lock(root, FlockOperation::LockShared).map_err(DiskError::Before)?;
    let mut file = File::open(root.join(key))?;
    let metadata = file.metadata()?;
    let mut body = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    file.read_to_end(&mut body)?;
    Ok((Bytes::from(body), version(&metadata)?.etag))
}

/// Outer error: the disk's. Inner: the object is shorter than asked, its length.
pub(super) fn read_range(root: &Path, key: &str, range: &Range<u64>) -> Result<Result<Bytes, u64>, DiskError> {
    let file = File::open(root.join(key))?;
    let length = file.metadata()?.len();
    let asked = range.end.checked_sub(range.start).and_then(|bytes| usize::try_from(bytes).ok());
    let Some(asked) = asked.filter(|_| range.end <= length) else { return Ok(Err(length)) };
    let mut body = vec![0; asked];
    match file.read_exact_at(&mut body, range.start) {
        Ok(()) => Ok(Ok(Bytes::from(body))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Err(length)),
        Err(error) => Err(error.into()),
    }
}

/// Removes the file and, best effort, the directories that it leaves empty.
pub(super) fn remove(root: &Path, key: &str) -> Result<(), DiskError> {
    let target = root.join(key);
    match fs::remove_file(&target) {
        Ok(()) => sync_parent(&target).map_err(DiskError::Unsynced)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(DiskError::Before(error)),
    }
    let mut directory = target.parent();
    while let Some(empty) = directory.filter(|directory| *directory != root) {
        if fs::remove_dir(empty).is_err() {
            break;
        }
        directory = empty.parent();
    }
    Ok(())
}

/// Removes unpublished files of keys under `prefix` that were last written longer than `older_than` ago.
pub(super) fn remove_stale(root: &Path, prefix: &str, older_than: Duration) -> Result<u64, DiskError> {
    let mut removed = 0;
    for entry in fs::read_dir(root.join(INCOMING))? {
        let entry = entry?;
        let ours = entry.file_name().to_str().and_then(Incoming::key_of).is_some_and(|key| key.starts_with(prefix));
        let Ok(metadata) = entry.metadata() else { continue };
        let age = SystemTime::now().duration_since(metadata.modified()?).unwrap_or_default();
        if ours && age > older_than && fs::remove_file(entry.path()).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}
