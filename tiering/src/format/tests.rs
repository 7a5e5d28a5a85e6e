//! Round trips, the golden object, and bytes that lie.

use bytes::Bytes;
use proptest::prelude::*;
use stratalog_types::{LeaderEpoch, Offset, PartitionIndex, ProducerId, TopicId};

use super::*;
use crate::fixtures::{Noise, joined, runs};
use crate::object_key::TierPartition;

const GOLDEN: &[u8] = include_bytes!("../../tests/golden/segment-v1.bin");

fn footer(chunks: Vec<ChunkRow>) -> Footer {
    Footer {
        chunks,
        aborted: vec![AbortedTransaction {
            producer_id: ProducerId(4711),
            first_offset: Offset(101),
            last_offset: Offset(120),
            last_stable_offset: Offset(100),
        }],
        epochs: vec![
            EpochStart { epoch: LeaderEpoch(0), start_offset: Offset(0) },
            EpochStart { epoch: LeaderEpoch(3), start_offset: Offset(150) },
        ],
        producer_snapshot: Bytes::from_static(b"snapshot of producers"),
        topic: TopicSection {
            of: TierPartition { topic_id: TopicId::from_bytes([7; 16]), partition: PartitionIndex(3) },
            name: "orders".into(),
            config: vec![("cleanup.policy".into(), "delete".into()), ("retention.ms".into(), "-1".into())],
        },
        digest: SegmentDigest { segment: Sha256([1; 32]), previous: Sha256([2; 32]) },
    }
}

/// An object of one packed and one raw chunk.
fn object() -> (Vec<u8>, Vec<u8>) {
    let (mut bytes, mut raw, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    let mut encoder = ChunkEncoder::new(DEFAULT_LEVEL).expect("zstd");
    for run in [runs(100, 1, 300, true, 1).remove(0), runs(200, 1, 900, false, 2).remove(0)] {
        let packed = encoder.encode(run.bytes.clone()).expect("encodes");
        rows.push(ChunkRow {
            base_offset: run.base_offset,
            last_offset: run.last_offset,
            min_timestamp: run.min_timestamp,
            max_timestamp: run.max_timestamp,
            position: bytes.len() as u64,
            stored_bytes: packed.stored.len() as u32,
            raw_bytes: run.bytes.len() as u32,
            crc: packed.crc,
            codec: packed.codec,
        });
        bytes.extend_from_slice(&packed.stored);
        raw.extend_from_slice(&run.bytes);
    }
    let mut footer = footer(rows);
    let mut digest = Digest::default();
    digest.update(&raw);
    footer.digest.segment = digest.finish();
    let encoded = footer.encode().expect("encodes");
    let tail = Tail {
        footer_position: bytes.len() as u64,
        footer_bytes: encoded.len() as u32,
        footer_crc: crc32c::crc32c(&encoded),
    };
    bytes.extend_from_slice(&encoded);
    bytes.extend_from_slice(&tail.encode());
    (bytes, raw)
}

/// All that a reader does with an object.
fn open(object: &Bytes) -> Result<(Footer, Vec<u8>), FormatError> {
    let tail = Tail::decode(object, object.len() as u64)?;
    let end = tail.footer_position as usize + tail.footer_bytes as usize;
    let encoded = object.slice(tail.footer_position as usize..end);
    let footer = Footer::decode(&encoded, tail.footer_crc, tail.footer_position)?;
    let (mut decoder, mut raw) = (ChunkDecoder::new()?, Vec::new());
    for row in &footer.chunks {
        raw.extend_from_slice(&decoder.decode(row, object.slice(row.position as usize..row.end_position() as usize))?);
    }
    Ok((footer, raw))
}

#[test]
#[ignore = "writes the golden object; only for a new version of the format, under a new name"]
fn write_golden() {
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/segment-v1.bin"), object().0).expect("written");
}

#[test]
fn version_1_is_read_as_it_was_written() {
    let golden = Bytes::from_static(GOLDEN);
    let (read, raw) = open(&golden).expect("the golden object opens");
    let (_, expected) = object();
    assert_eq!(raw, expected);
    let mut written = footer(read.chunks.clone());
    written.digest.segment = read.digest.segment;
    assert_eq!(read, written);
    assert_eq!(read.chunks.iter().map(|row| row.codec).collect::<Vec<_>>(), [Codec::ZSTD, Codec::RAW]);
    let intervals: Vec<_> = read.chunks.iter().map(|row| (row.base_offset.get(), row.last_offset.get())).collect();
    assert_eq!(intervals, [(100, 199), (200, 299)]);
    // What is written for it today is the same, byte for byte, from the footer on (zstd's output may change).
    let tail = Tail::decode(&golden, golden.len() as u64).expect("tail");
    let mut today = read.encode().expect("encodes").to_vec();
    today.extend_from_slice(&tail.encode());
    assert_eq!(today, GOLDEN[tail.footer_position as usize..]);
    // And its bytes are the documented ones.
    assert_eq!(&GOLDEN[GOLDEN.len() - 8..], b"STRATSEG");
    assert_eq!(&today[..8], [0, 1, 0, 1, 0, 0, 0, 4 + 2 * 56]);
}

#[test]
fn sections_unknown_are_skipped_unless_they_are_critical() {
    let rows = open(&object().0.into()).expect("opens").0.chunks;
    let end = rows.last().expect("chunks").end_position();
    let good = footer(rows);
    for (flags, expected) in [(0u16, Ok(good.clone())), (1, Err(FormatError::UnknownSection { kind: 99 }))] {
        let mut bytes = good.encode().expect("encodes").to_vec();
        bytes.extend_from_slice(&99u16.to_be_bytes());
        bytes.extend_from_slice(&flags.to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 3, b'a', b'b', b'c']);
        let bytes = Bytes::from(bytes);
        assert_eq!(Footer::decode(&bytes, crc32c::crc32c(&bytes), end), expected);
    }
}

#[test]
fn tails_of_others_are_named() {
    let (object, _) = object();
    let length = object.len();
    // The checksum is repaired, so that each field is judged by itself.
    let altered = |position: usize, byte: u8| {
        let mut tail = object[length - TAIL_BYTES..].to_vec();
        tail[position] = byte;
        let crc = crc32c::crc32c(&tail[..32]);
        tail[32..36].copy_from_slice(&crc.to_be_bytes());
        Tail::decode(&tail.into(), length as u64)
    };
    assert_eq!(altered(40, b'X'), Err(FormatError::Magic));
    assert_eq!(altered(29, 2), Err(FormatError::Version { version: 2 }));
    assert_eq!(altered(19, 5), Err(FormatError::Encrypted { key_id: 5 }));
    assert!(matches!(altered(0, 0x80), Err(FormatError::Invalid { .. })));
    assert!(matches!(altered(8, 0x80), Err(FormatError::Invalid { .. })));
    let cut = Bytes::from(object).slice(..length - 1);
    assert!(Tail::decode(&cut, length as u64 - 1).is_err());
}

fn row(base: i64, last: i64, position: u64, stored: u32) -> ChunkRow {
    ChunkRow {
        base_offset: Offset(base),
        last_offset: Offset(last),
        min_timestamp: -1,
        max_timestamp: -1,
        position,
        stored_bytes: stored,
        raw_bytes: stored,
        crc: 0,
        codec: Codec::RAW,
    }
}

#[test]
fn chunk_tables_that_readers_could_not_trust_are_refused() {
    let decode = |rows: Vec<ChunkRow>| {
        let bytes = footer(rows).encode().expect("encodes");
        Footer::decode(&bytes, crc32c::crc32c(&bytes), 1000)
    };
    assert!(decode(vec![row(0, 9, 0, 500), row(10, 19, 500, 500)]).is_ok());
    let mut huge = row(0, 9, 0, 10);
    (huge.raw_bytes, huge.codec) = (u32::MAX, Codec::ZSTD);
    let mut two_lengths = row(0, 9, 0, 10);
    two_lengths.raw_bytes = 11;
    for bad in [
        vec![],
        vec![row(0, 9, 0, 500), row(9, 19, 500, 500)],
        vec![row(0, 9, 0, 500), row(10, 19, 499, 500)],
        vec![row(0, 9, 500, 500), row(10, 19, 0, 500)],
        vec![row(0, 9, 0, 500), row(10, 19, 501, 500)],
        vec![row(0, 9, u64::MAX, 500)],
        vec![row(-1, 9, 0, 500)],
        vec![row(10, 9, 0, 500)],
        vec![row(0, 9, 0, 0)],
        vec![huge],
        vec![two_lengths],
    ] {
        assert!(decode(bad.clone()).is_err(), "{bad:?}");
    }
}

#[test]
fn a_bomb_is_stopped_at_the_length_its_row_promises() {
    let bomb = zstd::bulk::compress(&vec![0u8; 64 << 20], 1).expect("packs");
    let mut row = row(0, 9, 0, bomb.len() as u32);
    (row.raw_bytes, row.codec, row.crc) = (1000, Codec::ZSTD, crc32c::crc32c(&bomb));
    let mut decoder = ChunkDecoder::new().expect("zstd");
    let mut buffer = Vec::new();
    assert!(matches!(decoder.decode_into(&row, &bomb, &mut buffer), Err(FormatError::Invalid { .. })));
    assert!(buffer.capacity() < 1 << 20);
    // A shorter frame than promised is no better.
    row.raw_bytes = 65 << 20;
    assert!(decoder.decode_into(&row, &bomb, &mut buffer).is_err());
    row.codec = Codec(9);
    assert!(decoder.decode_into(&row, &bomb, &mut buffer).is_err());
}

#[test]
fn encoders_find_out_when_packing_pays_again() {
    let mut noise = Noise(3);
    let (events, noise) = (Bytes::from(noise.events(200_000)), Bytes::from(noise.bytes(200_000)));
    let mut encoder = ChunkEncoder::new(DEFAULT_LEVEL).expect("zstd");
    let codecs =
        [&events, &noise, &noise, &events, &events].map(|raw| encoder.encode(raw.clone()).expect("encodes").codec);
    assert_eq!(codecs, [Codec::ZSTD, Codec::RAW, Codec::RAW, Codec::ZSTD, Codec::ZSTD]);
}

#[test]
fn footers_of_large_segments_stay_small() {
    assert_eq!(chunk_target_bytes(0), CHUNK_RAW_BYTES);
    for segment in [64u64 << 20, 1 << 30, 8 << 30] {
        let chunks = segment.div_ceil(chunk_target_bytes(segment) as u64) as usize;
        let rows = (0..chunks).map(|number| row(number as i64, number as i64, number as u64, 1)).collect();
        assert!(footer(rows).encode().expect("encodes").len() < 64 * 1024);
    }
}

#[test]
fn digests_chain() {
    let first = SegmentDigest { segment: Sha256([1; 32]), previous: Sha256::default() };
    let second = SegmentDigest { segment: Sha256([1; 32]), previous: first.chain() };
    assert_ne!(first.chain(), second.chain());
    // SHA-256 of "abc".
    let mut digest = Digest::default();
    digest.update(b"a");
    digest.update(b"bc");
    assert_eq!(digest.finish().to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

proptest! {
    #[test]
    fn objects_round_trip(seed in 1u64.., count in 1usize..5, batch_bytes in 0usize..2000, packs: bool) {
        let given = runs(5, count, batch_bytes, packs, seed);
        let mut encoder = ChunkEncoder::new(DEFAULT_LEVEL).expect("zstd");
        let mut decoder = ChunkDecoder::new().expect("zstd");
        let raw = Bytes::from(joined(&given));
        let packed = encoder.encode(raw.clone()).expect("encodes");
        let mut row = row(5, 5 + 100 * count as i64, 0, packed.stored.len() as u32);
        (row.raw_bytes, row.crc, row.codec) = (raw.len() as u32, packed.crc, packed.codec);
        prop_assert_eq!(decoder.decode(&row, packed.stored).expect("decodes"), raw);
    }

    #[test]
    fn damaged_objects_never_panic_and_never_read_wrong(position: prop::sample::Index, bit in 0u8..8, cut: prop::sample::Index, cuts: bool) {
        let (good, raw) = object();
        let expected = open(&good.clone().into()).expect("opens").0;
        let mut bytes = good;
        let position = position.index(bytes.len());
        bytes[position] ^= 1 << bit;
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        // The tail has eight bytes that mean nothing; elsewhere a flipped bit is found.
        if let Ok((footer, read)) = open(&bytes.into()) {
            prop_assert_eq!(footer, expected);
            prop_assert_eq!(read, raw);
        }
    }

    #[test]
    fn arbitrary_footers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), object_bytes: u64) {
        let bytes = Bytes::from(bytes);
        let _ = Footer::decode(&bytes, crc32c::crc32c(&bytes), object_bytes);
        let _ = Tail::decode(&bytes, object_bytes);
    }

    #[test]
    fn sections_of_arbitrary_bytes_never_panic(kind in 1u16..9, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = vec![0, kind as u8, 0, 1];
        bytes.extend_from_slice(&(body.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&body);
        let bytes = Bytes::from(bytes);
        let _ = Footer::decode(&bytes, crc32c::crc32c(&bytes), 1 << 40);
    }
}
