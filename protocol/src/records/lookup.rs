//! Finding a record of a batch by its timestamp: the last step of ListOffsets.

use super::{Batch, RecordsError};

/// Offset and timestamp of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordTime {
    pub offset: i64,
    pub timestamp: i64,
}

/// The first record of `batch`, in offset order, whose timestamp is `timestamp` or later and whose offset is `from` or
/// later.
pub fn first_record_at_or_after(
    batch: &Batch<'_>,
    timestamp: i64,
    from: i64,
    output_bytes_max: usize,
) -> Result<Option<RecordTime>, RecordsError> {
    // The header answers "none" without decompressing.
    if batch.header.max_timestamp < timestamp {
        return Ok(None);
    }
    for record in &batch.records(output_bytes_max)? {
        let record = record?;
        if record.timestamp >= timestamp && record.offset >= from {
            return Ok(Some(RecordTime { offset: record.offset, timestamp: record.timestamp }));
        }
    }
    Ok(None)
}

/// The first record of `batch`, of those at `from` and later, that has their largest timestamp; `None` for a batch that
/// compaction has emptied.
pub fn record_of_max_timestamp(
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
