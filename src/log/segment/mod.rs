//! One segment: a `.log` file of whole batches and the two indexes beside it.
//!
//! Owns the published end of the file (`size_bytes`, `next_offset`), the index entries, and lookups in them. Does not
//! write batches: the log does, under its append lock, and publishes afterwards. So a reader sees whole batches only.
//! A closed segment holds no descriptor of its own: its files come from the directory's bounded cache.
//!
//! The tail's lock is held for no longer than memory takes. What an index needs of the disk, which may be a walk over the
//! whole file, is done under `loading`: only who needs that index waits for it.

mod check;
mod damage;
mod files;
pub mod index;
mod load;
mod lookup;
mod tail;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{self, AtomicBool, AtomicU8};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

pub use self::files::FileCache;
use self::files::Kind;
pub use self::load::Effort;
pub use self::tail::{Indexes, Tail};

use super::error::{Damage, ReadError};
use super::names;
use super::transactions::{self, AbortedTransaction};
use crate::platform::disk::DiskFile;
use crate::platform::{lock, read_lock, write_lock};

/// A segment of one log.
pub struct Segment {
    pub base_offset: i64,
    name: u64,
    directory: PathBuf,
    files: Arc<FileCache>,
    /// The active segment's file stays open.
    pinned: Mutex<Option<DiskFile>>,
    retired: AtomicBool,
    /// Its files still have the names of a segment in swap.
    in_swap: AtomicBool,
    tail: RwLock<Tail>,
    /// Held while the index files are looked at or made anew. Taken before `tail`.
    loading: Mutex<()>,
    /// Held while index files are created by name, and by who takes the names away.
    naming: Mutex<()>,
    /// Whether there is a transaction index: most fetches need not look.
    aborted: AtomicU8,
    damage: OnceLock<Damage>,
    /// Its batches were seen to reach its next offset.
    end_checked: AtomicBool,
    /// The time index was seen to reach the segment's end.
    times_checked: AtomicBool,
}

const ABORTED_UNKNOWN: u8 = 0;
const ABORTED_NONE: u8 = 1;
const ABORTED_SOME: u8 = 2;

impl Segment {
    /// A segment whose files exist. `indexes`: `None` reads them when they are first needed.
    pub fn new(
        files: &Arc<FileCache>,
        directory: &Path,
        base_offset: i64,
        size_bytes: u64,
        next_offset: i64,
        indexes: Option<Indexes>,
    ) -> Segment {
        let indexes_made = indexes.is_some();
        Segment {
            base_offset,
            name: files.name_segment(),
            directory: directory.to_owned(),
            files: Arc::clone(files),
            pinned: Mutex::new(None),
            retired: AtomicBool::new(false),
            // Indexes that were made from the batches need no check.
            times_checked: AtomicBool::new(indexes_made),
            in_swap: AtomicBool::new(false),
            tail: RwLock::new(Tail { size_bytes, next_offset, indexes, distrusted: false }),
            loading: Mutex::new(()),
            naming: Mutex::new(()),
            aborted: AtomicU8::new(ABORTED_UNKNOWN),
            end_checked: AtomicBool::new(indexes_made),
            damage: OnceLock::new(),
        }
    }

    /// A segment that compaction wrote, and whose files are about to get their names. `offsets` are its base offset and
    /// that of the segment behind it.
    pub fn in_swap(
        files: &Arc<FileCache>,
        directory: &Path,
        offsets: (i64, i64),
        size_bytes: u64,
        indexes: Indexes,
        has_aborted: bool,
    ) -> Segment {
        let segment = Segment::new(files, directory, offsets.0, size_bytes, offsets.1, Some(indexes));
        segment.in_swap.store(true, atomic::Ordering::SeqCst);
        let aborted = if has_aborted { ABORTED_SOME } else { ABORTED_NONE };
        segment.aborted.store(aborted, atomic::Ordering::SeqCst);
        segment
    }

    pub fn is_in_swap(&self) -> bool {
        self.in_swap.load(atomic::Ordering::SeqCst)
    }

    /// Its files have their names now.
    pub fn leave_swap(&self) {
        self.in_swap.store(false, atomic::Ordering::SeqCst);
    }

    /// Creates the three files, empty. The caller syncs the directory before it acknowledges anything in them.
    pub fn create(files: &Arc<FileCache>, directory: &Path, base_offset: i64) -> io::Result<(Segment, DiskFile)> {
        let disk = &files.disk;
        disk.create(&names::offset_file(directory, base_offset, names::OFFSET_INDEX_SUFFIX))?;
        disk.create(&names::offset_file(directory, base_offset, names::TIME_INDEX_SUFFIX))?;
        let file = disk.create(&names::offset_file(directory, base_offset, names::LOG_SUFFIX))?;
        let segment = Segment::new(files, directory, base_offset, 0, base_offset, Some(Indexes::empty()));
        segment.pin(file.clone());
        Ok((segment, file))
    }

    /// Where a file of the segment is, or in a swap: will be.
    pub fn path(&self, suffix: &str) -> PathBuf {
        names::offset_file(&self.directory, self.base_offset, suffix)
    }

    /// Does `open` with the path of a file. In a swap that is its old name as long as it has that: while it does, the name
    /// that it will have is another segment's.
    fn at_its_path<T>(&self, suffix: &str, open: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
        if self.in_swap.load(atomic::Ordering::SeqCst) {
            let in_swap = format!("{suffix}.{}", names::SWAP_SUFFIX);
            match open(&names::offset_file(&self.directory, self.base_offset, &in_swap)) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                opened => return opened,
            }
        }
        open(&self.path(suffix))
    }

    pub fn pin(&self, file: DiskFile) {
        *lock(&self.pinned) = Some(file);
    }

    fn is_pinned(&self) -> bool {
        lock(&self.pinned).is_some()
    }

    pub fn unpin(&self) {
        *lock(&self.pinned) = None;
    }

    pub fn file(&self) -> io::Result<DiskFile> {
        if let Some(file) = &*lock(&self.pinned) {
            return Ok(file.clone());
        }
        self.open(Kind::Log)
    }

    /// Files are opened by name, and a name may be another log's by now: what was opened counts only while this segment
    /// is still in its log.
    fn open(&self, kind: Kind) -> io::Result<DiskFile> {
        self.while_in_its_log(self.at_its_path(kind.suffix(), |path| self.files.get(self.name, kind, path))?)
    }

    /// The `.log`, for its log to go on with.
    pub fn file_to_write(&self) -> io::Result<DiskFile> {
        self.open_to_write(names::LOG_SUFFIX)
    }

    fn open_to_write(&self, suffix: &str) -> io::Result<DiskFile> {
        self.while_in_its_log(self.at_its_path(suffix, |path| self.files.disk.open(path))?)
    }

    fn while_in_its_log(&self, file: DiskFile) -> io::Result<DiskFile> {
        self.check_not_retired().inspect_err(|_| self.files.forget(self.name))?;
        Ok(file)
    }

    fn check_not_retired(&self) -> io::Result<()> {
        match self.is_retired() {
            true => Err(io::Error::new(io::ErrorKind::NotFound, "the segment was removed")),
            false => Ok(()),
        }
    }

    /// To be called before the files go, or give their names to others. Who holds a file keeps it. Indexes that are
    /// being written anew, by name, are waited for: none is written afterwards.
    pub fn retire(&self) {
        let _naming = lock(&self.naming);
        self.retired.store(true, atomic::Ordering::SeqCst);
        self.unpin();
        self.files.forget(self.name);
    }

    /// Whether it is out of its log: what fails then says nothing of the log.
    pub fn is_retired(&self) -> bool {
        self.retired.load(atomic::Ordering::SeqCst)
    }

    pub fn size_bytes(&self) -> u64 {
        read_lock(&self.tail).size_bytes
    }

    pub fn next_offset(&self) -> i64 {
        read_lock(&self.tail).next_offset
    }

    /// Size and next offset of the same moment.
    pub fn end(&self) -> (u64, i64) {
        let tail = read_lock(&self.tail);
        (tail.size_bytes, tail.next_offset)
    }

    /// Writes waiting index entries if enough wait, or all of them.
    pub fn flush_indexes(&self, all: bool) -> io::Result<()> {
        let (offsets_due, times_due) = {
            let tail = read_lock(&self.tail);
            let Some(indexes) = &tail.indexes else { return Ok(()) };
            (
                indexes.offsets.wants_flush() || (all && indexes.offsets.has_pending()),
                indexes.times.wants_flush() || (all && indexes.times.has_pending()),
            )
        };
        let offset_file = if offsets_due { Some(self.open_to_write(names::OFFSET_INDEX_SUFFIX)?) } else { None };
        let time_file = if times_due { Some(self.open_to_write(names::TIME_INDEX_SUFFIX)?) } else { None };
        self.flush_into(offset_file.as_ref(), time_file.as_ref())
    }

    fn flush_into(&self, offset_file: Option<&DiskFile>, time_file: Option<&DiskFile>) -> io::Result<()> {
        if offset_file.is_none() && time_file.is_none() {
            return Ok(());
        }
        let mut tail = write_lock(&self.tail);
        let Some(indexes) = &mut tail.indexes else { return Ok(()) };
        if let Some(file) = offset_file {
            indexes.offsets.flush(file)?;
        }
        if let Some(file) = time_file {
            indexes.times.flush(file)?;
        }
        Ok(())
    }

    /// The segment is full: adds the last time entry, as Kafka does, and writes both indexes out. Answers their files,
    /// to be synced.
    pub fn seal_indexes(&self) -> io::Result<[DiskFile; 2]> {
        self.with_tail(|_, indexes| indexes.push_time(self.base_offset))?;
        let offsets = self.open_to_write(names::OFFSET_INDEX_SUFFIX)?;
        let times = self.open_to_write(names::TIME_INDEX_SUFFIX)?;
        self.flush_into(Some(&offsets), Some(&times))?;
        Ok([offsets, times])
    }

    /// A transaction was aborted whose marker is here.
    pub fn has_aborted(&self) {
        self.aborted.store(ABORTED_SOME, atomic::Ordering::SeqCst);
    }

    /// Whether [`Segment::aborted`] has to look, or has something to tell.
    pub fn may_have_aborted(&self) -> bool {
        self.aborted.load(atomic::Ordering::SeqCst) != ABORTED_NONE
    }

    /// Writes the transaction index anew. Who reads it meanwhile has the one of before.
    pub fn replace_aborted(&self, entries: &[AbortedTransaction]) -> io::Result<()> {
        let _naming = lock(&self.naming);
        self.check_not_retired()?;
        let path = self.path(names::TXN_INDEX_SUFFIX);
        let bytes: Vec<u8> = entries.iter().flat_map(AbortedTransaction::encode).collect();
        match entries.is_empty() {
            true => self.files.disk.unlink_if_exists(&path)?,
            false => self.files.disk.replace(&path, &bytes)?,
        }
        let aborted = if entries.is_empty() { ABORTED_NONE } else { ABORTED_SOME };
        self.aborted.store(aborted, atomic::Ordering::SeqCst);
        Ok(())
    }

    /// The aborted transactions whose markers are here.
    pub fn aborted(&self) -> Result<Vec<AbortedTransaction>, ReadError> {
        if self.aborted.load(atomic::Ordering::SeqCst) == ABORTED_NONE {
            return Ok(Vec::new());
        }
        let found = self.at_its_path(names::TXN_INDEX_SUFFIX, transactions::read_whole);
        let path = || self.path(names::TXN_INDEX_SUFFIX);
        // Read by name: what was found, or not, may be of the segment that took its place.
        self.check_not_retired().map_err(|source| ReadError::Io { path: path(), source })?;
        let found = match found {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            found => found.map_err(|source| ReadError::Io { path: path(), source })?,
        };
        if found.is_empty() {
            let (unknown, none) = (ABORTED_UNKNOWN, ABORTED_NONE);
            let (stored, loaded) = (atomic::Ordering::SeqCst, atomic::Ordering::SeqCst);
            let _ = self.aborted.compare_exchange(unknown, none, stored, loaded);
        }
        Ok(found)
    }
}
