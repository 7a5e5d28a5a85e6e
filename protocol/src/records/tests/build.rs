//! The builder, the codecs and the setting of timestamps.

use proptest::prelude::*;

use super::super::compression::{CompressionError, compress, decompress};
use super::*;

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..max),
        (any::<u8>(), 0..max).prop_map(|(byte, length)| vec![byte; length]),
    ]
}

pub(super) fn records() -> impl Strategy<Value = Vec<OwnedRecord>> {
    let header = (".{0,8}", proptest::option::of(bytes(20)));
    let fields = (
        prop_oneof![9 => -1i64..4_000_000_000_000, 1 => any::<i64>()],
        1i64..3,
        proptest::option::of(bytes(40)),
        proptest::option::of(bytes(3000)),
        proptest::collection::vec(header, 0..4),
    );
    proptest::collection::vec(fields, 1..30).prop_map(|fields| {
        let mut offset = -1;
        let with_offset = |(timestamp, step, key, value, headers)| {
            offset += step;
            OwnedRecord { offset, timestamp, key, value, headers }
        };
        fields.into_iter().map(with_offset).collect()
    })
}

pub(super) fn codec() -> impl Strategy<Value = CodecId> {
    proptest::sample::select(&CODECS[..])
}

proptest! {
    #[test]
    fn what_is_built_reads_back(records in records(), codec in codec()) {
        let mut builder = BatchBuilder::new(0).codec(codec);
        for record in &records {
            record.append_to(&mut builder).expect("appends");
        }
        let bytes = builder.build().expect("builds");
        prop_assert_eq!(&read_all(&bytes), &records);
        let header = BatchHeader::decode(&bytes).expect("a header");
        prop_assert_eq!(Some(header.last_offset()), records.last().map(|record| record.offset));
        let latest = records.iter().map(|record| record.timestamp).max().unwrap_or(-1);
        prop_assert_eq!(header.max_timestamp, latest.max(-1));
    }

    #[test]
    fn codecs_return_what_they_took(input in bytes(200_000), codec in codec()) {
        let mut compressed = Vec::new();
        compress(codec, None, &input, &mut compressed).expect("compresses");
        prop_assert_eq!(decompress(codec, &compressed, input.len()).expect("fits exactly"), input.clone());
        if let Some(too_few) = input.len().checked_sub(1) {
            let refused = decompress(codec, &compressed, too_few);
            prop_assert_eq!(refused, Err(CompressionError::TooLarge { output_bytes_max: too_few }));
        }
    }

    #[test]
    fn a_cut_stream_is_never_taken_for_a_whole_one(
        input in bytes(100_000),
        codec in codec(),
        cut in prop_oneof![0..10u16, any::<u16>()],
    ) {
        let mut compressed = Vec::new();
        compress(codec, None, &input, &mut compressed).expect("compresses");
        compressed.truncate(compressed.len().saturating_sub(1 + usize::from(cut)));
        let output = decompress(codec, &compressed, CAP);
        // Snappy in blocks has no end: cut between two it is a shorter stream, which the record count then betrays.
        let shorter = |output: Vec<u8>| output.len() < input.len() && input.starts_with(&output);
        match codec {
            CodecId::NONE => {}
            CodecId::SNAPPY => prop_assert!(output.is_err() || input.is_empty() || output.is_ok_and(shorter)),
            // Nothing at all is nothing, in gzip and zstd as the libraries read them.
            _ => prop_assert!(output.is_err() || compressed.is_empty()),
        }
    }
}

proptest! {
    #[test]
    fn every_level_of_lz4_returns_what_it_took(input in prop_oneof![bytes(200_000), words(200_000)], level in 1..=17) {
        let mut compressed = Vec::new();
        compress(CodecId::LZ4, Some(level), &input, &mut compressed).expect("compresses");
        prop_assert_eq!(decompress(CodecId::LZ4, &compressed, input.len()).expect("fits exactly"), input);
    }
}

/// Text of few words: matches at every distance and of every length.
fn words(max: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(("[a-c]{1,4}", 1..40usize), 0..max / 60)
        .prop_map(|words| words.into_iter().flat_map(|(word, times)| word.repeat(times).into_bytes()).collect())
}

#[test]
fn a_thorough_level_of_lz4_is_smaller() {
    let words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"];
    let mut state = 1u32;
    let mut text = String::new();
    for _ in 0..20_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push_str(words[(state >> 29) as usize]);
        text.push((b'0' + (state >> 20 & 7) as u8) as char);
    }
    let size = |level| {
        let mut compressed = Vec::new();
        compress(CodecId::LZ4, level, text.as_bytes(), &mut compressed).expect("compresses");
        assert_eq!(decompress(CodecId::LZ4, &compressed, text.len()), Ok(text.clone().into_bytes()));
        compressed.len()
    };
    assert_eq!(size(None), size(Some(9)), "Kafka's default is the fast encoder");
    assert!(size(Some(12)) < size(Some(3)) && size(Some(3)) < size(None));
    assert!(size(Some(12)) * 10 < size(None) * 9);
}

#[test]
fn levels_have_bounds() {
    let at = |codec, level| compress(codec, Some(level), b"some bytes", &mut Vec::new());
    assert_eq!(at(CodecId::GZIP, 10), Err(CompressionError::InvalidLevel { codec: CodecId::GZIP, level: 10 }));
    assert_eq!(at(CodecId::ZSTD, 23), Err(CompressionError::InvalidLevel { codec: CodecId::ZSTD, level: 23 }));
    for level in [0, 18, -1] {
        assert_eq!(at(CodecId::LZ4, level), Err(CompressionError::InvalidLevel { codec: CodecId::LZ4, level }));
    }
    assert_eq!(at(CodecId::LZ4, 17), Ok(()));
    assert_eq!(at(CodecId::GZIP, 9), Ok(()));
    assert_eq!(at(CodecId::ZSTD, 22), Ok(()));
}

#[test]
fn a_builder_refuses_what_is_no_batch() {
    assert_eq!(BatchBuilder::new(0).build(), Err(BuildError::Empty));
    let mut builder = BatchBuilder::new(10);
    builder.append_at(12, &NewRecord::default()).expect("a hole is fine");
    let refused = builder.append_at(12, &NewRecord::default());
    assert_eq!(refused, Err(BuildError::OffsetOrder { offset: 12, base_offset: 10 }));
    let unknown = BatchBuilder::new(0).codec(CodecId(6));
    let mut with_record = unknown.clone();
    with_record.append(&NewRecord::default()).expect("appends");
    assert!(matches!(with_record.build(), Err(BuildError::Compression(CompressionError::UnknownCodec(CodecId(6))))));
}

#[test]
fn append_time_rules_every_record() {
    for codec in CODECS {
        let mut bytes = batch_of(codec, &["a", "b", "c"]);
        let header = set_max_timestamp(&mut bytes, TimestampType::LogAppendTime, NOW + 999).expect("a batch");
        assert_eq!(BatchHeader::decode(&bytes), Ok(header));
        assert_eq!(header.attributes.codec(), codec);
        assert!(read_all(&bytes).iter().all(|record| record.timestamp == NOW + 999));
        let header = set_max_timestamp(&mut bytes, TimestampType::CreateTime, NOW + 2).expect("a batch");
        assert_eq!(header.attributes.timestamp_type(), TimestampType::CreateTime);
        assert_eq!(bytes, batch_of(codec, &["a", "b", "c"]));
    }
}
