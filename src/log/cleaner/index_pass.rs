//! The first pass: which record of the dirty part is its key's last.

use std::sync::Arc;

use stratalog_protocol::records::{Batch, CodecId, RecordFrames};

use super::ended::EndedTransactions;
use super::offset_map::OffsetMap;
use super::pace::Pace;
use super::source::Source;
use super::{CleanError, Cleaned, OUTPUT_BYTES_MAX, corrupt};
use crate::log::append::marker_of;
use crate::log::segment::{Effort, Segment};

/// Fills the map from the segments that hold `start..end`, in order, until all is in it or it is full.
pub fn fill(
    map: &mut OffsetMap,
    segments: &[Arc<Segment>],
    (start, end): (i64, i64),
    mut ended: EndedTransactions,
    buffer: &mut Vec<u8>,
    pace: &Pace,
    cleaned: &mut Cleaned,
) -> Result<(), CleanError> {
    map.latest_offset = start - 1;
    for (at, segment) in segments.iter().enumerate() {
        let next = segments.get(at + 1).map_or(end, |next| next.base_offset);
        let position = match at {
            0 => segment.locate(start, Effort::Any)?.map_or(segment.size_bytes(), |(first, _)| first.position),
            _ => 0,
        };
        let mut source = Source::new(segment, position, buffer, pace)?;
        loop {
            let at = source.position();
            let Some(batch) = source.next()? else { break };
            cleaned.bytes_indexed += batch.bytes.len() as u64;
            if !put_batch(map, &batch, start, &mut ended).map_err(|what| corrupt(segment, at, what))? {
                return Ok(());
            }
            map.latest_offset = map.latest_offset.max(batch.header.last_offset());
        }
        // A hole at the segment's end was looked at too.
        map.latest_offset = map.latest_offset.max(next - 1);
    }
    Ok(())
}

/// False: the map is full before the end of this batch.
fn put_batch(
    map: &mut OffsetMap,
    batch: &Batch<'_>,
    start: i64,
    ended: &mut EndedTransactions,
) -> Result<bool, String> {
    let header = &batch.header;
    if header.attributes.is_control_batch() {
        ended.meets_control(header, marker_of(batch.bytes, header));
        return Ok(true);
    }
    if ended.meets_records(header) || header.record_count == 0 {
        return Ok(true);
    }
    let decompressed;
    let body = match header.attributes.codec() {
        CodecId::NONE => batch.body(),
        codec => {
            use stratalog_protocol::records::compression::decompress;
            decompressed = decompress(codec, batch.body(), OUTPUT_BYTES_MAX).map_err(|e| e.to_string())?;
            &decompressed
        }
    };
    for frame in RecordFrames::new(header.record_count, body) {
        let frame = frame.map_err(|e| e.to_string())?;
        let offset = header.base_offset.saturating_add(i64::from(frame.offset_delta));
        if offset < header.base_offset || offset > header.last_offset() {
            return Err(format!("a record has offset {offset}, outside of its batch"));
        }
        let Some(key) = frame.key.filter(|_| offset >= start) else { continue };
        if !map.put(key, offset, !frame.has_value) {
            map.latest_offset = map.latest_offset.max(offset - 1);
            return Ok(false);
        }
    }
    Ok(true)
}
