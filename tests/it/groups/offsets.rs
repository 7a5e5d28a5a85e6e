//! Committed offsets, and the tools' view of groups.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::consumer_group_describe::ConsumerGroupDescribeRequest;
use stratalog_protocol::messages::delete_groups::DeleteGroupsRequest;
use stratalog_protocol::messages::describe_groups::DescribeGroupsRequest;
use stratalog_protocol::messages::list_groups::ListGroupsRequest;
use stratalog_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use stratalog_protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use stratalog_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use uuid::Uuid;

use super::wire::Wire;

pub fn commit_of(group: &str, topic: &str, offsets: &[(i32, i64)]) -> OffsetCommitRequest {
    let partition = |(index, offset): &(i32, i64)| OffsetCommitRequestPartition {
        partition_index: *index,
        committed_offset: *offset,
        committed_leader_epoch: -1,
        committed_metadata: Some(format!("at {offset}")),
    };
    OffsetCommitRequest {
        group_id: group.to_owned(),
        topics: vec![OffsetCommitRequestTopic {
            name: topic.to_owned(),
            topic_id: Uuid::nil(),
            partitions: offsets.iter().map(partition).collect(),
        }],
        ..OffsetCommitRequest::default()
    }
}

/// The codes by partition, over all topics, in the order of partitions.
pub async fn commit(wire: &mut Wire, request: &OffsetCommitRequest, version: i16) -> Vec<(i32, ErrorCode)> {
    let answer = wire.ask(request, version).await;
    let mut codes: Vec<(i32, ErrorCode)> = answer
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|partition| (partition.partition_index, partition.error_code)))
        .collect();
    codes.sort_unstable_by_key(|(index, _)| *index);
    codes
}

/// Offset, metadata and code by partition, as version 9 answers.
pub async fn fetch(wire: &mut Wire, group: &str, topic: &str, partitions: &[i32]) -> Vec<(i64, String, ErrorCode)> {
    let topics = vec![OffsetFetchRequestTopics {
        name: topic.to_owned(),
        topic_id: Uuid::nil(),
        partition_indexes: partitions.to_vec(),
    }];
    let groups =
        vec![OffsetFetchRequestGroup { group_id: group.to_owned(), topics: Some(topics), ..Default::default() }];
    let request = OffsetFetchRequest { groups, ..OffsetFetchRequest::default() };
    let mut answer = wire.ask(&request, 9).await.groups.remove(0);
    assert_eq!(answer.error_code, ErrorCode::NONE);
    let found = answer.topics.remove(0).partitions.into_iter();
    found.map(|one| (one.committed_offset, one.metadata.unwrap_or_default(), one.error_code)).collect()
}

pub async fn commits_in_every_version(wire: &mut Wire) {
    let (topic, _) = wire.topic("t", 2).await;
    let group = wire.group("g").await;
    for version in 2..=9 {
        let offset = i64::from(version) * 10;
        let mut request = commit_of(&group, &topic, &[(0, offset), (1, offset + 1)]);
        if version < 6 {
            request.topics[0].partitions.iter_mut().for_each(|one| one.committed_leader_epoch = -1);
        }
        let codes = commit(wire, &request, version).await;
        assert_eq!(codes, [(0, ErrorCode::NONE), (1, ErrorCode::NONE)], "version {version}");
        let found = fetch(wire, &group, &topic, &[0, 1]).await;
        assert_eq!(found[1], (offset + 1, format!("at {}", offset + 1), ErrorCode::NONE), "version {version}");
    }
}

pub async fn commits_by_topic_id(wire: &mut Wire) {
    let (topic, id) = wire.topic("t", 1).await;
    let group = wire.group("g").await;
    let mut request = commit_of(&group, "", &[(0, 5)]);
    request.topics[0].topic_id = id;
    let answer = wire.ask(&request, 10).await;
    assert_eq!((answer.topics[0].topic_id, answer.topics[0].partitions[0].error_code), (id, ErrorCode::NONE));
    request.topics[0].topic_id = Uuid::from_u128(1 << 70);
    assert_eq!(commit(wire, &request, 10).await, [(0, ErrorCode::UNKNOWN_TOPIC_ID)]);
    let by_id = |topic_id| {
        let topics = vec![OffsetFetchRequestTopics { name: String::new(), topic_id, partition_indexes: vec![0] }];
        let group = OffsetFetchRequestGroup { group_id: group.clone(), topics: Some(topics), ..Default::default() };
        OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() }
    };
    let known = wire.ask(&by_id(id), 10).await.groups.remove(0);
    assert_eq!((known.topics[0].topic_id, known.topics[0].partitions[0].committed_offset), (id, 5));
    let unknown = wire.ask(&by_id(Uuid::from_u128(1 << 71)), 10).await.groups.remove(0);
    let partition = &unknown.topics[0].partitions[0];
    assert_eq!((partition.committed_offset, partition.error_code), (-1, ErrorCode::UNKNOWN_TOPIC_ID));
    // All of a group, by id.
    let all = OffsetFetchRequestGroup { group_id: group.clone(), topics: None, ..Default::default() };
    let request = OffsetFetchRequest { groups: vec![all], ..OffsetFetchRequest::default() };
    let all = wire.ask(&request, 10).await.groups.remove(0);
    assert_eq!((all.topics.len(), all.topics[0].topic_id), (1, id));
    assert_eq!(fetch(wire, &group, &topic, &[0]).await[0].0, 5);
}

pub async fn what_is_not_there(wire: &mut Wire) {
    let (topic, _) = wire.topic("t", 1).await;
    let group = wire.group("g").await;
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    assert_eq!(commit(wire, &commit_of(&group, "no-such-topic", &[(0, 1)]), 9).await, [(0, unknown)]);
    let mixed = commit_of(&group, &topic, &[(0, 1), (7, 1)]);
    assert_eq!(commit(wire, &mixed, 9).await, [(0, ErrorCode::NONE), (7, unknown)]);
    // A group that never was has nothing, and that is no error.
    let never = wire.group("never").await;
    let nothing = (-1, String::new(), ErrorCode::NONE);
    assert_eq!(fetch(wire, &never, &topic, &[0]).await, std::slice::from_ref(&nothing));
    assert_eq!(fetch(wire, &never, "no-such-topic", &[3]).await, std::slice::from_ref(&nothing));
    assert_eq!(fetch(wire, &group, &topic, &[0, 7]).await[1], nothing);
    // A member of nothing.
    let mut stray = commit_of(&never, &topic, &[(0, 1)]);
    stray.generation_id_or_member_epoch = 3;
    stray.member_id = "m".to_owned();
    assert_eq!(commit(wire, &stray, 8).await, [(0, ErrorCode::ILLEGAL_GENERATION)]);
    assert_eq!(commit(wire, &stray, 9).await, [(0, ErrorCode::GROUP_ID_NOT_FOUND)]);
    stray.group_id.clone_from(&group);
    assert_eq!(commit(wire, &stray, 9).await, [(0, ErrorCode::UNKNOWN_MEMBER_ID)]);
}

pub async fn fetches_in_every_version(wire: &mut Wire) {
    let (topic, _) = wire.topic("t", 2).await;
    let group = wire.group("g").await;
    commit(wire, &commit_of(&group, &topic, &[(1, 9)]), 8).await;
    for version in 1..=7 {
        let topics = vec![OffsetFetchRequestTopic { name: topic.clone(), partition_indexes: vec![0, 1] }];
        let request = OffsetFetchRequest { group_id: group.clone(), topics: Some(topics), ..Default::default() };
        let answer = wire.ask(&request, version).await;
        assert_eq!(answer.error_code, ErrorCode::NONE, "version {version}");
        let offsets: Vec<i64> = answer.topics[0].partitions.iter().map(|found| found.committed_offset).collect();
        assert_eq!(offsets, [-1, 9], "version {version}");
        if version >= 2 {
            let all = OffsetFetchRequest { group_id: group.clone(), topics: None, ..Default::default() };
            let answer = wire.ask(&all, version).await;
            assert_eq!((answer.topics.len(), answer.topics[0].partitions.len()), (1, 1), "version {version}");
        }
    }
    for version in 8..=9 {
        let all =
            |group: &str| OffsetFetchRequestGroup { group_id: group.to_owned(), topics: None, ..Default::default() };
        let groups = vec![all(&group), all("no-such-group")];
        let answer =
            wire.ask(&OffsetFetchRequest { groups, require_stable: true, ..Default::default() }, version).await;
        let sizes: Vec<(ErrorCode, usize)> =
            answer.groups.iter().map(|group| (group.error_code, group.topics.len())).collect();
        assert_eq!(sizes, [(ErrorCode::NONE, 1), (ErrorCode::NONE, 0)], "version {version}");
    }
}

pub async fn metadata_too_large(wire: &mut Wire) {
    let (topic, _) = wire.topic("t", 2).await;
    let group = wire.group("g").await;
    let mut request = commit_of(&group, &topic, &[(0, 1), (1, 1)]);
    request.topics[0].partitions[0].committed_metadata = Some("x".repeat(4_096));
    request.topics[0].partitions[1].committed_metadata = Some("x".repeat(4_097));
    let codes = commit(wire, &request, 9).await;
    assert_eq!(codes, [(0, ErrorCode::NONE), (1, ErrorCode::OFFSET_METADATA_TOO_LARGE)]);
    let found = fetch(wire, &group, &topic, &[0, 1]).await;
    assert_eq!((found[0].0, found[0].1.len(), found[1].0), (1, 4_096, -1));
}

pub async fn offsets_are_deleted(wire: &mut Wire) {
    let (topic, _) = wire.topic("t", 3).await;
    let group = wire.group("g").await;
    commit(wire, &commit_of(&group, &topic, &[(0, 1), (1, 2)]), 9).await;
    let of = |group: &str, topic: &str, partitions: &[i32]| OffsetDeleteRequest {
        group_id: group.to_owned(),
        topics: vec![OffsetDeleteRequestTopic {
            name: topic.to_owned(),
            partitions: partitions
                .iter()
                .map(|index| OffsetDeleteRequestPartition { partition_index: *index })
                .collect(),
        }],
    };
    let answer = wire.ask(&of(&group, &topic, &[0, 2, 9]), 0).await;
    assert_eq!(answer.error_code, ErrorCode::NONE);
    let mut codes: Vec<(i32, ErrorCode)> =
        answer.topics[0].partitions.iter().map(|one| (one.partition_index, one.error_code)).collect();
    codes.sort_unstable_by_key(|(index, _)| *index);
    assert_eq!(codes, [(0, ErrorCode::NONE), (2, ErrorCode::NONE), (9, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)]);
    let found = fetch(wire, &group, &topic, &[0, 1]).await;
    assert_eq!((found[0].0, found[1].0), (-1, 2));
    let never = wire.group("never").await;
    assert_eq!(wire.ask(&of(&never, &topic, &[0]), 0).await.error_code, ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(wire.ask(&of("", &topic, &[0]), 0).await.error_code, ErrorCode::INVALID_GROUP_ID);
}

pub async fn groups_are_listed_described_and_deleted(wire: &mut Wire) {
    let (topic, _) = wire.topic("t", 1).await;
    let group = wire.group("g").await;
    let never = wire.group("never").await;
    commit(wire, &commit_of(&group, &topic, &[(0, 1)]), 9).await;
    let filters = [
        (vec!["Empty"], vec![], true),
        (vec!["empty", "Stable"], vec!["CLASSIC"], true),
        (vec!["Stable"], vec![], false),
        (vec![], vec!["consumer"], false),
        (vec!["NoSuchState"], vec![], false),
    ];
    for (states, types, expected) in filters {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let request = ListGroupsRequest { states_filter: owned(&states), types_filter: owned(&types) };
        let groups = wire.ask(&request, 5).await.groups;
        let found = groups.iter().find(|listed| listed.group_id == group);
        assert_eq!(found.is_some(), expected, "{states:?} {types:?}");
        if let Some(found) = found {
            let shown = (found.protocol_type.as_str(), found.group_state.as_str(), found.group_type.as_str());
            assert_eq!(shown, ("", "Empty", "classic"));
        }
    }
    let request =
        DescribeGroupsRequest { groups: vec![group.clone(), never.clone()], include_authorized_operations: true };
    let described = wire.ask(&request, 6).await.groups;
    let of = |id: &str| described.iter().find(|group| group.group_id == id).unwrap();
    assert_eq!((of(&group).group_state.as_str(), of(&group).error_code), ("Empty", ErrorCode::NONE));
    assert_eq!((of(&never).group_state.as_str(), of(&never).error_code), ("Dead", ErrorCode::GROUP_ID_NOT_FOUND));
    let bits = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;
    assert_eq!(of(&group).authorized_operations, bits);
    assert_eq!(of(&never).error_message, Some(format!("Group {never} not found.")));
    let before = wire.ask(&DescribeGroupsRequest { groups: vec![never.clone()], ..Default::default() }, 5).await.groups;
    assert_eq!((before[0].group_state.as_str(), before[0].error_code), ("Dead", ErrorCode::NONE));
    let request = ConsumerGroupDescribeRequest { group_ids: vec![group.clone(), never.clone()], ..Default::default() };
    let described = wire.ask(&request, 1).await.groups;
    let of = |id: &str| described.iter().find(|group| group.group_id == id).unwrap().clone();
    assert_eq!(of(&group).error_code, ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(of(&group).error_message, Some(format!("Group {group} is not a consumer group.")));
    assert_eq!(of(&never).error_message, Some(format!("Group {never} not found.")));
    let request = DeleteGroupsRequest { groups_names: vec![group.clone(), never.clone()] };
    let mut results = wire.ask(&request, 2).await.results;
    results.sort_unstable_by_key(|result| result.error_code);
    let codes: Vec<ErrorCode> = results.iter().map(|result| result.error_code).collect();
    assert_eq!(codes, [ErrorCode::NONE, ErrorCode::GROUP_ID_NOT_FOUND]);
    assert_eq!(fetch(wire, &group, &topic, &[0]).await[0].0, -1);
}
