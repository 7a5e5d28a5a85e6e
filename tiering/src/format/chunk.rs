//! One chunk: packing and unpacking of a run of whole batches. Contexts are reused; the output buffer is the caller's
//! when it has one to recycle.

use bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, DParameter};

use super::{CHUNK_RAW_BYTES_MAX, ChunkRow, FormatError};

/// The zstd level: on event data level 1 beats level 3 in speed and in ratio.
pub const DEFAULT_LEVEL: i32 = 1;
/// A chunk whose packed form is not below 15/16 of its raw form is stored raw: reading it back is then a copy less.
const PAYS_NUMERATOR: usize = 15;
const PAYS_DENOMINATOR: usize = 16;
/// After a chunk that did not pay, this much of the next one is tried first: producers that compress stay compressed.
const PROBE_BYTES: usize = 32 * 1024;
/// 8 MiB: a hostile frame cannot ask for more memory than that beyond its output.
const WINDOW_LOG_MAX: u32 = 23;

/// How a chunk is stored; unknown values are kept for the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codec(pub u8);

impl Codec {
    pub const RAW: Codec = Codec(0);
    pub const ZSTD: Codec = Codec(1);
}

/// Stored form of a chunk.
#[derive(Debug, Clone)]
pub struct EncodedChunk {
    pub stored: Bytes,
    pub codec: Codec,
    /// CRC-32C of the stored bytes.
    pub crc: u32,
}

pub struct ChunkEncoder {
    zstd: Compressor<'static>,
    last_paid: bool,
}

impl ChunkEncoder {
    pub fn new(level: i32) -> Result<ChunkEncoder, FormatError> {
        let failed = |_| FormatError::Invalid { what: "zstd level", reason: "refused by zstd" };
        let mut zstd = Compressor::new(level).map_err(failed)?;
        zstd.set_parameter(CParameter::ChecksumFlag(false)).map_err(failed)?;
        Ok(ChunkEncoder { zstd, last_paid: true })
    }

    /// Packs `raw`; takes it over when it is stored as it is.
    pub fn encode(&mut self, raw: Bytes) -> Result<EncodedChunk, FormatError> {
        if raw.len() > CHUNK_RAW_BYTES_MAX {
            return Err(FormatError::ChunkTooLarge { bytes: raw.len() });
        }
        let packed = self.try_pack(&raw);
        self.last_paid = packed.is_some();
        let (stored, codec) = match packed {
            Some(packed) => (packed, Codec::ZSTD),
            None => (raw, Codec::RAW),
        };
        let crc = crc32c::crc32c(&stored);
        Ok(EncodedChunk { stored, codec, crc })
    }

    /// `None` when packing does not pay.
    fn try_pack(&mut self, raw: &[u8]) -> Option<Bytes> {
        if !self.last_paid && raw.len() > 2 * PROBE_BYTES {
            let middle = raw.len() / 2;
            self.pack(raw.get(middle..middle + PROBE_BYTES)?)?;
        }
        self.pack(raw)
    }

    fn pack(&mut self, raw: &[u8]) -> Option<Bytes> {
        // No room for more than pays: zstd stops there by itself.
        let room = raw.len() / PAYS_DENOMINATOR * PAYS_NUMERATOR;
        let mut packed = Vec::with_capacity(room);
        match self.zstd.compress_to_buffer(raw, &mut packed) {
            Ok(_) => {
                // What is held must be what was counted.
                packed.shrink_to_fit();
                Some(Bytes::from(packed))
            }
            Err(_) => None,
        }
    }
}

pub struct ChunkDecoder {
    zstd: Decompressor<'static>,
}

impl ChunkDecoder {
    pub fn new() -> Result<ChunkDecoder, FormatError> {
        let failed = |_| FormatError::Invalid { what: "zstd window", reason: "refused by zstd" };
        let mut zstd = Decompressor::new().map_err(failed)?;
        zstd.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).map_err(failed)?;
        Ok(ChunkDecoder { zstd })
    }

    /// Whether the stored bytes are the ones that were written.
    pub fn check(row: &ChunkRow, stored: &[u8]) -> Result<(), FormatError> {
        if stored.len() != row.stored_bytes as usize {
            return Err(FormatError::Short { what: "chunk" });
        }
        if crc32c::crc32c(stored) != row.crc {
            return Err(FormatError::Checksum { what: "chunk" });
        }
        Ok(())
    }

    /// Checks and unpacks into `buffer`, whose contents are replaced. For a raw chunk the buffer gets a copy: a caller
    /// that holds `Bytes` checks and keeps those.
    pub fn decode_into(&mut self, row: &ChunkRow, stored: &[u8], buffer: &mut Vec<u8>) -> Result<(), FormatError> {
        Self::check(row, stored)?;
        let raw_bytes = row.raw_bytes as usize;
        if raw_bytes > CHUNK_RAW_BYTES_MAX {
            return Err(FormatError::ChunkTooLarge { bytes: raw_bytes });
        }
        buffer.clear();
        match row.codec {
            Codec::RAW => buffer.extend_from_slice(stored),
            Codec::ZSTD => {
                buffer.reserve(raw_bytes);
                self.zstd
                    .decompress_to_buffer(stored, buffer)
                    .map_err(|_| FormatError::Invalid { what: "chunk", reason: "zstd cannot unpack it" })?;
            }
            Codec(_) => return Err(FormatError::Invalid { what: "chunk", reason: "unknown codec" }),
        }
        if buffer.len() != raw_bytes {
            return Err(FormatError::Invalid { what: "chunk", reason: "unpacks to another length" });
        }
        Ok(())
    }

    /// Checks and unpacks; a raw chunk is handed on without a copy.
    pub fn decode(&mut self, row: &ChunkRow, stored: Bytes) -> Result<Bytes, FormatError> {
        if row.codec == Codec::RAW && row.raw_bytes == row.stored_bytes {
            Self::check(row, &stored)?;
            return Ok(stored);
        }
        let mut buffer = Vec::new();
        self.decode_into(row, &stored, &mut buffer)?;
        Ok(Bytes::from(buffer))
    }
}
