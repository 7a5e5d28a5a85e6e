//! Bytes of the manifest's files: big-endian fields, read with bounds.
//!
//! Owns no format: `head.rs` and `page.rs` say which field comes where. Nothing here panics on any input.

use stratalog_types::{LeaderEpoch, Offset};
use uuid::Uuid;

use crate::entry::Entry;

/// Why bytes are not what they should be; the caller adds whose bytes they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("cut short")]
    Short,
    #[error("not this kind of object")]
    Magic,
    #[error("written by format version {0}, this build reads 1")]
    Version(u16),
    #[error("checksum does not match")]
    Checksum,
    #[error("{0}")]
    Rule(&'static str),
}

/// The only version so far of the head, the page, the marker and the claim.
pub const FORMAT_VERSION: u16 = 1;

pub struct Writer(Vec<u8>);

impl Writer {
    pub fn new(magic: &[u8; 4]) -> Writer {
        let mut bytes = Vec::with_capacity(1024);
        bytes.extend_from_slice(magic);
        bytes.extend_from_slice(&FORMAT_VERSION.to_be_bytes());
        Writer(bytes)
    }

    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }
    pub fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }
    pub fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }
    pub fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }
    pub fn i32(&mut self, value: i32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }
    pub fn i64(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }
    pub fn offset(&mut self, value: Offset) {
        self.i64(value.get());
    }
    pub fn uuid(&mut self, value: &Uuid) {
        self.0.extend_from_slice(value.as_bytes());
    }
    /// A length of two bytes, then UTF-8. The caller has checked the length against the field's limit.
    pub fn text(&mut self, value: &str) {
        self.u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
        self.0.extend_from_slice(value.as_bytes());
    }
    pub fn entry(&mut self, entry: &Entry) {
        self.offset(entry.base_offset);
        self.offset(entry.end_offset);
        self.i32(entry.leader_epoch.0);
        self.uuid(&entry.uuid);
        self.u64(entry.object_bytes);
        self.u64(entry.raw_bytes);
        self.u64(entry.footer_position);
        self.u32(entry.footer_bytes);
        self.u32(entry.footer_crc);
        self.i64(entry.min_timestamp);
        self.i64(entry.max_timestamp);
        self.i64(entry.committed_at);
        self.u32(entry.generation);
    }

    /// Closes with the CRC-32C of all before it.
    pub fn finish(mut self) -> Vec<u8> {
        let crc = crc32c::crc32c(&self.0);
        self.u32(crc);
        self.0
    }
}

/// Bytes of an encoded entry.
pub const ENTRY_BYTES: usize = 96;

pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Checks magic, version and checksum, and stands at the first field.
    pub fn open(bytes: &'a [u8], magic: &[u8; 4]) -> Result<Reader<'a>, Malformed> {
        let mut reader = Reader(bytes);
        if reader.take(4)? != magic {
            return Err(Malformed::Magic);
        }
        let version = reader.u16()?;
        if version != FORMAT_VERSION {
            return Err(Malformed::Version(version));
        }
        let (fields, crc) = reader.0.split_last_chunk::<4>().ok_or(Malformed::Short)?;
        let covered = bytes.len() - 4;
        let body = bytes.get(..covered).ok_or(Malformed::Short)?;
        if crc32c::crc32c(body) != u32::from_be_bytes(*crc) {
            return Err(Malformed::Checksum);
        }
        Ok(Reader(fields))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_be_bytes(self.array()?))
    }
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes(self.array()?))
    }
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.array()?))
    }
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_be_bytes(self.array()?))
    }
    pub fn i32(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_be_bytes(self.array()?))
    }
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_be_bytes(self.array()?))
    }
    pub fn offset(&mut self) -> Result<Offset, Malformed> {
        let value = self.i64()?;
        if value < 0 { Err(Malformed::Rule("an offset is negative")) } else { Ok(Offset(value)) }
    }
    pub fn uuid(&mut self) -> Result<Uuid, Malformed> {
        Ok(Uuid::from_bytes(self.array()?))
    }
    pub fn text(&mut self, bytes_max: usize) -> Result<String, Malformed> {
        let length = usize::from(self.u16()?);
        if length > bytes_max {
            return Err(Malformed::Rule("a text is longer than allowed"));
        }
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| Malformed::Rule("a text is not UTF-8"))?;
        Ok(text.to_owned())
    }
    pub fn entry(&mut self) -> Result<Entry, Malformed> {
        let entry = Entry {
            base_offset: self.offset()?,
            end_offset: self.offset()?,
            leader_epoch: LeaderEpoch(self.i32()?),
            uuid: self.uuid()?,
            object_bytes: self.u64()?,
            raw_bytes: self.u64()?,
            footer_position: self.u64()?,
            footer_bytes: self.u32()?,
            footer_crc: self.u32()?,
            min_timestamp: self.i64()?,
            max_timestamp: self.i64()?,
            committed_at: self.i64()?,
            generation: self.u32()?,
        };
        if entry.end_offset <= entry.base_offset {
            return Err(Malformed::Rule("an entry holds no offset"));
        }
        Ok(entry)
    }

    /// A count of elements of at least `element_bytes` each: never more than the bytes left can hold.
    pub fn count(&mut self, element_bytes: usize) -> Result<usize, Malformed> {
        let count = usize::try_from(self.u32()?).map_err(|_| Malformed::Short)?;
        if count > self.0.len() / element_bytes {
            return Err(Malformed::Short);
        }
        Ok(count)
    }

    pub fn finish(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed::Rule("bytes are left over")) }
    }
}
