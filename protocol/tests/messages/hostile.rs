//! Bytes that no client sends: never a panic, never memory out of proportion.

use bytes::Bytes;
use stratalog_protocol::messages::*;
use stratalog_protocol::{Decoder, Message, RequestHeader};

use crate::allocations::peak_bytes_of;
use crate::frames::{self, Random};
use crate::list::for_each_message;

const DENSE_FRAME_BYTES: usize = 192 << 10;

/// The decoder's promise, tripled since a vector that doubles holds its old and its new room while it moves.
fn allowed_bytes(frame_bytes: usize) -> usize {
    3 * (16 * frame_bytes).max(64 << 10)
}

/// Decodes; whatever comes out is fine, as long as it comes out and stays small.
fn feed<M: Message>(bytes: Vec<u8>, version: i16, how: &str) -> usize {
    let length = bytes.len();
    let frame = Bytes::from(bytes);
    let peak = peak_bytes_of(|| M::decode(&mut Decoder::new(frame.clone()), version));
    let allowed = allowed_bytes(length);
    assert!(peak <= allowed, "{} v{version}, {how}: {peak} bytes held for {frame:?}", M::NAME);
    peak
}

/// Overwrites each place of a good body in turn with lengths that lie.
fn lying_lengths<M: Message>(version: i16) {
    let body = frames::body::<M>(version, 1);
    let lies: [&[u8]; 6] = [
        &[0x7f, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xfe],
        &[0x00, 0x0f, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0xff, 0xff, 0xff, 0x7f],
        &[0x80, 0x80, 0x40],
    ];
    for lie in lies {
        for position in 0..body.len() {
            let mut bytes = body.clone();
            bytes.splice(position..(position + lie.len()).min(body.len()), lie.iter().copied());
            feed::<M>(bytes, version, &format!("lie {lie:02x?} at {position}"));
        }
    }
}

fn mutations<M: Message>(version: i16) {
    for seed in 0..60 {
        let mut random = Random(seed);
        let mut bytes = frames::body::<M>(version, seed);
        for _ in 0..1 + random.below(4) {
            let position = random.below(bytes.len() + 1);
            match random.below(4) {
                0 => bytes.truncate(position),
                1 => bytes.insert(position, random.next() as u8),
                2 => bytes.extend_from_within(position..),
                _ => bytes.iter_mut().skip(position).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
            }
        }
        feed::<M>(bytes, version, &format!("mutation, seed {seed}"));
    }
}

fn arbitrary_bytes<M: Message>(version: i16) {
    for seed in 0..60 {
        let mut random = Random(seed);
        let length = random.below(200);
        // Small bytes make plausible lengths and so get further.
        let mask = if seed % 2 == 0 { 0xff } else { 0x03 };
        let bytes = (0..length).map(|_| random.next() as u8 & mask).collect();
        feed::<M>(bytes, version, &format!("arbitrary bytes, seed {seed}"));
    }
}

#[test]
fn hostile_bodies_neither_panic_nor_hold_much_memory() {
    macro_rules! check {
        ($message:ident) => {
            for version in $message::MIN_VERSION..=$message::MAX_VERSION {
                lying_lengths::<$message>(version);
                mutations::<$message>(version);
                arbitrary_bytes::<$message>(version);
            }
        };
    }
    for_each_message!(check);
}

/// A frame whose counts are honest can still be far denser on the wire than in memory.
#[test]
fn empty_elements_stop_at_the_allowance() {
    let mut most = 0;
    macro_rules! check {
        ($message:ident) => {
            let body = frames::body::<$message>($message::MAX_VERSION, 1);
            for position in 0..body.len().min(40) {
                for (count, fill) in [([0xff, 0xff, 0x07], 1), ([0xff, 0xff, 0x03], 1), ([0xff, 0xff, 0x03], 0)] {
                    let mut bytes = [&body[..position], &count].concat();
                    bytes.resize(DENSE_FRAME_BYTES, fill);
                    most = most.max(feed::<$message>(bytes, $message::MAX_VERSION, "empty elements"));
                }
            }
        };
    }
    for_each_message!(check);
    println!("at most {most} bytes held for a frame of {DENSE_FRAME_BYTES}");
    assert!(most > 8 * DENSE_FRAME_BYTES, "nothing came near the allowance: the test lost its teeth");
}

#[test]
fn hostile_headers_are_errors() {
    for seed in 0..20_000 {
        let mut random = Random(seed);
        let bytes: Vec<u8> =
            (0..random.below(30)).map(|i| (random.next() as u8) & if i < 3 { 0x1f } else { 0xff }).collect();
        let frame = Bytes::from(bytes);
        let peak = peak_bytes_of(|| RequestHeader::decode(&mut Decoder::new(frame.clone())));
        assert!(peak <= allowed_bytes(frame.len()), "seed {seed}: {peak} bytes held");
    }
}
