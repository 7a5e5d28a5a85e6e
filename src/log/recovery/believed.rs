//! Segments that are taken as they are: they closed as they should, or lie below the recovery point.
//!
//! Of a closed segment only its size is looked at; of the active one the batches behind its last index entry. Their
//! offsets have to lead to the recovery point: a base offset is under no CRC, and a wrong one would move the log's end.

use std::io;
use std::sync::Arc;

use stratalog_types::Offset;

use super::walk::first_timestamp;
use super::{Holes, Recovery};
use crate::log::dir::RecoveryPoint;
use crate::log::error::Error;
use crate::log::names;
use crate::log::scan::{HeaderScan, ScanError};
use crate::log::segment::Segment;
use crate::platform::disk::DiskFile;

impl Recovery<'_> {
    pub(super) fn trust_closed(&mut self, base: i64, next: i64) -> Result<(), Error> {
        let file = names::offset_file(self.path, base, names::LOG_SUFFIX);
        let size_bytes = file.metadata().map_err(Error::io("look at", &file))?.len();
        if size_bytes == 0 && self.had_batches(base)? {
            let what = "the file is empty, and segments follow it".to_owned();
            return Err(self.damage(base, 0, Offset(base), Offset(next), what));
        }
        // Its indexes are looked at when they are first needed.
        let segment = Segment::new(&self.dir.files, self.path, base, size_bytes, next, None);
        self.segments.insert(base, Arc::new(segment));
        self.end = next;
        Ok(())
    }

    /// Whether the indexes of an empty closed segment tell of batches: compaction may have left nothing of it.
    fn had_batches(&self, base: i64) -> Result<bool, Error> {
        for suffix in [names::OFFSET_INDEX_SUFFIX, names::TIME_INDEX_SUFFIX] {
            let file = names::offset_file(self.path, base, suffix);
            match file.metadata() {
                Ok(metadata) if metadata.len() == 0 => {}
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io("look at", &file)(e)),
                Ok(_) | Err(_) => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Whether a log that was believed is damaged, or ends behind its recovery point: a look at its batches says where.
    pub(super) fn is_not_as_stopped(&self, loaded: &Result<(), Error>) -> bool {
        let RecoveryPoint::At(point) = self.recovery_point else { return false };
        let what = match loaded {
            Ok(()) if self.end > point.0 && !self.segments.is_empty() => {
                format!("it ends at {}, and was synced to {point}", self.end)
            }
            Err(error @ Error::Corrupt(_)) => error.to_string(),
            Ok(()) | Err(_) => return false,
        };
        tracing::warn!(path = %self.path.display(), what, "not as a clean stop leaves a log: it is recovered");
        true
    }

    /// The active segment after a clean stop.
    pub(super) fn trust_active(&mut self, base: i64) -> Result<(), Error> {
        let log = self.open_log_file(base)?;
        let size_bytes = log.length().map_err(self.io(base))?;
        if size_bytes == 0 {
            let segment = Segment::new(&self.dir.files, self.path, base, 0, base, None);
            self.segments.insert(base, Arc::new(segment));
            self.end = base;
            return Ok(());
        }
        // Its end is not known yet: whatever an index says lies before it.
        let segment = Segment::new(&self.dir.files, self.path, base, size_bytes, i64::MAX, None);
        let last = segment.last_offset_entry().map_err(self.io(base))?;
        let mut from = last.map_or(0, |entry| u64::from(entry.position));
        let (next_offset, largest) = match self.walk_tail(base, &log, from, size_bytes) {
            // An entry that points beside the batches.
            Err(Error::Corrupt(_)) if from > 0 => {
                segment.distrust_indexes("the last entry of the offset index is wrong");
                from = 0;
                self.walk_tail(base, &log, from, size_bytes)?
            }
            walked => walked?,
        };
        let noted = segment.with_tail(|tail, indexes| {
            tail.next_offset = next_offset;
            if let Some((timestamp, offset)) = largest {
                indexes.note_timestamp(timestamp, offset);
            }
        });
        noted.map_err(self.io(base))?;
        self.first_timestamp = first_timestamp(&log, size_bytes).map_err(self.io(base))?;
        self.bytes_since_index_entry = size_bytes - from;
        self.segments.insert(base, Arc::new(segment));
        self.end = next_offset;
        Ok(())
    }

    /// The headers from `from` to the end: one past the last offset, and the largest timestamp with its batch's last offset.
    fn walk_tail(
        &self,
        base: i64,
        log: &DiskFile,
        from: u64,
        size_bytes: u64,
    ) -> Result<(i64, Option<(i64, i64)>), Error> {
        let first = if from == 0 { base } else { i64::MIN };
        let may_have_holes = self.holes != Holes::None;
        let mut scan = HeaderScan::new(log.file(), from, size_bytes).within(first..i64::MAX, may_have_holes);
        let mut next_offset = base;
        let mut largest: Option<(i64, i64)> = None;
        loop {
            match scan.next() {
                Ok(Some(at)) => {
                    next_offset = at.header.next_offset();
                    if at.header.max_timestamp > largest.map_or(-1, |(timestamp, _)| timestamp) {
                        largest = Some((at.header.max_timestamp, at.header.last_offset()));
                    }
                }
                Ok(None) => return Ok((next_offset, largest)),
                Err(ScanError::Io(e)) => return Err(self.io(base)(e)),
                Err(ScanError::Bad { position, what }) => {
                    let end = self.recovery_point.or(Offset(next_offset));
                    return Err(self.damage(base, position, Offset(next_offset), end, what));
                }
            }
        }
    }
}
