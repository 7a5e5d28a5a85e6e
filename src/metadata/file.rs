//! The file of the store. It has some blocks more than it needs, and keeps those that it had: a change that fits into them
//! asks a full disk for nothing.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{DatabaseError, StorageBackend};

use crate::platform::disk::{Disk, DiskFile, drop_cached, is_full};
use crate::platform::volume::set_aside;

/// Set aside behind the end beside the file's own length: the database grows by doubling it.
const AHEAD_BYTES: u64 = 1 << 20;
/// What is set aside leaves so much to others: logs need some to be recovered.
const LEFT_BYTES: u64 = 16 << 20;

/// Why the file of a store refused, which the database above it does not tell apart. The same for each time it is opened.
#[derive(Debug, Default)]
pub struct Refusals {
    full: AtomicBool,
    unsynced: AtomicBool,
}

impl Refusals {
    /// A write found no room since [`Refusals::forget_full`].
    pub fn full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    pub fn forget_full(&self) {
        self.full.store(false, Ordering::Release);
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
    /// There was no room to set aside.
    lacks_room: AtomicBool,
}

impl fmt::Debug for StoreFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreFile").field("file", self.file.file()).finish_non_exhaustive()
    }
}

impl StoreFile {
    pub fn open_or_create(path: &Path, disk: &Disk, refusals: &Arc<Refusals>) -> Result<StoreFile, DatabaseError> {
        let is_new = !path.try_exists()?;
        let file = disk.open_or_create(path)?;
        if let Some(directory) = path.parent().filter(|_| is_new) {
            disk.sync_directory(directory)?;
        }
        StoreFile::of(file, refusals)
    }

    /// Opens the file, which is there.
    pub fn open(path: &Path, disk: &Disk, refusals: &Arc<Refusals>) -> Result<StoreFile, DatabaseError> {
        StoreFile::of(disk.open(path)?, refusals)
    }

    /// One handle at a time has the file.
    fn of(file: DiskFile, refusals: &Arc<Refusals>) -> Result<StoreFile, DatabaseError> {
        match file.file().try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(DatabaseError::DatabaseAlreadyOpen),
            Err(std::fs::TryLockError::Error(error)) => return Err(error.into()),
        }
        // What an earlier process, or a write that failed, left in memory alone is not to be believed.
        drop_cached(file.file(), 0, file.length()?);
        let file = StoreFile { file, refusals: refusals.clone(), lacks_room: AtomicBool::new(false) };
        file.set_room_aside()?;
        Ok(file)
    }

    fn set_room_aside(&self) -> io::Result<()> {
        let length = self.file.length()?;
        let has_room = set_aside(self.file.file(), length..2 * length + AHEAD_BYTES, LEFT_BYTES);
        self.lacks_room.store(!has_room, Ordering::Release);
        Ok(())
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
        // Cutting gives back what was set aside, too. What was had comes first: all of it may be more than there is.
        set_aside(self.file.file(), length..before, 0);
        self.set_room_aside()
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.lacks_room.load(Ordering::Acquire) {
            self.set_room_aside()?;
        }
        let synced = self.file.sync();
        if synced.is_err() {
            self.refusals.unsynced.store(true, Ordering::Release);
        }
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.refusals.note(self.file.write_at(data, offset))
    }

    fn close(&self) -> io::Result<()> {
        // A child that was forked meanwhile may hold the file open for a moment, and its lock with it.
        self.file.file().unlock()
    }
}
