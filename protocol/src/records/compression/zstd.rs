//! Zstandard frames, read with bounded memory whatever window a frame asks for.
//!
//! A decoder that streams must hold the frame's window, which a header of a few bytes can set to gigabytes, and which
//! honest producers set to 128 MiB at level 22. So frames of a window up to 8 MiB stream; frames of a larger one are
//! decompressed in one go into the output, which needs no window and may not pass the cap.

use ::zstd::stream::read::Decoder;
use ::zstd::zstd_safe::DCtx;

use super::{CompressionError, OUTPUT_BYTES_START, read_capped};
use crate::records::CodecId;

/// Kafka's `compression.zstd.level` when none is set.
const LEVEL_DEFAULT: i32 = 3;
/// 8 MiB.
const WINDOW_LOG_MAX: u32 = 23;
const FRAME_MAGIC: [u8; 4] = 0xFD2F_B528u32.to_le_bytes();
/// zstd's error 70, `dstSize_tooSmall`, as its functions return it.
const OUTPUT_TOO_SMALL: usize = 0usize.wrapping_sub(70);

const MALFORMED: CompressionError = CompressionError::Malformed(CodecId::ZSTD);

pub(super) fn decompress(input: &[u8], output_bytes_max: usize) -> Result<Vec<u8>, CompressionError> {
    if wants_large_window(input) {
        return decompress_whole(input, output_bytes_max);
    }
    let mut decoder = Decoder::with_buffer(input).map_err(|_| MALFORMED)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(|_| MALFORMED)?;
    read_capped(CodecId::ZSTD, decoder, output_bytes_max)
}

/// Whether the first frame's window passes what the streaming decoder may hold. In a frame of a single segment the
/// window is the content. Where in doubt the answer is false, and the streaming decoder refuses what it does not like.
fn wants_large_window(input: &[u8]) -> bool {
    let Some(&[descriptor, ref fields @ ..]) = input.strip_prefix(&FRAME_MAGIC) else { return false };
    let is_single_segment = descriptor & 0x20 != 0;
    if is_single_segment {
        let content = ::zstd::zstd_safe::get_frame_content_size(input).ok().flatten();
        return content.is_some_and(|bytes| bytes > 1 << WINDOW_LOG_MAX);
    }
    // A window of 2^(10 + high five bits), plus an eighth of it for each of the low three bits.
    fields.first().is_some_and(|window| *window > (WINDOW_LOG_MAX as u8 - 10) << 3)
}

/// Decompresses without a window, into a buffer that grows until the output fits.
fn decompress_whole(input: &[u8], output_bytes_max: usize) -> Result<Vec<u8>, CompressionError> {
    let mut capacity = input.len().saturating_mul(8).max(OUTPUT_BYTES_START);
    loop {
        let mut output = Vec::with_capacity(capacity.min(output_bytes_max));
        match DCtx::create().decompress(&mut output, input) {
            Ok(_) => return Ok(output),
            Err(OUTPUT_TOO_SMALL) if output.capacity() < output_bytes_max => capacity = capacity.saturating_mul(4),
            Err(OUTPUT_TOO_SMALL) => return Err(CompressionError::TooLarge { output_bytes_max }),
            Err(_) => return Err(MALFORMED),
        }
    }
}

pub(super) fn compress(level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
    let level = level.unwrap_or(LEVEL_DEFAULT);
    if !::zstd::compression_level_range().contains(&level) {
        return Err(CompressionError::InvalidLevel { codec: CodecId::ZSTD, level });
    }
    // In one go: told the size, the encoder takes memory after it, not after the level's window of up to 128 MiB.
    let compressed = ::zstd::bulk::compress(input, level).map_err(|_| MALFORMED)?;
    out.extend_from_slice(&compressed);
    Ok(())
}
