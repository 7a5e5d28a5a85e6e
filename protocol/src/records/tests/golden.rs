//! Batches of real clients read back as what they were made of (`tests/golden/records/README.md`).

use super::*;

fn golden(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/golden/records/{name}.bin", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn data_set(repeat: usize) -> Vec<OwnedRecord> {
    let record = |i: usize| {
        let mut headers = vec![("index".to_owned(), Some(i.to_string().into_bytes()))];
        if i.is_multiple_of(3) {
            headers.push(("nul".to_owned(), None));
        }
        let value = match i {
            5 => None,
            6 => Some(Vec::new()),
            _ => Some(format!("value {i} ").repeat((3 * i + 1) * repeat).into_bytes()),
        };
        let key = (!i.is_multiple_of(4)).then(|| format!("key-{i}").into_bytes());
        OwnedRecord { offset: i as i64, timestamp: NOW + 10 * i as i64, key, value, headers }
    };
    (0..12).map(record).collect()
}

fn check(client: &str, codec_name: &str, codec: CodecId, size: &str) {
    let name = format!("{client}-{codec_name}-{size}");
    let bytes = golden(&name);
    let rules = ValidationRules { full: true, ..ValidationRules::kafka_defaults(NOW) };
    let validated = validate_produce(&bytes, &rules).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(validated.header.attributes.codec(), codec, "{name}");
    assert!(validated.walked && !validated.needs_max_timestamp(), "{name}");
    assert_eq!(validated.max_timestamp, NOW + 110, "{name}");
    assert_eq!(read_all(&bytes), data_set(if size == "large" { 300 } else { 1 }), "{name}");
}

#[test]
fn every_client_and_codec_reads_back() {
    for client in ["java", "python", "librdkafka"] {
        check(client, "none", CodecId::NONE, "small");
        for (name, codec) in ["gzip", "snappy", "lz4", "zstd"].into_iter().zip(&CODECS[1..]) {
            check(client, name, *codec, "small");
            check(client, name, *codec, "large");
        }
    }
}

/// Level 22 declares a window that the streaming decoder may not hold.
#[test]
fn zstd_with_a_large_window_reads_back() {
    check("java", "zstd22", CodecId::ZSTD, "large");
}

#[test]
fn our_uncompressed_batch_is_javas_to_the_byte() {
    let mut builder = BatchBuilder::new(0).producer(4711, 3, 42).leader_epoch(6);
    for record in data_set(1) {
        record.append_to(&mut builder).expect("appends");
    }
    assert_eq!(builder.build().expect("builds"), golden("java-none-small"));
}

#[test]
fn our_commit_marker_is_javas_to_the_byte() {
    let marker = EndTransactionMarker { committed: true, coordinator_epoch: 9 };
    let bytes = marker.batch(77, NOW, 4711, 3, 5).expect("builds");
    assert_eq!(bytes, golden("java-commit-marker"));
    let batch = Batch::at_start(&bytes).expect("a batch");
    let records = batch.records(CAP).expect("records");
    let record = records.iter().next().expect("one").expect("whole");
    assert_eq!(EndTransactionMarker::of_record(&record), Some(marker));
}
