//! LZ4 blocks that take longer to make and are smaller: chains of earlier places with the same four bytes, and one look
//! ahead. The level says how many places are tried.
//!
//! ```text
//! token u8         literals in the high four bits, match length - 4 in the low ones; 15: bytes follow, up to one < 255
//! literals         as many
//! distance u16 LE  1 to 65535 back; none after the last literals
//! ```
//!
//! A block ends with at least five literals, and its last match starts at least twelve bytes before its end.

use std::ops::Range;

/// Blocks of this size have no place that a distance cannot reach.
pub(super) const BLOCK_BYTES: usize = 64 * 1024;
const MATCH_BYTES_MIN: usize = 4;
const LITERALS_LAST: usize = 5;
const MATCH_START_LAST: usize = 12;
const DISTANCE_MAX: usize = 65_535;
const HASH_BITS: u32 = 15;
const NOWHERE: u32 = u32::MAX;
/// Above this level more places are no gain in a block of 64 KiB.
const ATTEMPTS_MAX: u32 = 1 << 14;

/// The memory of an encoder, used again for each block.
pub(super) struct BlockEncoder {
    /// The last place with a hash.
    heads: Vec<u32>,
    /// The place before, by place.
    before: Vec<u32>,
    attempts_max: u32,
}

#[derive(Clone, Copy)]
struct Match {
    start: usize,
    length: usize,
    distance: usize,
}

impl BlockEncoder {
    /// `level` is 1 to 17, as in `compression.lz4.level`.
    pub(super) fn new(level: u32) -> BlockEncoder {
        let attempts_max = 1u32.checked_shl(level.saturating_sub(1)).unwrap_or(ATTEMPTS_MAX).min(ATTEMPTS_MAX);
        BlockEncoder { heads: vec![NOWHERE; 1 << HASH_BITS], before: vec![NOWHERE; BLOCK_BYTES], attempts_max }
    }

    /// Appends the block that `input`, of [`BLOCK_BYTES`] at most, becomes.
    pub(super) fn encode(&mut self, input: &[u8], out: &mut Vec<u8>) {
        self.heads.fill(NOWHERE);
        let mut anchor = 0;
        let mut at = 0;
        let mut noted = 0;
        while at + MATCH_START_LAST < input.len() {
            let Some(mut found) = self.longest(input, at, &mut noted) else {
                at += 1;
                continue;
            };
            // A longer one that starts a byte later is worth a literal.
            while found.start + 1 + MATCH_START_LAST < input.len()
                && let Some(later) = self.longest(input, found.start + 1, &mut noted)
                && later.length > found.length
            {
                found = later;
            }
            put_sequence(out, input, anchor..found.start, Some(found));
            at = found.start + found.length;
            anchor = at;
        }
        put_sequence(out, input, anchor..input.len(), None);
    }

    /// The longest match for what starts at `at`, among the places before it, which are noted up to there.
    fn longest(&mut self, input: &[u8], at: usize, noted: &mut usize) -> Option<Match> {
        while *noted < at {
            if let Some(hash) = hash_at(input, *noted)
                && let (Some(head), Some(before)) = (self.heads.get_mut(hash), self.before.get_mut(*noted))
            {
                *before = std::mem::replace(head, *noted as u32);
            }
            *noted += 1;
        }
        let own = input.get(at..input.len().checked_sub(LITERALS_LAST)?)?;
        let mut place = self.heads.get(hash_at(input, at)?).copied()?;
        let mut best: Option<Match> = None;
        for _ in 0..self.attempts_max {
            let start = place as usize;
            let distance = at.checked_sub(start).filter(|distance| (1..=DISTANCE_MAX).contains(distance));
            let (Some(distance), Some(earlier)) = (distance, input.get(start..)) else { break };
            let length = common_bytes(own, earlier);
            if length >= MATCH_BYTES_MIN && best.is_none_or(|best| length > best.length) {
                best = Some(Match { start: at, length, distance });
                if length == own.len() {
                    break;
                }
            }
            place = self.before.get(start).copied().unwrap_or(NOWHERE);
        }
        best
    }
}

fn hash_at(input: &[u8], at: usize) -> Option<usize> {
    let word = u32::from_le_bytes(*input.get(at..)?.first_chunk()?);
    Some((word.wrapping_mul(2_654_435_761) >> (32 - HASH_BITS)) as usize)
}

/// How many bytes the two begin with alike.
fn common_bytes(one: &[u8], other: &[u8]) -> usize {
    let ((ones, _), (others, _)) = (one.as_chunks::<8>(), other.as_chunks::<8>());
    let alike = ones.iter().zip(others).take_while(|(a, b)| a == b).count() * 8;
    let (Some(one), Some(other)) = (one.get(alike..), other.get(alike..)) else { return alike };
    alike + one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

fn put_sequence(out: &mut Vec<u8>, input: &[u8], literals: Range<usize>, found: Option<Match>) {
    let literals = input.get(literals).unwrap_or_default();
    let beyond = found.map_or(0, |found| found.length - MATCH_BYTES_MIN);
    out.push((literals.len().min(15) << 4 | beyond.min(15)) as u8);
    put_more(out, literals.len());
    out.extend_from_slice(literals);
    if let Some(found) = found {
        out.extend_from_slice(&(found.distance as u16).to_le_bytes());
        put_more(out, beyond);
    }
}

/// What of a length the token's four bits did not say.
fn put_more(out: &mut Vec<u8>, length: usize) {
    let Some(mut more) = length.checked_sub(15) else { return };
    while more >= 255 {
        out.push(255);
        more -= 255;
    }
    out.push(more as u8);
}
