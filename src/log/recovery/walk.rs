//! One segment, walked from a place that can be believed to its end: what recovery knows of it. Reads only.
//!
//! Where the recovery point lies inside the segment, what is below it is not read again: the walk begins at a batch that
//! both indexes and the log agree on. Indexes that contradict themselves or the log are not believed, and the walk begins
//! at the segment's start.
//!
//! A batch's base offset is under no CRC. One that is not the next after the batch before it, where no offset may be
//! missing, is bad; where some may be, one that reaches past the batch behind it. The other bytes of such a batch are
//! what was written: that is no tear.

use std::io;
use std::path::{Path, PathBuf};

use stratalog_protocol::records::BatchHeader;
use stratalog_types::{LeaderEpoch, Offset};

use super::resync::next_good;
use crate::log::config::LogConfig;
use crate::log::epochs::EpochStart;
use crate::log::names;
use crate::log::scan::{BatchAt, HeaderScan, ScanError, contradiction};
use crate::log::segment::Indexes;
use crate::log::segment::index::{self, Index, OffsetEntry, TimeEntry};
use crate::log::unreadable::tells_of_bytes;
use crate::platform::disk::DiskFile;

pub const READ_BYTES: usize = 256 << 10;
/// The CRC of a batch covers all that lies behind it.
pub const CRC_COVERED_FROM: u64 = 21;

type Unreadable = Vec<(PathBuf, io::Error)>;

/// What a walk over a segment found.
pub struct Walk {
    pub log: DiskFile,
    pub size_bytes: u64,
    /// The end of the last good batch.
    pub end_position: u64,
    pub next_offset: i64,
    pub indexes: Indexes,
    /// Entries of the index files that are kept: the walk has the later ones.
    pub kept: (u64, u64),
    pub epochs: Vec<EpochStart>,
    pub bytes_since_index_entry: u64,
    pub first_timestamp: Option<i64>,
    /// Index files that do not read.
    pub unreadable: Unreadable,
    /// Why the walk ended before the file did.
    pub bad: Option<Bad>,
    /// Where the first whole batch behind the bad bytes lies, and its base offset. `None`: none was looked for, or found.
    pub resumes_at: Option<(u64, i64)>,
}

/// What ended a walk.
pub struct Bad {
    pub what: String,
    /// A batch whose checksum matches lies there, and its offset is wrong.
    pub is_misplaced: bool,
}

/// Which offsets the batches of a segment may have.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Where the next segment begins.
    pub end: Option<i64>,
    /// Offsets may be missing before a batch that ends below it.
    pub holes_below: i64,
}

impl Bounds {
    pub const NONE: Bounds = Bounds { end: None, holes_below: i64::MAX };

    /// Why a batch of the segment with this base offset cannot have its offsets, if `expected` is the next one.
    fn contradiction(self, base: i64, expected: i64, header: &BatchHeader) -> Option<String> {
        // Relative offsets of an index have 31 bits.
        let end = self.end.unwrap_or(i64::MAX).min(base.saturating_add(i64::from(i32::MAX) + 1));
        contradiction(header, expected, header.last_offset() < self.holes_below, end)
    }
}

/// How far a segment is believed.
#[derive(Debug, Clone, Copy)]
pub struct Trust {
    /// Batches wholly below it are not checked again.
    pub below: i64,
    /// Whether indexes may say where the walk begins.
    pub indexes: bool,
}

impl Trust {
    pub const NOTHING: Trust = Trust { below: i64::MIN, indexes: false };
    /// Headers are walked, CRCs are not checked.
    pub const BATCHES: Trust = Trust { below: i64::MAX, indexes: false };
}

/// Where a walk begins.
struct Begin {
    position: u64,
    next_offset: i64,
    indexes: Indexes,
    kept: (u64, u64),
    /// The position of the batch that the last kept offset entry names: up to it no entries are due.
    indexed_until: Option<u64>,
}

/// Walks a segment. `config` says how dense the indexes are.
pub fn walk(
    log: DiskFile,
    directory: &Path,
    base: i64,
    config: &LogConfig,
    trust: Trust,
    bounds: Bounds,
) -> io::Result<Walk> {
    let size_bytes = log.length()?;
    let mut unreadable = Vec::new();
    let begin = match trust.indexes {
        true => believable(&log, directory, base, size_bytes, trust.below, &mut unreadable)?,
        false => None,
    };
    // Without a place to begin at, all of it is read.
    let unchecked_below = if trust.indexes && begin.is_none() { i64::MIN } else { trust.below };
    let begin = begin.unwrap_or_else(|| Begin {
        position: 0,
        next_offset: base,
        indexes: Indexes::empty(),
        kept: (0, 0),
        indexed_until: None,
    });
    let mut found = Walk {
        size_bytes,
        end_position: begin.position,
        next_offset: begin.next_offset,
        indexes: begin.indexes,
        kept: begin.kept,
        epochs: Vec::new(),
        bytes_since_index_entry: 0,
        first_timestamp: if begin.position > 0 { first_timestamp(&log, size_bytes)? } else { None },
        unreadable,
        bad: None,
        resumes_at: None,
        log,
    };
    let log = found.log.clone();
    let mut buffer = vec![0; READ_BYTES];
    let mut scan = HeaderScan::of_any_offsets(log.file(), begin.position, size_bytes);
    // One that begins behind a gap counts when the batch behind it does not contradict it.
    let mut held: Option<BatchAt> = None;
    loop {
        let next = match scan.next() {
            Ok(next) => next.ok_or(None),
            Err(ScanError::Bad { what, .. }) => Err(Some(what)),
            Err(ScanError::Io(e)) => return Err(e),
        };
        let at = match next {
            Ok(at) => at,
            Err(what) => {
                found.note_held(held, base, config, begin.indexed_until);
                return match what {
                    Some(what) => found.ends_badly(what, false),
                    None => Ok(found),
                };
            }
        };
        let header = &at.header;
        let expected = held.as_ref().map_or(found.next_offset, |held| held.header.next_offset());
        let contradiction = bounds.contradiction(base, expected, header);
        let checked = header.next_offset() > unchecked_below || contradiction.is_some();
        let is_whole = !checked || batch_crc(&log, at.position, header, &mut buffer)? == header.crc;
        if let Some(what) = contradiction {
            let is_held_wrong =
                held.is_some() && is_whole && bounds.contradiction(base, found.next_offset, header).is_none();
            if !is_held_wrong {
                found.note_held(held, base, config, begin.indexed_until);
            }
            return found.ends_badly(what, is_whole);
        }
        found.note_held(held.take(), base, config, begin.indexed_until);
        if !is_whole {
            return found.ends_badly("the checksum of a batch does not match".to_owned(), false);
        }
        if header.base_offset > found.next_offset {
            held = Some(at);
        } else {
            found.note(base, &at, config, begin.indexed_until);
        }
    }
}

impl Walk {
    fn note_held(&mut self, held: Option<BatchAt>, base: i64, config: &LogConfig, indexed_until: Option<u64>) {
        if let Some(at) = held {
            self.note(base, &at, config, indexed_until);
        }
    }

    fn note(&mut self, base: i64, at: &BatchAt, config: &LogConfig, indexed_until: Option<u64>) {
        let header = &at.header;
        let batch_bytes = header.batch_bytes() as u64;
        self.indexes.note_timestamp(header.max_timestamp, header.last_offset());
        match indexed_until {
            Some(until) if at.position < until => {}
            Some(until) if at.position == until => {
                self.indexes.push_time(base);
                self.bytes_since_index_entry = 0;
            }
            Some(_) | None => {
                if self.bytes_since_index_entry > u64::from(config.index_interval_bytes) {
                    self.indexes.push_offset(base, header.last_offset(), at.position);
                    self.indexes.push_time(base);
                    self.bytes_since_index_entry = 0;
                }
            }
        }
        self.bytes_since_index_entry += batch_bytes;
        self.first_timestamp.get_or_insert(header.max_timestamp);
        let epoch = LeaderEpoch(header.partition_leader_epoch);
        if self.epochs.last().is_none_or(|last| last.epoch < epoch) {
            self.epochs.push(EpochStart { epoch, start_offset: Offset(header.base_offset) });
        }
        self.end_position = at.end();
        self.next_offset = header.next_offset();
    }

    fn ends_badly(mut self, what: String, is_misplaced: bool) -> io::Result<Walk> {
        self.bad = Some(Bad { what, is_misplaced });
        self.resumes_at = next_good(&self.log, self.end_position, self.size_bytes, self.next_offset)?;
        Ok(self)
    }
}

/// The latest place at or before `below` that both indexes and the log agree on. `None`: there is none, or one of them is
/// wrong.
fn believable(
    log: &DiskFile,
    directory: &Path,
    base: i64,
    size_bytes: u64,
    below: i64,
    unreadable: &mut Unreadable,
) -> io::Result<Option<Begin>> {
    let entries_max = index::entries_max(size_bytes);
    let offsets = names::offset_file(directory, base, names::OFFSET_INDEX_SUFFIX);
    let times = names::offset_file(directory, base, names::TIME_INDEX_SUFFIX);
    let offsets = entries::<OffsetEntry>(&offsets, entries_max, unreadable)?;
    let times = entries::<TimeEntry>(&times, entries_max, unreadable)?;
    let (Some(offsets), Some(times)) = (offsets, times) else { return Ok(None) };
    let kept = offsets.partition_point(|entry| base + i64::from(entry.relative_offset) < below);
    let Some(last) = kept.checked_sub(1).and_then(|at| offsets.get(at)).copied() else { return Ok(None) };
    let rises = offsets
        .iter()
        .take(kept)
        .zip(offsets.iter().take(kept).skip(1))
        .all(|(before, after)| before.relative_offset < after.relative_offset && before.position < after.position);
    let Some(indexed) = batch_at(log, u64::from(last.position), size_bytes)? else { return Ok(None) };
    let mut buffer = vec![0; READ_BYTES];
    let agrees = indexed.header.last_offset() == base + i64::from(last.relative_offset)
        && batch_crc(log, indexed.position, &indexed.header, &mut buffer)? == indexed.header.crc;
    if !rises || !agrees {
        return Ok(None);
    }
    let kept_times = times.partition_point(|entry| entry.relative_offset <= last.relative_offset);
    let times: Vec<TimeEntry> = times.into_iter().take(kept_times).collect();
    let times_rise = times.windows(2).all(|pair| match pair {
        [before, after] => before.timestamp < after.timestamp && before.relative_offset <= after.relative_offset,
        _ => true,
    });
    if !times_rise {
        return Ok(None);
    }
    let begin = |position, next_offset, largest_timestamp| Begin {
        position,
        next_offset,
        indexes: Indexes {
            offsets: Index::kept(kept as u64, Some(last)),
            times: Index::kept(times.len() as u64, times.last().copied()),
            largest_timestamp,
        },
        kept: (kept as u64, times.len() as u64),
        indexed_until: Some(indexed.position),
    };
    // From the batch with the largest timestamp that is indexed on: a later one may have a larger one.
    let Some(newest) = times.last() else { return Ok(Some(begin(0, base, None))) };
    let floor = offsets.iter().take(kept).rev().find(|entry| entry.relative_offset < newest.relative_offset);
    let offset = base + i64::from(newest.relative_offset);
    let mut scan = HeaderScan::new(log.file(), floor.map_or(0, |entry| u64::from(entry.position)), size_bytes);
    loop {
        match scan.next() {
            Ok(Some(at)) if at.header.last_offset() < offset => {}
            Ok(Some(at)) if at.header.base_offset <= offset && at.header.max_timestamp == newest.timestamp => {
                let largest = Some((newest.timestamp, offset));
                return Ok(Some(begin(at.position, at.header.base_offset, largest)));
            }
            Ok(_) | Err(ScanError::Bad { .. }) => return Ok(None),
            Err(ScanError::Io(e)) => return Err(e),
        }
    }
}

/// All entries of an index file; `None` where it is missing, does not read, is no whole number of them, or more than its
/// segment can have.
fn entries<E: index::Entry>(file: &Path, entries_max: u64, unreadable: &mut Unreadable) -> io::Result<Option<Vec<E>>> {
    let is_too_long = |length: u64| length > entries_max.saturating_mul(E::BYTES);
    let read = file.metadata().and_then(|metadata| match is_too_long(metadata.len()) {
        true => Ok(None),
        false => std::fs::read(file).map(|bytes| index::decode_all(&bytes)),
    });
    match read {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) if tells_of_bytes(&e) => {
            unreadable.push((file.to_owned(), e));
            Ok(None)
        }
        read => read,
    }
}

/// The batch whose header lies at `position`.
fn batch_at(log: &DiskFile, position: u64, size_bytes: u64) -> io::Result<Option<BatchAt>> {
    match HeaderScan::new(log.file(), position, size_bytes).next() {
        Ok(at) => Ok(at),
        Err(ScanError::Bad { .. }) => Ok(None),
        Err(ScanError::Io(e)) => Err(e),
    }
}

/// The CRC-32C of a batch in a file, read piece by piece.
pub fn batch_crc(log: &DiskFile, position: u64, header: &BatchHeader, buffer: &mut [u8]) -> io::Result<u32> {
    let end = position + header.batch_bytes() as u64;
    let mut crc = 0;
    let reached = log.read_pieces(position + CRC_COVERED_FROM..end, buffer, |piece, _| {
        crc = crc32c::crc32c_append(crc, piece);
        Ok(())
    })?;
    if reached < end { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(crc) }
}

pub fn first_timestamp(log: &DiskFile, size_bytes: u64) -> io::Result<Option<i64>> {
    Ok(batch_at(log, 0, size_bytes)?.map(|at| at.header.max_timestamp))
}
