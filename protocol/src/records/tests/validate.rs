//! What a producer may send, and what Kafka calls each refusal.

use proptest::prelude::*;

use super::*;

/// Kafka's code for the outcome, as the API layer answers it.
pub(super) fn kafka_code(outcome: &Result<ValidatedBatch, BatchError>) -> &'static str {
    match outcome {
        Ok(_) => "NONE",
        Err(BatchError::Corrupt(_)) => "CORRUPT_MESSAGE",
        Err(BatchError::InvalidRecord { .. } | BatchError::UnsupportedFormat(_)) => "INVALID_RECORD",
        Err(BatchError::TooLarge { .. }) => "MESSAGE_TOO_LARGE",
        Err(BatchError::UnsupportedCompression(_)) => "UNSUPPORTED_COMPRESSION_TYPE",
        Err(BatchError::LogAppendTime) => "INVALID_TIMESTAMP",
        Err(BatchError::Records(faults)) if faults.has_timestamp() => "INVALID_TIMESTAMP",
        Err(BatchError::Records(_)) => "INVALID_RECORD",
    }
}

fn rules() -> ValidationRules {
    ValidationRules::kafka_defaults(NOW)
}

fn good() -> Vec<u8> {
    batch_of(CodecId::NONE, &["a", "b", "c"])
}

fn check_with(rules: &ValidationRules, bytes: &[u8], code: &str) {
    let outcome = validate_produce(bytes, rules);
    assert_eq!(kafka_code(&outcome), code, "{outcome:?}");
}

fn check_header(code: &str, change: impl FnOnce(&mut BatchHeader)) {
    check_with(&rules(), &with_header(good(), change), code);
}

/// A batch around `body`, whose header counts `record_count` records.
fn batch_around(body: &[u8], record_count: i32) -> Vec<u8> {
    let mut bytes = good();
    bytes.truncate(BATCH_HEADER_BYTES);
    bytes.extend_from_slice(body);
    let batch_length = (bytes.len() - LOG_OVERHEAD_BYTES) as i32;
    with_header(bytes, |header| {
        header.batch_length = batch_length;
        header.record_count = record_count;
        header.last_offset_delta = record_count - 1;
    })
}

#[test]
fn a_good_batch_passes_in_every_codec() {
    for codec in CODECS {
        let bytes = batch_of(codec, &["a", "b", "c"]);
        let validated = validate_produce(&bytes, &rules()).expect("passes");
        assert_eq!(validated.header, BatchHeader::decode(&bytes).expect("a header"));
        assert_eq!(validated.walked, codec == CodecId::NONE);
        assert_eq!(validated.max_timestamp, NOW + 2);
    }
}

#[test]
fn exactly_one_whole_batch() {
    check_with(&rules(), &[], "INVALID_RECORD");
    for length in 1..good().len() {
        check_with(&rules(), &good()[..length], "INVALID_RECORD");
    }
    check_with(&rules(), &[good(), good()].concat(), "INVALID_RECORD");
    check_with(&rules(), &[good(), vec![0]].concat(), "INVALID_RECORD");
}

#[test]
fn every_flipped_bit_that_the_crc_covers_is_corrupt() {
    for at in 17 * 8..good().len() * 8 {
        let mut bytes = good();
        bytes[at / 8] ^= 1 << (at % 8);
        let code = kafka_code(&validate_produce(&bytes, &rules()));
        // The codec decides before the CRC does, as in Kafka.
        let codec_bit = (22 * 8..22 * 8 + 3).contains(&at);
        assert!(code == "CORRUPT_MESSAGE" || codec_bit && code != "NONE", "bit {at}: {code}");
    }
}

#[test]
fn the_formats_before_magic_2_are_refused() {
    for (magic, code) in [(0, "INVALID_RECORD"), (1, "INVALID_RECORD"), (3, "CORRUPT_MESSAGE"), (-1, "CORRUPT_MESSAGE")]
    {
        let mut bytes = good();
        bytes[16] = magic as u8;
        check_with(&rules(), &bytes, code);
        assert_eq!(
            matches!(validate_produce(&bytes, &rules()), Err(BatchError::UnsupportedFormat(_))),
            matches!(magic, 0 | 1)
        );
    }
}

#[test]
fn the_header_must_make_sense() {
    check_header("NONE", |_| {});
    check_header("INVALID_RECORD", |header| header.base_offset = 1);
    check_header("INVALID_RECORD", |header| header.record_count = 2);
    check_header("INVALID_RECORD", |header| header.last_offset_delta = 3);
    check_header("INVALID_RECORD", |header| (header.record_count, header.last_offset_delta) = (0, -1));
    check_header("INVALID_RECORD", |header| (header.record_count, header.last_offset_delta) = (i32::MIN, i32::MAX));
    check_header("INVALID_RECORD", |header| (header.record_count, header.last_offset_delta) = (4, 3));
    check_header("INVALID_RECORD", |header| header.attributes.0 |= Attributes::CONTROL_BATCH);
    check_header("INVALID_RECORD", |header| header.attributes.0 |= Attributes::DELETE_HORIZON);
    check_header("INVALID_RECORD", |header| header.attributes.0 |= 0x80);
    check_header("INVALID_TIMESTAMP", |header| header.attributes.0 |= Attributes::LOG_APPEND_TIME);
    check_header("UNSUPPORTED_COMPRESSION_TYPE", |header| header.attributes.0 |= 5);
    check_header("CORRUPT_MESSAGE", |header| header.batch_length = 48);
    check_header("CORRUPT_MESSAGE", |header| header.batch_length = i32::MIN);
    check_header("INVALID_RECORD", |header| header.batch_length = i32::MAX);
}

#[test]
fn the_producer_fields_belong_together() {
    let check = |producer_id, producer_epoch, base_sequence, transactional, code| {
        check_header(code, |header| {
            (header.producer_id, header.producer_epoch, header.base_sequence) =
                (producer_id, producer_epoch, base_sequence);
            header.attributes.0 |= if transactional { Attributes::TRANSACTIONAL } else { 0 };
        });
    };
    check(-1, -1, -1, false, "NONE");
    check(4711, 0, 0, false, "NONE");
    check(4711, 0, i32::MAX, true, "NONE");
    check(4711, 0, -1, false, "INVALID_RECORD");
    check(4711, -1, 0, false, "INVALID_RECORD");
    check(-1, -1, -1, true, "INVALID_RECORD");
}

#[test]
fn size_has_a_maximum() {
    let bytes = good();
    check_with(&ValidationRules { batch_bytes_max: bytes.len(), ..rules() }, &bytes, "NONE");
    check_with(&ValidationRules { batch_bytes_max: bytes.len() - 1, ..rules() }, &bytes, "MESSAGE_TOO_LARGE");
}

#[test]
fn zstd_needs_produce_7() {
    let old = ValidationRules { zstd_allowed: false, ..rules() };
    check_with(&old, &batch_of(CodecId::ZSTD, &["a"]), "UNSUPPORTED_COMPRESSION_TYPE");
    check_with(&old, &batch_of(CodecId::LZ4, &["a"]), "NONE");
}

#[test]
fn records_are_walked() {
    // length 6: attributes, timestamp delta 0, offset delta, null key, null value, no headers
    let record = |delta: u8| [12, 0, 0, delta << 1, 1, 1, 0];
    let check = |body: &[u8], count, index: Option<u32>| {
        let outcome = validate_produce(&batch_around(body, count), &rules());
        match (&outcome, index) {
            (Ok(_), None) => {}
            (Err(BatchError::InvalidRecord { index: Some(found), .. }), Some(index)) if *found == index => {}
            _ => panic!("{body:?}: {outcome:?} instead of {index:?}"),
        }
    };
    check(&[record(0), record(1)].concat(), 2, None);
    check(&[record(0), record(2)].concat(), 2, Some(1));
    check(&[record(0), record(0)].concat(), 2, Some(1));
    check(&[record(1), record(0)].concat(), 2, Some(0));
    check(&record(0)[..6], 1, Some(0));
    check(&[14, 0, 0, 0, 1, 1, 0, 9], 1, Some(0));
    check(&[12, 0, 0, 0, 3, 1, 0], 1, Some(0));
    check(&[12, 0, 0, 0, 1, 3, 0], 1, Some(0));
    check(&[12, 0, 0, 0, 1, 1, 1], 1, Some(0));
    check(&[12, 0, 0, 0, 1, 1, 2], 1, Some(0));
    check(&[1, 0, 0, 0, 1, 1, 0], 1, Some(0));
    // A header with a null key.
    check(&[16, 0, 0, 0, 1, 1, 2, 1, 0], 1, Some(0));
    check(&[16, 0, 0, 0, 1, 1, 2, 0, 1], 1, None);
    // A length of six bytes, and one that passes 32 bits.
    check(&[0x80, 0x80, 0x80, 0x80, 0x80, 0, 0, 0, 0, 1, 1, 0], 1, Some(0));
    check(&[0xff, 0xff, 0xff, 0xff, 0x1f, 0, 0, 0, 1, 1, 0], 1, Some(0));
    // More than one reads, with the count saying fewer.
    let trailing = validate_produce(&batch_around(&[record(0), record(1)].concat(), 1), &rules());
    assert_eq!(kafka_code(&trailing), "INVALID_RECORD");
}

#[test]
fn compressed_records_are_walked_where_asked() {
    for codec in &CODECS[1..] {
        let bytes = with_header(batch_of(*codec, &["a", "b"]), |header| {
            (header.record_count, header.last_offset_delta) = (3, 2);
        });
        check_with(&rules(), &bytes, "NONE");
        check_with(&ValidationRules { full: true, ..rules() }, &bytes, "INVALID_RECORD");
        check_with(&ValidationRules { compacted: true, ..rules() }, &bytes, "INVALID_RECORD");
        let bytes = batch_of(*codec, &["a", "b"]);
        let capped = ValidationRules { full: true, output_bytes_max: 17, ..rules() };
        check_with(&capped, &bytes, "MESSAGE_TOO_LARGE");
        check_with(&ValidationRules { output_bytes_max: 18, ..capped }, &bytes, "NONE");
        let mut broken = bytes;
        broken.truncate(BATCH_HEADER_BYTES + 4);
        let broken = with_header(broken, |header| header.batch_length = 49 + 4);
        check_with(&ValidationRules { full: true, ..rules() }, &broken, "INVALID_RECORD");
    }
}

#[test]
fn a_compacted_topic_needs_keys() {
    let compacted = ValidationRules { compacted: true, ..rules() };
    for codec in CODECS {
        check_with(&compacted, &batch_of(codec, &["a", "b"]), "NONE");
        let mut builder = BatchBuilder::new(0).codec(codec);
        builder.append(&NewRecord { timestamp: NOW, key: Some(b""), ..NewRecord::default() }).expect("appends");
        check_with(&compacted, &builder.clone().build().expect("builds"), "NONE");
        builder.append(&NewRecord { timestamp: NOW, ..NewRecord::default() }).expect("appends");
        builder.append(&NewRecord { timestamp: NOW, key: Some(b"k"), ..NewRecord::default() }).expect("appends");
        builder.append(&NewRecord { timestamp: NOW + 3_600_001, ..NewRecord::default() }).expect("appends");
        let outcome = validate_produce(&builder.build().expect("builds"), &compacted);
        // The key comes first: the last record's timestamp is not told.
        assert_eq!(faults_of(&outcome), [(1, FaultReason::NoKey), (3, FaultReason::NoKey)]);
        assert_eq!(kafka_code(&outcome), "INVALID_RECORD");
    }
}

fn faults_of(outcome: &Result<ValidatedBatch, BatchError>) -> Vec<(u32, FaultReason)> {
    match outcome {
        Err(BatchError::Records(faults)) => faults.iter().map(|fault| (fault.index, fault.reason)).collect(),
        other => panic!("{other:?} is not record by record"),
    }
}

/// Kafka's list: every record that is wrong, and one timestamp makes it INVALID_TIMESTAMP.
#[test]
fn every_wrong_record_is_named() {
    let compacted = ValidationRules { compacted: true, timestamp_before_max_ms: 100, ..rules() };
    for codec in CODECS {
        let mut builder = BatchBuilder::new(0).codec(codec);
        for (timestamp, key) in [(NOW, None), (NOW - 100, Some(b"k")), (NOW - 101, Some(b"k")), (NOW, Some(b"k"))] {
            let key = key.map(|key| &key[..]);
            builder.append(&NewRecord { timestamp, key, ..NewRecord::default() }).expect("appends");
        }
        let outcome = validate_produce(&builder.build().expect("builds"), &compacted);
        let (earliest, latest) = (NOW - 100, NOW + 3_600_000);
        let late = FaultReason::TimestampOutOfRange { timestamp: NOW - 101, earliest, latest };
        assert_eq!(faults_of(&outcome), [(0, FaultReason::NoKey), (2, late)]);
        assert_eq!(kafka_code(&outcome), "INVALID_TIMESTAMP");
    }
}

#[test]
fn a_refusal_names_a_bounded_number_of_records() {
    let mut builder = BatchBuilder::new(0);
    for _ in 0..FAULTS_MAX + 5 {
        builder.append(&NewRecord { timestamp: NOW, ..NewRecord::default() }).expect("appends");
    }
    let outcome = validate_produce(&builder.build().expect("builds"), &ValidationRules { compacted: true, ..rules() });
    assert_eq!(faults_of(&outcome).len(), FAULTS_MAX);
    assert!(outcome.expect_err("refused").to_string().starts_with("1000 or more"));
}

/// Unwalked, a compressed batch is placed by its header; where the header alone would refuse it, its records decide.
#[test]
fn a_header_that_lies_about_a_late_record_refuses_nobody() {
    for codec in CODECS {
        let lying = with_header(batch_of(codec, &["a", "b", "c"]), |header| header.max_timestamp = NOW + 3_600_001);
        let validated = validate_produce(&lying, &rules()).expect("passes, as in Kafka");
        assert!(validated.walked && validated.max_timestamp == NOW + 2);
    }
}

/// Nobody unpacks it, so its count would be believed, and a few bytes would fill a segment's offsets.
#[test]
fn a_count_that_no_batch_can_have_is_refused() {
    let counted = |codec, count: i32| {
        with_header(batch_of(codec, &["a", "b", "c"]), |header| {
            header.record_count = count;
            header.last_offset_delta = count - 1;
        })
    };
    let most = i32::try_from(rules().output_bytes_max / 7).expect("a count");
    for codec in CODECS.into_iter().filter(|codec| *codec != CodecId::NONE) {
        check_with(&rules(), &counted(codec, most), "NONE");
        check_with(&rules(), &counted(codec, most + 1), "MESSAGE_TOO_LARGE");
        check_with(&rules(), &counted(codec, i32::MAX), "MESSAGE_TOO_LARGE");
    }
}

#[test]
fn timestamps_have_bounds() {
    let bounds = ValidationRules { timestamp_before_max_ms: 100, timestamp_after_max_ms: 10, ..rules() };
    let check = |codec, timestamp, rules: &ValidationRules, code| {
        let mut builder = BatchBuilder::new(0).codec(codec);
        builder.append(&NewRecord { timestamp, ..NewRecord::default() }).expect("appends");
        check_with(rules, &builder.build().expect("builds"), code);
    };
    for codec in CODECS {
        for (timestamp, code) in [
            (NOW + 10, "NONE"),
            (NOW + 11, "INVALID_TIMESTAMP"),
            (NOW - 100, "NONE"),
            (NOW - 101, "INVALID_TIMESTAMP"),
            (-1, "NONE"),
        ] {
            check(codec, timestamp, &bounds, code);
            let append_time = ValidationRules { timestamp_type: TimestampType::LogAppendTime, ..bounds };
            check(codec, timestamp, &append_time, "NONE");
        }
        check(codec, NOW + 3_600_001, &rules(), "INVALID_TIMESTAMP");
        check(codec, 0, &rules(), "NONE");
    }
}

/// Retention and the time index go by the header: a header that lies about walked records is found out.
#[test]
fn the_largest_timestamp_is_that_of_the_records() {
    let lying = with_header(good(), |header| header.max_timestamp = NOW + 1_000_000_000_000);
    let validated = validate_produce(&lying, &rules()).expect("passes, as in Kafka");
    assert!(validated.needs_max_timestamp());
    let mut corrected = lying;
    set_max_timestamp(&mut corrected, TimestampType::CreateTime, validated.max_timestamp).expect("a batch");
    assert_eq!(corrected, good());
}

proptest! {
    /// What passes the full check reads back without an error, with the offsets that the header promises.
    #[test]
    fn what_passes_is_readable(
        codec in super::build::codec(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut bytes = batch_of(codec, &["a", "some longer value", "", "d"]);
        for (at, value) in edits {
            let at = BATCH_HEADER_BYTES + at.index(bytes.len() - BATCH_HEADER_BYTES);
            bytes[at] = value;
        }
        let bytes = with_header(bytes, |_| {});
        let full = ValidationRules { full: true, ..rules() };
        if let Ok(validated) = validate_produce(&bytes, &full) {
            let offsets: Vec<_> = read_all(&bytes).iter().map(|record| record.offset).collect();
            prop_assert_eq!(offsets, (0..i64::from(validated.header.record_count)).collect::<Vec<_>>());
        }
    }
}
