//! Bombs and lying lengths: decompression stops at the cap, and memory follows what is really produced.
//!
//! One test in a binary of its own, since it counts what the whole process allocates. The allocator sees Rust's
//! allocations; zstd's come from C and show in the resident set, which Linux tells.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use stratalog_protocol::records::CodecId;
use stratalog_protocol::records::compression::{CompressionError, compress, decompress};

struct Peak;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system allocator unchanged; only sizes are counted.
unsafe impl GlobalAlloc for Peak {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(NOW.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Peak = Peak;

const MIB: usize = 1 << 20;
const CAP: usize = MIB;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A buffer that doubles needs three times the cap while it moves. Decompresses under the cap and checks outcome, peak of allocations, and (on Linux) growth of the resident set.
fn check(name: &str, codec: CodecId, bomb: &[u8], expected: CompressionError, allocated_max: usize) {
    let (base, resident) = (NOW.load(Relaxed), resident_bytes_peak());
    PEAK.store(base, Relaxed);
    let outcome = decompress(codec, bomb, CAP).map(|output| output.len());
    let allocated = PEAK.load(Relaxed) - base;
    let grown = resident_bytes_peak().saturating_sub(resident);
    println!("{name}: {} bytes in, {allocated} allocated, resident set grew {grown}", bomb.len());
    assert_eq!(outcome, Err(expected), "{name}");
    assert!(allocated <= allocated_max, "{name}: {allocated} bytes allocated");
    assert!(grown <= 24 * MIB, "{name}: resident set grew by {grown}");
}

/// The high-water mark of the resident set; 0 where the system does not tell.
fn resident_bytes_peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: usize = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0);
    kib * 1024
}

fn compressed(codec: CodecId, input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compress(codec, None, input, &mut out).expect("compresses");
    out
}

/// 1 GiB of zeros in 32 KiB: 8192 blocks that each repeat one byte 128 Ki times.
fn zstd_bomb(window_descriptor: u8) -> Vec<u8> {
    let mut frame = [ZSTD_MAGIC.as_slice(), &[0x00, window_descriptor]].concat();
    for at in 0..8192u32 {
        let last = u32::from(at == 8191);
        let head = last | 1 << 1 | (128 << 10) << 3;
        frame.extend_from_slice(&head.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

fn lz4_bomb() -> Vec<u8> {
    // Blocks of 4 MiB: the largest that a frame may ask for.
    let block = lz4_flex::block::compress(&vec![0; 4 * MIB]);
    let mut frame = vec![0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73];
    for _ in 0..256 {
        frame.extend_from_slice(&(block.len() as u32).to_le_bytes());
        frame.extend_from_slice(&block);
    }
    frame.extend_from_slice(&[0; 4]);
    frame
}

#[test]
fn decompression_is_bounded() {
    let too_large = CompressionError::TooLarge { output_bytes_max: CAP };
    let zeros = vec![0; MIB];
    // Each is 1 GiB of zeros, but for snappy, whose ratio ends at 21 and which gets 64 MiB.
    check("zstd", CodecId::ZSTD, &zstd_bomb(13 << 3), too_large, 4 * MIB);
    check("zstd, window 2 GiB", CodecId::ZSTD, &zstd_bomb(21 << 3), too_large, 4 * MIB);
    check("zstd, window 128 MiB", CodecId::ZSTD, &zstd_bomb(17 << 3), too_large, 4 * MIB);
    check("gzip", CodecId::GZIP, &compressed(CodecId::GZIP, &zeros).repeat(1024), too_large, 4 * MIB);
    check("lz4", CodecId::LZ4, &lz4_bomb(), too_large, 4 * MIB);
    check("snappy, xerial", CodecId::SNAPPY, &compressed(CodecId::SNAPPY, &zeros).repeat(64), too_large, 4 * MIB);
    let raw = snap::raw::Encoder::new().compress_vec(&vec![0; 64 * MIB]).expect("compresses");
    check("snappy, raw", CodecId::SNAPPY, &raw, too_large, 64 << 10);

    // Lengths that nothing stands behind.
    let malformed = CompressionError::Malformed;
    check("zstd, window 2 TiB", CodecId::ZSTD, &zstd_bomb(31 << 3), malformed(CodecId::ZSTD), 512 << 10);
    let claim = [ZSTD_MAGIC.as_slice(), &[0xe0], &(1u64 << 60).to_le_bytes(), &[0; 40]].concat();
    check("zstd, content of 2^60", CodecId::ZSTD, &claim, malformed(CodecId::ZSTD), 64 << 10);
    let claim = [ZSTD_MAGIC.as_slice(), &[0xa0], &(1u32 << 20).to_le_bytes(), &[0x03, 0, 0]].concat();
    check("zstd, content of 1 MiB", CodecId::ZSTD, &claim, malformed(CodecId::ZSTD), 256 << 10);
    check("snappy, 1 MiB claimed", CodecId::SNAPPY, &[0x80, 0x80, 0x40, 0, 0], malformed(CodecId::SNAPPY), 1 << 10);
    let mut tiny_blocks = vec![0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73];
    for _ in 0..100_000 {
        tiny_blocks.extend_from_slice(&[2, 0, 0, 0, 0x10, 0]);
    }
    check("lz4, tiny blocks", CodecId::LZ4, &tiny_blocks, malformed(CodecId::LZ4), 512 << 10);
}
