//! Bytes made by Apache Kafka 4.3.1, round trips, and bytes that nobody made.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const GOLDEN: &str = include_str!("golden.txt");
const TIME: i64 = 1_700_000_000_000;

fn unhex(text: &str) -> Bytes {
    let digit = |c: u8| (c as char).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn golden(name: &str) -> (Bytes, Option<Bytes>) {
    let line = GOLDEN.lines().find(|line| line.split(' ').next() == Some(name));
    let fields: Vec<&str> = line.unwrap_or_else(|| panic!("no golden record {name}")).split(' ').collect();
    (unhex(fields[1]), (fields[2] != "-").then(|| unhex(fields[2])))
}

/// Kafka's bytes are read as `record`, and `record` is written as Kafka's bytes.
fn same(name: &str, record: Record) {
    reads_as(name, &record);
    assert_eq!(record.encode().unwrap(), golden(name), "{name}");
}

fn reads_as(name: &str, record: &Record) {
    let (key, value) = golden(name);
    assert_eq!(Record::decode(key, value).as_ref(), Ok(record), "{name}");
}

fn id() -> Uuid {
    Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10)
}

fn offset(value: Option<OffsetCommitValue>) -> Record {
    Record::OffsetCommit { group: "g".to_owned(), topic: "top\u{e9}".to_owned(), partition: 3, value }
}

fn committed() -> OffsetCommitValue {
    OffsetCommitValue {
        offset: 42,
        leader_epoch: 5,
        metadata: "m".to_owned(),
        commit_timestamp: TIME,
        expire_timestamp: -1,
        topic_id: Uuid::nil(),
    }
}

fn group(value: Option<GroupMetadataValue>) -> Record {
    Record::GroupMetadata { group: "gr".to_owned(), value }
}

fn generation(version: i16) -> GroupMetadataValue {
    let since = |first: i16, value: i32| if version >= first { value } else { -1 };
    GroupMetadataValue {
        protocol_type: "consumer".to_owned(),
        generation: 7,
        protocol: Some("range".to_owned()),
        leader: Some("m-1".to_owned()),
        current_state_timestamp: if version >= 2 { TIME + 1 } else { -1 },
        members: vec![
            MemberMetadata {
                member_id: "m-1".to_owned(),
                group_instance_id: (version >= 3).then(|| "i".to_owned()),
                client_id: "c".to_owned(),
                client_host: "/127.0.0.1".to_owned(),
                rebalance_timeout: since(1, 60_000),
                session_timeout: 45_000,
                subscription: Bytes::from_static(&[1, 2, 3]),
                assignment: Bytes::from_static(&[4]),
            },
            MemberMetadata {
                member_id: "m-2".to_owned(),
                group_instance_id: None,
                client_id: "c2".to_owned(),
                client_host: "/::1".to_owned(),
                rebalance_timeout: since(1, 1),
                session_timeout: 2,
                subscription: Bytes::new(),
                assignment: Bytes::new(),
            },
        ],
    }
}

#[test]
fn offsets() {
    same("offset-v4", offset(Some(committed())));
    let with_id = OffsetCommitValue { leader_epoch: -1, metadata: String::new(), topic_id: id(), ..committed() };
    same("offset-v4-id", offset(Some(with_id)));
    same("offset-tombstone", offset(None));
    let old = OffsetCommitValue { leader_epoch: -1, ..committed() };
    reads_as("offset-v0", &offset(Some(old.clone())));
    same("offset-v1", offset(Some(OffsetCommitValue { expire_timestamp: TIME + 9_999, ..old.clone() })));
    reads_as("offset-v2", &offset(Some(old)));
    reads_as("offset-v3", &offset(Some(committed())));
}

#[test]
fn classic_groups() {
    for version in [0, 1, 2, 4] {
        reads_as(&format!("group-v{version}"), &group(Some(generation(version))));
    }
    same("group-v3", group(Some(generation(3))));
    let empty = GroupMetadataValue {
        protocol_type: String::new(),
        generation: 0,
        protocol: None,
        leader: None,
        current_state_timestamp: -1,
        members: Vec::new(),
    };
    same("group-empty", group(Some(empty)));
    same("group-tombstone", group(None));
}

#[test]
fn consumer_groups() {
    let group = || "cg".to_owned();
    let member = || "m".to_owned();
    let epoch = |metadata_hash| Some(ConsumerGroupMetadataValue { epoch: 9, metadata_hash });
    same("consumer", Record::ConsumerGroupMetadata { group: group(), value: epoch(-5) });
    same("consumer-plain", Record::ConsumerGroupMetadata { group: group(), value: epoch(0) });
    let topics = vec![TopicMetadata {
        topic_id: id(),
        topic_name: "t".to_owned(),
        num_partitions: 2,
        partition_metadata: vec![PartitionMetadata { partition: 1, racks: vec!["r".to_owned()] }],
    }];
    let value = Some(ConsumerGroupPartitionMetadataValue { topics });
    same("consumer-partitions", Record::ConsumerGroupPartitionMetadata { group: group(), value });
    let target = |assignment_timestamp| {
        Some(ConsumerGroupTargetAssignmentMetadataValue { assignment_epoch: 10, assignment_timestamp })
    };
    same("target-metadata", Record::ConsumerGroupTargetAssignmentMetadata { group: group(), value: target(TIME + 2) });
    same("target-metadata-plain", Record::ConsumerGroupTargetAssignmentMetadata { group: group(), value: target(0) });
    let topic_partitions = vec![TargetPartitions { topic_id: id(), partitions: vec![0, 1, 300] }];
    let value = Some(ConsumerGroupTargetAssignmentMemberValue { topic_partitions });
    same("target-member", Record::ConsumerGroupTargetAssignmentMember { group: group(), member: member(), value });
    let value = Some(ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: 10,
        previous_member_epoch: 9,
        state: 1,
        assigned_partitions: vec![AssignedPartitions {
            topic_id: id(),
            partitions: vec![0, 1],
            assignment_epochs: Some(vec![9, 10]),
        }],
        partitions_pending_revocation: vec![AssignedPartitions {
            topic_id: id(),
            partitions: vec![2],
            assignment_epochs: None,
        }],
    });
    same("current", Record::ConsumerGroupCurrentMemberAssignment { group: group(), member: member(), value });
    let value = Some(ConsumerGroupRegularExpressionValue {
        topics: vec!["a1".to_owned(), "a2".to_owned()],
        version: 77,
        timestamp: TIME + 3,
    });
    let regular_expression = "a.*".to_owned();
    same("regex", Record::ConsumerGroupRegularExpression { group: group(), regular_expression, value });
}

#[test]
fn members_of_consumer_groups() {
    let record = |value| Record::ConsumerGroupMemberMetadata { group: "cg".to_owned(), member: "m".to_owned(), value };
    let full = ConsumerGroupMemberMetadataValue {
        instance_id: Some("i".to_owned()),
        rack_id: Some("r".to_owned()),
        client_id: "c".to_owned(),
        client_host: "/h".to_owned(),
        subscribed_topic_names: vec!["a".to_owned(), "b".to_owned()],
        subscribed_topic_regex: Some("x.*".to_owned()),
        rebalance_timeout_ms: 300_000,
        server_assignor: Some("uniform".to_owned()),
        classic_member_metadata: None,
    };
    same("member", record(Some(full)));
    let protocol = ClassicProtocol { name: "range".to_owned(), metadata: Bytes::from_static(&[9, 8]) };
    let classic = ConsumerGroupMemberMetadataValue {
        client_id: "c".to_owned(),
        client_host: "/h".to_owned(),
        classic_member_metadata: Some(ClassicMemberMetadata {
            session_timeout_ms: 45_000,
            supported_protocols: vec![protocol],
        }),
        ..ConsumerGroupMemberMetadataValue::default()
    };
    same("member-classic", record(Some(classic)));
    same("member-tombstone", record(None));
}

#[test]
fn other_coordinators_records_are_passed_over() {
    for (name, kind) in [("share", 11), ("streams", 17)] {
        let (key, value) = golden(name);
        assert_eq!(Record::decode(key, value), Err(NotRead::UnknownType(kind)));
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        kind in -1i16..20,
        key in prop::collection::vec(any::<u8>(), 0..40),
        version in -1i16..6,
        value in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let key = [&kind.to_be_bytes()[..], &key].concat();
        let value = [&version.to_be_bytes()[..], &value].concat();
        let _ = Record::decode(key.into(), Some(value.into()));
    }

    #[test]
    fn damaged_golden_records_never_panic(line in 2usize..30, at in 0usize..200, byte in any::<u8>()) {
        let Some(line) = GOLDEN.lines().nth(line) else { return Ok(()) };
        let (key, value) = golden(line.split(' ').next().unwrap());
        let mut value = value.unwrap_or_default().to_vec();
        if let Some(damaged) = value.get_mut(at) {
            *damaged = byte;
        }
        if let Ok(record) = Record::decode(key, Some(value.into())) {
            let (key, value) = record.encode().unwrap();
            prop_assert_eq!(Record::decode(key, value), Ok(record));
        }
    }
}
