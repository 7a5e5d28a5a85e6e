//! Whether the indexes beside a segment can be believed, and how they are made anew.
//!
//! What is checked costs little: a whole number of entries, which rise, and end inside the segment. What an entry says is
//! compared with the log when it is used. An index is never synced while its segment grows, so after a power cut, or a
//! fault of the disk, it may hold anything; it must not give a wrong answer.

use std::io;

use super::files::Kind;
use super::index::{self, Entry, Index, OffsetEntry, TimeEntry};
use super::lookup::scan_to;
use super::{Indexes, Segment};
use crate::log::names;
use crate::log::scan::{BatchAt, HeaderScan, ScanError};
use crate::log::unreadable;
use crate::platform::disk::DiskFile;
use crate::platform::{lock, read_lock};

/// How dense indexes are that are made anew: Kafka's default.
const INTERVAL_BYTES: u64 = 4096;

/// The indexes of the files, for a segment that ends at this position and offset. `None`: they are to be made anew.
pub fn read(segment: &Segment, (size_bytes, next_offset): (u64, i64)) -> io::Result<Option<Indexes>> {
    let entries_max = index::entries_max(size_bytes);
    let rises = |before: &OffsetEntry, after: &OffsetEntry| {
        before.relative_offset < after.relative_offset && before.position < after.position
    };
    let offsets = entries(segment, Kind::OffsetIndex, entries_max, rises)?;
    let rises = |before: &TimeEntry, after: &TimeEntry| {
        before.timestamp < after.timestamp && before.relative_offset <= after.relative_offset
    };
    let times = entries(segment, Kind::TimeIndex, entries_max, rises)?;
    let (Some((offsets, last_offset)), Some((times, last_time))) = (offsets, times) else { return Ok(None) };
    let base = segment.base_offset;
    let is_inside = |relative_offset: u32| base.saturating_add(i64::from(relative_offset)) < next_offset;
    let offsets_end =
        last_offset.is_none_or(|last| is_inside(last.relative_offset) && u64::from(last.position) < size_bytes);
    if !offsets_end || !last_time.is_none_or(|last| is_inside(last.relative_offset)) {
        return Ok(None);
    }
    Ok(Some(Indexes {
        offsets: Index::kept(offsets, last_offset),
        times: Index::kept(times, last_time),
        largest_timestamp: last_time.map(|last| (last.timestamp, base + i64::from(last.relative_offset))),
    }))
}

/// The number of entries of a file and the last one. `None`: it is missing, contradicts itself, or did not read and is
/// set aside.
fn entries<E: Entry>(
    segment: &Segment,
    kind: Kind,
    entries_max: u64,
    rises: impl Fn(&E, &E) -> bool,
) -> io::Result<Option<(u64, Option<E>)>> {
    match segment.open(kind).and_then(|file| index::check_all(&file, entries_max, rises)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) if unreadable::tells_of_bytes(&e) => segment.set_index_aside(kind, &e).map(|()| None),
        checked => checked,
    }
}

/// Writes both indexes of the first `size_bytes` anew, from the batches' headers. What is no batch ends them: it is named
/// when it is read. Those of a closed segment stay in memory where they cannot be written: a full or a read-only disk is
/// read all the same.
pub fn rebuild(segment: &Segment, size_bytes: u64) -> io::Result<Indexes> {
    let path = segment.path(names::LOG_SUFFIX);
    tracing::warn!(path = %path.display(), "an index is missing or wrong: both are written anew");
    let log = segment.file()?;
    let base = segment.base_offset;
    let mut indexes = Indexes::empty();
    let mut since_entry = 0;
    let mut scan = HeaderScan::new(log.file(), 0, size_bytes);
    while let Some(at) = whole(scan.next())? {
        let header = &at.header;
        indexes.note_timestamp(header.max_timestamp, header.last_offset());
        if since_entry > INTERVAL_BYTES {
            indexes.push_offset(base, header.last_offset(), at.position);
            indexes.push_time(base);
            since_entry = 0;
        }
        since_entry += at.end() - at.position;
    }
    indexes.push_time(base);
    let _naming = lock(&segment.naming);
    segment.check_not_retired()?;
    segment.files.forget(segment.name);
    match write(segment, &mut indexes) {
        // What stays in the files of an active segment would follow what is written to them later.
        Err(error) if segment.is_pinned() => Err(error),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "its indexes are in memory only");
            Ok(indexes)
        }
        Ok(()) => Ok(indexes),
    }
}

fn write(segment: &Segment, indexes: &mut Indexes) -> io::Result<()> {
    let disk = &segment.files.disk;
    indexes.offsets.flush(&unreadable::create(disk, &segment.path(names::OFFSET_INDEX_SUFFIX))?)?;
    indexes.times.flush(&unreadable::create(disk, &segment.path(names::TIME_INDEX_SUFFIX))?)
}

/// Whether the batch that an entry names has that timestamp.
pub fn is_of_a_batch(segment: &Segment, entry: &TimeEntry) -> io::Result<bool> {
    Ok(batch_of(segment, entry)?.is_some())
}

fn batch_of(segment: &Segment, entry: &TimeEntry) -> io::Result<Option<(BatchAt, DiskFile)>> {
    let offset = segment.base_offset + i64::from(entry.relative_offset);
    let (size_bytes, _) = segment.end();
    let file = segment.file()?;
    let floor = segment.position_floor(offset)?;
    let found = match scan_to(&file, floor, size_bytes, offset) {
        Err(ScanError::Bad { .. }) if floor > 0 => scan_to(&file, 0, size_bytes, offset),
        Ok(Some(at)) if floor > 0 && at.position == floor && at.header.base_offset > offset => {
            scan_to(&file, 0, size_bytes, offset)
        }
        found => found,
    };
    let at = match found {
        Ok(at) => at,
        Err(ScanError::Bad { .. }) => None,
        Err(ScanError::Io(e)) => return Err(e),
    };
    let at = at.filter(|at| at.header.base_offset <= offset && at.header.max_timestamp == entry.timestamp);
    Ok(at.map(|at| (at, file)))
}

/// Looks at the batches behind the last time entry for a larger timestamp. False: that entry is of no batch.
pub fn note_later_timestamps(segment: &Segment) -> io::Result<bool> {
    let last = read_lock(&segment.tail).indexes.as_ref().and_then(|indexes| indexes.times.last());
    let (size_bytes, _) = segment.end();
    let (from, file) = match last {
        None => (0, segment.file()?),
        Some(last) => match batch_of(segment, &last)? {
            Some((at, file)) => (at.position, file),
            None => return Ok(false),
        },
    };
    let mut found = Indexes::empty();
    let mut scan = HeaderScan::new(file.file(), from, size_bytes);
    while let Some(at) = whole(scan.next())? {
        found.note_timestamp(at.header.max_timestamp, at.header.last_offset());
    }
    if let Some((timestamp, offset)) = found.largest_timestamp {
        segment.with_tail(|_, indexes| indexes.note_timestamp(timestamp, offset))?;
    }
    Ok(true)
}

/// A batch, as far as the bytes are batches.
fn whole(found: Result<Option<BatchAt>, ScanError>) -> io::Result<Option<BatchAt>> {
    match found {
        Ok(at) => Ok(at),
        Err(ScanError::Bad { .. }) => Ok(None),
        Err(ScanError::Io(e)) => Err(e),
    }
}
