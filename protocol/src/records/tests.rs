//! Batches end to end: build, validate, iterate.

use super::*;

const NOW: i64 = 1_760_000_000_000;
const CODECS: [CodecId; 5] = [CodecId::NONE, CodecId::GZIP, CodecId::SNAPPY, CodecId::LZ4, CodecId::ZSTD];
const CAP: usize = 1 << 20;

fn batch_of(codec: CodecId, values: &[&str]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(0).codec(codec);
    for (at, value) in (0..).zip(values) {
        let headers = [("trace", Some(b"abc".as_slice())), ("trace", None)];
        let record =
            NewRecord { timestamp: NOW + at, key: Some(b"k"), value: Some(value.as_bytes()), headers: &headers };
        builder.append(&record).expect("appends");
    }
    builder.build().expect("builds").to_vec()
}

#[test]
fn a_batch_reads_back_in_every_codec() {
    let values = ["one", "", "three, somewhat longer"];
    for codec in CODECS {
        let bytes = batch_of(codec, &values);
        let rules = ValidationRules { full: true, ..ValidationRules::kafka_defaults(NOW) };
        let validated = validate_produce(&bytes, &rules).expect("reads back");
        assert!(!validated.needs_max_timestamp());
        let batch = Batch::at_start(&bytes).expect("header");
        let records = batch.records(CAP).expect("reads back");
        let mut seen = 0;
        for (at, record) in (0..).zip(&records) {
            let record = record.expect("record");
            assert_eq!((record.offset, record.timestamp), (at, NOW + at));
            assert_eq!(record.value, Some(values[at as usize].as_bytes()));
            let headers: Vec<_> = record.headers().map(|h| (h.key_text().into_owned(), h.value)).collect();
            assert_eq!(headers, [("trace".to_owned(), Some(b"abc".as_slice())), ("trace".to_owned(), None)]);
            seen += 1;
        }
        assert_eq!(seen, 3);
    }
}

#[test]
fn iteration_stops_at_a_batch_cut_short() {
    let one = batch_of(CodecId::NONE, &["a"]);
    let mut bytes = [one.clone(), one.clone()].concat();
    bytes.extend_from_slice(&one[..one.len() - 1]);
    let mut batches = BatchIter::new(&bytes);
    assert_eq!(batches.by_ref().filter(Result::is_ok).count(), 2);
    assert_eq!(batches.consumed_bytes(), 2 * one.len());
}

#[test]
fn a_flipped_bit_is_corrupt() {
    let mut bytes = batch_of(CodecId::NONE, &["a"]);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let refused = validate_produce(&bytes, &ValidationRules::kafka_defaults(NOW));
    assert!(matches!(refused, Err(BatchError::Corrupt(Corruption::Crc { .. }))), "{refused:?}");
}
