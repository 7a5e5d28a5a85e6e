//! Finding a record of a batch by its timestamp: the last step of ListOffsets.
//!
//! Where compressed records were not walked when they were produced, a batch with a right CRC may hold anything, or more
//! than anybody wants to unpack. That is no damage, and must not end the look: then its header answers, which was taken at
//! its word for the indexes too.

use super::{Batch, RecordsError};

/// Offset and timestamp of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordTime {
    pub offset: i64,
    pub timestamp: i64,
}

/// The first record of `batch`, in offset order, whose timestamp is `timestamp` or later and whose offset is `from` or
/// later; the first offset where the records cannot be unpacked within `output_bytes_max`.
pub fn first_record_at_or_after(
    batch: &Batch<'_>,
    timestamp: i64,
    from: i64,
    output_bytes_max: usize,
) -> Option<RecordTime> {
    // The header answers "none" without decompressing.
    if batch.header.max_timestamp < timestamp {
        return None;
    }
    first_of_records(batch, timestamp, from, output_bytes_max)
        .unwrap_or_else(|_| said_by_header(batch, batch.header.base_offset.max(from)))
}

fn first_of_records(
    batch: &Batch<'_>,
    timestamp: i64,
    from: i64,
    output_bytes_max: usize,
) -> Result<Option<RecordTime>, RecordsError> {
    for record in &batch.records(output_bytes_max)? {
        let record = record?;
        if record.timestamp >= timestamp && record.offset >= from {
            return Ok(Some(RecordTime { offset: record.offset, timestamp: record.timestamp }));
        }
    }
    Ok(None)
}

/// The first record of `batch`, of those at `from` and later, that has their largest timestamp; `None` for a batch that
/// compaction has emptied. The last offset where the records cannot be unpacked within `output_bytes_max`.
pub fn record_of_max_timestamp(batch: &Batch<'_>, from: i64, output_bytes_max: usize) -> Option<RecordTime> {
    latest_of_records(batch, from, output_bytes_max)
        .unwrap_or_else(|_| said_by_header(batch, batch.header.last_offset()).filter(|last| last.offset >= from))
}

fn latest_of_records(
    batch: &Batch<'_>,
    from: i64,
    output_bytes_max: usize,
) -> Result<Option<RecordTime>, RecordsError> {
    let mut latest: Option<RecordTime> = None;
    for record in &batch.records(output_bytes_max)? {
        let record = record?;
        if record.offset >= from && latest.is_none_or(|latest| record.timestamp > latest.timestamp) {
            latest = Some(RecordTime { offset: record.offset, timestamp: record.timestamp });
        }
    }
    Ok(latest)
}

fn said_by_header(batch: &Batch<'_>, offset: i64) -> Option<RecordTime> {
    let header = &batch.header;
    (offset <= header.last_offset()).then_some(RecordTime { offset, timestamp: header.max_timestamp })
}
