//! The records of an uncompressed body as the bytes they take: what compaction looks at, and nothing more.
//!
//! A frame is cut out by its length; key, offset and timestamp are read, the value and the headers are not. So a walk
//! costs a few bytes a record, and a record that stays is copied as it lies.

use super::varint;
use super::{RecordError, RecordsError};

/// One record, not looked into further than its key and the length of its value.
#[derive(Debug, Clone, Copy)]
pub struct RecordFrame<'a> {
    /// All of it, its length field included.
    pub bytes: &'a [u8],
    attributes: u8,
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    /// From the offset delta on.
    rest: &'a [u8],
    pub key: Option<&'a [u8]>,
    pub has_value: bool,
}

impl RecordFrame<'_> {
    /// Appends the record with another timestamp delta. `None`, with `out` unchanged: it passes what a length can say.
    pub fn put_with_timestamp_delta(&self, timestamp_delta: i64, out: &mut Vec<u8>) -> Option<()> {
        let length = i32::try_from(1 + varint::len_i64(timestamp_delta) + self.rest.len()).ok()?;
        varint::put_i32(out, length);
        out.push(self.attributes);
        varint::put_i64(out, timestamp_delta);
        out.extend_from_slice(self.rest);
        Some(())
    }
}

/// The frames of an uncompressed body. The first error is the last item; bytes after the last record are one.
#[derive(Debug, Clone)]
pub struct RecordFrames<'a> {
    body: &'a [u8],
    count: i32,
    next: i32,
    done: bool,
}

impl<'a> RecordFrames<'a> {
    pub fn new(record_count: i32, body: &'a [u8]) -> RecordFrames<'a> {
        RecordFrames { body, count: record_count, next: 0, done: false }
    }
}

impl<'a> Iterator for RecordFrames<'a> {
    type Item = Result<RecordFrame<'a>, RecordsError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        if self.next >= self.count {
            self.done = true;
            return match self.body.len() {
                _ if self.count < 0 => Some(Err(RecordsError::ImpossibleCount(self.count))),
                0 => None,
                left => Some(Err(RecordsError::TrailingBytes(left))),
            };
        }
        let index = u32::try_from(self.next).unwrap_or(u32::MAX);
        self.next += 1;
        match take_frame(&mut self.body) {
            Ok(frame) => Some(Ok(frame)),
            Err(error) => {
                self.done = true;
                Some(Err(RecordsError::Record { index, error }))
            }
        }
    }
}

#[inline]
fn take_frame<'a>(body: &mut &'a [u8]) -> Result<RecordFrame<'a>, RecordError> {
    let whole = *body;
    let length = take_length(body)?;
    let (mut fields, after) = body.split_at_checked(length).ok_or(RecordError::Truncated)?;
    let bytes = whole.get(..whole.len() - after.len()).ok_or(RecordError::Truncated)?;
    *body = after;
    let (attributes, tail) = fields.split_first().ok_or(RecordError::Truncated)?;
    fields = tail;
    let timestamp_delta = varint::take_i64(&mut fields).ok_or(RecordError::Truncated)?;
    let rest = fields;
    let offset_delta = varint::take_i32(&mut fields).ok_or(RecordError::Truncated)?;
    let key = match varint::take_i32(&mut fields).ok_or(RecordError::Truncated)? {
        -1 => None,
        length => {
            let length = usize::try_from(length).map_err(|_| RecordError::ImpossibleLength)?;
            let (key, tail) = fields.split_at_checked(length).ok_or(RecordError::Truncated)?;
            fields = tail;
            Some(key)
        }
    };
    let has_value = match varint::take_i32(&mut fields).ok_or(RecordError::Truncated)? {
        -1 => false,
        length => {
            let length = usize::try_from(length).map_err(|_| RecordError::ImpossibleLength)?;
            if length > fields.len() {
                return Err(RecordError::Truncated);
            }
            true
        }
    };
    Ok(RecordFrame { bytes, attributes: *attributes, timestamp_delta, offset_delta, rest, key, has_value })
}

fn take_length(body: &mut &[u8]) -> Result<usize, RecordError> {
    let length = varint::take_i32(body).ok_or(RecordError::Truncated)?;
    usize::try_from(length).map_err(|_| RecordError::ImpossibleLength)
}
