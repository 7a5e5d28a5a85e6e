//! The batches of one closed segment, read in order through one buffer.

use std::sync::Arc;

use stratalog_protocol::records::{Batch, BatchHeader};

use super::pace::Pace;
use super::{CleanError, damaged};
use crate::log::scan::{BatchAt, HeaderScan};
use crate::log::segment::Segment;
use crate::platform::disk::DiskFile;

const CHECKSUM: &str = "the checksum of a batch does not match";
const SHORTER: &str = "the file is shorter than it was";

/// The offsets of a segment's batches rise, and stay inside it. A base offset is under no checksum: by a wrong one the
/// records of a batch would be older or younger than they are, and the wrong ones would go.
pub struct Order<'a> {
    segment: &'a Segment,
    next_offset: i64,
    end_offset: i64,
}

impl<'a> Order<'a> {
    pub fn of(segment: &'a Segment) -> Order<'a> {
        Order { segment, next_offset: segment.base_offset, end_offset: segment.next_offset() }
    }

    pub fn check(&mut self, header: &BatchHeader, position: u64) -> Result<(), CleanError> {
        let (from, until) = (header.base_offset, header.next_offset());
        if from < self.next_offset || until <= from || until > self.end_offset {
            let what =
                format!("offsets {from} to {until} are not between {} and {}", self.next_offset, self.end_offset);
            return Err(damaged(self.segment, position, &what));
        }
        self.next_offset = until;
        Ok(())
    }
}

/// Reads whole batches, about a buffer's worth at a time.
pub struct Source<'a> {
    segment: &'a Segment,
    order: Order<'a>,
    file: DiskFile,
    size_bytes: u64,
    /// Of what is in `buffer`, and how much of it was taken.
    position: u64,
    taken: usize,
    buffer: &'a mut Vec<u8>,
    filled: usize,
    pace: &'a Pace,
}

impl<'a> Source<'a> {
    /// From the batch at `position` on.
    pub fn new(
        segment: &'a Arc<Segment>,
        position: u64,
        buffer: &'a mut Vec<u8>,
        pace: &'a Pace,
    ) -> Result<Source<'a>, CleanError> {
        let file = segment.file().map_err(|e| segment.read_error(e.into()))?;
        let size_bytes = segment.size_bytes();
        Ok(Source { segment, order: Order::of(segment), file, size_bytes, position, taken: 0, buffer, filled: 0, pace })
    }

    /// The next batch, its checksum checked; `None` at the end of the segment.
    pub fn next(&mut self) -> Result<Option<Batch<'_>>, CleanError> {
        let at = self.position + self.taken as u64;
        if at >= self.size_bytes {
            return Ok(None);
        }
        let Some(length) = self.whole_batch()? else {
            return Err(damaged(self.segment, at, "the batch ends after the file"));
        };
        let from = self.taken;
        self.taken += length;
        let bytes = self.buffer.get(from..from + length).unwrap_or_default();
        let batch = Batch::at_start(bytes).map_err(|e| damaged(self.segment, at, &e.to_string()))?;
        if !batch.crc_matches() {
            return Err(damaged(self.segment, at, CHECKSUM));
        }
        self.order.check(&batch.header, at)?;
        Ok(Some(batch))
    }

    /// The position of the batch that [`Source::next`] answered last ends here.
    pub fn position(&self) -> u64 {
        self.position + self.taken as u64
    }

    /// Sees to it that a whole batch is in the buffer; answers its length. `None`: the file ends inside it.
    fn whole_batch(&mut self) -> Result<Option<usize>, CleanError> {
        loop {
            let have = self.buffer.get(self.taken..self.filled).unwrap_or_default();
            let at = self.position + self.taken as u64;
            let wanted = match BatchHeader::decode(have) {
                Ok(header) if header.batch_bytes() <= have.len() => return Ok(Some(header.batch_bytes())),
                Ok(header) => header.batch_bytes() as u64,
                Err(_) if have.len() >= stratalog_protocol::records::BATCH_HEADER_BYTES => {
                    let error = BatchHeader::decode(have).err().map(|e| e.to_string()).unwrap_or_default();
                    return Err(damaged(self.segment, at, &error));
                }
                Err(_) => 0,
            };
            let left = self.size_bytes - at;
            if wanted > left || have.len() as u64 >= left {
                return Ok(None);
            }
            self.fill(usize::try_from(wanted).unwrap_or(usize::MAX))?;
        }
    }

    /// Moves what is left to the front and reads behind it.
    fn fill(&mut self, wanted: usize) -> Result<(), CleanError> {
        self.buffer.copy_within(self.taken..self.filled, 0);
        self.position += self.taken as u64;
        self.filled -= self.taken;
        self.taken = 0;
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        let at = self.position + self.filled as u64;
        let room = self.buffer.len() - self.filled;
        let length = usize::try_from(self.size_bytes - at).unwrap_or(usize::MAX).min(room);
        let into = self.buffer.get_mut(self.filled..self.filled + length).unwrap_or_default();
        let read = self.file.read_gently_at(into, at).map_err(|e| self.segment.read_error(e.into()))?;
        if read < length {
            return Err(damaged(self.segment, at + read as u64, SHORTER));
        }
        self.filled += read;
        self.pace.spend(read as u64)
    }
}

/// The headers of a segment, and its batches one by one where they are wanted.
pub struct Headers<'a> {
    pub segment: &'a Segment,
    pub file: DiskFile,
    size_bytes: u64,
}

impl<'a> Headers<'a> {
    pub fn of(segment: &'a Segment) -> Result<Headers<'a>, CleanError> {
        let file = segment.file().map_err(|e| segment.read_error(e.into()))?;
        Ok(Headers { segment, file, size_bytes: segment.size_bytes() })
    }

    pub fn scan(&self) -> HeaderScan<'_> {
        HeaderScan::new(self.file.file(), 0, self.size_bytes)
    }

    /// The bytes of one batch, its checksum checked.
    pub fn read<'b>(&self, at: &BatchAt, buffer: &'b mut Vec<u8>, pace: &Pace) -> Result<Batch<'b>, CleanError> {
        let length = at.header.batch_bytes();
        if buffer.len() < length {
            buffer.resize(length, 0);
        }
        let bytes = buffer.get_mut(..length).unwrap_or_default();
        let read = self.file.read_gently_at(bytes, at.position).map_err(|e| self.segment.read_error(e.into()))?;
        if read < length {
            return Err(damaged(self.segment, at.position, SHORTER));
        }
        pace.spend(read as u64)?;
        let batch = Batch::at_start(bytes).map_err(|e| damaged(self.segment, at.position, &e.to_string()))?;
        if !batch.crc_matches() {
            return Err(damaged(self.segment, at.position, CHECKSUM));
        }
        Ok(batch)
    }
}
