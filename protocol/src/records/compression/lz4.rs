//! LZ4 frames as Kafka's clients write and read them.
//!
//! ```text
//! magic u32 LE = 0x184D2204
//! flags u8     version 1 in bits 6-7, 0x20 independent blocks, 0x10 block checksums, 0x08 content size, 0x04 content
//!              checksum, 0x02 reserved, 0x01 dictionary
//! block u8     maximum block size in bits 4-6: 4 = 64 KiB, 5 = 256 KiB, 6 = 1 MiB, 7 = 4 MiB
//! content size u64 LE, where flagged
//! header checksum u8, the second byte of XXH32 over what follows the magic
//! blocks       length u32 LE (high bit: stored as is), bytes, checksum u32 LE where flagged
//! end mark u32 = 0, content checksum u32 LE where flagged
//! ```
//!
//! Read by hand and not with the crate's frame reader: that one takes a frame without its end mark for a whole one
//! (Java's consumer does not) and also reads linked blocks and the legacy frame, which Kafka refuses. Blocks decompress
//! straight into the output. What follows the end mark is ignored, as in Kafka.

use std::io::Write;

use lz4_flex::block::{DecompressError, decompress_into};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use super::CompressionError;
use super::lz4_hc::{BLOCK_BYTES, BlockEncoder};
use super::xxh32::xxh32;
use crate::records::CodecId;

const FRAME_MAGIC: [u8; 4] = 0x184D_2204u32.to_le_bytes();
const STORED_BIT: u32 = 0x8000_0000;
/// No LZ4 block decompresses to more than this times its size: a length byte stands for 255 bytes at most.
const EXPANSION_MAX: usize = 255;

const MALFORMED: CompressionError = CompressionError::Malformed(CodecId::LZ4);

#[derive(Debug, Clone, Copy)]
struct FrameHead {
    block_bytes_max: usize,
    has_block_checksums: bool,
    has_content_checksum: bool,
}

pub(super) fn decompress(input: &[u8], output_bytes_max: usize) -> Result<Vec<u8>, CompressionError> {
    let mut rest = input;
    let frame = take_head(&mut rest)?;
    let mut output = Vec::new();
    let mut filled = 0;
    loop {
        let word = take_u32(&mut rest)?;
        let length = (word & !STORED_BIT) as usize;
        if length == 0 {
            break;
        }
        if length > frame.block_bytes_max {
            return Err(MALFORMED);
        }
        let block = take(&mut rest, length)?;
        if frame.has_block_checksums && take_u32(&mut rest)? != xxh32(block) {
            return Err(MALFORMED);
        }
        let room = output_bytes_max - filled;
        filled += if word & STORED_BIT != 0 {
            append_stored(block, &mut output, filled, room)
        } else {
            append_decompressed(block, &mut output, filled, room, frame.block_bytes_max)
        }?
        .ok_or(CompressionError::TooLarge { output_bytes_max })?;
    }
    if frame.has_content_checksum {
        take(&mut rest, 4)?;
    }
    output.truncate(filled);
    Ok(output)
}

fn take_head(rest: &mut &[u8]) -> Result<FrameHead, CompressionError> {
    *rest = rest.strip_prefix(&FRAME_MAGIC).ok_or(MALFORMED)?;
    let descriptor = *rest;
    let [flags, block] = *rest.first_chunk::<2>().ok_or(MALFORMED)?;
    let has_dictionary_or_reserved = flags & 0x03 != 0 || block & 0x8f != 0;
    if flags >> 6 != 1 || flags & 0x20 == 0 || has_dictionary_or_reserved {
        return Err(MALFORMED);
    }
    let block_bytes_max = match block >> 4 {
        4 => 64 << 10,
        5 => 256 << 10,
        6 => 1 << 20,
        7 => 4 << 20,
        _ => return Err(MALFORMED),
    };
    let descriptor_bytes = if flags & 0x08 == 0 { 2 } else { 2 + 8 };
    let (descriptor, after) = descriptor.split_at_checked(descriptor_bytes).ok_or(MALFORMED)?;
    let (checksum, after) = after.split_first().ok_or(MALFORMED)?;
    if *checksum != (xxh32(descriptor) >> 8) as u8 {
        return Err(MALFORMED);
    }
    *rest = after;
    Ok(FrameHead { block_bytes_max, has_block_checksums: flags & 0x10 != 0, has_content_checksum: flags & 0x04 != 0 })
}

/// Bytes written at `filled`; `None` when there is no room.
type Appended = Result<Option<usize>, CompressionError>;

fn append_stored(block: &[u8], output: &mut Vec<u8>, filled: usize, room: usize) -> Appended {
    if block.len() > room {
        return Ok(None);
    }
    grow(output, filled, block.len());
    output.get_mut(filled..filled + block.len()).ok_or(MALFORMED)?.copy_from_slice(block);
    Ok(Some(block.len()))
}

fn append_decompressed(
    block: &[u8],
    output: &mut Vec<u8>,
    filled: usize,
    room: usize,
    block_bytes_max: usize,
) -> Appended {
    let bytes_max = block_bytes_max.min(block.len().saturating_mul(EXPANSION_MAX));
    let target_bytes = bytes_max.min(room);
    grow(output, filled, target_bytes);
    let target = output.get_mut(filled..filled + target_bytes).ok_or(MALFORMED)?;
    match decompress_into(block, target) {
        Ok(written) => Ok(Some(written)),
        Err(DecompressError::OutputTooSmall { .. }) if target_bytes < bytes_max => Ok(None),
        Err(_) => Err(MALFORMED),
    }
}

/// Makes `output[filled..filled + wanted]` exist. Never shrinks: what one block zeroed, the next finds zeroed, or else
/// a thousand tiny blocks would cost a thousand times the largest block.
fn grow(output: &mut Vec<u8>, filled: usize, wanted: usize) {
    if output.len() < filled + wanted {
        output.resize(filled + wanted, 0);
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], CompressionError> {
    let (taken, after) = rest.split_at_checked(length).ok_or(MALFORMED)?;
    *rest = after;
    Ok(taken)
}

fn take_u32(rest: &mut &[u8]) -> Result<u32, CompressionError> {
    let (taken, after) = rest.split_first_chunk::<4>().ok_or(MALFORMED)?;
    *rest = after;
    Ok(u32::from_le_bytes(*taken))
}

/// Kafka's `compression.lz4.level` when none is set: the fast encoder, in Kafka too. Every other level is the thorough
/// one, also those below.
const LEVEL_FAST: i32 = 9;

/// Independent blocks of 64 KiB, no content size and no checksums, as the Java client writes.
pub(super) fn compress(level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
    match level {
        None | Some(LEVEL_FAST) => compress_fast(input, out),
        Some(level @ 1..=17) => {
            compress_thoroughly(level.unsigned_abs(), input, out);
            Ok(())
        }
        Some(level) => Err(CompressionError::InvalidLevel { codec: CodecId::LZ4, level }),
    }
}

fn compress_fast(input: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
    let info = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, out);
    encoder.write_all(input).map_err(|_| MALFORMED)?;
    encoder.finish().map(|_| ()).map_err(|_| MALFORMED)
}

fn compress_thoroughly(level: u32, input: &[u8], out: &mut Vec<u8>) {
    // Version 1, independent blocks; blocks of at most 64 KiB.
    let descriptor = [0x60, 0x40];
    out.extend_from_slice(&FRAME_MAGIC);
    out.extend_from_slice(&descriptor);
    out.push((xxh32(&descriptor) >> 8) as u8);
    let mut encoder = BlockEncoder::new(level);
    let mut block = Vec::new();
    for piece in input.chunks(BLOCK_BYTES) {
        block.clear();
        encoder.encode(piece, &mut block);
        let (bytes, stored) = if block.len() < piece.len() { (&block[..], 0) } else { (piece, STORED_BIT) };
        out.extend_from_slice(&(bytes.len() as u32 | stored).to_le_bytes());
        out.extend_from_slice(bytes);
    }
    out.extend_from_slice(&0u32.to_le_bytes());
}
