//! Bounds-checked big-endian reads.

use bytes::{Buf, Bytes};

use super::FormatError;

pub(super) struct Reader {
    bytes: Bytes,
    what: &'static str,
}

impl Reader {
    pub(super) fn new(bytes: Bytes, what: &'static str) -> Reader {
        Reader { bytes, what }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn short(&self) -> FormatError {
        FormatError::Short { what: self.what }
    }

    pub(super) fn u8(&mut self) -> Result<u8, FormatError> {
        self.bytes.try_get_u8().map_err(|_| self.short())
    }

    pub(super) fn u16(&mut self) -> Result<u16, FormatError> {
        self.bytes.try_get_u16().map_err(|_| self.short())
    }

    pub(super) fn u32(&mut self) -> Result<u32, FormatError> {
        self.bytes.try_get_u32().map_err(|_| self.short())
    }

    pub(super) fn i32(&mut self) -> Result<i32, FormatError> {
        self.bytes.try_get_i32().map_err(|_| self.short())
    }

    pub(super) fn u64(&mut self) -> Result<u64, FormatError> {
        self.bytes.try_get_u64().map_err(|_| self.short())
    }

    pub(super) fn i64(&mut self) -> Result<i64, FormatError> {
        self.bytes.try_get_i64().map_err(|_| self.short())
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let mut array = [0; N];
        self.bytes.try_copy_to_slice(&mut array).map_err(|_| self.short())?;
        Ok(array)
    }

    pub(super) fn take(&mut self, length: u32) -> Result<Bytes, FormatError> {
        let length = usize::try_from(length).map_err(|_| self.short())?;
        if length > self.bytes.len() {
            return Err(self.short());
        }
        Ok(self.bytes.split_to(length))
    }

    pub(super) fn string(&mut self) -> Result<String, FormatError> {
        let length = self.u16()?;
        let bytes = self.take(u32::from(length))?;
        String::from_utf8(bytes.to_vec()).map_err(|_| FormatError::Invalid { what: self.what, reason: "not UTF-8" })
    }

    /// A count of elements of at least `element_bytes`: never more than what is left can hold.
    pub(super) fn count(&mut self, element_bytes: usize) -> Result<usize, FormatError> {
        let count = usize::try_from(self.u32()?).map_err(|_| self.short())?;
        if count > self.bytes.len() / element_bytes.max(1) {
            return Err(self.short());
        }
        Ok(count)
    }

    pub(super) fn end(&self) -> Result<(), FormatError> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(FormatError::Invalid { what: self.what, reason: "bytes after its end" })
        }
    }
}
