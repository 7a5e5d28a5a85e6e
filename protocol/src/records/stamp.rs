//! Setting what the broker decides in a batch that it has validated: the timestamp.
//!
//! The CRC covers the timestamps and is recomputed. Base offset and leader epoch lie outside it: the log writes them
//! with its own copy of the header.

use super::{BatchHeader, HeaderError, TimestampType};

/// Sets timestamp type and max timestamp of the batch that `batch` starts with, recomputes its CRC and returns the new
/// header. With [`TimestampType::LogAppendTime`] every record then reads as of `max_timestamp`; the records' own bytes
/// stay as they are, as in Kafka.
pub fn set_max_timestamp(
    batch: &mut [u8],
    timestamp_type: TimestampType,
    max_timestamp: i64,
) -> Result<BatchHeader, HeaderError> {
    let mut header = BatchHeader::decode(batch)?;
    let have = batch.len();
    let batch = batch.get_mut(..header.batch_bytes()).ok_or(HeaderError::Truncated { have })?;
    header.attributes = header.attributes.with_timestamp_type(timestamp_type);
    header.max_timestamp = max_timestamp;
    header.seal(batch);
    Ok(header)
}
