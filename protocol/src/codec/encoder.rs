//! Writes a frame as parts: one growing buffer, cut where a file range or a large record set goes in between.

use bytes::{BufMut, Bytes, BytesMut};

use super::{EncodeError, Version};
use crate::part::Part;

/// Record sets up to this many bytes are copied into the buffer: a part of its own costs more than the copy.
const COPIED_BYTES_MAX: usize = 2048;
/// The length that opens a frame.
const FRAME_LENGTH_BYTES: usize = 4;

/// A message being written.
#[derive(Debug, Default)]
pub struct Encoder {
    buffer: BytesMut,
    /// Parts that go in before the buffer's byte of that position, in order.
    splices: Vec<(usize, Part)>,
    spliced_bytes: usize,
}

impl Encoder {
    pub fn new() -> Encoder {
        Encoder { buffer: BytesMut::with_capacity(512), ..Encoder::default() }
    }

    /// Bytes written so far, parts included.
    pub fn length(&self) -> usize {
        self.buffer.len() + self.spliced_bytes
    }

    pub fn write_i8(&mut self, value: i8) {
        self.buffer.put_i8(value);
    }

    pub fn write_i16(&mut self, value: i16) {
        self.buffer.put_i16(value);
    }

    pub fn write_u16(&mut self, value: u16) {
        self.buffer.put_u16(value);
    }

    pub fn write_i32(&mut self, value: i32) {
        self.buffer.put_i32(value);
    }

    pub fn write_u32(&mut self, value: u32) {
        self.buffer.put_u32(value);
    }

    pub fn write_i64(&mut self, value: i64) {
        self.buffer.put_i64(value);
    }

    pub fn write_f64(&mut self, value: f64) {
        self.buffer.put_f64(value);
    }

    pub fn write_slice(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// An unsigned varint in its shortest form.
    pub fn write_uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.put_u8(value as u8);
    }

    /// The length of text; `None` is null. Kafka's text ends at 32,767 bytes in every version.
    pub fn write_text_length(&mut self, length: Option<usize>, version: Version) -> Result<(), EncodeError> {
        let max = i16::MAX as usize;
        match length.map(i16::try_from) {
            Some(Err(_)) => return Err(EncodeError::TooLong { length: length.unwrap_or_default(), max }),
            Some(Ok(length)) if version.flexible => self.write_uvarint(length as u32 + 1),
            Some(Ok(length)) => self.write_i16(length),
            None if version.flexible => self.write_uvarint(0),
            None => self.write_i16(-1),
        }
        Ok(())
    }

    /// The length of bytes, records or an array; `None` is null.
    pub fn write_length(&mut self, length: Option<usize>, version: Version) -> Result<(), EncodeError> {
        let max = i32::MAX as usize;
        match length.map(i32::try_from) {
            Some(Err(_)) => return Err(EncodeError::TooLong { length: length.unwrap_or_default(), max }),
            Some(Ok(length)) if version.flexible => self.write_uvarint(length as u32 + 1),
            Some(Ok(length)) => self.write_i32(length),
            None if version.flexible => self.write_uvarint(0),
            None => self.write_i32(-1),
        }
        Ok(())
    }

    /// Bytes that may be large: spliced in without a copy when that pays.
    pub fn write_bytes(&mut self, bytes: &Bytes) {
        if bytes.len() <= COPIED_BYTES_MAX {
            self.write_slice(bytes);
        } else {
            self.splice(Part::Bytes(bytes.clone()));
        }
    }

    /// A part of records.
    pub fn write_part(&mut self, part: &Part) {
        match part {
            Part::Bytes(bytes) => self.write_bytes(bytes),
            Part::File(range) if range.length == 0 => {}
            Part::File(_) => self.splice(part.clone()),
        }
    }

    /// Opens the tagged fields of a structure; [`Encoder::close_tags`] closes them.
    pub fn open_tags(&mut self) -> Tags {
        let tags = Tags { count_position: self.buffer.len(), count: 0 };
        self.buffer.put_u8(0);
        tags
    }

    /// Writes one tagged field. Its size goes in front of it, once it is known. Tags must ascend.
    pub fn write_tag<T: super::Field>(
        &mut self,
        tags: &mut Tags,
        tag: u32,
        value: &T,
        version: Version,
    ) -> Result<(), EncodeError> {
        tags.count += 1;
        self.write_uvarint(tag);
        let start = self.length();
        let buffer_start = self.buffer.len();
        value.write(self, version)?;
        let size = self.length() - start;
        let size_position = self.buffer.len();
        let Ok(size) = u32::try_from(size) else {
            return Err(EncodeError::TooLong { length: size, max: u32::MAX as usize });
        };
        self.write_uvarint(size);
        let size_bytes = self.buffer.len() - size_position;
        self.buffer[buffer_start..].rotate_right(size_bytes);
        // Bytes were spliced in behind the size, which now lies before them.
        for (position, _) in self.splices.iter_mut().rev().take_while(|(position, _)| *position >= buffer_start) {
            *position += size_bytes;
        }
        Ok(())
    }

    /// Writes the number of tagged fields into the byte kept for it: no structure of Kafka's has 127 tags.
    pub fn close_tags(&mut self, tags: Tags) {
        assert!(tags.count < 0x80, "a structure declares {} tagged fields", tags.count);
        self.buffer[tags.count_position] = tags.count;
    }

    /// What was written, in wire order.
    pub fn into_parts(self) -> Vec<Part> {
        let buffer = self.buffer.freeze();
        let mut parts = Vec::with_capacity(self.splices.len() * 2 + 1);
        let mut start = 0;
        for (position, part) in self.splices {
            if position > start {
                parts.push(Part::Bytes(buffer.slice(start..position)));
                start = position;
            }
            parts.push(part);
        }
        if start < buffer.len() {
            parts.push(Part::Bytes(buffer.slice(start..)));
        }
        parts
    }

    /// Starts a frame: room for its length, which [`Encoder::into_frame`] fills in.
    pub fn framed() -> Encoder {
        let mut encoder = Encoder::new();
        encoder.write_i32(0);
        encoder
    }

    /// The frame started with [`Encoder::framed`], its length first.
    pub fn into_frame(mut self) -> Result<Vec<Part>, EncodeError> {
        let length = self.length().saturating_sub(FRAME_LENGTH_BYTES);
        let Ok(wire_length) = i32::try_from(length) else {
            return Err(EncodeError::TooLong { length, max: i32::MAX as usize });
        };
        if let Some(room) = self.buffer.first_chunk_mut::<FRAME_LENGTH_BYTES>() {
            *room = wire_length.to_be_bytes();
        }
        Ok(self.into_parts())
    }

    fn splice(&mut self, part: Part) {
        self.spliced_bytes += part.length();
        self.splices.push((self.buffer.len(), part));
    }
}

/// The tagged fields of the structure being written.
#[derive(Debug)]
#[must_use]
pub struct Tags {
    count_position: usize,
    count: u8,
}
