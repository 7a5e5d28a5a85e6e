//! One record inside the (decompressed) body of a batch.
//!
//! ```text
//! length varint            bytes after this field
//! attributes i8            unused
//! timestamp_delta varlong  from the batch's base timestamp
//! offset_delta varint      from the batch's base offset
//! key_length varint, key   -1 is null
//! value_length varint, value
//! header_count varint, then per header: key_length, key, value_length, value
//! ```
//!
//! Owns parsing with bounds and encoding. A [`RecordRef`] exists only for a record whose every length was checked, so
//! that its headers iterate without errors.

use std::borrow::Cow;

use super::{BatchHeader, TimestampType, varint};

/// A record, borrowed from the body of its batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRef<'a> {
    pub offset: i64,
    /// Milliseconds since the epoch, -1 for none; the batch's max timestamp where the broker set the time.
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    headers: Headers<'a>,
}

impl<'a> RecordRef<'a> {
    pub fn headers(&self) -> Headers<'a> {
        self.headers.clone()
    }
}

/// A header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeaderRef<'a> {
    /// UTF-8 by Kafka's contract, but no broker checks it.
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

impl<'a> RecordHeaderRef<'a> {
    /// The key as text; what is not UTF-8 is replaced, as Kafka's clients do.
    pub fn key_text(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.key)
    }
}

/// The headers of one record, in order; keys may repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Headers<'a> {
    type Item = RecordHeaderRef<'a>;

    fn next(&mut self) -> Option<RecordHeaderRef<'a>> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        take_header(&mut self.rest).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// How the bytes of a record break the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("ends inside a field")]
    Truncated,
    #[error("has a length outside its bounds")]
    ImpossibleLength,
    #[error("has bytes left after its last field")]
    TrailingBytes,
}

/// What a record's deltas are relative to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordBase {
    offset: i64,
    timestamp: i64,
    /// Set where the broker's clock rules: every record then has the batch's max timestamp.
    append_time: Option<i64>,
}

impl RecordBase {
    pub(crate) fn of(header: &BatchHeader) -> RecordBase {
        let append_time = match header.attributes.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(header.max_timestamp),
        };
        RecordBase { offset: header.base_offset, timestamp: header.base_timestamp, append_time }
    }
}

/// Takes one record off the front of `body`.
pub(crate) fn take_record<'a>(body: &mut &'a [u8], base: &RecordBase) -> Result<RecordRef<'a>, RecordError> {
    let length = varint::take_i32(body).ok_or(RecordError::Truncated)?;
    let mut fields = take_bytes(body, length)?;
    let (_attributes, after) = fields.split_first().ok_or(RecordError::Truncated)?;
    fields = after;
    let timestamp_delta = varint::take_i64(&mut fields).ok_or(RecordError::Truncated)?;
    let offset_delta = varint::take_i32(&mut fields).ok_or(RecordError::Truncated)?;
    let key = take_nullable(&mut fields)?;
    let value = take_nullable(&mut fields)?;
    let header_count = varint::take_i32(&mut fields).ok_or(RecordError::Truncated)?;
    let left = usize::try_from(header_count).map_err(|_| RecordError::ImpossibleLength)?;
    let headers = Headers { rest: fields, left };
    // A header takes two bytes at least, so a count beyond the bytes left ends at once with an error.
    for _ in 0..left {
        take_header(&mut fields)?;
    }
    if !fields.is_empty() {
        return Err(RecordError::TrailingBytes);
    }
    Ok(RecordRef {
        offset: base.offset.wrapping_add(i64::from(offset_delta)),
        // Wraps as Kafka's arithmetic does; a bound on the timestamp is the validator's affair.
        timestamp: base.append_time.unwrap_or(base.timestamp.wrapping_add(timestamp_delta)),
        key,
        value,
        headers,
    })
}

fn take_header<'a>(fields: &mut &'a [u8]) -> Result<RecordHeaderRef<'a>, RecordError> {
    let key_length = varint::take_i32(fields).ok_or(RecordError::Truncated)?;
    let key = take_bytes(fields, key_length)?;
    let value = take_nullable(fields)?;
    Ok(RecordHeaderRef { key, value })
}

/// -1 is null. Kafka's broker takes any negative length for null, yet some clients stop at one: it is refused.
fn take_nullable<'a>(fields: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordError> {
    match varint::take_i32(fields).ok_or(RecordError::Truncated)? {
        -1 => Ok(None),
        length => take_bytes(fields, length).map(Some),
    }
}

fn take_bytes<'a>(fields: &mut &'a [u8], length: i32) -> Result<&'a [u8], RecordError> {
    let length = usize::try_from(length).map_err(|_| RecordError::ImpossibleLength)?;
    let (taken, rest) = fields.split_at_checked(length).ok_or(RecordError::Truncated)?;
    *fields = rest;
    Ok(taken)
}

/// A record to be written: everything but its place.
#[derive(Debug, Clone, Copy, Default)]
pub struct NewRecord<'a> {
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// What of a record stands before its headers.
struct Front<'a> {
    offset_delta: i32,
    timestamp_delta: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    header_count: usize,
}

impl Front<'_> {
    /// Appends the length and these fields, for a record whose headers take `headers_bytes`.
    fn put(&self, out: &mut Vec<u8>, headers_bytes: usize) -> Option<()> {
        let header_count = i32::try_from(self.header_count).ok()?;
        let mut length = 1 + varint::len_i64(self.timestamp_delta) + varint::len_i32(self.offset_delta);
        length += nullable_len(self.key)? + nullable_len(self.value)? + varint::len_i32(header_count);
        let length = i32::try_from(length.checked_add(headers_bytes)?).ok()?;

        out.reserve(length as usize + 5);
        varint::put_i32(out, length);
        out.push(0);
        varint::put_i64(out, self.timestamp_delta);
        varint::put_i32(out, self.offset_delta);
        put_nullable(out, self.key);
        put_nullable(out, self.value);
        varint::put_i32(out, header_count);
        Some(())
    }
}

/// Appends the record's bytes to `out`; `None`, with `out` unchanged, when a length passes what a varint length can say.
pub(crate) fn put_record(out: &mut Vec<u8>, offset_delta: i32, timestamp_delta: i64, record: &NewRecord) -> Option<()> {
    let mut headers_bytes = 0;
    for (key, value) in record.headers {
        headers_bytes += nullable_len(Some(key.as_bytes()))? + nullable_len(*value)?;
    }
    let (key, value, header_count) = (record.key, record.value, record.headers.len());
    Front { offset_delta, timestamp_delta, key, value, header_count }.put(out, headers_bytes)?;
    for (key, value) in record.headers {
        put_nullable(out, Some(key.as_bytes()));
        put_nullable(out, *value);
    }
    Some(())
}

/// Appends a record that was read, with its headers' bytes as they are; `None`, with `out` unchanged, as above.
pub(crate) fn put_record_ref(
    out: &mut Vec<u8>,
    offset_delta: i32,
    timestamp_delta: i64,
    record: &RecordRef<'_>,
) -> Option<()> {
    let Headers { rest, left: header_count } = record.headers;
    let (key, value) = (record.key, record.value);
    Front { offset_delta, timestamp_delta, key, value, header_count }.put(out, rest.len())?;
    out.extend_from_slice(rest);
    Some(())
}

fn nullable_len(field: Option<&[u8]>) -> Option<usize> {
    let Some(bytes) = field else { return Some(1) };
    let length = i32::try_from(bytes.len()).ok()?;
    Some(varint::len_i32(length) + bytes.len())
}

/// Lengths were checked by [`nullable_len`].
fn put_nullable(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => varint::put_i32(out, -1),
        Some(bytes) => {
            varint::put_i32(out, bytes.len() as i32);
            out.extend_from_slice(bytes);
        }
    }
}
