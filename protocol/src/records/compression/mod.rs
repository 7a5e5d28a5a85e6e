//! The codecs of a batch's records, in the framing that Kafka's clients write and read.
//!
//! Owns bounded decompression: output never passes the caller's cap and memory grows with what is really produced, not
//! with what a header claims. Compression is for our own batches; a producer's bytes pass through as they came.

mod lz4;
mod lz4_hc;
mod snappy;
mod xxh32;
mod zstd;

use std::io::{Read, Write};

use flate2::Compression as GzipLevel;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::CodecId;

/// Output buffers start here and double: a small batch stays small.
const OUTPUT_BYTES_START: usize = 16 * 1024;

/// Why bytes do not decompress (or a batch cannot be compressed).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CompressionError {
    #[error("codec {} is unknown", .0.0)]
    UnknownCodec(CodecId),
    #[error("the {} stream is malformed", codec_name(*.0))]
    Malformed(CodecId),
    #[error("the output passes {output_bytes_max} bytes")]
    TooLarge { output_bytes_max: usize },
    #[error("level {level} is outside the bounds of {}", codec_name(*codec))]
    InvalidLevel { codec: CodecId, level: i32 },
}

/// Kafka's name of a codec, as in `compression.type`.
pub fn codec_name(codec: CodecId) -> &'static str {
    match codec {
        CodecId::NONE => "none",
        CodecId::GZIP => "gzip",
        CodecId::SNAPPY => "snappy",
        CodecId::LZ4 => "lz4",
        CodecId::ZSTD => "zstd",
        _ => "unknown codec",
    }
}

/// The whole output of `input`, of at most `output_bytes_max` bytes.
pub fn decompress(codec: CodecId, input: &[u8], output_bytes_max: usize) -> Result<Vec<u8>, CompressionError> {
    match codec {
        CodecId::NONE if input.len() > output_bytes_max => Err(CompressionError::TooLarge { output_bytes_max }),
        CodecId::NONE => Ok(input.to_vec()),
        CodecId::GZIP => read_capped(codec, MultiGzDecoder::new(input), output_bytes_max),
        CodecId::SNAPPY => snappy::decompress(input, output_bytes_max),
        CodecId::LZ4 => lz4::decompress(input, output_bytes_max),
        CodecId::ZSTD => zstd::decompress(input, output_bytes_max),
        unknown => Err(CompressionError::UnknownCodec(unknown)),
    }
}

/// Appends `input`, compressed, to `out`. `level` is the codec's own scale, as in `compression.*.level`; `None` is Kafka's
/// default. Snappy and `none` have no levels.
pub fn compress(codec: CodecId, level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
    match codec {
        CodecId::NONE => {
            out.extend_from_slice(input);
            Ok(())
        }
        CodecId::GZIP => compress_gzip(level, input, out),
        CodecId::SNAPPY => snappy::compress(input, out),
        CodecId::LZ4 => lz4::compress(level, input, out),
        CodecId::ZSTD => zstd::compress(level, input, out),
        unknown => Err(CompressionError::UnknownCodec(unknown)),
    }
}

fn compress_gzip(level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
    let level = match level {
        None | Some(-1) => GzipLevel::default(),
        Some(level @ 1..=9) => GzipLevel::new(level.unsigned_abs()),
        Some(level) => return Err(CompressionError::InvalidLevel { codec: CodecId::GZIP, level }),
    };
    let mut encoder = GzEncoder::new(out, level);
    let written = encoder.write_all(input).and_then(|()| encoder.finish());
    written.map(|_| ()).map_err(|_| CompressionError::Malformed(CodecId::GZIP))
}

/// Reads a decoder to its end, growing the output as it comes, and stops one byte past the cap.
fn read_capped(codec: CodecId, decoder: impl Read, output_bytes_max: usize) -> Result<Vec<u8>, CompressionError> {
    let mut output = Vec::with_capacity(OUTPUT_BYTES_START.min(output_bytes_max));
    let limit = u64::try_from(output_bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(limit).read_to_end(&mut output).map_err(|_| CompressionError::Malformed(codec))?;
    if output.len() > output_bytes_max {
        return Err(CompressionError::TooLarge { output_bytes_max });
    }
    Ok(output)
}
