//! Against another implementation: the `kafka-protocol` crate reads what we build, and we read what it builds.

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as theirs;
use proptest::prelude::*;

use super::super::compression::decompress;
use super::build::{codec, records};
use super::*;

/// Their headers are a map: of repeated keys, one is kept. Their arithmetic on timestamps overflows.
fn within_their_limits(mut records: Vec<OwnedRecord>) -> Vec<OwnedRecord> {
    for record in &mut records {
        let mut seen = std::collections::HashSet::new();
        record.headers.retain(|(key, _)| seen.insert(key.clone()));
        record.timestamp = record.timestamp.rem_euclid(1 << 42);
    }
    records
}

fn from_theirs(record: &theirs::Record) -> OwnedRecord {
    let header = |(key, value): (&StrBytes, &Option<Bytes>)| (key.to_string(), value.as_ref().map(|v| v.to_vec()));
    OwnedRecord {
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key.as_ref().map(|key| key.to_vec()),
        value: record.value.as_ref().map(|value| value.to_vec()),
        headers: record.headers.iter().map(header).collect(),
    }
}

fn to_theirs(record: &OwnedRecord) -> theirs::Record {
    let header =
        |(key, value): &(String, Option<Vec<u8>>)| (StrBytes::from_string(key.clone()), value.clone().map(Bytes::from));
    theirs::Record {
        transactional: true,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 7,
        producer_id: 4711,
        producer_epoch: 3,
        timestamp_type: theirs::TimestampType::Creation,
        offset: record.offset,
        sequence: 42 + record.offset as i32,
        timestamp: record.timestamp,
        key: record.key.clone().map(Bytes::from),
        value: record.value.clone().map(Bytes::from),
        headers: record.headers.iter().map(header).collect::<IndexMap<_, _>>(),
    }
}

proptest! {
    #[test]
    fn they_read_what_we_build(records in records(), codec in codec()) {
        let records = within_their_limits(records);
        let mut builder = BatchBuilder::new(0).codec(codec).producer(4711, 3, 42).transactional().leader_epoch(7);
        for record in &records {
            record.append_to(&mut builder).expect("appends");
        }
        let mut bytes = builder.build().expect("builds");
        let ours = |compressed: &mut Bytes, _: theirs::Compression| {
            Ok(Bytes::from(decompress(codec, compressed, CAP)?))
        };
        let read = theirs::RecordBatchDecoder::decode_with_custom_compression(&mut bytes, Some(ours)).expect("they read");
        prop_assert_eq!(read.records.iter().map(from_theirs).collect::<Vec<_>>(), records);
        let first = &read.records[0];
        prop_assert_eq!((first.producer_id, first.producer_epoch, first.partition_leader_epoch), (4711, 3, 7));
        prop_assert!(first.transactional && !first.control);
        prop_assert_eq!(first.sequence, 42 + first.offset as i32);
    }

    #[test]
    fn we_read_what_they_build(records in records()) {
        let mut records = within_their_limits(records);
        // They start a new batch where offsets leave a hole.
        for (offset, record) in (0..).zip(&mut records) {
            record.offset = offset;
        }
        let options = theirs::RecordEncodeOptions { version: 2, compression: theirs::Compression::None };
        let mut bytes = BytesMut::new();
        let built: Vec<_> = records.iter().map(to_theirs).collect();
        theirs::RecordBatchEncoder::encode(&mut bytes, &built, &options).expect("they build");
        prop_assert_eq!(&read_all(&bytes), &records);
        let header = BatchHeader::decode(&bytes).expect("a header");
        prop_assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (4711, 3, 42));
        prop_assert_eq!(header.last_sequence(), 42 + records.len() as i32 - 1);
    }
}
