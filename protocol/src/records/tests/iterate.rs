//! Walking batches and records, and finding a record by its timestamp.

use super::*;

#[test]
fn iteration_stops_at_a_batch_cut_short() {
    let one = batch_of(CodecId::NONE, &["a", &"long ".repeat(70)]);
    for cut in 1..one.len() {
        let mut bytes = [one.clone(), one.clone()].concat();
        bytes.extend_from_slice(&one[..one.len() - cut]);
        let mut batches = BatchIter::new(&bytes);
        assert_eq!(batches.by_ref().filter(Result::is_ok).count(), 2);
        assert!(batches.next().is_none());
        assert_eq!(batches.consumed_bytes(), 2 * one.len());
    }
}

#[test]
fn iteration_ends_with_one_error() {
    let one = batch_of(CodecId::NONE, &["a"]);
    let mut bytes = [one.clone(), one.clone()].concat();
    bytes[one.len() + 16] = 1;
    let results: Vec<_> = BatchIter::new(&bytes).map(|batch| batch.map(|batch| batch.bytes.len())).collect();
    assert_eq!(results, [Ok(one.len()), Err(HeaderError::UnsupportedMagic(1))]);
}

#[test]
fn the_count_and_the_body_must_agree() {
    let read = |count| {
        let bytes = with_header(batch_of(CodecId::NONE, &["a", "b"]), |header| header.record_count = count);
        let batch = Batch::at_start(&bytes).expect("a batch");
        let results = batch.records(CAP).expect("not compressed");
        results.iter().map(|record| record.map(|record| record.offset)).collect::<Vec<_>>()
    };
    assert_eq!(read(2), [Ok(0), Ok(1)]);
    assert_eq!(read(3), [Ok(0), Ok(1), Err(RecordsError::Record { index: 2, error: RecordError::Truncated })]);
    assert_eq!(read(1), [Ok(0), Err(RecordsError::TrailingBytes(9))]);
    assert_eq!(read(-1), [Err(RecordsError::ImpossibleCount(-1))]);
}

#[test]
fn records_are_found_by_timestamp() {
    let times = [5, 3, 9, 9, 7];
    for codec in CODECS {
        let mut builder = BatchBuilder::new(100).codec(codec);
        for timestamp in times {
            builder.append(&NewRecord { timestamp, ..NewRecord::default() }).expect("appends");
        }
        let bytes = builder.build().expect("builds");
        let batch = Batch::at_start(&bytes).expect("a batch");
        for target in 0..12 {
            let first = (100..).zip(times).find(|(_, timestamp)| *timestamp >= target);
            let expected = first.map(|(offset, timestamp)| RecordTime { offset, timestamp });
            assert_eq!(first_record_at_or_after(&batch, target, 0, CAP), expected, "{target}");
        }
        let latest = record_of_max_timestamp(&batch, 0, CAP);
        assert_eq!(latest, Some(RecordTime { offset: 102, timestamp: 9 }));
    }
}

/// After append time, the first record is the answer for every timestamp up to it.
#[test]
fn append_time_is_found_at_the_first_record() {
    let mut bytes = batch_of(CodecId::ZSTD, &["a", "b"]);
    set_max_timestamp(&mut bytes, TimestampType::LogAppendTime, NOW + 50).expect("a batch");
    let batch = Batch::at_start(&bytes).expect("a batch");
    let expected = Some(RecordTime { offset: 0, timestamp: NOW + 50 });
    assert_eq!(first_record_at_or_after(&batch, NOW + 40, 0, CAP), expected);
    assert_eq!(record_of_max_timestamp(&batch, 0, CAP), expected);
    assert_eq!(first_record_at_or_after(&batch, NOW + 51, 0, CAP), None);
    let last = batch.header.last_offset();
    assert_eq!(first_record_at_or_after(&batch, 0, last, CAP).map(|found| found.offset), Some(last));
    assert_eq!(first_record_at_or_after(&batch, 0, last + 1, CAP), None);
}

/// A right CRC over bytes that no codec made, or over more than may be unpacked: the header's word counts.
#[test]
fn what_does_not_unpack_is_found_by_its_header() {
    let mut garbage = batch_of(CodecId::ZSTD, &["a", "b", "c"]);
    garbage.truncate(BATCH_HEADER_BYTES);
    garbage.extend_from_slice(b"no codec made this");
    let mut header = BatchHeader::decode(&garbage).expect("a header");
    header.batch_length = (garbage.len() - LOG_OVERHEAD_BYTES) as i32;
    header.seal(&mut garbage);
    let large = batch_of(CodecId::ZSTD, &["a", "b", &"c".repeat(CAP)]);
    for bytes in [garbage, large] {
        let batch = Batch::at_start(&bytes).expect("a batch");
        assert!(batch.crc_matches() && batch.records(CAP).is_err());
        let newest = batch.header.max_timestamp;
        let at = |offset| Some(RecordTime { offset, timestamp: newest });
        assert_eq!(first_record_at_or_after(&batch, newest, 0, CAP), at(0));
        assert_eq!(first_record_at_or_after(&batch, 0, 1, CAP), at(1));
        assert_eq!(first_record_at_or_after(&batch, newest + 1, 0, CAP), None);
        assert_eq!(first_record_at_or_after(&batch, 0, 3, CAP), None);
        assert_eq!(record_of_max_timestamp(&batch, 0, CAP), at(2));
        assert_eq!(record_of_max_timestamp(&batch, 3, CAP), None);
    }
}
