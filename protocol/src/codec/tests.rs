use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::messages::fetch::{FetchPartition, FetchTopic, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData};
use crate::messages::metadata::MetadataRequestTopic;
use crate::messages::*;
use crate::{ErrorCode, FileRange, Part};

const CLASSIC: Version = Version::classic(0);
const FLEXIBLE: Version = Version::flexible(0);

fn decoder(bytes: &[u8]) -> Decoder {
    Decoder::new(Bytes::copy_from_slice(bytes))
}

fn problem<T: std::fmt::Debug>(result: Result<T, DecodeError>) -> Problem {
    match result {
        Err(DecodeError::Malformed { problem, .. }) => problem,
        other => panic!("expected a malformed frame, got {other:?}"),
    }
}

/// The bytes of parts, read from their files where they are files.
fn on_the_wire(parts: &[Part]) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let mut bytes = Vec::new();
    for part in parts {
        match part {
            Part::Bytes(part) => bytes.extend_from_slice(part),
            Part::File(range) => {
                let mut read = vec![0; range.length as usize];
                range.file.read_exact_at(&mut read, range.position).unwrap();
                bytes.extend(read);
            }
        }
    }
    bytes
}

#[test]
fn varints_are_of_32_bits() {
    for value in [0, 1, 127, 128, 300, 16_383, 16_384, 1 << 28, u32::MAX] {
        let mut encoder = Encoder::new();
        encoder.write_uvarint(value);
        let bytes = on_the_wire(&encoder.into_parts());
        let mut decoder = decoder(&bytes);
        assert_eq!(decoder.read_uvarint(), Ok(value));
        assert_eq!(decoder.finish(), Ok(()));
    }
    assert_eq!(decoder(&[0x80, 0x00]).read_uvarint(), Ok(0));
    assert_eq!(problem(decoder(&[0x83, 0x80, 0x80, 0x80, 0xf0]).read_uvarint()), Problem::OverlongVarint);
    assert_eq!(problem(decoder(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]).read_uvarint()), Problem::OverlongVarint);
    assert_eq!(problem(decoder(&[0x80]).read_uvarint()), Problem::Truncated { needed: 1, left: 0 });
}

#[test]
fn text_is_checked() {
    assert_eq!(String::read(&mut decoder(&[0, 2, b'o', b'k']), CLASSIC).as_deref(), Ok("ok"));
    assert_eq!(String::read_nullable(&mut decoder(&[0]), FLEXIBLE), Ok(None));
    assert_eq!(problem(String::read(&mut decoder(&[0xff, 0xff]), CLASSIC)), Problem::UnexpectedNull);
    assert_eq!(problem(String::read(&mut decoder(&[0xff, 0xfe]), CLASSIC)), Problem::NegativeLength(-2));
    assert_eq!(problem(String::read(&mut decoder(&[2, 0xc3]), FLEXIBLE)), Problem::InvalidUtf8);
    assert_eq!(problem(String::read(&mut decoder(&[9, b'x']), FLEXIBLE)), Problem::Truncated { needed: 8, left: 1 });
    let long = "x".repeat(i16::MAX as usize + 1);
    for version in [CLASSIC, FLEXIBLE] {
        let error = EncodeError::TooLong { length: 32_768, max: 32_767 };
        assert_eq!(long.write(&mut Encoder::new(), version), Err(error));
    }
}

#[test]
fn a_count_must_fit_the_bytes_left() {
    let count = |bytes: &[u8]| problem(Vec::<i64>::read(&mut decoder(bytes), CLASSIC));
    assert_eq!(count(&[0x7f, 0xff, 0xff, 0xff]), Problem::CountTooLarge { count: i32::MAX as usize, left: 0 });
    assert_eq!(count(&[0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9]), Problem::CountTooLarge { count: 2, left: 9 });
    assert_eq!(count(&[0xff, 0xff, 0xff, 0xff]), Problem::UnexpectedNull);
}

#[test]
fn decoded_memory_is_bounded_by_the_frame() {
    let strings = 1 << 20;
    let mut frame = vec![0x81, 0x80, 0x40];
    frame.resize(frame.len() + strings, 1);
    assert_eq!(problem(Vec::<String>::read(&mut decoder(&frame), FLEXIBLE)), Problem::TooMuchMemory);
    let mut patient = Decoder::with_heap_limit(frame.into(), strings * size_of::<String>());
    assert_eq!(Vec::<String>::read(&mut patient, FLEXIBLE).map(|strings| strings.len()), Ok(strings));
}

#[test]
fn tagged_fields_ascend_and_keep_to_their_size() {
    let read = |bytes: &[u8]| {
        let mut seen = Vec::new();
        let mut decoder = decoder(bytes);
        read_tagged_fields(&mut decoder, &mut |tag, decoder| {
            seen.push(tag);
            if tag == 1 {
                decoder.read_i16()?;
            }
            Ok(tag == 1)
        })?;
        decoder.finish()?;
        Ok(seen)
    };
    assert_eq!(read(&[0]), Ok(vec![]));
    assert_eq!(read(&[2, 1, 2, 0, 0, 9, 3, 0, 0, 0]), Ok(vec![1, 9]));
    assert_eq!(problem(read(&[2, 1, 2, 0, 0, 1, 2, 0, 0])), Problem::TagOrder { previous: 1, tag: 1 });
    assert_eq!(problem(read(&[2, 9, 0, 1, 2, 0, 0])), Problem::TagOrder { previous: 9, tag: 1 });
    assert_eq!(problem(read(&[1, 1, 3, 0, 0, 0])), Problem::TagSize { tag: 1, unread: 1 });
    assert_eq!(problem(read(&[1, 1, 1, 0, 0])), Problem::Truncated { needed: 2, left: 1 });
    assert_eq!(problem(read(&[1, 1, 9, 0, 0])), Problem::Truncated { needed: 9, left: 2 });
    assert_eq!(problem(read(&[1, 1, 2, 0, 0, 7])), Problem::TrailingBytes(1));
}

#[test]
fn a_byte_left_over_is_an_error() {
    let mut encoder = Encoder::new();
    HeartbeatRequest::default().encode(&mut encoder, 4).unwrap();
    let mut bytes = on_the_wire(&encoder.into_parts());
    assert_eq!(HeartbeatRequest::decode(&mut decoder(&bytes), 4), Ok(HeartbeatRequest::default()));
    bytes.push(0);
    assert_eq!(problem(HeartbeatRequest::decode(&mut decoder(&bytes), 4)), Problem::TrailingBytes(1));
}

#[test]
fn a_version_that_is_not_declared_is_refused_both_ways() {
    for version in [-1, 5, i16::MAX] {
        let error = DecodeError::UnsupportedVersion { message: "HeartbeatRequest", version };
        assert_eq!(HeartbeatRequest::decode(&mut decoder(&[]), version), Err(error));
        let error = EncodeError::UnsupportedVersion { message: "HeartbeatRequest", version };
        assert_eq!(HeartbeatRequest::default().encode(&mut Encoder::new(), version), Err(error));
    }
}

#[test]
fn a_value_that_the_version_cannot_carry_is_an_error_unless_ignorable() {
    let static_member = HeartbeatRequest { group_instance_id: Some("one".into()), ..Default::default() };
    let error = EncodeError::FieldNotInVersion { field: "group_instance_id", version: 2 };
    assert_eq!(static_member.encode(&mut Encoder::new(), 2), Err(error));
    assert_eq!(static_member.encode(&mut Encoder::new(), 3), Ok(()));

    let with_session = FetchResponse { session_id: 5, ..Default::default() };
    let error = EncodeError::FieldNotInVersion { field: "session_id", version: 6 };
    assert_eq!(with_session.encode(&mut Encoder::new(), 6), Err(error));
    let with_error = FetchResponse { error_code: ErrorCode::FETCH_SESSION_ID_NOT_FOUND, ..Default::default() };
    assert_eq!(with_error.encode(&mut Encoder::new(), 6), Ok(()));

    // A tagged field is held to the same rule.
    let partition = PartitionData {
        current_leader: LeaderIdAndEpoch { leader_id: 1, leader_epoch: 2 },
        aborted_transactions: None,
        ..Default::default()
    };
    let topic = FetchableTopicResponse { partitions: vec![partition], ..Default::default() };
    let with_leader = FetchResponse { responses: vec![topic], ..Default::default() };
    let error = EncodeError::FieldNotInVersion { field: "current_leader", version: 11 };
    assert_eq!(with_leader.encode(&mut Encoder::new(), 11), Err(error));
    assert_eq!(with_leader.encode(&mut Encoder::new(), 12), Ok(()));
}

#[test]
fn null_is_allowed_since_its_version() {
    let all_topics = MetadataRequest { topics: None, ..Default::default() };
    let error = EncodeError::NullNotInVersion { field: "topics", version: 0 };
    assert_eq!(all_topics.encode(&mut Encoder::new(), 0), Err(error));
    assert_eq!(all_topics.encode(&mut Encoder::new(), 1), Ok(()));
    assert_eq!(problem(MetadataRequest::decode(&mut decoder(&[0xff; 4]), 0)), Problem::UnexpectedNull);

    let by_id = MetadataRequestTopic { name: None, ..Default::default() };
    let by_id = MetadataRequest { topics: Some(vec![by_id]), ..Default::default() };
    let error = EncodeError::NullNotInVersion { field: "name", version: 9 };
    assert_eq!(by_id.encode(&mut Encoder::new(), 9), Err(error));
    assert_eq!(by_id.encode(&mut Encoder::new(), 10), Ok(()));
}

#[test]
fn share_fetch_has_no_null_records() {
    use crate::messages::share_fetch::{PartitionData, ShareFetchableTopicResponse};
    let topic = ShareFetchableTopicResponse { partitions: vec![PartitionData::default()], ..Default::default() };
    let response = ShareFetchResponse { responses: vec![topic], ..Default::default() };
    let mut encoder = Encoder::new();
    response.encode(&mut encoder, 1).unwrap();
    let bytes = on_the_wire(&encoder.into_parts());
    let decoded = ShareFetchResponse::decode(&mut decoder(&bytes), 1).unwrap();
    assert_eq!(decoded.responses[0].partitions[0].records, Records::Bytes(Bytes::new()));
}

fn fetch_response(records: Vec<Records>) -> FetchResponse {
    let partition = |records| PartitionData {
        records,
        current_leader: LeaderIdAndEpoch { leader_id: 3, leader_epoch: 4 },
        ..Default::default()
    };
    let partitions = records.into_iter().map(partition).collect();
    FetchResponse { responses: vec![FetchableTopicResponse { partitions, ..Default::default() }], ..Default::default() }
}

/// A Fetch response whose records lie in a file is on the wire what it is with the records in memory.
#[test]
fn file_ranges_and_large_bytes_are_parts() {
    let content: Vec<u8> = (0..20_000u32).map(|i| i as u8).collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&content).unwrap();
    let file = Arc::new(file);
    let range = |position: u64, length| Part::File(FileRange { file: file.clone(), position, length });
    let slice = |from: usize, to: usize| Bytes::copy_from_slice(&content[from..to]);
    let in_parts = fetch_response(vec![
        Records::Parts(vec![range(100, 5000)]),
        Records::Null,
        Records::Parts(vec![range(0, 10), Part::Bytes(slice(10, 20)), range(20, 0), range(20, 9000)]),
        Records::Bytes(slice(0, 12_000)),
        Records::Parts(vec![]),
    ]);
    let in_memory = fetch_response(vec![
        Records::Bytes(slice(100, 5100)),
        Records::Null,
        Records::Bytes(slice(0, 9020)),
        Records::Bytes(slice(0, 12_000)),
        Records::Bytes(Bytes::new()),
    ]);
    for version in [12, 17, 18] {
        let parts = crate::encode_response(&in_parts, version, 1).unwrap();
        let files = parts.iter().filter(|part| matches!(part, Part::File(_))).count();
        let memory: usize = parts.iter().filter(|part| matches!(part, Part::Bytes(_))).map(Part::length).sum();
        assert_eq!(files, 3, "a range of no bytes is no part");
        assert!(memory < 12_000 + 300);
        let wire = on_the_wire(&parts);
        assert_eq!(wire, on_the_wire(&crate::encode_response(&in_memory, version, 1).unwrap()));
        assert_eq!(wire[..4], (wire.len() as i32 - 4).to_be_bytes());
        let (_, decoded) = crate::decode_response::<FetchResponse>(Bytes::from(wire).slice(4..), version).unwrap();
        assert_eq!(decoded, in_memory);
        assert_eq!(in_parts.size(version), in_memory.size(version));
    }
}

/// The size of a tagged field lies before bytes that were spliced in behind it.
#[test]
fn a_tagged_field_may_hold_large_bytes() {
    let large = Bytes::from(vec![7; 5000]);
    let mut encoder = Encoder::new();
    encoder.write_bytes(&large);
    let mut tags = encoder.open_tags();
    encoder.write_tag(&mut tags, 0, &large, FLEXIBLE).unwrap();
    encoder.write_tag(&mut tags, 4, &vec![large.clone(), large.clone()], FLEXIBLE).unwrap();
    encoder.close_tags(tags);
    let length = encoder.length();
    let bytes = on_the_wire(&encoder.into_parts());
    assert_eq!(bytes.len(), length);
    let mut decoder = decoder(&bytes);
    decoder.skip(large.len()).unwrap();
    let mut values = Vec::new();
    let read = read_tagged_fields(&mut decoder, &mut |tag, decoder| {
        match tag {
            0 => values.push(Bytes::read(decoder, FLEXIBLE)?),
            _ => values.extend(Vec::<Bytes>::read(decoder, FLEXIBLE)?),
        }
        Ok(true)
    });
    assert_eq!(read, Ok(()));
    assert_eq!(values, vec![large; 3]);
}

/// Records and byte fields are slices of the frame; text is not, so that a kept topic name does not keep the frame.
#[test]
fn decoding_copies_text_and_slices_bytes() {
    let request = ProduceRequest {
        topic_data: vec![produce::TopicProduceData {
            name: "logs".into(),
            partition_data: vec![produce::PartitionProduceData {
                index: 0,
                records: Records::Bytes(Bytes::from_static(b"a batch")),
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let mut encoder = Encoder::new();
    request.encode(&mut encoder, 9).unwrap();
    let frame = Bytes::from(on_the_wire(&encoder.into_parts()));
    let decoded = ProduceRequest::decode(&mut Decoder::new(frame.clone()), 9).unwrap();
    let within = |at: *const u8| frame.as_ptr_range().contains(&at);
    let topic = &decoded.topic_data[0];
    assert!(within(topic.partition_data[0].records.bytes().as_ptr()));
    assert!(!within(topic.name.as_ptr()));
}

#[test]
fn the_schema_names_versions_and_tags() {
    let field = |name| <FetchRequest as Structure>::FIELDS.iter().find(|field| field.name == name).unwrap();
    assert!(field("replica_id").is_in(14) && !field("replica_id").is_in(15));
    assert_eq!(field("replica_state").tag, Some(1));
    assert_eq!(field("topics").wire, Wire::Array(&<FetchTopic as Field>::WIRE));
    assert_eq!(<FetchPartition as Structure>::MIN_BYTES, 4 + 8 + 4);
    let topics = <MetadataRequest as Structure>::FIELDS[0];
    assert!(!topics.is_nullable_in(0) && topics.is_nullable_in(1));
}
