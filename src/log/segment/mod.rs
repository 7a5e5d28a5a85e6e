//! One segment: a `.log` file of whole batches and the two indexes beside it.
//!
//! Owns the published end of the file (`size_bytes`, `next_offset`), the index entries, and lookups in them. Does not
//! write batches: the log does, under its append lock, and publishes afterwards. So a reader sees whole batches only.
//! A closed segment holds no descriptor of its own: its files come from the directory's bounded cache.

mod check;
mod files;
pub mod index;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{self, AtomicBool, AtomicU8};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

pub use self::files::FileCache;
use self::files::Kind;
use self::index::{Entry, Index, OffsetEntry, TimeEntry, floor_in_file};
use stratalog_types::Offset;

use super::error::{Damage, ReadError};
use super::names;
use super::scan::{BatchAt, HeaderScan, ScanError};
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
    /// Whether there is a transaction index: most fetches need not look.
    aborted: AtomicU8,
    /// The index files are not to be believed: they are written anew when they are next needed.
    distrusted: AtomicBool,
    damage: OnceLock<Damage>,
    /// Its batches were seen to reach its next offset.
    end_checked: AtomicBool,
    /// The time index was seen to reach the segment's end.
    times_checked: AtomicBool,
}

const ABORTED_UNKNOWN: u8 = 0;
const ABORTED_NONE: u8 = 1;
const ABORTED_SOME: u8 = 2;

/// What grows.
pub struct Tail {
    pub size_bytes: u64,
    /// One past the last record; for a segment that was closed before this start, the next segment's base offset.
    pub next_offset: i64,
    pub indexes: Option<Indexes>,
}

pub struct Indexes {
    pub offsets: Index<OffsetEntry>,
    pub times: Index<TimeEntry>,
    /// The largest timestamp so far and the last offset of its batch.
    pub largest_timestamp: Option<(i64, i64)>,
}

impl Indexes {
    pub fn empty() -> Indexes {
        Indexes { offsets: Index::empty(), times: Index::empty(), largest_timestamp: None }
    }

    pub fn note_timestamp(&mut self, timestamp: i64, last_offset: i64) {
        if timestamp >= 0 && self.largest_timestamp.is_none_or(|(largest, _)| timestamp > largest) {
            self.largest_timestamp = Some((timestamp, last_offset));
        }
    }

    /// Adds the time entry that is due: the largest timestamp so far, if it grew since the last entry.
    pub fn push_time(&mut self, base_offset: i64) {
        let Some((timestamp, offset)) = self.largest_timestamp else { return };
        let Ok(relative_offset) = u32::try_from(offset - base_offset) else { return };
        if self.times.last().is_none_or(|last| timestamp > last.timestamp && relative_offset >= last.relative_offset) {
            self.times.push(TimeEntry { timestamp, relative_offset });
        }
    }

    pub fn push_offset(&mut self, base_offset: i64, last_offset: i64, position: u64) {
        let (Ok(relative_offset), Ok(position)) = (u32::try_from(last_offset - base_offset), u32::try_from(position))
        else {
            return;
        };
        if self.offsets.last().is_none_or(|last| relative_offset > last.relative_offset) {
            self.offsets.push(OffsetEntry { relative_offset, position });
        }
    }
}

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
            tail: RwLock::new(Tail { size_bytes, next_offset, indexes }),
            aborted: AtomicU8::new(ABORTED_UNKNOWN),
            end_checked: AtomicBool::new(indexes_made),
            distrusted: AtomicBool::new(false),
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

    pub fn unpin(&self) {
        *lock(&self.pinned) = None;
    }

    pub fn file(&self) -> io::Result<DiskFile> {
        if let Some(file) = &*lock(&self.pinned) {
            return Ok(file.clone());
        }
        self.open(Kind::Log, names::LOG_SUFFIX)
    }

    fn offset_index_file(&self) -> io::Result<DiskFile> {
        self.open(Kind::OffsetIndex, names::OFFSET_INDEX_SUFFIX)
    }

    fn time_index_file(&self) -> io::Result<DiskFile> {
        self.open(Kind::TimeIndex, names::TIME_INDEX_SUFFIX)
    }

    /// Files are opened by name, and a name may be another log's by now: what was opened counts only while this segment
    /// is still in its log.
    fn open(&self, kind: Kind, suffix: &str) -> io::Result<DiskFile> {
        let file = self.at_its_path(suffix, |path| self.files.get(self.name, kind, path))?;
        if self.retired.load(atomic::Ordering::SeqCst) {
            self.files.forget(self.name);
            return Err(io::Error::new(io::ErrorKind::NotFound, "the segment was removed"));
        }
        Ok(file)
    }

    /// To be called before the files go, or give their names to others. Who holds a file keeps it.
    pub fn retire(&self) {
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

    /// Changes the tail, with its indexes loaded.
    pub fn with_tail<T>(&self, change: impl FnOnce(&mut Tail, &mut Indexes) -> T) -> io::Result<T> {
        self.load_indexes()?;
        let mut tail = write_lock(&self.tail);
        let mut indexes = tail.indexes.take().unwrap_or_else(Indexes::empty);
        let answer = change(&mut tail, &mut indexes);
        tail.indexes = Some(indexes);
        Ok(answer)
    }

    /// Index files that are missing, or contradict themselves or the segment's size, are written anew.
    fn load_indexes(&self) -> io::Result<()> {
        if read_lock(&self.tail).indexes.is_some() {
            return Ok(());
        }
        let mut tail = write_lock(&self.tail);
        if tail.indexes.is_some() {
            return Ok(());
        }
        let believed = !self.distrusted.load(atomic::Ordering::SeqCst);
        let read = if believed { check::read(self, &tail)? } else { None };
        if read.is_none() {
            self.times_checked.store(true, atomic::Ordering::SeqCst);
        }
        tail.indexes = Some(match read {
            Some(indexes) => indexes,
            None => check::rebuild(self, tail.size_bytes)?,
        });
        self.distrusted.store(false, atomic::Ordering::SeqCst);
        Ok(())
    }

    /// An index said something that the log does not confirm: it is written anew when it is next needed.
    pub fn distrust_indexes(&self, what: &str) {
        tracing::warn!(path = %self.path(names::LOG_SUFFIX).display(), "{what}: its indexes are written anew");
        self.distrusted.store(true, atomic::Ordering::SeqCst);
        write_lock(&self.tail).indexes = None;
    }

    /// Entries of the offset index and of the time index.
    pub fn index_entries(&self) -> io::Result<(u64, u64)> {
        self.load_indexes()?;
        let tail = read_lock(&self.tail);
        Ok(tail.indexes.as_ref().map_or((0, 0), |indexes| (indexes.offsets.entries(), indexes.times.entries())))
    }

    pub fn last_offset_entry(&self) -> io::Result<Option<OffsetEntry>> {
        self.load_indexes()?;
        Ok(read_lock(&self.tail).indexes.as_ref().and_then(|indexes| indexes.offsets.last()))
    }

    pub fn largest_timestamp(&self) -> io::Result<Option<(i64, i64)>> {
        self.check_times()?;
        Ok(read_lock(&self.tail).indexes.as_ref().and_then(|indexes| indexes.largest_timestamp))
    }

    /// Once in a segment's life: a time index that ends too early, or says what no batch says, would hide records from
    /// whoever asks by time.
    fn check_times(&self) -> io::Result<()> {
        self.load_indexes()?;
        if self.times_checked.load(atomic::Ordering::SeqCst) {
            return Ok(());
        }
        if !check::note_later_timestamps(self)? {
            self.distrust_indexes("the last entry of the time index is of no batch");
            self.load_indexes()?;
        }
        self.times_checked.store(true, atomic::Ordering::SeqCst);
        Ok(())
    }

    /// The first offset that the batches of a closed segment do not reach, if they end too early.
    pub fn missing_from(&self) -> Result<Option<i64>, ScanError> {
        if self.end_checked.load(atomic::Ordering::SeqCst) {
            return Ok(None);
        }
        let (size_bytes, next_offset) = self.end();
        let file = self.file()?;
        let by_index = match self.last_offset_entry()? {
            Some(entry) => self.reached_from(&file, entry, size_bytes)?,
            None => None,
        };
        let reached = match by_index {
            Some(reached) => reached,
            None => reached(&file, 0, size_bytes, None)?.unwrap_or(self.base_offset),
        };
        let whole = reached >= next_offset;
        self.end_checked.store(whole, atomic::Ordering::SeqCst);
        Ok((!whole).then_some(reached))
    }

    /// What the batches from an index entry on reach. `None`: the batches say otherwise than the entry.
    fn reached_from(&self, file: &DiskFile, entry: OffsetEntry, size_bytes: u64) -> Result<Option<i64>, ScanError> {
        let last_offset = self.base_offset + i64::from(entry.relative_offset);
        match reached(file, u64::from(entry.position), size_bytes, Some(last_offset)) {
            Ok(Some(reached)) => return Ok(Some(reached)),
            Ok(None) | Err(ScanError::Bad { .. }) => {}
            Err(error) => return Err(error),
        }
        self.distrust_indexes("the last entry of the offset index is wrong");
        Ok(None)
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
        let offset_file = if offsets_due { Some(self.offset_index_file()?) } else { None };
        let time_file = if times_due { Some(self.time_index_file()?) } else { None };
        if offset_file.is_none() && time_file.is_none() {
            return Ok(());
        }
        let mut tail = write_lock(&self.tail);
        let Some(indexes) = &mut tail.indexes else { return Ok(()) };
        if let Some(file) = offset_file {
            indexes.offsets.flush(&file)?;
        }
        if let Some(file) = time_file {
            indexes.times.flush(&file)?;
        }
        Ok(())
    }

    /// The segment is full: adds the last time entry, as Kafka does, and writes both indexes out. Answers their files,
    /// to be synced.
    pub fn seal_indexes(&self) -> io::Result<[DiskFile; 2]> {
        self.with_tail(|_, indexes| indexes.push_time(self.base_offset))?;
        self.flush_indexes(true)?;
        Ok([self.offset_index_file()?, self.time_index_file()?])
    }

    /// A transaction was aborted whose marker is here.
    pub fn has_aborted(&self) {
        self.aborted.store(ABORTED_SOME, atomic::Ordering::SeqCst);
    }

    /// The aborted transactions whose markers are here.
    pub fn aborted(&self) -> Result<Vec<AbortedTransaction>, ReadError> {
        if self.aborted.load(atomic::Ordering::SeqCst) == ABORTED_NONE {
            return Ok(Vec::new());
        }
        let found = self.at_its_path(names::TXN_INDEX_SUFFIX, transactions::read);
        let path = || self.path(names::TXN_INDEX_SUFFIX);
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

    fn floor<E: Entry>(
        &self,
        pick: impl Fn(&Indexes) -> &Index<E>,
        file: impl Fn() -> io::Result<DiskFile>,
        order: impl Fn(&E) -> Ordering,
    ) -> io::Result<Option<E>> {
        self.load_indexes()?;
        let in_file = {
            let tail = read_lock(&self.tail);
            let Some(indexes) = &tail.indexes else { return Ok(None) };
            let index = pick(indexes);
            if let Some(entry) = index.floor_pending(&order) {
                return Ok(Some(entry));
            }
            index.in_file()
        };
        if in_file == 0 {
            return Ok(None);
        }
        floor_in_file(&file()?, in_file, order)
    }

    /// A position at or before the batch that contains `offset`.
    fn position_floor(&self, offset: i64) -> io::Result<u64> {
        let Ok(relative) = u32::try_from(offset - self.base_offset) else {
            return Ok(0);
        };
        let floor = self.floor(|i| &i.offsets, || self.offset_index_file(), |e| e.relative_offset.cmp(&relative))?;
        Ok(floor.map_or(0, |entry| u64::from(entry.position)))
    }

    /// The start of a batch at or before `position`.
    fn batch_floor(&self, position: u64) -> io::Result<u64> {
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        let floor = self.floor(|i| &i.offsets, || self.offset_index_file(), |e| e.position.cmp(&position))?;
        Ok(floor.map_or(0, |entry| u64::from(entry.position)))
    }

    /// An offset at or before the first record whose timestamp is `timestamp` or later, and the time index says so.
    pub fn offset_floor_for_time(&self, timestamp: i64) -> io::Result<i64> {
        // Strictly before: the entry's own batch may be the answer, and the scan starts there.
        let order = |e: &TimeEntry| if e.timestamp < timestamp { Ordering::Less } else { Ordering::Greater };
        self.check_times()?;
        let floor = self.floor(|i| &i.times, || self.time_index_file(), order)?;
        let Some(entry) = floor else { return Ok(self.base_offset) };
        if check::is_of_a_batch(self, &entry)? {
            return Ok(self.base_offset + i64::from(entry.relative_offset));
        }
        self.distrust_indexes("an entry of the time index is of no batch");
        Ok(self.base_offset)
    }

    /// The first batch that ends at `offset` or later, and an open file.
    pub fn locate(&self, offset: i64) -> Result<Option<(BatchAt, DiskFile)>, ReadError> {
        let (size_bytes, _) = self.end();
        let file = self.file().map_err(|e| self.read_error(ScanError::Io(e)))?;
        let floor = self.position_floor(offset).map_err(|e| self.read_error(ScanError::Io(e)))?;
        match scan_to(&file, floor, size_bytes, offset) {
            // An index that points beside the batches, or past the one sought, is not believed.
            Err(ScanError::Bad { .. }) if floor > 0 => {}
            Ok(Some(at)) if floor > 0 && at.position == floor && at.header.base_offset > offset => {}
            found => {
                return found.map(|at| at.map(|at| (at, file))).map_err(|e| self.read_error(e));
            }
        }
        self.distrust_indexes("an entry of the offset index is wrong");
        let found = scan_to(&file, 0, size_bytes, offset).map_err(|e| self.read_error(e))?;
        Ok(found.map(|at| (at, file)))
    }

    /// The end of the last whole batch from `start` on that ends at `limit` or before it, and before `until`; with the
    /// offset after it. `start` is the position of a batch, which is the answer's minimum: then both are `None`.
    pub fn last_whole_batch(
        &self,
        file: &DiskFile,
        start: u64,
        limit: u64,
        until: i64,
    ) -> Result<Option<(u64, i64)>, ReadError> {
        let (size_bytes, _) = self.end();
        let limit = limit.min(size_bytes);
        let by_bytes = self.batch_floor(limit).map_err(|e| self.read_error(ScanError::Io(e)))?;
        let by_offset = self.position_floor(until).map_err(|e| self.read_error(ScanError::Io(e)))?;
        let floor = by_bytes.min(by_offset).max(start);
        match last_whole(file, floor, floor > start, limit, until, size_bytes) {
            // An index that points beside the batches, or past what was sought.
            Err(ScanError::Bad { .. }) if floor > start => {}
            Ok(LastWhole::FloorTooLate) => {}
            Ok(LastWhole::Found(last)) => return Ok(last),
            Err(error) => return Err(self.read_error(error)),
        }
        self.distrust_indexes("an entry of the offset index is wrong");
        match last_whole(file, start, false, limit, until, size_bytes) {
            Ok(LastWhole::Found(last)) => Ok(last),
            Ok(LastWhole::FloorTooLate) => Ok(None),
            Err(error) => Err(self.read_error(error)),
        }
    }

    pub fn read_error(&self, error: ScanError) -> ReadError {
        let path = self.path(names::LOG_SUFFIX);
        match error {
            ScanError::Io(source) => {
                if tells_of_bytes(&source) {
                    self.note_damage(0, source.to_string());
                }
                ReadError::Io { path, source }
            }
            ScanError::Bad { position, what } => {
                self.note_damage(position, what.clone());
                ReadError::Corrupt { path, position, what }
            }
        }
    }

    /// The bytes at `position` are not what was written, or cannot be read: named and counted, once.
    pub fn note_damage(&self, position: u64, what: String) {
        let (_, next_offset) = self.end();
        let damage = Damage {
            path: self.path(names::LOG_SUFFIX),
            base_offset: Offset(self.base_offset),
            position,
            // Which of its batches is meant costs a walk; the segment is what can be healed.
            first_offset: Offset(self.base_offset),
            next_offset: Offset(next_offset),
            what,
        };
        if self.retired.load(atomic::Ordering::SeqCst) || self.damage.set(damage.clone()).is_err() {
            return;
        }
        self.files.metrics.log_segments_damaged.inc();
        tracing::error!("a read found damage: {damage}");
    }

    pub fn damage(&self) -> Option<Damage> {
        self.damage.get().cloned()
    }
}

/// Whether an error is one of the bytes that were to be read. A name that is gone may be a segment that was removed; that
/// this process may not open a file, or no more of them, says nothing of what is in it.
fn tells_of_bytes(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let of_the_process =
        [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::ACCESS, Errno::PERM, Errno::INTR, Errno::AGAIN];
    let is_of_the_process = Errno::from_io_error(error).is_some_and(|errno| of_the_process.contains(&errno));
    error.kind() != io::ErrorKind::NotFound && !is_of_the_process
}

enum LastWhole {
    Found(Option<(u64, i64)>),
    /// The batch that the walk began with lies behind what was sought.
    FloorTooLate,
}

/// `answers`: the start of the walk is itself an end, if the batch there goes too far.
fn last_whole(
    file: &DiskFile,
    from: u64,
    answers: bool,
    limit: u64,
    until: i64,
    size_bytes: u64,
) -> Result<LastWhole, ScanError> {
    let mut scan = HeaderScan::new(file.file(), from, size_bytes);
    let mut last = None;
    while let Some(at) = scan.next()? {
        if at.end() > limit || at.header.next_offset() > until {
            if last.is_none() && answers {
                if at.position > limit || at.header.base_offset > until {
                    return Ok(LastWhole::FloorTooLate);
                }
                last = Some((at.position, at.header.base_offset));
            }
            break;
        }
        last = Some((at.end(), at.header.next_offset()));
    }
    Ok(LastWhole::Found(last))
}

/// One past the last offset of the batches from `from` on; `None` if there are none, or none of them ends at `passes`.
fn reached(file: &DiskFile, from: u64, size_bytes: u64, passes: Option<i64>) -> Result<Option<i64>, ScanError> {
    let mut scan = HeaderScan::new(file.file(), from, size_bytes);
    let mut reached = None;
    let mut passed = passes.is_none();
    while let Some(at) = scan.next()? {
        reached = Some(at.header.next_offset());
        // Of several batches that were appended at once Kafka's entry names the last offset and the first position.
        passed |= passes == Some(at.header.last_offset());
    }
    Ok(reached.filter(|_| passed))
}

fn scan_to(file: &DiskFile, from: u64, end: u64, offset: i64) -> Result<Option<BatchAt>, ScanError> {
    let mut scan = HeaderScan::new(file.file(), from, end);
    while let Some(at) = scan.next()? {
        if at.header.last_offset() >= offset {
            return Ok(Some(at));
        }
    }
    Ok(None)
}
