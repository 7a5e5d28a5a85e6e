//! One process per data directory, by `flock`: of the directory itself, which nobody can remove under who uses it, and of
//! `.lock`, which has the name of who holds it.
//!
//! The kernel drops the lock with the process, however it ends; the text is for the message only.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FlockOperation, fcntl_lock, flock};

use crate::log::error::Error;
use crate::log::names;

/// Held until dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    /// The directory, and `.lock`.
    held: Vec<File>,
}

impl Drop for DirectoryLock {
    /// Closing would do, but for a child that was forked and has not come to its `exec`: it has the descriptor too.
    fn drop(&mut self) {
        for file in &self.held {
            if let Err(e) = flock(file, FlockOperation::Unlock) {
                tracing::debug!(error = %e, "the lock goes with the process");
            }
        }
    }
}

impl DirectoryLock {
    /// As [`DirectoryLock::take`], and refused also while Apache Kafka, which locks the file in its own way, serves the
    /// directory. Where a broker never ran nothing is left behind.
    pub fn take_for_repair(directory: &Path) -> Result<DirectoryLock, Error> {
        let path = directory.join(names::LOCK);
        if !path.try_exists().map_err(Error::io("look for", &path))? {
            return Ok(DirectoryLock { held: vec![lock_itself(directory)?] });
        }
        let lock = DirectoryLock::take(directory, "log repair")?;
        let named = lock.held.last().ok_or_else(|| Error::invalid(&path, "it is not held"))?;
        match fcntl_lock(named, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(lock),
            Err(e)
                if matches!(io::Error::from(e).kind(), io::ErrorKind::WouldBlock | io::ErrorKind::PermissionDenied) =>
            {
                Err(Error::Locked { path: directory.to_owned(), holder: "Apache Kafka or another process".to_owned() })
            }
            Err(e) => Err(Error::io("lock", &path)(e.into())),
        }
    }

    pub fn take(directory: &Path, holder: &str) -> Result<DirectoryLock, Error> {
        let itself = lock_itself(directory)?;
        let path = directory.join(names::LOCK);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(Error::io("open", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(e) if io::Error::from(e).kind() == io::ErrorKind::WouldBlock => return Err(locked(directory)),
            Err(e) => return Err(Error::io("lock", &path)(e.into())),
        }
        let named = format!("process {} ({holder})\n", std::process::id());
        file.set_len(0).map_err(Error::io("write", &path))?;
        file.write_all_at(named.as_bytes(), 0).map_err(Error::io("write", &path))?;
        Ok(DirectoryLock { held: vec![itself, file] })
    }
}

/// A file system that locks no directories leaves it to `.lock`.
fn lock_itself(directory: &Path) -> Result<File, Error> {
    let itself = File::open(directory).map_err(Error::io("open", directory))?;
    match flock(&itself, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(e) if io::Error::from(e).kind() == io::ErrorKind::WouldBlock => return Err(locked(directory)),
        Err(e) => tracing::debug!(path = %directory.display(), error = %e, "the directory itself cannot be locked"),
    }
    Ok(itself)
}

fn locked(directory: &Path) -> Error {
    let text = std::fs::read_to_string(directory.join(names::LOCK)).unwrap_or_default();
    let holder = match text.trim() {
        "" => "another process".to_owned(),
        named => named.to_owned(),
    };
    Error::Locked { path: directory.to_owned(), holder }
}

#[cfg(test)]
mod tests {
    use super::DirectoryLock;

    #[test]
    fn a_dropped_lock_is_free_also_while_a_forked_child_has_its_descriptor() {
        let directory = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::take(directory.path(), "test").unwrap();
        let inherited: Vec<_> = lock.held.iter().map(|file| file.try_clone().unwrap()).collect();
        assert!(DirectoryLock::take(directory.path(), "test").is_err());
        drop(lock);
        DirectoryLock::take(directory.path(), "test").unwrap();
        drop(inherited);
    }
}
