//! The fixed end of an object: where its footer is, so that the object can be opened with nothing but itself.

use bytes::{BufMut, Bytes, BytesMut};

use super::wire::Reader;
use super::{FOOTER_BYTES_MAX, FormatError, VERSION};

/// Bytes of the tail.
pub const TAIL_BYTES: usize = 48;
const CHECKED_BYTES: usize = 32;
const MAGIC: [u8; 8] = *b"STRATSEG";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    pub footer_position: u64,
    pub footer_bytes: u32,
    pub footer_crc: u32,
}

impl Tail {
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(TAIL_BYTES);
        out.put_u64(self.footer_position);
        out.put_u32(self.footer_bytes);
        out.put_u32(self.footer_crc);
        out.put_u32(0); // key_id
        out.put_u32(0); // wrapped_key_bytes
        out.put_u32(0);
        out.put_u16(VERSION);
        out.put_u16(0);
        let crc = crc32c::crc32c(&out);
        out.put_u32(crc);
        out.put_u32(0);
        out.put_slice(&MAGIC);
        out.freeze()
    }

    /// Decodes the last `TAIL_BYTES` of an object of `object_bytes`; any surplus before them is ignored.
    pub fn decode(end_of_object: &Bytes, object_bytes: u64) -> Result<Tail, FormatError> {
        let what = "tail";
        let start = end_of_object.len().checked_sub(TAIL_BYTES).ok_or(FormatError::Short { what })?;
        let bytes = end_of_object.slice(start..);
        let checked = bytes.slice(..CHECKED_BYTES);
        let mut reader = Reader::new(bytes, what);
        let tail = Tail { footer_position: reader.u64()?, footer_bytes: reader.u32()?, footer_crc: reader.u32()? };
        let (key_id, wrapped_key_bytes, _, version, _) =
            (reader.u32()?, reader.u32()?, reader.u32()?, reader.u16()?, reader.u16()?);
        let (crc, _) = (reader.u32()?, reader.u32()?);
        if reader.array()? != MAGIC {
            return Err(FormatError::Magic);
        }
        if crc != crc32c::crc32c(&checked) {
            return Err(FormatError::Checksum { what });
        }
        if version != VERSION {
            return Err(FormatError::Version { version });
        }
        if key_id != 0 {
            return Err(FormatError::Encrypted { key_id });
        }
        if tail.footer_bytes as usize > FOOTER_BYTES_MAX {
            return Err(FormatError::Invalid { what, reason: "the footer is too large" });
        }
        let end = tail
            .footer_position
            .checked_add(u64::from(tail.footer_bytes))
            .and_then(|end| end.checked_add(u64::from(wrapped_key_bytes)))
            .and_then(|end| end.checked_add(TAIL_BYTES as u64));
        if end != Some(object_bytes) {
            return Err(FormatError::Invalid { what, reason: "the footer does not end where the tail begins" });
        }
        Ok(tail)
    }
}
