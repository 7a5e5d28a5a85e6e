//! Hostile bytes: nothing panics. That memory stays bounded, `tests/records_memory.rs` shows.

use proptest::prelude::*;

use super::super::compression::decompress;
use super::*;

/// Drives every function that takes bytes from outside.
fn drive(bytes: &[u8]) {
    for full in [false, true] {
        let rules = ValidationRules { full, output_bytes_max: 1 << 16, ..ValidationRules::kafka_defaults(NOW) };
        let _ = validate_produce(bytes, &rules);
    }
    let mut batches = BatchIter::new(bytes);
    for batch in batches.by_ref().flatten() {
        let _ = first_record_at_or_after(&batch, NOW, 0, 1 << 16);
        let _ = record_of_max_timestamp(&batch, 0, 1 << 16);
        let Ok(records) = batch.records(1 << 16) else { continue };
        for record in records.iter().flatten() {
            let _ = EndTransactionMarker::of_record(&record);
            record.headers().for_each(|header| drop(header.key_text()));
        }
    }
    assert!(batches.consumed_bytes() <= bytes.len());
    let _ = set_max_timestamp(&mut bytes.to_vec(), TimestampType::LogAppendTime, NOW);
}

/// Magic and length as they should be, so that more than the first check is reached.
fn plausible(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() >= BATCH_HEADER_BYTES {
        bytes[16] = 2;
        let length = (bytes.len() - LOG_OVERHEAD_BYTES) as i32;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes = with_header(bytes, |_| {});
    }
    bytes
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        drive(&bytes);
        drive(&plausible(bytes));
    }

    #[test]
    fn arbitrary_streams_never_panic(input in proptest::collection::vec(any::<u8>(), 0..400)) {
        for codec in CODECS {
            if let Ok(output) = decompress(codec, &input, 1 << 16) {
                prop_assert!(output.len() <= 1 << 16);
            }
        }
        let heads: [(CodecId, &[u8]); 5] = [
            (CodecId::GZIP, &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]),
            (CodecId::SNAPPY, b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"),
            (CodecId::LZ4, &[0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]),
            (CodecId::ZSTD, &[0x28, 0xb5, 0x2f, 0xfd]),
            (CodecId::ZSTD, &[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88]),
        ];
        for (codec, head) in heads {
            let _ = decompress(codec, &[head, &input].concat(), 1 << 16);
        }
    }

    #[test]
    fn mutated_batches_never_panic(
        codec in super::build::codec(),
        records in super::build::records(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut builder = BatchBuilder::new(0).codec(codec);
        for record in &records {
            record.append_to(&mut builder).expect("appends");
        }
        let mut bytes = builder.build().expect("builds").to_vec();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        drive(&bytes);
        drive(&plausible(bytes));
    }
}
