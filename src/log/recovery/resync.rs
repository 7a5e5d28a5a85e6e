//! Where whole batches go on behind bad bytes.
//!
//! A batch may begin at any byte, and a value may be made of what looks like headers, each of which claims all that
//! follows. So no claimed range is read by itself: its CRC is what those of all that lies before its two ends leave, and
//! these are kept every few bytes. Each byte of the file counts about once, and each header a little more.

use std::io;
use std::sync::LazyLock;

use stratalog_protocol::records::{BATCH_HEADER_BYTES, BatchHeader};

use super::walk::{CRC_COVERED_FROM, READ_BYTES};
use crate::platform::disk::DiskFile;

/// Bytes behind a bad batch in which the next good one is looked for.
const RESYNC_BYTES_MAX: u64 = 256 << 20;
/// Where the magic byte lies in a batch; it is 2.
const MAGIC_AT: usize = 16;

/// The first whole batch behind `position`, with a matching CRC and an offset of at least `offset_min`.
pub fn next_good(log: &DiskFile, position: u64, size_bytes: u64, offset_min: i64) -> io::Result<Option<(u64, i64)>> {
    look(&mut RangeCrcs::new(log, size_bytes), position, offset_min)
}

pub fn look(crcs: &mut RangeCrcs<'_>, position: u64, offset_min: i64) -> io::Result<Option<(u64, i64)>> {
    let (log, size_bytes) = (crcs.log, crcs.size_bytes);
    let until = size_bytes.min(position.saturating_add(RESYNC_BYTES_MAX));
    let mut window = vec![0; READ_BYTES];
    let mut at = position + 1;
    while at + BATCH_HEADER_BYTES as u64 <= until {
        let read = log.read_at(&mut window, at)?;
        let filled = window.get(..read).unwrap_or_default();
        for (from, bytes) in filled.windows(BATCH_HEADER_BYTES).enumerate() {
            if bytes.get(MAGIC_AT) != Some(&2) {
                continue;
            }
            let Ok(header) = BatchHeader::decode(bytes) else { continue };
            let begin = at + from as u64;
            let end = begin + header.batch_bytes() as u64;
            let fits = end <= size_bytes && header.last_offset_delta >= 0;
            let follows = header.base_offset >= offset_min && header.base_offset - offset_min <= i64::from(i32::MAX);
            if fits && follows && crcs.crc(begin + CRC_COVERED_FROM, end)? == header.crc {
                return Ok(Some((begin, header.base_offset)));
            }
        }
        at += (read.saturating_sub(BATCH_HEADER_BYTES - 1)).max(1) as u64;
    }
    Ok(None)
}

/// So far apart CRCs are kept: 16 MiB of them for a file of 2 GiB.
const MARK_BYTES: usize = 512;

/// CRC-32Cs of ranges of a file. None may begin before the first one.
pub struct RangeCrcs<'f> {
    log: &'f DiskFile,
    size_bytes: u64,
    /// Where the first range began.
    origin: u64,
    /// The CRCs of what lies between there and each multiple of [`MARK_BYTES`] behind it.
    marks: Vec<u32>,
    buffer: Vec<u8>,
    /// How many bytes were looked at.
    pub looked_at_bytes: u64,
}

impl<'f> RangeCrcs<'f> {
    pub fn new(log: &'f DiskFile, size_bytes: u64) -> RangeCrcs<'f> {
        RangeCrcs { log, size_bytes, origin: 0, marks: Vec::new(), buffer: Vec::new(), looked_at_bytes: 0 }
    }

    pub fn crc(&mut self, begin: u64, end: u64) -> io::Result<u32> {
        if self.marks.is_empty() {
            self.origin = begin;
            self.marks.push(0);
        }
        let before = self.crc_up_to(begin)?;
        Ok(self.crc_up_to(end)? ^ over_zeros(before, end - begin))
    }

    /// Of all between the first range's begin and `position`.
    fn crc_up_to(&mut self, position: u64) -> io::Result<u32> {
        let mark_bytes = MARK_BYTES as u64;
        let mark = (position - self.origin) / mark_bytes;
        while (self.marks.len() as u64) <= mark {
            self.extend()?;
        }
        let known = usize::try_from(mark).ok().and_then(|mark| self.marks.get(mark)).copied().unwrap_or_default();
        let from = self.origin + mark * mark_bytes;
        let mut rest = [0; MARK_BYTES];
        let rest = rest.get_mut(..usize::try_from(position - from).unwrap_or(0)).unwrap_or_default();
        if self.log.read_at(rest, from)? < rest.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.looked_at_bytes += rest.len() as u64;
        Ok(crc32c::crc32c_append(known, rest))
    }

    /// Keeps the CRCs of the next piece of the file.
    fn extend(&mut self) -> io::Result<()> {
        self.buffer.resize(READ_BYTES, 0);
        let Some(mut crc) = self.marks.last().copied() else { return Ok(()) };
        let from = self.origin + (self.marks.len() - 1) as u64 * MARK_BYTES as u64;
        let read = self.log.read_at(&mut self.buffer, from)?;
        let (pieces, _) = self.buffer.get(..read).unwrap_or_default().as_chunks::<MARK_BYTES>();
        if pieces.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for piece in pieces {
            crc = crc32c::crc32c_append(crc, piece);
            self.marks.push(crc);
        }
        self.looked_at_bytes += (pieces.len() * MARK_BYTES) as u64;
        Ok(())
    }
}

/// What a CRC becomes, bit by bit of it, over 2^n zero bytes.
static OVER_ZEROS: LazyLock<[[u32; 32]; 32]> =
    LazyLock::new(|| std::array::from_fn(|n| std::array::from_fn(|bit| crc32c::crc32c_combine(1 << bit, 0, 1 << n))));

/// What the CRC of some bytes adds to that of these bytes and `count` more.
fn over_zeros(crc: u32, count: u64) -> u32 {
    let powers = OVER_ZEROS.iter().enumerate().filter(|(n, _)| count >> n & 1 == 1);
    powers.fold(crc, |crc, (_, of_bits)| {
        of_bits.iter().enumerate().filter(|(bit, _)| crc >> bit & 1 == 1).fold(0, |sum, (_, of_bit)| sum ^ of_bit)
    })
}
