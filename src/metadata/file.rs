//! The file of the store. It has some blocks more than it needs, and keeps those that it had: a change that fits into them
//! asks a full disk for nothing.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{DatabaseError, StorageBackend};

use crate::platform::disk::{Disk, DiskFile, is_full};
use crate::platform::volume::set_aside;

/// Set aside behind the end, when the file is opened or grows: small changes of thousands of topics.
const AHEAD_BYTES: u64 = 1 << 20;

/// Why a file refuses, which the database above it does not tell apart.
#[derive(Debug, Default)]
pub struct Refusals {
    full: AtomicBool,
    unsynced: AtomicBool,
}

impl Refusals {
    /// A write found no room.
    pub fn full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// A sync failed: what the file holds and what the disk holds may differ until the process ends.
    pub fn unsynced(&self) -> bool {
        self.unsynced.load(Ordering::Acquire)
    }

    fn note<T>(&self, done: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &done
            && is_full(error)
        {
            self.full.store(true, Ordering::Release);
        }
        done
    }
}

pub struct StoreFile {
    file: DiskFile,
    refusals: Arc<Refusals>,
}

impl fmt::Debug for StoreFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreFile").field("file", self.file.file()).finish_non_exhaustive()
    }
}

impl StoreFile {
    /// Opens the file, or makes it. One handle at a time has it.
    pub fn open(path: &Path, disk: &Disk) -> Result<(StoreFile, Arc<Refusals>), DatabaseError> {
        let is_new = !path.try_exists()?;
        let file = disk.open_or_create(path)?;
        if let Some(directory) = path.parent().filter(|_| is_new) {
            disk.sync_directory(directory)?;
        }
        match file.file().try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(DatabaseError::DatabaseAlreadyOpen),
            Err(std::fs::TryLockError::Error(error)) => return Err(error.into()),
        }
        let length = file.length()?;
        set_aside(file.file(), length..length + AHEAD_BYTES);
        let refusals = Arc::new(Refusals::default());
        Ok((StoreFile { file, refusals: refusals.clone() }, refusals))
    }
}

impl StorageBackend for StoreFile {
    fn len(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self.file.read_at(out, offset)? == out.len() {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let before = self.file.length()?;
        self.refusals.note(self.file.resize(length))?;
        // Cutting gives back what was set aside, too.
        set_aside(self.file.file(), length..before.max(length) + AHEAD_BYTES);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let synced = self.file.sync();
        if synced.is_err() {
            self.refusals.unsynced.store(true, Ordering::Release);
        }
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.refusals.note(self.file.write_at(data, offset))
    }
}
