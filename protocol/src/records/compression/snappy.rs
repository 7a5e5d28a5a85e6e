//! Snappy in Kafka's two framings.
//!
//! ```text
//! Xerial, written by Java clients and by us:
//!   82 53 4e 41 50 50 59 00   magic
//!   version i32 = 1, compatible version i32 = 1
//!   then blocks: length i32, one raw snappy block of that length
//!   the 16 byte head may come again between blocks, where streams were concatenated
//! Raw, written by librdkafka: one raw snappy block
//! ```

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::CompressionError;
use crate::records::CodecId;

const XERIAL_MAGIC: [u8; 8] = *b"\x82SNAPPY\x00";
const XERIAL_HEAD_BYTES: usize = 16;
/// Uncompressed bytes of a block, as the Java library cuts them.
const BLOCK_BYTES: usize = 32 * 1024;
/// A raw block's densest element is a copy: 3 bytes for 64. No honest block claims more than this times its size.
const EXPANSION_MAX: usize = 22;

const MALFORMED: CompressionError = CompressionError::Malformed(CodecId::SNAPPY);

pub(super) fn decompress(input: &[u8], output_bytes_max: usize) -> Result<Vec<u8>, CompressionError> {
    let mut output = Vec::new();
    if !input.starts_with(&XERIAL_MAGIC) {
        append_block(input, &mut output, output_bytes_max)?;
        return Ok(output);
    }
    let mut rest = input;
    while !rest.is_empty() {
        if rest.starts_with(&XERIAL_MAGIC) {
            rest = rest.get(XERIAL_HEAD_BYTES..).ok_or(MALFORMED)?;
            continue;
        }
        let (length, after) = rest.split_first_chunk::<4>().ok_or(MALFORMED)?;
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| MALFORMED)?;
        let (block, after) = after.split_at_checked(length).ok_or(MALFORMED)?;
        append_block(block, &mut output, output_bytes_max)?;
        rest = after;
    }
    Ok(output)
}

fn append_block(block: &[u8], output: &mut Vec<u8>, output_bytes_max: usize) -> Result<(), CompressionError> {
    let claimed = decompress_len(block).map_err(|_| MALFORMED)?;
    if claimed > output_bytes_max.saturating_sub(output.len()) {
        return Err(CompressionError::TooLarge { output_bytes_max });
    }
    if claimed > block.len().saturating_mul(EXPANSION_MAX) {
        return Err(MALFORMED);
    }
    let start = output.len();
    output.resize(start + claimed, 0);
    let target = output.get_mut(start..).ok_or(MALFORMED)?;
    let written = Decoder::new().decompress(block, target).map_err(|_| MALFORMED)?;
    if written == claimed { Ok(()) } else { Err(MALFORMED) }
}

pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
    out.extend_from_slice(&XERIAL_MAGIC);
    out.extend_from_slice(&1i32.to_be_bytes());
    out.extend_from_slice(&1i32.to_be_bytes());
    let mut encoder = Encoder::new();
    let mut block = vec![0; max_compress_len(input.len().min(BLOCK_BYTES))];
    for chunk in input.chunks(BLOCK_BYTES) {
        let length = encoder.compress(chunk, &mut block).map_err(|_| MALFORMED)?;
        let compressed = block.get(..length).ok_or(MALFORMED)?;
        out.extend_from_slice(&(length as i32).to_be_bytes());
        out.extend_from_slice(compressed);
    }
    Ok(())
}
