//! Reads: an offset becomes a range of a file, in whole batches, for the transport to send.
//!
//! No record bytes pass through here. The range lies in one segment; it starts at the batch that contains the offset
//! asked for, and ends at a batch's end.

use std::io::ErrorKind::NotFound;
use std::sync::{Arc, Weak};

use stratalog_protocol::part::FileRange;
use stratalog_types::Offset;

use super::error::ReadError;
use super::partition_log::Log;
use super::scan::ScanError;
use super::segment::{Effort, Segment};
use crate::platform::disk::DiskFile;
use crate::platform::read_lock;

/// Whole batches of one segment.
#[derive(Debug, Clone)]
pub struct LogSlice {
    /// Of length 0 where there is nothing to send.
    pub range: FileRange,
    /// The base offset of the first batch, at or before the offset asked for; that offset if there is none.
    pub base_offset: Offset,
    /// Where the next read goes on.
    pub next_offset: Offset,
    pub(super) segment: Weak<Segment>,
}

impl LogSlice {
    fn empty(at: Offset, file: &DiskFile) -> LogSlice {
        let range = FileRange { file: Arc::clone(file.file()), position: 0, length: 0 };
        LogSlice { range, base_offset: at, next_offset: at, segment: Weak::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.range.length == 0
    }
}

impl Log {
    /// The batches from the one that contains `from`, up to `max_bytes`, none of which goes past `until`. With
    /// `minimum_one` the first batch is given whatever its size.
    pub fn read(&self, from: Offset, max_bytes: u32, until: Offset, minimum_one: bool) -> Result<LogSlice, ReadError> {
        self.read_with(Effort::Any, from, max_bytes, until, minimum_one)
    }

    /// As [`Log::read`], if it takes no more than `effort`.
    pub fn read_with(
        &self,
        effort: Effort,
        from: Offset,
        max_bytes: u32,
        until: Offset,
        minimum_one: bool,
    ) -> Result<LogSlice, ReadError> {
        let (log_start_offset, log_end_offset) = (self.log_start_offset(), self.log_end_offset());
        if from < log_start_offset || from > log_end_offset {
            return Err(ReadError::OutOfRange { offset: from, log_start_offset, log_end_offset });
        }
        let local_log_start_offset = self.local_log_start_offset();
        if from < local_log_start_offset {
            return Err(ReadError::BelowLocalStart { offset: from, local_log_start_offset });
        }
        let until = until.min(log_end_offset);
        let mut at = from;
        while at < until {
            let Some(segment) = self.segment_at(at) else { break };
            match slice(&segment, effort, at, max_bytes, until, minimum_one, || self.may_have_holes()) {
                Ok(Some(slice)) => return Ok(slice),
                Ok(None) => {}
                // Evicted between the look and the opening: look again.
                Err(ReadError::Io { source, .. }) if source.kind() == NotFound && !self.has(&segment) => {
                    return self.read_with(effort, from, max_bytes, until, minimum_one);
                }
                Err(e) => return Err(e),
            }
            // Nothing from `at` on in this segment: a hole that compaction left. The next segment goes on.
            match self.segment_after(segment.base_offset) {
                Some(next) if self.may_have_holes() => at = Offset(next.base_offset),
                Some(next) => {
                    let what = format!("offsets {at} to {} are missing at its end", next.base_offset);
                    let position = segment.size_bytes();
                    return Err(segment.read_error(ScanError::Bad { position, what }));
                }
                // Truncated under the look, if its end is not behind `at` any more.
                None if segment.next_offset() > at.0 && !self.may_have_holes() => {
                    let what = format!("offset {at} is in none of its batches: a base offset is wrong");
                    return Err(segment.read_error(ScanError::Bad { position: segment.size_bytes(), what }));
                }
                None => break,
            }
        }
        self.nothing_at(at.min(until).max(from))
    }

    /// Whether offsets may be missing: the topic is compacted, or was.
    pub(super) fn may_have_holes(&self) -> bool {
        self.given_up || self.config().may_have_holes || self.dir.was_compacted(&self.topic_partition)
    }

    /// A closed segment whose last records are missing would answer as if they had never been. Looked at once.
    pub(super) fn check_end(&self, segment: &Segment) -> Result<(), ReadError> {
        if self.may_have_holes() || self.segment_after(segment.base_offset).is_none() {
            return Ok(());
        }
        match segment.missing_from().map_err(|e| segment.read_error(e))? {
            Some(offset) => {
                let what = format!("offsets {offset} to {} are missing at its end", segment.next_offset());
                Err(segment.read_error(ScanError::Bad { position: segment.size_bytes(), what }))
            }
            None => Ok(()),
        }
    }

    fn nothing_at(&self, at: Offset) -> Result<LogSlice, ReadError> {
        let segments = read_lock(&self.segments);
        let (_, active) = segments.last_key_value().ok_or(ReadError::Closed)?;
        let file = active.file().map_err(|e| active.read_error(ScanError::Io(e)))?;
        Ok(LogSlice::empty(at, &file))
    }

    pub(super) fn has(&self, segment: &Arc<Segment>) -> bool {
        read_lock(&self.segments).get(&segment.base_offset).is_some_and(|known| Arc::ptr_eq(known, segment))
    }

    pub(super) fn segment_at(&self, offset: Offset) -> Option<Arc<Segment>> {
        read_lock(&self.segments).range(..=offset.0).next_back().map(|(_, segment)| Arc::clone(segment))
    }

    pub(super) fn segment_after(&self, base_offset: i64) -> Option<Arc<Segment>> {
        let after = base_offset.checked_add(1)?;
        read_lock(&self.segments).range(after..).next().map(|(_, segment)| Arc::clone(segment))
    }
}

/// The slice of one segment; `None` if it has no batch at `at` or after.
fn slice(
    segment: &Arc<Segment>,
    effort: Effort,
    at: Offset,
    max_bytes: u32,
    until: Offset,
    minimum_one: bool,
    may_have_holes: impl Fn() -> bool,
) -> Result<Option<LogSlice>, ReadError> {
    let Some((first, file)) = segment.locate_unless(at.0, effort, may_have_holes)? else {
        return Ok(None);
    };
    let (size_bytes, next_offset) = segment.end();
    let next_offset_max = next_offset;
    let limit = first.position + u64::from(max_bytes);
    let end = if first.header.next_offset() > until.0 {
        None
    } else if size_bytes <= limit && next_offset <= until.0 {
        Some((size_bytes, next_offset))
    } else if first.end() >= limit {
        (minimum_one || first.end() == limit).then(|| (first.end(), first.header.next_offset()))
    } else {
        segment.last_whole_batch(&file, first.position, limit, until.0, effort)?
    };
    let base_offset = Offset(first.header.base_offset);
    // A header that lies about its offset: its bits are under no CRC.
    let goes_back = end.is_some_and(|(end, next_offset)| next_offset <= at.0 || end <= first.position);
    if goes_back || first.header.next_offset() > next_offset_max {
        let what = format!("the offsets of the batches from {base_offset} on contradict each other");
        return Err(segment.read_error(ScanError::Bad { position: first.position, what }));
    }
    let range = end.and_then(|(end, next_offset)| {
        let length = u32::try_from(end.checked_sub(first.position)?).ok()?;
        let range = FileRange { file: Arc::clone(file.file()), position: first.position, length };
        Some((range, Offset(next_offset)))
    });
    Ok(Some(match range {
        Some((range, next_offset)) => LogSlice { range, base_offset, next_offset, segment: Arc::downgrade(segment) },
        None => LogSlice::empty(at, &file),
    }))
}
