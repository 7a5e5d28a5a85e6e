//! Members of both protocols, request by request.

use bytes::Bytes;
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::consumer_group_describe::ConsumerGroupDescribeRequest;
use stratalog_protocol::messages::describe_groups::DescribeGroupsRequest;
use stratalog_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use stratalog_protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use stratalog_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use stratalog_protocol::messages::{ConsumerGroupHeartbeatRequest, HeartbeatRequest};

use super::offsets::{commit, commit_of, fetch};
use super::wire::Wire;

/// A consumer's subscription to one topic, version 0, no user data.
fn subscription(topic: &str) -> Bytes {
    let length = u16::try_from(topic.len()).unwrap();
    [&[0, 0, 0, 0, 0, 1], length.to_be_bytes().as_slice(), topic.as_bytes(), &[0xff; 4]].concat().into()
}

pub fn join_of(group: &str, member_id: &str, topic: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: group.to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id: member_id.to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".to_owned(), metadata: subscription(topic) }],
        ..JoinGroupRequest::default()
    }
}

/// Joins as a new member of version 9: first the id, then the group.
pub async fn join(wire: &mut Wire, group: &str, topic: &str) -> JoinGroupResponse {
    let first = wire.ask(&join_of(group, "", topic), 9).await;
    assert_eq!(first.error_code, ErrorCode::MEMBER_ID_REQUIRED);
    assert!(first.member_id.starts_with("it-"), "{}", first.member_id);
    wire.ask(&join_of(group, &first.member_id, topic), 9).await
}

pub fn sync_of(group: &str, joined: &JoinGroupResponse, assignments: &[(&str, &[u8])]) -> SyncGroupRequest {
    let assignment = |(member_id, bytes): &(&str, &[u8])| SyncGroupRequestAssignment {
        member_id: (*member_id).to_owned(),
        assignment: Bytes::copy_from_slice(bytes),
    };
    SyncGroupRequest {
        group_id: group.to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some("range".to_owned()),
        assignments: assignments.iter().map(assignment).collect(),
        ..SyncGroupRequest::default()
    }
}

pub async fn heartbeat(wire: &mut Wire, group: &str, member_id: &str, generation_id: i32) -> ErrorCode {
    let request = HeartbeatRequest {
        group_id: group.to_owned(),
        generation_id,
        member_id: member_id.to_owned(),
        ..HeartbeatRequest::default()
    };
    wire.ask(&request, 4).await.error_code
}

pub async fn two_members_share_a_topic(wire: &mut Wire) {
    let (topic, _) = wire.topic("t", 2).await;
    let group = wire.group("g").await;
    let one = join(wire, &group, &topic).await;
    assert_eq!((one.error_code, one.generation_id, &one.leader), (ErrorCode::NONE, 1, &one.member_id));
    assert_eq!((one.members.len(), one.protocol_name.as_deref()), (1, Some("range")));
    let synced = wire.ask(&sync_of(&group, &one, &[(&one.member_id, b"all")]), 5).await;
    assert_eq!((synced.error_code, synced.assignment.as_ref()), (ErrorCode::NONE, b"all".as_slice()));
    assert_eq!(heartbeat(wire, &group, &one.member_id, 1).await, ErrorCode::NONE);
    let mut commit_one = commit_of(&group, &topic, &[(0, 3)]);
    (commit_one.member_id, commit_one.generation_id_or_member_epoch) = (one.member_id.clone(), 1);
    assert_eq!(commit(wire, &commit_one, 8).await, [(0, ErrorCode::NONE)]);
    // A second member: the first is told by its heartbeat, and both join.
    let mut other = wire.another().await;
    let required = other.ask(&join_of(&group, "", &topic), 9).await;
    let (group_two, topic_two) = (group.clone(), topic.clone());
    let second = tokio::spawn(async move {
        let joined = other.ask(&join_of(&group_two, &required.member_id, &topic_two), 9).await;
        (other, joined)
    });
    while heartbeat(wire, &group, &one.member_id, 1).await != ErrorCode::REBALANCE_IN_PROGRESS {
        tokio::task::yield_now().await;
    }
    let one = wire.ask(&join_of(&group, &one.member_id, &topic), 9).await;
    let (mut other, two) = second.await.unwrap();
    assert_eq!((one.error_code, two.error_code), (ErrorCode::NONE, ErrorCode::NONE));
    assert_eq!((one.generation_id, two.generation_id, &two.leader), (2, 2, &one.member_id));
    assert_eq!((one.members.len(), two.members.len()), (2, 0));
    // A commit meanwhile has to wait for the sync, one of the old generation counts no more.
    commit_one.generation_id_or_member_epoch = 2;
    assert_eq!(commit(wire, &commit_one, 8).await, [(0, ErrorCode::REBALANCE_IN_PROGRESS)]);
    commit_one.generation_id_or_member_epoch = 1;
    assert_eq!(commit(wire, &commit_one, 8).await, [(0, ErrorCode::ILLEGAL_GENERATION)]);
    let parts: [(&str, &[u8]); 2] = [(&one.member_id, b"first"), (&two.member_id, b"second")];
    let synced = wire.ask(&sync_of(&group, &one, &parts), 5).await;
    assert_eq!(synced.assignment.as_ref(), b"first");
    let synced = other.ask(&sync_of(&group, &two, &[]), 5).await;
    assert_eq!((synced.error_code, synced.assignment.as_ref()), (ErrorCode::NONE, b"second".as_slice()));
    let request = DescribeGroupsRequest { groups: vec![group.clone()], ..Default::default() };
    let described = wire.ask(&request, 6).await.groups.remove(0);
    let shown = (described.group_state.as_str(), described.protocol_type.as_str(), described.protocol_data.as_str());
    assert_eq!(shown, ("Stable", "consumer", "range"));
    assert_eq!(described.members.len(), 2);
    let member = &described.members[0];
    assert_eq!((member.client_id.as_str(), member.client_host.as_str()), ("it", "/127.0.0.1"));
    assert_eq!(member.member_metadata, subscription(&topic));
    // Both leave; what was committed stays.
    let gone = |id: &str| MemberIdentity { member_id: id.to_owned(), ..MemberIdentity::default() };
    let members = vec![gone(&one.member_id), gone("stranger"), gone(&two.member_id)];
    let request = LeaveGroupRequest { group_id: group.clone(), members, ..LeaveGroupRequest::default() };
    let left = wire.ask(&request, 5).await;
    let codes: Vec<ErrorCode> = left.members.iter().map(|member| member.error_code).collect();
    assert_eq!(codes, [ErrorCode::NONE, ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::NONE]);
    assert_eq!(fetch(wire, &group, &topic, &[0]).await[0].0, 3);
    assert_eq!(heartbeat(wire, &group, &one.member_id, 2).await, ErrorCode::UNKNOWN_MEMBER_ID);
}

pub async fn strangers_are_refused(wire: &mut Wire) {
    let (topic, _) = wire.topic("t", 1).await;
    let group = wire.group("g").await;
    let unknown = ErrorCode::UNKNOWN_MEMBER_ID;
    assert_eq!(wire.ask(&join_of(&group, "stranger", &topic), 9).await.error_code, unknown);
    assert_eq!(heartbeat(wire, &group, "stranger", 1).await, unknown);
    assert_eq!(heartbeat(wire, "", "stranger", 1).await, ErrorCode::INVALID_GROUP_ID);
    assert_eq!(wire.ask(&join_of("", "", &topic), 9).await.error_code, ErrorCode::INVALID_GROUP_ID);
    let mut short = join_of(&group, "", &topic);
    short.session_timeout_ms = 10;
    assert_eq!(wire.ask(&short, 9).await.error_code, ErrorCode::INVALID_SESSION_TIMEOUT);
    let mut other = join_of(&group, "", &topic);
    other.protocol_type = String::new();
    assert_eq!(wire.ask(&other, 9).await.error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let stray = JoinGroupResponse { member_id: "stranger".to_owned(), generation_id: 1, ..Default::default() };
    assert_eq!(wire.ask(&sync_of(&group, &stray, &[]), 5).await.error_code, unknown);
    let request = LeaveGroupRequest { group_id: group.clone(), member_id: "stranger".to_owned(), ..Default::default() };
    assert_eq!(wire.ask(&request, 2).await.error_code, unknown);
}

fn consumer(group: &str, member_id: &str, member_epoch: i32, topic: Option<&str>) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: group.to_owned(),
        member_id: member_id.to_owned(),
        member_epoch,
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: topic.map(|topic| vec![topic.to_owned()]),
        topic_partitions: (member_epoch == 0).then(Vec::new),
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

pub async fn a_consumer_member_is_assigned_at_once(wire: &mut Wire) {
    let (topic, id) = wire.topic("t", 3).await;
    let group = wire.group("g").await;
    let mut answer = wire.ask(&consumer(&group, "m1", 0, Some(&topic)), 1).await;
    assert_eq!((answer.error_code, &answer.error_message), (ErrorCode::NONE, &None));
    assert_eq!(answer.member_id.as_deref(), Some("m1"));
    assert_eq!(answer.heartbeat_interval_ms, 5_000);
    // Kafka's first answer may come before the assignment.
    while answer.assignment.as_ref().is_none_or(|assignment| assignment.topic_partitions.is_empty()) {
        let beat = ConsumerGroupHeartbeatRequest {
            rebalance_timeout_ms: -1,
            topic_partitions: None,
            subscribed_topic_names: None,
            ..consumer(&group, "m1", answer.member_epoch, None)
        };
        answer = wire.ask(&beat, 1).await;
        assert_eq!(answer.error_code, ErrorCode::NONE, "{:?}", answer.error_message);
        tokio::task::yield_now().await;
    }
    let assignment = answer.assignment.unwrap();
    assert_eq!((assignment.topic_partitions[0].topic_id, assignment.topic_partitions[0].partitions.len()), (id, 3));
    let epoch = answer.member_epoch;
    let mut request = commit_of(&group, &topic, &[(0, 4)]);
    (request.member_id, request.generation_id_or_member_epoch) = ("m1".to_owned(), epoch);
    assert_eq!(commit(wire, &request, 9).await, [(0, ErrorCode::NONE)]);
    assert_eq!(commit(wire, &request, 8).await, [(0, ErrorCode::UNSUPPORTED_VERSION)]);
    request.generation_id_or_member_epoch = epoch + 1;
    assert_eq!(commit(wire, &request, 9).await, [(0, ErrorCode::STALE_MEMBER_EPOCH)]);
    request.member_id = "m2".to_owned();
    assert_eq!(commit(wire, &request, 9).await, [(0, ErrorCode::UNKNOWN_MEMBER_ID)]);
    assert_eq!(commit(wire, &commit_of(&group, &topic, &[(0, 4)]), 9).await, [(0, ErrorCode::UNKNOWN_MEMBER_ID)]);
    let request = ConsumerGroupDescribeRequest { group_ids: vec![group.clone()], ..Default::default() };
    let described = wire.ask(&request, 1).await.groups.remove(0);
    let shown = (described.error_code, described.group_state.as_str(), described.assignor_name.as_str());
    assert_eq!(shown, (ErrorCode::NONE, "Stable", "uniform"));
    let member = &described.members[0];
    assert_eq!((member.member_id.as_str(), member.member_epoch, member.member_type), ("m1", epoch, 1));
    assert_eq!(member.assignment.topic_partitions[0].topic_name, topic);
    // It goes; its group stays, empty, with what it has committed.
    let left = wire.ask(&consumer(&group, "m1", -1, None), 1).await;
    assert_eq!((left.error_code, left.member_epoch), (ErrorCode::NONE, -1));
    assert_eq!(fetch(wire, &group, &topic, &[0]).await[0].0, 4);
}

pub async fn consumer_requests_are_checked(wire: &mut Wire) {
    let (topic, _) = wire.topic("t", 1).await;
    let group = wire.group("g").await;
    let code = |answer: stratalog_protocol::messages::ConsumerGroupHeartbeatResponse| answer.error_code;
    assert_eq!(code(wire.ask(&consumer("", "m", 0, Some(&topic)), 1).await), ErrorCode::INVALID_REQUEST);
    assert_eq!(code(wire.ask(&consumer(&group, "", 0, Some(&topic)), 1).await), ErrorCode::INVALID_REQUEST);
    assert_eq!(code(wire.ask(&consumer(&group, "m", 3, None), 1).await), ErrorCode::GROUP_ID_NOT_FOUND);
    let mut request = consumer(&group, "m", 0, Some(&topic));
    request.server_assignor = Some("no-such".to_owned());
    assert_eq!(code(wire.ask(&request, 1).await), ErrorCode::UNSUPPORTED_ASSIGNOR);
    let mut request = consumer(&group, "m", 0, None);
    request.subscribed_topic_regex = Some("(".to_owned());
    assert_eq!(code(wire.ask(&request, 1).await), ErrorCode::INVALID_REGULAR_EXPRESSION);
    // None of these made a group.
    let request = ConsumerGroupDescribeRequest { group_ids: vec![group], ..Default::default() };
    assert_eq!(wire.ask(&request, 1).await.groups[0].error_code, ErrorCode::GROUP_ID_NOT_FOUND);
}
