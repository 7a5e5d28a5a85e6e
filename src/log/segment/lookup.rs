//! Where a record is: by offset, by time, by bytes. An index says where to begin; the batches say what is there, and an
//! index that they contradict is not believed any more.

use std::cmp::Ordering;
use std::io;
use std::ops::Range;
use std::sync::atomic;

use super::files::Kind;
use super::index::{Entry, Index, OffsetEntry, TimeEntry, floor_in_file};
use super::{Effort, Indexes, Segment, check};
use crate::log::error::ReadError;
use crate::log::scan::{BatchAt, HeaderScan, ScanError, jump};
use crate::log::unreadable::tells_of_bytes;
use crate::platform::disk::DiskFile;
use crate::platform::read_lock;

impl Segment {
    /// The first offset that the batches of a closed segment without holes do not reach, if they end too early. An
    /// error: they contradict each other.
    pub fn missing_from(&self) -> Result<Option<i64>, ScanError> {
        if self.end_checked.load(atomic::Ordering::SeqCst) {
            return Ok(None);
        }
        let (size_bytes, next_offset) = self.end();
        let file = self.file()?;
        let last = self.last_offset_entry()?;
        let by_index = match last {
            Some(entry) => self.reached_from(&file, entry, (size_bytes, next_offset))?,
            None => None,
        };
        let reached = match by_index {
            Some(reached) => reached,
            None => {
                let offsets = self.base_offset..next_offset;
                let reached = reached(&file, 0, size_bytes, offsets, None)?.unwrap_or(self.base_offset);
                if last.is_some() {
                    self.distrust_indexes("the last entry of the offset index is wrong");
                }
                reached
            }
        };
        let whole = reached >= next_offset;
        self.end_checked.store(whole, atomic::Ordering::SeqCst);
        Ok((!whole).then_some(reached))
    }

    /// What the batches from an index entry on reach. `None`: they say otherwise than the entry, or contradict each
    /// other.
    fn reached_from(&self, file: &DiskFile, entry: OffsetEntry, end: (u64, i64)) -> Result<Option<i64>, ScanError> {
        let last_offset = self.base_offset + i64::from(entry.relative_offset);
        match reached(file, u64::from(entry.position), end.0, i64::MIN..end.1, Some(last_offset)) {
            Err(ScanError::Bad { .. }) => Ok(None),
            reached => reached,
        }
    }

    /// The last entry that does not lie after what is sought. An index file that does not read is made anew, once.
    fn floor<E: Entry>(
        &self,
        pick: impl Fn(&Indexes) -> &Index<E>,
        kind: Kind,
        order: impl Fn(&E) -> Ordering,
        effort: Effort,
    ) -> io::Result<Option<E>> {
        let mut is_anew = false;
        loop {
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
            match self.open(kind).and_then(|file| floor_in_file(&file, in_file, &order)) {
                Err(error) if !is_anew && tells_of_bytes(&error) => {
                    self.set_index_aside(kind, &error)?;
                    self.distrust_indexes("an index does not read");
                    if effort == Effort::Little {
                        return Err(io::ErrorKind::WouldBlock.into());
                    }
                    is_anew = true;
                }
                floor => return floor,
            }
        }
    }

    /// A position at or before the batch that contains `offset`.
    pub(super) fn position_floor(&self, offset: i64) -> io::Result<u64> {
        Ok(self.entry_floor(offset, Effort::Any)?.map_or(0, |entry| u64::from(entry.position)))
    }

    /// The last entry of the offset index whose batch ends at `offset` or before it. WouldBlock: the index is to be made
    /// anew, which is no little effort.
    fn entry_floor(&self, offset: i64, effort: Effort) -> io::Result<Option<OffsetEntry>> {
        let Ok(relative) = u32::try_from(offset - self.base_offset) else {
            return Ok(None);
        };
        self.floor(|i| &i.offsets, Kind::OffsetIndex, |e| e.relative_offset.cmp(&relative), effort)
    }

    /// The start of a batch at or before `position`.
    fn batch_floor(&self, position: u64) -> io::Result<u64> {
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        let floor = self.floor(|i| &i.offsets, Kind::OffsetIndex, |e| e.position.cmp(&position), Effort::Any)?;
        Ok(floor.map_or(0, |entry| u64::from(entry.position)))
    }

    /// An offset at or before the first record whose timestamp is `timestamp` or later, and the time index says so.
    pub fn offset_floor_for_time(&self, timestamp: i64) -> io::Result<i64> {
        // Strictly before: the entry's own batch may be the answer, and the scan starts there.
        let order = |e: &TimeEntry| if e.timestamp < timestamp { Ordering::Less } else { Ordering::Greater };
        self.check_times()?;
        let floor = self.floor(|i| &i.times, Kind::TimeIndex, order, Effort::Any)?;
        let Some(entry) = floor else { return Ok(self.base_offset) };
        if check::is_of_a_batch(self, &entry)? {
            return Ok(self.base_offset + i64::from(entry.relative_offset));
        }
        self.distrust_indexes("an entry of the time index is of no batch");
        Ok(self.base_offset)
    }

    /// The first batch that ends at `offset` or later, and an open file.
    pub fn locate(&self, offset: i64, effort: Effort) -> Result<Option<(BatchAt, DiskFile)>, ReadError> {
        self.locate_unless(offset, effort, || true)
    }

    /// As [`Segment::locate`]; unless offsets may be missing, the batch has `offset`, and begins where the one before
    /// it ends. A base offset is under no CRC: one that is wrong shows beside its neighbours, or the index, alone.
    pub fn locate_unless(
        &self,
        offset: i64,
        effort: Effort,
        may_have_holes: impl Fn() -> bool,
    ) -> Result<Option<(BatchAt, DiskFile)>, ReadError> {
        self.check_effort(effort)?;
        let (size_bytes, _) = self.end();
        let file = self.file().map_err(|e| self.read_error(ScanError::Io(e)))?;
        let entry = self.entry_floor(offset, effort).map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => ReadError::Unindexed,
            _ => self.read_error(ScanError::Io(e)),
        })?;
        let floor = entry.map_or(0, |entry| u64::from(entry.position));
        // The batch that an entry points to ends at the entry's offset, or before it.
        let entry_offset = entry.map_or(i64::MAX, |entry| self.base_offset + i64::from(entry.relative_offset));
        let is_past_entry = |at: &BatchAt| at.position == floor && at.header.last_offset() > entry_offset;
        let found = match walk_to(&file, floor, size_bytes, offset) {
            // An index that points beside the batches, or past the one sought, is not believed.
            Err(ScanError::Bad { .. }) if floor > 0 => None,
            Ok(Some(found)) if floor > 0 && is_past_entry(&found.at) => None,
            found => Some(found.map_err(|e| self.read_error(e))?),
        };
        let is_by_index = found.is_some();
        let found = match found {
            Some(found) => found,
            None if effort == Effort::Little => return Err(ReadError::Unindexed),
            None => walk_to(&file, 0, size_bytes, offset).map_err(|e| self.read_error(e))?,
        };
        let Some(Walked { at, follows }) = found else {
            if !is_by_index {
                self.distrust_indexes("an entry of the offset index is wrong");
            }
            return Ok(None);
        };
        let begins = at.header.base_offset;
        let expected = if at.position == 0 { Some(self.base_offset) } else { follows };
        let is_in_line = begins <= offset && expected.is_none_or(|expected| expected == begins);
        if !is_in_line && !may_have_holes() {
            let what = jump(begins, expected.unwrap_or(offset));
            return Err(self.read_error(ScanError::Bad { position: at.position, what }));
        }
        if !is_by_index {
            self.distrust_indexes("an entry of the offset index is wrong");
            // Who may not wait finds them made anew.
            self.load_indexes().map_err(|e| self.read_error(ScanError::Io(e)))?;
        }
        Ok(Some((at, file)))
    }

    /// The end of the last whole batch from `start` on that ends at `limit` or before it, and before `until`; with the
    /// offset after it. `start` is the position of a batch, which is the answer's minimum: then both are `None`.
    pub fn last_whole_batch(
        &self,
        file: &DiskFile,
        start: u64,
        limit: u64,
        until: i64,
        effort: Effort,
    ) -> Result<Option<(u64, i64)>, ReadError> {
        self.check_effort(effort)?;
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
        self.check_effort(effort)?;
        match last_whole(file, start, false, limit, until, size_bytes) {
            Ok(LastWhole::Found(last)) => Ok(last),
            Ok(LastWhole::FloorTooLate) => Ok(None),
            Err(error) => Err(self.read_error(error)),
        }
    }
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

/// One past the last offset of the batches from `from` on, which lie in `offsets` without a hole; `None` if there are
/// none, or none of them ends at `passes`.
fn reached(
    file: &DiskFile,
    from: u64,
    size_bytes: u64,
    offsets: Range<i64>,
    passes: Option<i64>,
) -> Result<Option<i64>, ScanError> {
    let mut scan = HeaderScan::new(file.file(), from, size_bytes).within(offsets, false);
    let mut reached = None;
    let mut passed = passes.is_none();
    while let Some(at) = scan.next()? {
        reached = Some(at.header.next_offset());
        // Of several batches that were appended at once Kafka's entry names the last offset and the first position.
        passed |= passes == Some(at.header.last_offset());
    }
    Ok(reached.filter(|_| passed))
}

/// A batch, and one past the last offset of the batch before it, if the walk met that.
struct Walked {
    at: BatchAt,
    follows: Option<i64>,
}

fn walk_to(file: &DiskFile, from: u64, end: u64, offset: i64) -> Result<Option<Walked>, ScanError> {
    let mut scan = HeaderScan::new(file.file(), from, end);
    let mut follows = None;
    while let Some(at) = scan.next()? {
        if at.header.last_offset() >= offset {
            return Ok(Some(Walked { at, follows }));
        }
        follows = Some(at.header.next_offset());
    }
    Ok(None)
}

pub(super) fn scan_to(file: &DiskFile, from: u64, end: u64, offset: i64) -> Result<Option<BatchAt>, ScanError> {
    Ok(walk_to(file, from, end, offset)?.map(|found| found.at))
}
