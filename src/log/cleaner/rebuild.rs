//! One batch without the records that go.
//!
//! What stays of it: base and last offset, leader epoch, producer and sequence, codec, timestamp type, and each record as
//! its bytes lie. Only its counts, its checksum, its largest timestamp and, where tombstones or a marker begin to age,
//! its base timestamp change: that is the delete horizon then, and the records' deltas are from it (KIP-534).

use stratalog_protocol::records::compression::compress;
use stratalog_protocol::records::{
    Attributes, BATCH_HEADER_BYTES, Batch, BatchHeader, CodecId, LOG_OVERHEAD_BYTES, RecordFrame, RecordFrames,
    TimestampType,
};

const NO_TIMESTAMP: i64 = -1;

/// What a walk over the records found of those that stay.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    pub records: i32,
    pub tombstones: i32,
    max_timestamp: i64,
}

/// Walks over the records of `batch`, whose uncompressed body this is. `keeps` is asked for each, with its offset; the
/// answers are left in `marks`.
pub fn select(
    batch: &Batch<'_>,
    body: &[u8],
    marks: &mut Vec<bool>,
    mut keeps: impl FnMut(i64, &RecordFrame<'_>) -> bool,
) -> Result<Kept, String> {
    let header = &batch.header;
    marks.clear();
    let mut kept = Kept { max_timestamp: NO_TIMESTAMP, ..Kept::default() };
    for frame in RecordFrames::new(header.record_count, body) {
        let frame = frame.map_err(|e| e.to_string())?;
        let keep = keeps(header.base_offset.saturating_add(i64::from(frame.offset_delta)), &frame);
        marks.push(keep);
        if keep {
            kept.records += 1;
            kept.tombstones += i32::from(!frame.has_value);
            kept.max_timestamp = kept.max_timestamp.max(timestamp_of(header, &frame));
        }
    }
    Ok(kept)
}

fn timestamp_of(header: &BatchHeader, frame: &RecordFrame<'_>) -> i64 {
    match header.attributes.timestamp_type() {
        TimestampType::CreateTime => header.base_timestamp.wrapping_add(frame.timestamp_delta),
        TimestampType::LogAppendTime => header.max_timestamp,
    }
}

/// Appends the batch with its marked records to `out`. `horizon_ms`: the delete horizon to set. Answers its header.
pub fn put(
    batch: &Batch<'_>,
    body: &[u8],
    marks: &[bool],
    kept: Kept,
    horizon_ms: Option<i64>,
    (records, out): (&mut Vec<u8>, &mut Vec<u8>),
) -> Result<BatchHeader, String> {
    let mut header = batch.header;
    records.clear();
    for (frame, _) in RecordFrames::new(header.record_count, body).zip(marks).filter(|(_, keep)| **keep) {
        let frame = frame.map_err(|e| e.to_string())?;
        match horizon_ms {
            None => records.extend_from_slice(frame.bytes),
            Some(horizon) => {
                let delta = timestamp_of(&header, &frame).wrapping_sub(horizon);
                frame.put_with_timestamp_delta(delta, records).ok_or("a record is too large for its new timestamp")?;
            }
        }
    }
    if let Some(horizon) = horizon_ms {
        header.attributes.0 |= Attributes::DELETE_HORIZON;
        header.base_timestamp = horizon;
    }
    if header.attributes.timestamp_type() == TimestampType::CreateTime {
        header.max_timestamp = kept.max_timestamp;
    }
    header.record_count = kept.records;
    let start = out.len();
    out.resize(start + BATCH_HEADER_BYTES, 0);
    compress(header.attributes.codec(), None, records, out).map_err(|e| e.to_string())?;
    seal(&mut header, out, start)?;
    Ok(header)
}

/// Appends what is left of a batch whose records all go and whose last sequence or last offset has to stay.
pub fn put_empty(before: &BatchHeader, out: &mut Vec<u8>) -> Result<BatchHeader, String> {
    let kept = Attributes::LOG_APPEND_TIME | Attributes::TRANSACTIONAL | Attributes::CONTROL_BATCH;
    let mut header = *before;
    header.attributes = Attributes(before.attributes.0 & kept);
    debug_assert!(header.attributes.codec() == CodecId::NONE);
    header.base_timestamp = NO_TIMESTAMP;
    header.record_count = 0;
    let start = out.len();
    out.resize(start + BATCH_HEADER_BYTES, 0);
    seal(&mut header, out, start)?;
    Ok(header)
}

fn seal(header: &mut BatchHeader, out: &mut [u8], start: usize) -> Result<(), String> {
    let bytes = out.get_mut(start..).unwrap_or_default();
    header.batch_length = i32::try_from(bytes.len() - LOG_OVERHEAD_BYTES).map_err(|_| "the batch passes 2 GiB")?;
    header.seal(bytes);
    Ok(())
}
