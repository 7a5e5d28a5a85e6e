//! Offsets by timestamp: ListOffsets.

use std::sync::Arc;

use stratalog_protocol::records::{Batch, RecordTime, RecordsError, first_record_at_or_after, record_of_max_timestamp};
use stratalog_types::{LeaderEpoch, Offset};

use super::error::ReadError;
use super::partition_log::Log;
use super::scan::{BatchAt, HeaderScan, ScanError};
use super::segment::Segment;
use crate::platform::disk::DiskFile;
use crate::platform::read_lock;

/// Bytes that one batch may decompress to while its records are walked.
pub const LOOKUP_OUTPUT_BYTES_MAX: usize = 128 << 20;

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
        let segments: Vec<_> = read_lock(&self.segments).values().cloned().collect();
        let start = self.log_start_offset();
        for segment in segments {
            if segment.next_offset() <= start.0 {
                continue;
            }
            let largest = segment.largest_timestamp().map_err(|e| segment.read_error(e.into()))?;
            if largest.is_none_or(|(largest, _)| largest < timestamp) {
                continue;
            }
            let floor = segment.offset_floor_for_time(timestamp).map_err(|e| segment.read_error(e.into()))?;
            if let Some(found) = first_from(&segment, floor.max(start.0), timestamp, start)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The first local record with the largest timestamp of all (KIP-734).
    pub fn max_timestamp_offset(&self) -> Result<Option<TimestampedOffset>, ReadError> {
        let segments: Vec<_> = read_lock(&self.segments).values().cloned().collect();
        let mut best: Option<(i64, Arc<Segment>)> = None;
        for segment in segments {
            let largest = segment.largest_timestamp().map_err(|e| segment.read_error(e.into()))?;
            if let Some((timestamp, _)) = largest
                && best.as_ref().is_none_or(|(best, _)| timestamp > *best)
            {
                best = Some((timestamp, segment));
            }
        }
        let Some((timestamp, segment)) = best else { return Ok(None) };
        let floor = segment.offset_floor_for_time(timestamp).map_err(|e| segment.read_error(e.into()))?;
        let Some((at, file)) = first_batch_from(&segment, floor, timestamp)? else { return Ok(None) };
        let found = in_batch(&segment, &file, &at, |batch| record_of_max_timestamp(batch, LOOKUP_OUTPUT_BYTES_MAX))?;
        Ok(found.map(|record| timestamped(&at, record)))
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
    let Some((first, file)) = segment.locate(offset)? else { return Ok(None) };
    let mut scan = HeaderScan::new(file.file(), first.position, segment.size_bytes());
    while let Some(at) = scan.next().map_err(|e| segment.read_error(e))? {
        if at.header.max_timestamp >= timestamp {
            return Ok(Some((at, file)));
        }
    }
    Ok(None)
}

fn in_batch(
    segment: &Segment,
    file: &DiskFile,
    at: &BatchAt,
    find: impl Fn(&Batch<'_>) -> Result<Option<RecordTime>, RecordsError>,
) -> Result<Option<RecordTime>, ReadError> {
    let bad = |what: String| segment.read_error(ScanError::Bad { position: at.position, what });
    let mut bytes = vec![0; at.header.batch_bytes()];
    file.read_at(&mut bytes, at.position).map_err(|e| segment.read_error(e.into()))?;
    let batch = Batch::at_start(&bytes).map_err(|e| bad(e.to_string()))?;
    find(&batch).map_err(|e| bad(e.to_string()))
}

fn timestamped(at: &BatchAt, record: RecordTime) -> TimestampedOffset {
    TimestampedOffset {
        offset: Offset(record.offset),
        timestamp: record.timestamp,
        leader_epoch: LeaderEpoch(at.header.partition_leader_epoch),
    }
}
