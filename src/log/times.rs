//! Offsets by timestamp: ListOffsets.

use std::io::ErrorKind::NotFound;
use std::sync::Arc;

use stratalog_protocol::records::{Batch, RecordTime, first_record_at_or_after, record_of_max_timestamp};
use stratalog_types::{LeaderEpoch, Offset};

use super::error::ReadError;
use super::partition_log::Log;
use super::recovery::batch_crc;
use super::scan::{BatchAt, HeaderScan, ScanError};
use super::segment::{Effort, Segment};
use crate::platform::disk::DiskFile;
use crate::platform::read_lock;

/// Bytes that one batch may decompress to while its records are walked.
pub const LOOKUP_OUTPUT_BYTES_MAX: usize = 128 << 20;

const CRC_PIECE_BYTES: usize = 64 << 10;

/// A record found by its timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampedOffset {
    pub offset: Offset,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    pub leader_epoch: LeaderEpoch,
}

impl Log {
    /// The first local record, in offset order, whose timestamp is `timestamp` or later.
    pub fn offset_for_timestamp(&self, timestamp: i64) -> Result<Option<TimestampedOffset>, ReadError> {
        self.look_again(|segments| self.first_at_or_after(segments, timestamp))
    }

    /// The first local record below `until` with the largest timestamp of all (KIP-734). What deletion took and what
    /// nobody may see yet counts for nothing, however late its clock was.
    pub fn max_timestamp_offset(&self, until: Offset) -> Result<Option<TimestampedOffset>, ReadError> {
        self.look_again(|segments| self.first_of_max(segments, until))
    }

    /// Looks at all segments, and anew where one of them was removed or replaced under the look.
    pub(super) fn look_again<T>(&self, look: impl Fn(&[Arc<Segment>]) -> Result<T, ReadError>) -> Result<T, ReadError> {
        loop {
            let segments: Vec<_> = read_lock(&self.segments).values().cloned().collect();
            match look(&segments) {
                Err(ReadError::Io { source, .. })
                    if source.kind() == NotFound && !segments.iter().all(|segment| self.has(segment)) => {}
                answer => return answer,
            }
        }
    }

    fn first_at_or_after(
        &self,
        segments: &[Arc<Segment>],
        timestamp: i64,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let start = self.log_start_offset();
        for segment in segments {
            if segment.next_offset() <= start.0 {
                continue;
            }
            self.check_end(segment)?;
            let largest = segment.largest_timestamp().map_err(|e| segment.read_error(e.into()))?;
            if largest.is_none_or(|(largest, _)| largest < timestamp) {
                continue;
            }
            let floor = segment.offset_floor_for_time(timestamp).map_err(|e| segment.read_error(e.into()))?;
            if let Some(found) = first_from(segment, floor.max(start.0), timestamp, start)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn first_of_max(&self, segments: &[Arc<Segment>], until: Offset) -> Result<Option<TimestampedOffset>, ReadError> {
        let mut sought = Sought { start: self.log_start_offset().0, until: until.0, best: None };
        for segment in segments {
            if segment.next_offset() > sought.start && segment.base_offset < sought.until {
                self.check_end(segment)?;
                sought.look_into(segment)?;
            }
        }
        Ok(sought.best)
    }
}

/// The look for the largest timestamp, segment by segment in offset order.
struct Sought {
    start: i64,
    until: i64,
    best: Option<TimestampedOffset>,
}

impl Sought {
    /// The index answers for a segment whose largest timestamp is in sight; a bound that hides it means to walk headers.
    fn look_into(&mut self, segment: &Segment) -> Result<(), ReadError> {
        let largest = segment.largest_timestamp().map_err(|e| segment.read_error(e.into()))?;
        let Some((timestamp, last_offset)) = largest.filter(|(timestamp, _)| self.beats(*timestamp)) else {
            return Ok(());
        };
        if segment.base_offset >= self.start && last_offset < self.until {
            let floor = segment.offset_floor_for_time(timestamp).map_err(|e| segment.read_error(e.into()))?;
            if let Some((at, file)) = first_batch_from(segment, floor, timestamp)?
                && at.header.max_timestamp == timestamp
                && self.take(segment, &file, &at)?
            {
                return Ok(());
            }
        }
        self.walk(segment)
    }

    fn beats(&self, timestamp: i64) -> bool {
        timestamp >= 0 && self.best.is_none_or(|best| timestamp > best.timestamp)
    }

    fn walk(&mut self, segment: &Segment) -> Result<(), ReadError> {
        let Some((first, file)) = segment.locate(self.start.max(segment.base_offset), Effort::Any)? else {
            return Ok(());
        };
        let mut scan = HeaderScan::new(file.file(), first.position, segment.size_bytes());
        while let Some(at) = scan.next().map_err(|e| segment.read_error(e))? {
            if at.header.next_offset() > self.until {
                break;
            }
            if self.beats(at.header.max_timestamp) {
                self.take(segment, &file, &at)?;
            }
        }
        Ok(())
    }

    /// Looks into a batch whose header promises a later record, and says whether there is one.
    fn take(&mut self, segment: &Segment, file: &DiskFile, at: &BatchAt) -> Result<bool, ReadError> {
        let start = self.start;
        let found =
            in_batch(segment, file, at, |batch| record_of_max_timestamp(batch, start, LOOKUP_OUTPUT_BYTES_MAX))?;
        let found = found.filter(|found| self.beats(found.timestamp));
        if let Some(record) = found {
            self.best = Some(timestamped(at, record));
        }
        Ok(found.is_some())
    }
}

fn first_from(
    segment: &Segment,
    mut offset: i64,
    timestamp: i64,
    start: Offset,
) -> Result<Option<TimestampedOffset>, ReadError> {
    while let Some((at, file)) = first_batch_from(segment, offset, timestamp)? {
        if let Some(record) = in_batch(segment, &file, &at, |batch| {
            first_record_at_or_after(batch, timestamp, start.0, LOOKUP_OUTPUT_BYTES_MAX)
        })? {
            return Ok(Some(timestamped(&at, record)));
        }
        // Only its records below the log start are that late: the next batch may have one.
        offset = at.header.next_offset();
    }
    Ok(None)
}

/// The first batch from `offset` on whose largest timestamp is `timestamp` or later.
fn first_batch_from(segment: &Segment, offset: i64, timestamp: i64) -> Result<Option<(BatchAt, DiskFile)>, ReadError> {
    let Some((first, file)) = segment.locate(offset, Effort::Any)? else { return Ok(None) };
    let mut scan = HeaderScan::new(file.file(), first.position, segment.size_bytes());
    let mut buffer = Vec::new();
    while let Some(at) = scan.next().map_err(|e| segment.read_error(e))? {
        if at.header.max_timestamp >= timestamp {
            return Ok(Some((at, file)));
        }
        // A batch is passed over for what its header says: that must be what was written.
        buffer.resize(CRC_PIECE_BYTES, 0);
        if batch_crc(&file, at.position, &at.header, &mut buffer).map_err(|e| segment.read_error(e.into()))?
            != at.header.crc
        {
            let what = "the checksum of a batch does not match".to_owned();
            return Err(segment.read_error(ScanError::Bad { position: at.position, what }));
        }
    }
    Ok(None)
}

fn in_batch(
    segment: &Segment,
    file: &DiskFile,
    at: &BatchAt,
    find: impl Fn(&Batch<'_>) -> Option<RecordTime>,
) -> Result<Option<RecordTime>, ReadError> {
    let bad = |what: String| segment.read_error(ScanError::Bad { position: at.position, what });
    let mut bytes = vec![0; at.header.batch_bytes()];
    file.read_at(&mut bytes, at.position).map_err(|e| segment.read_error(e.into()))?;
    let batch = Batch::at_start(&bytes).map_err(|e| bad(e.to_string()))?;
    if !batch.crc_matches() {
        return Err(bad("the checksum of a batch does not match".to_owned()));
    }
    Ok(find(&batch))
}

fn timestamped(at: &BatchAt, record: RecordTime) -> TimestampedOffset {
    TimestampedOffset {
        offset: Offset(record.offset),
        timestamp: record.timestamp,
        leader_epoch: LeaderEpoch(at.header.partition_leader_epoch),
    }
}
