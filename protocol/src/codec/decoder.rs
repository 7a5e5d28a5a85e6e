//! Reads a frame, without ever trusting it.
//!
//! Three bounds hold whatever the bytes say: a count must fit the bytes left at the smallest size of its element,
//! vectors grow as elements really arrive, and the memory of decoded values is charged against an allowance that is a
//! multiple of the frame ([`HEAP_BYTES_PER_FRAME_BYTE`]). Byte fields and records are slices of the frame and cost
//! nothing; text is copied, so that a topic name that is kept does not keep its frame.

use bytes::Bytes;

use super::{DecodeError, Problem, Version};

/// Heap that one byte of frame may turn into. The densest honest frames (one-letter names in arrays) stay below 16.
const HEAP_BYTES_PER_FRAME_BYTE: usize = 16;
/// Heap that any frame may turn into, so that small frames are never refused.
const HEAP_BYTES_MIN: usize = 64 << 10;
/// Heap that no frame may exceed unless the caller says so with [`Decoder::with_heap_limit`].
const HEAP_BYTES_MAX: usize = 256 << 20;

/// A position in a frame, and what may still be read and allocated.
#[derive(Debug)]
pub struct Decoder {
    frame: Bytes,
    position: usize,
    /// One past the last readable byte: the frame's end, or the end of the tagged field being read.
    end: usize,
    heap_left: usize,
}

impl Decoder {
    pub fn new(frame: Bytes) -> Decoder {
        let heap = frame.len().saturating_mul(HEAP_BYTES_PER_FRAME_BYTE).clamp(HEAP_BYTES_MIN, HEAP_BYTES_MAX);
        Decoder::with_heap_limit(frame, heap)
    }

    /// A decoder whose values may take `heap_bytes_max` of memory: for a client that asked for something large.
    pub fn with_heap_limit(frame: Bytes, heap_bytes_max: usize) -> Decoder {
        Decoder { position: 0, end: frame.len(), heap_left: heap_bytes_max, frame }
    }

    /// Bytes that are not read yet.
    pub fn left(&self) -> usize {
        self.end - self.position
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Refuses bytes after the last field.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.left() {
            0 => Ok(()),
            left => Err(self.malformed(Problem::TrailingBytes(left))),
        }
    }

    pub fn read_i8(&mut self) -> Result<i8, DecodeError> {
        self.take().map(i8::from_be_bytes)
    }

    pub fn read_i16(&mut self) -> Result<i16, DecodeError> {
        self.take().map(i16::from_be_bytes)
    }

    pub fn read_u16(&mut self) -> Result<u16, DecodeError> {
        self.take().map(u16::from_be_bytes)
    }

    pub fn read_i32(&mut self) -> Result<i32, DecodeError> {
        self.take().map(i32::from_be_bytes)
    }

    pub fn read_u32(&mut self) -> Result<u32, DecodeError> {
        self.take().map(u32::from_be_bytes)
    }

    pub fn read_i64(&mut self) -> Result<i64, DecodeError> {
        self.take().map(i64::from_be_bytes)
    }

    pub fn read_f64(&mut self) -> Result<f64, DecodeError> {
        self.take().map(f64::from_be_bytes)
    }

    /// An unsigned varint of at most five bytes and 32 bits. Zero padding within five bytes is accepted, as Kafka does.
    pub fn read_uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && byte > 0x0f {
                return Err(self.malformed(Problem::OverlongVarint));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Ok(value)
    }

    /// The next `length` bytes as a slice of the frame.
    pub fn read_bytes(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        self.want(length)?;
        let bytes = self.frame.slice(self.position..self.position + length);
        self.position += length;
        Ok(bytes)
    }

    /// The next `length` bytes as text, copied.
    pub fn read_text(&mut self, length: usize) -> Result<String, DecodeError> {
        self.want(length)?;
        self.charge(length)?;
        let bytes = self.frame.get(self.position..self.position + length).unwrap_or_default();
        let text = std::str::from_utf8(bytes).map_err(|_| self.malformed(Problem::InvalidUtf8))?.to_owned();
        self.position += length;
        Ok(text)
    }

    pub fn skip(&mut self, length: usize) -> Result<(), DecodeError> {
        self.want(length)?;
        self.position += length;
        Ok(())
    }

    /// The length of text; `None` is null.
    pub fn read_text_length(&mut self, version: Version) -> Result<Option<usize>, DecodeError> {
        let length = if version.flexible { i64::from(self.read_uvarint()?) - 1 } else { i64::from(self.read_i16()?) };
        self.length(length)
    }

    /// The length of bytes, records or an array; `None` is null.
    pub fn read_length(&mut self, version: Version) -> Result<Option<usize>, DecodeError> {
        let length = if version.flexible { i64::from(self.read_uvarint()?) - 1 } else { i64::from(self.read_i32()?) };
        self.length(length)
    }

    /// Reads the next `length` bytes with `read`, which must use all of them.
    pub(super) fn within(
        &mut self,
        tag: u32,
        length: usize,
        read: impl FnOnce(&mut Decoder) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        self.want(length)?;
        let outer_end = std::mem::replace(&mut self.end, self.position + length);
        let known = read(self);
        let unread = self.left();
        let position = self.position;
        self.position = self.end;
        self.end = outer_end;
        if known? && unread > 0 {
            return Err(DecodeError::Malformed { position, problem: Problem::TagSize { tag, unread } });
        }
        Ok(())
    }

    /// Takes `bytes` of heap from the allowance.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), DecodeError> {
        match self.heap_left.checked_sub(bytes) {
            Some(left) => {
                self.heap_left = left;
                Ok(())
            }
            None => Err(self.malformed(Problem::TooMuchMemory)),
        }
    }

    pub(super) fn malformed(&self, problem: Problem) -> DecodeError {
        DecodeError::Malformed { position: self.position, problem }
    }

    fn length(&self, length: i64) -> Result<Option<usize>, DecodeError> {
        match usize::try_from(length) {
            Ok(length) => Ok(Some(length)),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(self.malformed(Problem::NegativeLength(length))),
        }
    }

    fn want(&self, needed: usize) -> Result<(), DecodeError> {
        match self.left() {
            left if needed <= left => Ok(()),
            left => Err(self.malformed(Problem::Truncated { needed, left })),
        }
    }

    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.frame.get(self.position..self.end).and_then(|rest| rest.first_chunk::<N>()) {
            Some(bytes) => {
                let bytes = *bytes;
                self.position += N;
                Ok(bytes)
            }
            None => Err(self.malformed(Problem::Truncated { needed: N, left: self.left() })),
        }
    }
}
