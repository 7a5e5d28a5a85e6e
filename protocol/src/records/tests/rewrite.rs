//! Batches written anew: what stays, what is set, and that no bytes harm.

use proptest::prelude::*;

use super::super::compression::codec_name;
use super::*;

fn rules() -> ValidationRules {
    ValidationRules::kafka_defaults(NOW)
}

fn accept(bytes: &[u8], codec: CodecId) -> Result<AcceptedBatch, BatchError> {
    accept_produce(bytes, &rules(), Some(Compression::of(codec)))
}

/// What of a header a new codec may not change.
fn kept(bytes: &[u8]) -> BatchHeader {
    let mut header = BatchHeader::decode(bytes).expect("a header");
    header.attributes.0 &= !0x07;
    BatchHeader { batch_length: 0, crc: 0, base_timestamp: 0, ..header }
}

fn golden(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/golden/records/{name}.bin", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Uncompressed there is one way to write a batch: what Java wrote without a codec is what comes of all others.
#[test]
fn uncompressed_again_a_clients_batch_is_what_java_writes() {
    for client in ["java", "python", "librdkafka"] {
        for codec in &CODECS[1..] {
            let name = format!("{client}-{}-small", codec_name(*codec));
            let mut wanted = golden(&format!("{client}-none-small"));
            let bytes = golden(&name);
            let accepted = accept(&bytes, CodecId::NONE).unwrap_or_else(|error| panic!("{name}: {error}"));
            let rewritten = accepted.rewritten.expect("another codec");
            // The leader sets the epoch, and a client may send what it likes.
            wanted[12..16].copy_from_slice(&bytes[12..16]);
            assert_eq!(rewritten, wanted, "{name}");
        }
    }
}

#[test]
fn every_codec_becomes_every_other() {
    for client in ["java", "python", "librdkafka"] {
        for from in &CODECS[1..] {
            let bytes = golden(&format!("{client}-{}-large", codec_name(*from)));
            for to in CODECS {
                let accepted = accept(&bytes, to).expect("passes");
                assert_eq!(accepted.rewritten.is_none(), to == *from, "the same codec passes through");
                let Some(rewritten) = accepted.rewritten else { continue };
                let header = BatchHeader::decode(&rewritten).expect("a header");
                assert_eq!(header, accepted.validated.header);
                assert_eq!(header.attributes.codec(), to);
                assert_eq!(kept(&rewritten), kept(&bytes));
                assert_eq!(read_all(&rewritten), read_all(&bytes));
                assert!(!accepted.validated.needs_max_timestamp());
                let full = ValidationRules { full: true, batch_bytes_max: usize::MAX, ..rules() };
                validate_produce(&rewritten, &full).expect("passes its own check");
            }
        }
    }
}

#[test]
fn sequences_and_kind_stay() {
    let mut builder = BatchBuilder::new(0).producer(4711, 3, i32::MAX - 1).transactional().leader_epoch(7);
    for key in ["a", "b", "c"] {
        let record = NewRecord { timestamp: NOW - 1, key: Some(key.as_bytes()), ..NewRecord::default() };
        builder.append(&record).expect("appends");
    }
    let bytes = builder.build().expect("builds");
    for codec in &CODECS[1..] {
        let rewritten = accept(&bytes, *codec).expect("passes").rewritten.expect("another codec");
        assert_eq!(kept(&rewritten), kept(&bytes));
    }
}

/// A lying max timestamp and a base timestamp that is no record's are put right.
#[test]
fn timestamps_are_those_of_the_records() {
    let bytes = with_header(batch_of(CodecId::GZIP, &["a", "b", "c"]), |header| header.max_timestamp = 5);
    let accepted = accept(&bytes, CodecId::LZ4).expect("passes");
    assert_eq!(accepted.validated.header.max_timestamp, NOW + 2);
    assert_eq!(accepted.validated.header.base_timestamp, NOW);
    assert_eq!(read_all(&accepted.rewritten.expect("another codec")), read_all(&bytes));
}

#[test]
fn what_grows_past_the_maximum_is_refused() {
    let value = "compressible ".repeat(10_000);
    let bytes = batch_of(CodecId::ZSTD, &[&value]);
    let small = ValidationRules { batch_bytes_max: 1000, ..rules() };
    let refused = accept_produce(&bytes, &small, Some(Compression::of(CodecId::NONE)));
    assert!(matches!(refused, Err(BatchError::TooLarge { bytes_max: 1000, .. })), "{refused:?}");
    let fits = accept_produce(&bytes, &small, Some(Compression::of(CodecId::GZIP)));
    assert!(fits.is_ok(), "{fits:?}");
    let capped = ValidationRules { output_bytes_max: 1000, ..rules() };
    let refused = accept_produce(&bytes, &capped, Some(Compression::of(CodecId::GZIP)));
    assert!(matches!(refused, Err(BatchError::TooLarge { bytes_max: 1000, .. })), "{refused:?}");
}

#[test]
fn a_refused_record_is_named_whatever_the_codec_becomes() {
    let compacted = ValidationRules { compacted: true, ..rules() };
    for from in CODECS {
        let mut builder = BatchBuilder::new(0).codec(from);
        for key in [Some(&b"k"[..]), None, None] {
            builder.append(&NewRecord { timestamp: NOW, key, ..NewRecord::default() }).expect("appends");
        }
        let bytes = builder.build().expect("builds");
        for to in CODECS {
            let refused = accept_produce(&bytes, &compacted, Some(Compression::of(to)));
            let Err(BatchError::Records(faults)) = refused else { panic!("{refused:?}") };
            assert_eq!(faults.iter().map(|fault| fault.index).collect::<Vec<_>>(), [1, 2]);
        }
    }
}

/// Compaction's half: fewer records in the same place.
#[test]
fn fewer_records_keep_their_places() {
    let mut builder = BatchBuilder::new(100).codec(CodecId::SNAPPY).producer(9, 1, 50).leader_epoch(4);
    for at in 0..5 {
        let timestamp = [NOW + 30, NOW + 10, NOW + 50, NOW + 20, NOW][at];
        let key = [b'a' + at as u8];
        let headers = [("h", Some(&b"v"[..])), ("null", None)];
        builder.append(&NewRecord { timestamp, key: Some(&key), value: None, headers: &headers }).expect("appends");
    }
    let bytes = builder.build().expect("builds");
    let batch = Batch::at_start(&bytes).expect("a batch");
    let records = batch.records(CAP).expect("decompresses");
    let records: Vec<_> = records.iter().map(|record| record.expect("a record")).collect();
    for horizon in [None, Some(NOW + 1_000_000)] {
        let mut rewriter = BatchRewriter::of(&batch.header);
        if let Some(horizon) = horizon {
            rewriter = rewriter.delete_horizon(horizon);
        }
        rewriter.push(&records[1]).expect("the first kept");
        rewriter.push(&records[3]).expect("the second kept");
        for not_next in [0, 1, 3] {
            assert!(matches!(rewriter.push(&records[not_next]), Err(BuildError::OffsetOrder { .. })));
        }
        let rewritten = rewriter.build(Compression::of(CodecId::SNAPPY)).expect("builds");
        let header = BatchHeader::decode(&rewritten).expect("a header");
        assert_eq!((header.base_offset, header.last_offset(), header.record_count), (100, 104, 2));
        assert_eq!((header.base_sequence, header.last_sequence(), header.partition_leader_epoch), (50, 54, 4));
        assert_eq!(header.max_timestamp, NOW + 20);
        assert_eq!(header.base_timestamp, horizon.unwrap_or(NOW + 10));
        assert_eq!(header.attributes.has_delete_horizon(), horizon.is_some());
        let wanted: Vec<_> = [1, 3].iter().map(|at| OwnedRecord::of(&records[*at])).collect();
        assert_eq!(read_all(&rewritten), wanted);
    }
}

#[test]
fn a_batch_without_records_is_its_header() {
    let source = BatchHeader::decode(&batch_of(CodecId::ZSTD, &["a", "b"])).expect("a header");
    let emptied = BatchRewriter::of(&source).delete_horizon(5).build(Compression::of(CodecId::ZSTD)).expect("builds");
    let header = BatchHeader::decode(&emptied).expect("a header");
    assert_eq!(emptied.len(), BATCH_HEADER_BYTES);
    assert_eq!((header.record_count, header.last_offset(), header.attributes.0), (0, 1, 0));
    assert_eq!((header.base_timestamp, header.max_timestamp), (-1, NOW + 1));
    assert!(read_all(&emptied).is_empty());
}

/// Where the broker set the time, every record reads as of it, before and after.
#[test]
fn append_time_survives() {
    let mut bytes = batch_of(CodecId::NONE, &["a", "b", "c"]);
    set_max_timestamp(&mut bytes, TimestampType::LogAppendTime, NOW + 999).expect("a batch");
    let batch = Batch::at_start(&bytes).expect("a batch");
    let records = batch.records(CAP).expect("records");
    let mut rewriter = BatchRewriter::of(&batch.header);
    for record in &records {
        rewriter.push(&record.expect("a record")).expect("in order");
    }
    let rewritten = rewriter.build(Compression::of(CodecId::LZ4)).expect("builds");
    assert_eq!(read_all(&rewritten), read_all(&bytes));
    let header = BatchHeader::decode(&rewritten).expect("a header");
    assert_eq!((header.attributes.timestamp_type(), header.max_timestamp), (TimestampType::LogAppendTime, NOW + 999));
}

proptest! {
    #[test]
    fn whatever_passes_reads_the_same(records in super::build::records(), from in super::build::codec(), to in super::build::codec()) {
        let mut builder = BatchBuilder::new(0).codec(from);
        for (offset, record) in (0..).zip(&records) {
            let dense = OwnedRecord { offset, ..record.clone() };
            dense.append_to(&mut builder).expect("appends");
        }
        let bytes = builder.build().expect("builds");
        let wide = ValidationRules { timestamp_after_max_ms: i64::MAX, ..rules() };
        match accept_produce(&bytes, &wide, Some(Compression::of(to))) {
            Ok(AcceptedBatch { rewritten: Some(rewritten), .. }) => {
                prop_assert_eq!(read_all(&rewritten), read_all(&bytes));
            }
            Ok(AcceptedBatch { rewritten: None, .. }) => prop_assert_eq!(from, to),
            // Timestamps that wrap, and what grew.
            Err(BatchError::Records(_) | BatchError::TooLarge { .. }) => {}
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        from in super::build::codec(),
        to in super::build::codec(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
        length in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = batch_of(from, &["a", "some longer value", "", "d"]);
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if cut {
            bytes.truncate(length.index(bytes.len()).max(BATCH_HEADER_BYTES));
        }
        // Past the CRC: with it nearly everything ends there.
        if let Ok(mut header) = BatchHeader::decode(&bytes) {
            header.batch_length = (bytes.len() - LOG_OVERHEAD_BYTES) as i32;
            header.seal(&mut bytes);
        }
        if let Ok(AcceptedBatch { rewritten: Some(rewritten), .. }) = accept(&bytes, to) {
            let full = ValidationRules { full: true, ..rules() };
            prop_assert!(validate_produce(&rewritten, &full).is_ok());
        }
    }
}
