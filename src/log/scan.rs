//! Walks the batch headers of a log file with few reads.
//!
//! Trusts nothing: a header that does not decode, does not fit before `end`, or goes back in offset ends the walk with
//! the position and the reason. A base offset is under no CRC. That it jumps ahead ends the walk only where the caller
//! knows what comes next, and that nothing may be missing.

use std::fs::File;
use std::io;
use std::ops::Range;

use stratalog_protocol::records::{BATCH_HEADER_BYTES, BatchHeader};

use crate::platform::disk::read_at;

const WINDOW_BYTES: usize = 4096;

/// A batch and where it lies.
#[derive(Debug, Clone, Copy)]
pub struct BatchAt {
    pub position: u64,
    pub header: BatchHeader,
}

impl BatchAt {
    /// The position after the batch.
    pub fn end(&self) -> u64 {
        self.position + self.header.batch_bytes() as u64
    }
}

/// Why a batch cannot have the offsets that its header says, where `expected` is the next one and no batch has `end` or one
/// behind it. A base offset is under no CRC.
pub fn contradiction(header: &BatchHeader, expected: i64, may_have_holes: bool, end: i64) -> Option<String> {
    let (begins, last) = (header.base_offset, header.last_offset());
    if begins < expected || header.last_offset_delta < 0 {
        Some(format!("offset {begins} after offset {}", expected.saturating_sub(1)))
    } else if begins > expected && !may_have_holes {
        Some(jump(begins, expected))
    } else if last >= end {
        Some(format!("offset {last} behind the end {end}: the base offset is wrong"))
    } else {
        None
    }
}

/// What is wrong with a batch that begins at `begins`, where nothing may be missing.
pub fn jump(begins: i64, expected: i64) -> String {
    format!("offset {begins} where {expected} should be: a base offset is wrong, or batches are missing")
}

#[derive(Debug)]
pub enum ScanError {
    Io(io::Error),
    /// The bytes at this position are no batch.
    Bad {
        position: u64,
        what: String,
    },
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> ScanError {
        ScanError::Io(error)
    }
}

/// The headers from `position` up to `end`, which the log published as a batch boundary.
pub struct HeaderScan<'f> {
    file: &'f File,
    position: u64,
    end: u64,
    window: Box<[u8; WINDOW_BYTES]>,
    window_start: u64,
    window_bytes: usize,
    next_offset_min: i64,
    /// No offset may be missing before the next batch, nor between two.
    is_gapless: bool,
    /// No batch has it, or one behind it.
    end_offset: i64,
    is_judged: bool,
}

impl<'f> HeaderScan<'f> {
    pub fn new(file: &'f File, position: u64, end: u64) -> HeaderScan<'f> {
        let window = Box::new([0; WINDOW_BYTES]);
        HeaderScan {
            file,
            position,
            end,
            window,
            window_start: 0,
            window_bytes: 0,
            next_offset_min: i64::MIN,
            is_gapless: false,
            end_offset: i64::MAX,
            is_judged: true,
        }
    }

    /// As [`HeaderScan::new`], for who judges the offsets of what there is.
    pub fn of_any_offsets(file: &'f File, position: u64, end: u64) -> HeaderScan<'f> {
        HeaderScan { is_judged: false, ..HeaderScan::new(file, position, end) }
    }

    /// All batches lie in these offsets. The first one begins with the first of them (`i64::MIN`: nobody knows with
    /// which), and each with the one behind the batch before it; or later, where there may be holes.
    pub fn within(self, offsets: Range<i64>, may_have_holes: bool) -> HeaderScan<'f> {
        HeaderScan { next_offset_min: offsets.start, is_gapless: !may_have_holes, end_offset: offsets.end, ..self }
    }

    /// The next batch; `None` at the end.
    pub fn next(&mut self) -> Result<Option<BatchAt>, ScanError> {
        if self.position >= self.end {
            return Ok(None);
        }
        let position = self.position;
        let bad = |what: String| ScanError::Bad { position, what };
        let header = BatchHeader::decode(self.header_bytes()?).map_err(|e| bad(e.to_string()))?;
        let at = BatchAt { position, header };
        if at.end() > self.end {
            return Err(bad(format!("a batch of {} bytes ends after the file", header.batch_bytes())));
        }
        // Before the first batch nobody may know what is missing.
        let may_have_holes = !self.is_gapless || self.next_offset_min == i64::MIN;
        if self.is_judged
            && let Some(what) = contradiction(&header, self.next_offset_min, may_have_holes, self.end_offset)
        {
            return Err(bad(what));
        }
        self.next_offset_min = header.next_offset();
        self.position = at.end();
        Ok(Some(at))
    }

    fn header_bytes(&mut self) -> Result<&[u8], ScanError> {
        let wanted = BATCH_HEADER_BYTES.min(usize::try_from(self.end - self.position).unwrap_or(usize::MAX));
        let have_until = self.window_start + self.window_bytes as u64;
        if self.position < self.window_start || self.position + wanted as u64 > have_until {
            let length = WINDOW_BYTES.min(usize::try_from(self.end - self.position).unwrap_or(usize::MAX));
            let buffer = self.window.get_mut(..length).unwrap_or_default();
            self.window_bytes = read_at(self.file, buffer, self.position).map_err(ScanError::Io)?;
            self.window_start = self.position;
        }
        let from = usize::try_from(self.position - self.window_start).unwrap_or(usize::MAX);
        let until = self.window_bytes.min(from.saturating_add(wanted));
        Ok(self.window.get(from..until).unwrap_or_default())
    }
}
