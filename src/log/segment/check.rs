//! Whether the indexes beside a segment can be believed, and how they are made anew.
//!
//! What is checked costs little: a whole number of entries, which rise, and end inside the segment. What an entry says is
//! compared with the log when it is used. An index is never synced while its segment grows, so after a power cut, or a
//! fault of the disk, it may hold anything; it must not give a wrong answer.

use std::io;

use super::index::Entry;
use super::index::{Index, OffsetEntry, TimeEntry, decode_all};
use super::lookup::scan_to;
use super::{Indexes, Segment, Tail};
use crate::log::names;
use crate::log::scan::{BatchAt, HeaderScan, ScanError};
use crate::platform::disk::DiskFile;
use crate::platform::read_lock;

/// How dense indexes are that are made anew: Kafka's default.
const INTERVAL_BYTES: u64 = 4096;

/// The indexes of the files. `None`: they are to be made anew.
pub fn read(segment: &Segment, tail: &Tail) -> io::Result<Option<Indexes>> {
    let offsets = entries::<OffsetEntry>(segment.offset_index_file())?;
    let times = entries::<TimeEntry>(segment.time_index_file())?;
    let (Some(offsets), Some(times)) = (offsets, times) else { return Ok(None) };
    let base = segment.base_offset;
    let is_inside = |relative_offset: u32| base.saturating_add(i64::from(relative_offset)) < tail.next_offset;
    let offsets_rise = offsets
        .iter()
        .zip(offsets.iter().skip(1))
        .all(|(before, after)| before.relative_offset < after.relative_offset && before.position < after.position);
    let offsets_end =
        offsets.last().is_none_or(|last| is_inside(last.relative_offset) && u64::from(last.position) < tail.size_bytes);
    let times_rise = times
        .iter()
        .zip(times.iter().skip(1))
        .all(|(before, after)| before.timestamp < after.timestamp && before.relative_offset <= after.relative_offset);
    let times_end = times.last().is_none_or(|last| is_inside(last.relative_offset));
    if !(offsets_rise && offsets_end && times_rise && times_end) {
        return Ok(None);
    }
    let largest_timestamp = times.last().map(|last| (last.timestamp, base + i64::from(last.relative_offset)));
    Ok(Some(Indexes {
        offsets: Index::kept(offsets.len() as u64, offsets.last().copied()),
        times: Index::kept(times.len() as u64, times.last().copied()),
        largest_timestamp,
    }))
}

fn entries<E: Entry>(file: io::Result<DiskFile>) -> io::Result<Option<Vec<E>>> {
    let file = match file {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut bytes = vec![0; usize::try_from(file.length()?).unwrap_or(0)];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(decode_all(&bytes))
}

/// Writes both indexes of the first `size_bytes` anew, from the batches' headers. What is no batch ends them: it is named
/// when it is read.
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
    segment.files.forget(segment.name);
    let disk = &segment.files.disk;
    indexes.offsets.flush(&disk.create(&segment.path(names::OFFSET_INDEX_SUFFIX))?)?;
    indexes.times.flush(&disk.create(&segment.path(names::TIME_INDEX_SUFFIX))?)?;
    Ok(indexes)
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
