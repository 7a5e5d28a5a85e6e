//! Members that speak the classic protocol in a group of the consumer protocol, while it changes over.
//!
//! To such a member the group looks like a classic one whose leader is somebody else: its generation is its member
//! epoch, a join gets it the next step of its reconciliation, a sync shows what it has, a heartbeat tells it to join
//! again when there is another step to take.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::consumer_group_heartbeat::TopicPartitions;
use stratalog_protocol::messages::consumer_protocol::ConsumerProtocolSubscription;
use stratalog_protocol::messages::leave_group::{MemberIdentity, MemberResponse};
use stratalog_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupResponse, SyncGroupRequest,
    SyncGroupResponse,
};

use super::consumer_protocol::{self, CONSUMER_PROTOCOL_TYPE};
use super::fence::Downgrade;
use super::group::ConsumerGroup;
use super::member::{Member, MemberState};
use super::migration;
use super::partitions::without_epochs;
use super::presence::{Presence, Timer, Waiting, WaitingRequest};
use super::refusal::Refusal;
use super::subscribe::{Found, Goal, Plan};
use super::turn::Turn;
use crate::machine::{Caller, MigrationPolicy, Reply, Ticket, Topics};
use crate::records::{ClassicMemberMetadata, ClassicProtocol};

/// Since this version a new dynamic member is given its id first (KIP-394).
const KNOWN_MEMBER_ID_VERSION: i16 = 4;

/// What a classic member wants of its timers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
}

/// JoinGroup. The request itself (group id, session timeout) is checked already.
pub fn join(
    group: &ConsumerGroup,
    presence: &mut Presence,
    turn: &mut Turn<'_>,
    ticket: Ticket,
    caller: &Caller,
    request: &JoinGroupRequest,
) -> Option<Downgrade> {
    match try_join(group, presence, turn, ticket, caller, request) {
        Ok(downgrade) => downgrade,
        Err(refusal) => {
            let refused = JoinGroupResponse {
                error_code: refusal.code,
                member_id: request.member_id.clone(),
                ..JoinGroupResponse::default()
            };
            turn.step.replies.push((ticket, Reply::JoinGroup(refused)));
            None
        }
    }
}

fn try_join(
    group: &ConsumerGroup,
    presence: &mut Presence,
    turn: &mut Turn<'_>,
    ticket: Ticket,
    caller: &Caller,
    request: &JoinGroupRequest,
) -> Result<Option<Downgrade>, Refusal> {
    let config = turn.view.config;
    if config.migration_policy == MigrationPolicy::Disabled {
        let message = format!(
            "Cannot join the consumer group {} with the classic protocol because the group migration is disabled.",
            group.group_id
        );
        return Err(Refusal::new(ErrorCode::INCONSISTENT_GROUP_PROTOCOL, message));
    }
    let is_unknown = request.member_id.is_empty();
    let member_id = if is_unknown { turn.new_member_id() } else { request.member_id.clone() };
    group.refuse_if_full(&member_id, config.consumer_max_size)?;
    let names = request.protocols.iter().map(|protocol| protocol.name.as_str());
    if request.protocol_type != CONSUMER_PROTOCOL_TYPE || !group.supports_classic_protocols(names) {
        let message = format!("Member {member_id}'s protocols are not supported.");
        return Err(Refusal::new(ErrorCode::INCONSISTENT_GROUP_PROTOCOL, message));
    }
    if is_unknown && request.group_instance_id.is_none() && caller.api_version >= KNOWN_MEMBER_ID_VERSION {
        let response =
            JoinGroupResponse { error_code: ErrorCode::MEMBER_ID_REQUIRED, member_id, ..JoinGroupResponse::default() };
        turn.step.replies.push((ticket, Reply::JoinGroup(response)));
        return Ok(None);
    }
    let found = match &request.group_instance_id {
        None => group.find_or_new(&member_id),
        Some(instance) if is_unknown => group.join_static(instance, &member_id, true)?,
        Some(instance) => {
            let member = group.known_static_member(instance, &member_id)?.clone();
            Found { member, is_new: false, records: Vec::new() }
        }
    };
    let replaced = request.group_instance_id.as_deref().and_then(|instance| group.static_member(instance));
    let replaced = replaced.filter(|replaced| group.is_downgrade_by_replacing(replaced, turn));
    let subscription = first_subscription(request)?;
    let updated = updated(&found.member, caller, request, &subscription);
    let mut plan = group.plan(presence, turn, &found, &updated, true)?;
    plan.records.splice(0..0, found.records.iter().cloned());
    let owned = owned(&subscription, turn.view.topics);
    let timeouts =
        Timeouts { session_timeout_ms: request.session_timeout_ms, rebalance_timeout_ms: request.rebalance_timeout_ms };
    if let Some(replaced) = replaced {
        return downgrade(group, presence, turn, ticket, replaced, updated, plan, &owned).map(Some);
    }
    if plan.epoch > group.target_epoch {
        wait(group, presence, turn, ticket, &updated, plan, owned, timeouts);
        return Ok(None);
    }
    let goal = goal(group, &updated, &plan, &owned);
    let reconciled = group.reconcile(updated, &goal, turn.view, &mut plan.records, &mut BTreeSet::new())?;
    plan.carry_out(group, presence, turn);
    let reply = joined(presence, turn, &reconciled, timeouts);
    turn.step.replies.push((ticket, reply));
    Ok(None)
}

fn goal<'a>(group: &'a ConsumerGroup, member: &Member, plan: &Plan, owned: &'a [TopicPartitions]) -> Goal<'a> {
    Goal {
        target_epoch: group.target_epoch,
        target: group.target_of(member).map(|target| &**target),
        subscription_changed: plan.subscription_changed,
        owned: Some(owned),
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of one join, used nowhere else")]
fn wait(
    group: &ConsumerGroup,
    presence: &mut Presence,
    turn: &mut Turn<'_>,
    ticket: Ticket,
    member: &Member,
    plan: Plan,
    owned: Vec<TopicPartitions>,
    timeouts: Timeouts,
) {
    let target_epoch = plan.epoch;
    let at_most_ms = turn.settings(&group.group_id).heartbeat_interval_ms;
    plan.carry_out(group, presence, turn);
    presence.keep_alive(member, timeouts.session_timeout_ms, turn.now_ms);
    presence.cancel(&member.member_id, Timer::Join);
    let Timeouts { session_timeout_ms, rebalance_timeout_ms } = timeouts;
    let request = WaitingRequest::Join { session_timeout_ms, rebalance_timeout_ms, owned };
    let before = presence.wait(&member.member_id, Waiting { ticket, target_epoch, request }, turn.now_ms, at_most_ms);
    turn.step.replies.extend(before);
}

/// A classic member takes the place of the last one that was not: the group is a classic one from now on.
#[expect(clippy::too_many_arguments, reason = "the parts of one join, used nowhere else")]
fn downgrade(
    group: &ConsumerGroup,
    presence: &mut Presence,
    turn: &mut Turn<'_>,
    ticket: Ticket,
    replaced: &Member,
    mut joining: Member,
    mut plan: Plan,
    owned: &[TopicPartitions],
) -> Result<Downgrade, Refusal> {
    let stale = group.target_epoch < plan.epoch;
    if !stale {
        let goal = goal(group, &joining, &plan, owned);
        joining = group.reconcile(joining, &goal, turn.view, &mut plan.records, &mut BTreeSet::new())?;
    }
    let records = migration::downgrade(group, &[replaced], Some(&joining), turn)?;
    turn.step.records.append(&mut plan.records);
    turn.step.records.extend(records);
    turn.step.replies.extend(presence.disband());
    turn.step.watching.push(group.group_id.clone());
    let reason = format!("Downgrade group {} from consumer to classic with stale assignment.", group.group_id);
    Ok(Downgrade { rebalance: stale.then_some(reason), joined: Some((ticket, response(&joining))) })
}

/// The answer to a join, and the timers that it starts.
pub(super) fn joined(presence: &mut Presence, turn: &mut Turn<'_>, member: &Member, timeouts: Timeouts) -> Reply {
    presence.cancel(&member.member_id, Timer::Join);
    presence.keep_alive(member, timeouts.session_timeout_ms, turn.now_ms);
    presence.set(&member.member_id, Timer::Sync, turn.now_ms, timeouts.rebalance_timeout_ms);
    Reply::JoinGroup(response(member))
}

fn response(member: &Member) -> JoinGroupResponse {
    JoinGroupResponse {
        member_id: member.member_id.to_string(),
        generation_id: member.member_epoch,
        protocol_type: Some(CONSUMER_PROTOCOL_TYPE.to_owned()),
        protocol_name: first_protocol(member).map(|protocol| protocol.name.clone()),
        ..JoinGroupResponse::default()
    }
}

fn first_protocol(member: &Member) -> Option<&ClassicProtocol> {
    member.classic.as_ref()?.supported_protocols.first()
}

fn first_subscription(request: &JoinGroupRequest) -> Result<ConsumerProtocolSubscription, Refusal> {
    let metadata = request.protocols.first().map(|protocol| protocol.metadata.clone()).unwrap_or_default();
    consumer_protocol::read_subscription(metadata).map_err(|_| {
        let message = "Malformed embedded consumer protocol in subscription deserialization.";
        Refusal::new(ErrorCode::UNKNOWN_SERVER_ERROR, message)
    })
}

fn updated(
    base: &Member,
    caller: &Caller,
    request: &JoinGroupRequest,
    subscription: &ConsumerProtocolSubscription,
) -> Member {
    let mut member = base.clone();
    if request.group_instance_id.is_some() {
        member.instance_id.clone_from(&request.group_instance_id);
    }
    if subscription.rack_id.is_some() {
        member.rack_id.clone_from(&subscription.rack_id);
    }
    if request.rebalance_timeout_ms != -1 {
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    member.topic_names = Arc::new(subscription.topics.iter().cloned().collect());
    member.topic_regex = Some(String::new());
    member.client_id = caller.client_id.clone();
    member.client_host = caller.client_host.clone();
    let protocols = request.protocols.iter();
    member.classic = Some(Arc::new(ClassicMemberMetadata {
        session_timeout_ms: request.session_timeout_ms,
        supported_protocols: protocols
            .map(|protocol| ClassicProtocol { name: protocol.name.clone(), metadata: protocol.metadata.clone() })
            .collect(),
    }));
    member
}

/// What the member says it has, by topic id.
fn owned(subscription: &ConsumerProtocolSubscription, topics: &dyn Topics) -> Vec<TopicPartitions> {
    let known = subscription.owned_partitions.iter().filter_map(|owned| {
        let topic = topics.by_name(&owned.topic)?;
        Some(TopicPartitions { topic_id: topic.id, partitions: owned.partitions.clone() })
    });
    known.collect()
}

/// SyncGroup: what the member has, in its own protocol.
pub fn sync(
    group: &ConsumerGroup,
    presence: &mut Presence,
    turn: &mut Turn<'_>,
    ticket: Ticket,
    request: &SyncGroupRequest,
) {
    let response = match try_sync(group, presence, turn, request) {
        Ok(assignment) => SyncGroupResponse {
            protocol_type: request.protocol_type.clone(),
            protocol_name: request.protocol_name.clone(),
            assignment,
            ..SyncGroupResponse::default()
        },
        Err(refusal) => SyncGroupResponse { error_code: refusal.code, ..SyncGroupResponse::default() },
    };
    turn.step.replies.push((ticket, Reply::SyncGroup(response)));
}

fn try_sync(
    group: &ConsumerGroup,
    presence: &mut Presence,
    turn: &mut Turn<'_>,
    request: &SyncGroupRequest,
) -> Result<Bytes, Refusal> {
    let (member, classic) = classic_member(group, &request.member_id, request.group_instance_id.as_deref())?;
    check_generation(member, request.generation_id)?;
    let protocol = first_protocol(member);
    let named = protocol.map(|protocol| protocol.name.as_str());
    let other_type = request.protocol_type.as_deref().is_some_and(|kind| kind != CONSUMER_PROTOCOL_TYPE);
    let other_name = request.protocol_name.as_deref().is_some_and(|name| Some(name) != named);
    if other_type || other_name {
        let message =
            format!("The protocol of member {} is not the one returned in the join response.", member.member_id);
        return Err(Refusal::new(ErrorCode::INCONSISTENT_GROUP_PROTOCOL, message));
    }
    // A member that has partitions to give up has joined for that, and syncs to learn which; then it joins again.
    if group.target_epoch > member.member_epoch && member.state != MemberState::UnrevokedPartitions {
        presence.set_if_absent(&member.member_id, Timer::Join, turn.now_ms, member.rebalance_timeout_ms);
        let message = format!(
            "A new rebalance is triggered in group {} and member {} should rejoin to catch up.",
            group.group_id, member.member_id
        );
        return Err(Refusal::new(ErrorCode::REBALANCE_IN_PROGRESS, message));
    }
    let metadata = protocol.map(|protocol| protocol.metadata.clone()).unwrap_or_default();
    let assignment = consumer_protocol::write_assignment(
        &without_epochs(&member.assigned),
        consumer_protocol::version_of(&metadata).unwrap_or(0),
        turn.view.topics,
    );
    presence.cancel(&member.member_id, Timer::Sync);
    presence.keep_alive(member, classic.session_timeout_ms, turn.now_ms);
    assignment.map_err(|_| Refusal::new(ErrorCode::UNKNOWN_SERVER_ERROR, "The assignment cannot be encoded."))
}

/// Heartbeat: the member is alive, and learns whether it has to join again.
pub fn heartbeat(
    group: &ConsumerGroup,
    presence: &mut Presence,
    turn: &mut Turn<'_>,
    ticket: Ticket,
    request: &HeartbeatRequest,
) {
    let checked = classic_member(group, &request.member_id, request.group_instance_id.as_deref())
        .and_then(|(member, classic)| check_generation(member, request.generation_id).map(|()| (member, classic)));
    let error_code = match checked {
        Err(refusal) => refusal.code,
        Ok((member, classic)) => {
            presence.keep_alive(member, classic.session_timeout_ms, turn.now_ms);
            let has_a_step = member.member_epoch < group.target_epoch
                || match member.state {
                    MemberState::UnrevokedPartitions => true,
                    MemberState::UnreleasedPartitions => !group.waits_for_partitions(member),
                    MemberState::Stable | MemberState::Unknown(_) => false,
                };
            if has_a_step {
                presence.set_if_absent(&member.member_id, Timer::Join, turn.now_ms, member.rebalance_timeout_ms);
                ErrorCode::REBALANCE_IN_PROGRESS
            } else {
                ErrorCode::NONE
            }
        }
    };
    // Members of the other protocol bring topics up to date with their heartbeats; these alone would not.
    if error_code.is_none() {
        refresh_topics(group, presence, turn);
    }
    let response = HeartbeatResponse { error_code, ..HeartbeatResponse::default() };
    turn.step.replies.push((ticket, Reply::Heartbeat(response)));
}

fn refresh_topics(group: &ConsumerGroup, presence: &mut Presence, turn: &mut Turn<'_>) {
    if presence.topics_revision == Some(turn.view.topics.revision()) {
        return;
    }
    let plan = group.refreshed(turn.view);
    plan.carry_out(group, presence, turn);
}

/// LeaveGroup: members of either protocol are taken out, those that are named by their instance id without knowing who
/// has it, too.
pub fn leave(
    group: &ConsumerGroup,
    presence: &mut Presence,
    turn: &mut Turn<'_>,
    members: &[MemberIdentity],
) -> (LeaveGroupResponse, Option<Downgrade>) {
    let mut responses = Vec::with_capacity(members.len());
    let mut leaving: BTreeSet<Arc<str>> = BTreeSet::new();
    for identity in members {
        let found = match identity.group_instance_id.as_deref() {
            None => group.known_member(&identity.member_id),
            Some(instance) if identity.member_id.is_empty() => group.static_member(instance).ok_or_else(|| {
                Refusal::new(ErrorCode::UNKNOWN_MEMBER_ID, format!("Instance id {instance} is unknown."))
            }),
            Some(instance) => group.known_static_member(instance, &identity.member_id),
        };
        let error_code = match found {
            Ok(member) => {
                leaving.insert(member.member_id.clone());
                ErrorCode::NONE
            }
            Err(refusal) => refusal.code,
        };
        responses.push(MemberResponse {
            member_id: identity.member_id.clone(),
            group_instance_id: identity.group_instance_id.clone(),
            error_code,
        });
    }
    let leaving: Vec<Arc<str>> = leaving.into_iter().collect();
    let downgrade = group.fence(presence, turn, &leaving);
    (LeaveGroupResponse { members: responses, ..LeaveGroupResponse::default() }, downgrade)
}

/// A member that speaks the classic protocol, and what it said of itself there.
fn classic_member<'a>(
    group: &'a ConsumerGroup,
    member_id: &str,
    instance_id: Option<&str>,
) -> Result<(&'a Member, &'a ClassicMemberMetadata), Refusal> {
    let member = match instance_id {
        None => group.known_member(member_id)?,
        Some(instance) => group.known_static_member(instance, member_id)?,
    };
    let classic = member.classic.as_deref().ok_or_else(|| {
        let message = format!("Member {member_id} does not use the classic protocol.");
        Refusal::new(ErrorCode::UNKNOWN_MEMBER_ID, message)
    })?;
    Ok((member, classic))
}

fn check_generation(member: &Member, generation: i32) -> Result<(), Refusal> {
    if member.member_epoch == generation {
        return Ok(());
    }
    let message = format!(
        "The request generation id {generation} is not equal to the member epoch {} of member {}.",
        member.member_epoch, member.member_id
    );
    Err(Refusal::new(ErrorCode::ILLEGAL_GENERATION, message))
}
