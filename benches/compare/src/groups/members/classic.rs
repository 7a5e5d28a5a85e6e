//! A member of a classic group. The leader gives each member a run of partitions.

use std::convert::Infallible;

use bytes::Bytes;
use stratalog_protocol::messages::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};
use stratalog_protocol::messages::join_group::JoinGroupRequestProtocol;
use stratalog_protocol::messages::leave_group::MemberIdentity;
use stratalog_protocol::messages::sync_group::SyncGroupRequestAssignment;
use stratalog_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
};
use stratalog_protocol::{Decoder, Encoder, ErrorCode, Message, Part};

use super::{Plan, gone};
use crate::Outcome;
use crate::groups::board::Board;
use crate::groups::client::{Client, good};

pub const SESSION_TIMEOUT_MS: i32 = 45_000;
pub const REBALANCE_TIMEOUT_MS: i32 = 60_000;

pub async fn live(plan: &Plan, board: &Board, number: usize, mut client: Client) -> Outcome<Infallible> {
    let mut member_id = String::new();
    let mut has_read = false;
    let mut next = tokio::time::Instant::now() + plan.first_heartbeat(number);
    loop {
        let joined = join(&mut client, &plan.group, &plan.topic, &mut member_id).await?;
        let Some(partitions) = sync(plan, &mut client, &joined).await? else { continue };
        if !has_read && let Some(partition) = partitions.first() {
            plan.fetch(&mut client, *partition).await?;
            has_read = true;
            board.change(number, |seen| seen.fetched_at = Some(std::time::Instant::now()));
        }
        board.change(number, |seen| {
            (seen.member_id, seen.epoch) = (member_id.clone(), joined.generation_id);
            seen.partitions_owned = partitions.len();
        });
        loop {
            tokio::time::sleep_until(next).await;
            next = tokio::time::Instant::now() + plan.heartbeat;
            match heartbeat(&mut client, &plan.group, &member_id, joined.generation_id).await? {
                ErrorCode::NONE => {}
                code if gone(code) => {
                    member_id.clear();
                    break;
                }
                ErrorCode::REBALANCE_IN_PROGRESS | ErrorCode::ILLEGAL_GENERATION => break,
                code => good("Heartbeat", code)?,
            }
        }
    }
}

/// Joins, with the id that the coordinator gives.
pub async fn join(client: &mut Client, group: &str, topic: &str, member_id: &mut String) -> Outcome<JoinGroupResponse> {
    let subscription =
        ConsumerProtocolSubscription { topics: vec![topic.to_owned()], ..ConsumerProtocolSubscription::default() };
    let metadata = versioned(&subscription)?;
    loop {
        let request = JoinGroupRequest {
            group_id: group.to_owned(),
            session_timeout_ms: SESSION_TIMEOUT_MS,
            rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
            member_id: member_id.clone(),
            protocol_type: "consumer".to_owned(),
            protocols: vec![JoinGroupRequestProtocol { name: "range".to_owned(), metadata: metadata.clone() }],
            ..JoinGroupRequest::default()
        };
        let response = client.ask(&request, 9).await?;
        match response.error_code {
            ErrorCode::MEMBER_ID_REQUIRED => member_id.clone_from(&response.member_id),
            ErrorCode::UNKNOWN_MEMBER_ID => member_id.clear(),
            ErrorCode::REBALANCE_IN_PROGRESS => {}
            code => {
                good("JoinGroup", code)?;
                member_id.clone_from(&response.member_id);
                return Ok(response);
            }
        }
    }
}

/// The partitions that fell to this member; `None` if the next rebalance has begun.
async fn sync(plan: &Plan, client: &mut Client, joined: &JoinGroupResponse) -> Outcome<Option<Vec<i32>>> {
    let assignment = sync_with(client, &plan.group, joined, assign(plan, joined)?).await?;
    let Some(assignment) = assignment else { return Ok(None) };
    let mut decoder = Decoder::new(assignment);
    let version = decoder.read_i16()?;
    let assignment = ConsumerProtocolAssignment::decode(&mut decoder, version)?;
    Ok(Some(assignment.assigned_partitions.into_iter().flat_map(|topic| topic.partitions).collect()))
}

pub async fn sync_with(
    client: &mut Client,
    group: &str,
    joined: &JoinGroupResponse,
    assignments: Vec<SyncGroupRequestAssignment>,
) -> Outcome<Option<Bytes>> {
    let request = SyncGroupRequest {
        group_id: group.to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        protocol_type: joined.protocol_type.clone(),
        protocol_name: joined.protocol_name.clone(),
        assignments,
        ..SyncGroupRequest::default()
    };
    let response = client.ask(&request, 5).await?;
    match response.error_code {
        ErrorCode::REBALANCE_IN_PROGRESS | ErrorCode::ILLEGAL_GENERATION => Ok(None),
        code => good("SyncGroup", code).map(|()| Some(response.assignment)),
    }
}

/// Of the leader: as even runs as there can be. Others are told no members and assign nothing.
fn assign(plan: &Plan, joined: &JoinGroupResponse) -> Outcome<Vec<SyncGroupRequestAssignment>> {
    let count = joined.members.len();
    let border = |member: usize| (plan.partitions * member / count) as i32;
    let members = joined.members.iter().enumerate();
    members
        .map(|(number, member)| {
            let partitions = (border(number)..border(number + 1)).collect();
            let assignment = ConsumerProtocolAssignment {
                assigned_partitions: vec![TopicPartition { topic: plan.topic.clone(), partitions }],
                user_data: None,
            };
            let member_id = member.member_id.clone();
            Ok(SyncGroupRequestAssignment { member_id, assignment: versioned(&assignment)? })
        })
        .collect()
}

pub async fn heartbeat(client: &mut Client, group: &str, member_id: &str, generation_id: i32) -> Outcome<ErrorCode> {
    let request = HeartbeatRequest {
        group_id: group.to_owned(),
        generation_id,
        member_id: member_id.to_owned(),
        ..HeartbeatRequest::default()
    };
    Ok(client.ask(&request, 4).await?.error_code)
}

pub async fn leave(client: &mut Client, group: &str, member_ids: &[&String]) -> Outcome<()> {
    let leaving = |member_id: &&String| MemberIdentity { member_id: (*member_id).clone(), ..MemberIdentity::default() };
    let members = member_ids.iter().map(leaving).collect();
    let request = LeaveGroupRequest { group_id: group.to_owned(), members, ..LeaveGroupRequest::default() };
    good("LeaveGroup", client.ask(&request, 5).await?.error_code)
}

/// A message of members to each other, its version in front.
fn versioned(message: &impl Message) -> Outcome<Bytes> {
    let mut encoder = Encoder::new();
    encoder.write_i16(1);
    message.encode(&mut encoder, 1)?;
    let mut bytes = Vec::new();
    for part in encoder.into_parts() {
        if let Part::Bytes(part) = part {
            bytes.extend_from_slice(&part);
        }
    }
    Ok(bytes.into())
}
