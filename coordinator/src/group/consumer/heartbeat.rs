//! ConsumerGroupHeartbeat: a member joins, lives, gives up and is given partitions, leaves.
//!
//! One that joins is answered when the target of the epoch that it made is there, which takes as long as computing it,
//! so that it starts with its partitions and not a heartbeat later; if that takes too long it is answered without.
//! A heartbeat that brings nothing new makes no copy of anything and writes nothing.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::consumer_group_heartbeat::{Assignment, TopicPartitions};
use stratalog_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use super::assignor::Assignor;
use super::fence::Downgrade;
use super::group::ConsumerGroup;
use super::member::{JOIN_EPOCH, LEAVE_EPOCH, LEAVE_STATIC_EPOCH, Member};
use super::partitions::HeldPartitions;
use super::presence::{Presence, Timer, Waiting, WaitingRequest};
use super::refusal::Refusal;
use super::subscribe::{Found, Goal, Plan};
use super::turn::Turn;
use crate::machine::{Caller, GroupConfig, Reply, Ticket};

/// Since this version members bring their own ids (KIP-1082).
const OWN_MEMBER_ID_VERSION: i16 = 1;

/// What can be said of a request without looking at the group.
pub fn check_heartbeat(
    request: &ConsumerGroupHeartbeatRequest,
    api_version: i16,
    config: &GroupConfig,
) -> Result<(), Refusal> {
    let invalid = |message: &str| Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
    let blank = |text: &str| text.trim().is_empty();
    let needs_id =
        api_version >= OWN_MEMBER_ID_VERSION || request.member_epoch > 0 || request.member_epoch == LEAVE_EPOCH;
    if needs_id && blank(&request.member_id) {
        return invalid("MemberId can't be empty.");
    }
    if blank(&request.group_id) {
        return invalid("GroupId can't be empty.");
    }
    if request.instance_id.as_deref().is_some_and(blank) {
        return invalid("InstanceId can't be empty.");
    }
    if request.rack_id.as_deref().is_some_and(blank) {
        return invalid("RackId can't be empty.");
    }
    if request.member_epoch == JOIN_EPOCH {
        if request.rebalance_timeout_ms == -1 {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() {
            return invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.");
        }
    } else if request.member_epoch == LEAVE_STATIC_EPOCH {
        if request.instance_id.is_none() {
            return invalid("InstanceId can't be null.");
        }
    } else if request.member_epoch < LEAVE_STATIC_EPOCH {
        return invalid("MemberEpoch is invalid.");
    }
    if let Some(name) = &request.server_assignor
        && !config.consumer_assignors.iter().any(|known| known == name)
    {
        let supported = config.consumer_assignors.join(", ");
        let message = format!("ServerAssignor {name} is not supported. Supported assignors: {supported}.");
        return Err(Refusal::new(ErrorCode::UNSUPPORTED_ASSIGNOR, message));
    }
    Ok(())
}

/// The answer to a heartbeat that is refused.
pub fn refuse_heartbeat(refusal: Refusal) -> Reply {
    Reply::ConsumerGroupHeartbeat(ConsumerGroupHeartbeatResponse {
        error_code: refusal.code,
        error_message: Some(refusal.message),
        ..ConsumerGroupHeartbeatResponse::default()
    })
}

/// Handles a request that [`check_heartbeat`] let through. `group` is the one there is, a new one where a member joins
/// and there is none, or what a classic group was [upgraded](super::migration::upgrade) to. A member that goes may leave
/// classic ones only: then the group is one of theirs with these records.
pub fn heartbeat(
    group: &ConsumerGroup,
    presence: &mut Presence,
    turn: &mut Turn<'_>,
    ticket: Ticket,
    caller: &Caller,
    request: &ConsumerGroupHeartbeatRequest,
) -> Option<Downgrade> {
    let leaves = matches!(request.member_epoch, LEAVE_EPOCH | LEAVE_STATIC_EPOCH);
    let outcome = if leaves {
        leave(group, presence, turn, ticket, request)
    } else {
        live(group, presence, turn, ticket, caller, request).map(|()| None)
    };
    match outcome {
        Ok(downgrade) => downgrade,
        Err(refusal) => {
            turn.step.replies.push((ticket, refuse_heartbeat(refusal)));
            None
        }
    }
}

fn live(
    group: &ConsumerGroup,
    presence: &mut Presence,
    turn: &mut Turn<'_>,
    ticket: Ticket,
    caller: &Caller,
    request: &ConsumerGroupHeartbeatRequest,
) -> Result<(), Refusal> {
    group.refuse_if_full(&request.member_id, turn.view.config.consumer_max_size)?;
    let joins = request.member_epoch == JOIN_EPOCH;
    if !joins {
        let member = known(group, request)?;
        check_epoch(member, request)?;
        if is_quiet(group, presence, turn, member, caller, request) {
            answer_quiet(group, presence, turn, ticket, member);
            return Ok(());
        }
    }
    let found = find(group, turn, request, joins)?;
    let mut updated = found.member.clone();
    update(&mut updated, caller, request);
    let mut plan = group.plan(presence, turn, &found, &updated, false)?;
    let mut records = found.records.clone();
    records.append(&mut plan.records);
    plan.records = records;
    if joins && (plan.unresolved || plan.epoch > group.target_epoch) {
        wait(group, presence, turn, ticket, &updated, plan);
        return Ok(());
    }
    let goal = Goal {
        target_epoch: group.target_epoch,
        target: group.target_of(&updated).map(|target| &**target),
        subscription_changed: plan.subscription_changed,
        owned: request.topic_partitions.as_deref(),
    };
    let reconciled = group.reconcile(updated.clone(), &goal, turn.view, &mut plan.records, &mut BTreeSet::new())?;
    presence.reconciled(&updated, &reconciled, turn.now_ms);
    plan.carry_out(group, presence, turn);
    presence.keep_alive(&reconciled, turn.settings(&group.group_id).session_timeout_ms, turn.now_ms);
    let is_full = request.rebalance_timeout_ms != -1
        && (request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some())
        && request.topic_partitions.is_some();
    let shows = joins || is_full || found.member.assigned != reconciled.assigned;
    let response = response(group, turn, &reconciled, shows);
    turn.step.replies.push((ticket, Reply::ConsumerGroupHeartbeat(response)));
    Ok(())
}

/// A join that is answered with its assignment.
fn wait(
    group: &ConsumerGroup,
    presence: &mut Presence,
    turn: &mut Turn<'_>,
    ticket: Ticket,
    member: &Member,
    plan: Plan,
) {
    let target_epoch = if plan.unresolved { plan.epoch.max(group.epoch.saturating_add(1)) } else { plan.epoch };
    let settings = turn.settings(&group.group_id);
    plan.carry_out(group, presence, turn);
    presence.keep_alive(member, settings.session_timeout_ms, turn.now_ms);
    let waiting = Waiting { ticket, target_epoch, request: WaitingRequest::Heartbeat };
    let before = presence.wait(&member.member_id, waiting, turn.now_ms, settings.heartbeat_interval_ms);
    turn.step.replies.extend(before);
}

/// The member of a heartbeat that does not join.
fn known<'a>(group: &'a ConsumerGroup, request: &ConsumerGroupHeartbeatRequest) -> Result<&'a Member, Refusal> {
    match &request.instance_id {
        None => group.known_member(&request.member_id),
        Some(instance) => group.known_static_member(instance, &request.member_id),
    }
}

fn find(
    group: &ConsumerGroup,
    turn: &mut Turn<'_>,
    request: &ConsumerGroupHeartbeatRequest,
    joins: bool,
) -> Result<Found, Refusal> {
    if !joins {
        let member = known(group, request)?.clone();
        return Ok(Found { member, is_new: false, records: Vec::new() });
    }
    let member_id = match request.member_id.as_str() {
        "" => Cow::Owned(turn.new_member_id()),
        id => Cow::Borrowed(id),
    };
    match &request.instance_id {
        None => Ok(group.find_or_new(&member_id)),
        Some(instance) => group.join_static(instance, &member_id, false),
    }
}

/// The member's epoch must be its own; the one before is taken while it claims nothing that it does not have, since the
/// answer with the new one may have been lost.
fn check_epoch(member: &Member, request: &ConsumerGroupHeartbeatRequest) -> Result<(), Refusal> {
    let (received, known) = (request.member_epoch, member.member_epoch);
    let retry =
        || received == member.previous_member_epoch && owns_only(request.topic_partitions.as_deref(), &member.assigned);
    let relation = match received.cmp(&known) {
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Greater => "greater",
        std::cmp::Ordering::Less if retry() => return Ok(()),
        std::cmp::Ordering::Less => "smaller",
    };
    let message = format!(
        "The consumer group member has a {relation} member epoch ({received}) than the one known by the group \
         coordinator ({known}). The member must abandon all its partitions and rejoin."
    );
    Err(Refusal::new(ErrorCode::FENCED_MEMBER_EPOCH, message))
}

fn owns_only(owned: Option<&[TopicPartitions]>, assigned: &HeldPartitions) -> bool {
    owned.is_some_and(|owned| {
        owned.iter().all(|topic| {
            let held = assigned.get(&stratalog_types::TopicId(topic.topic_id));
            held.is_some_and(|held| topic.partitions.iter().all(|partition| held.contains_key(partition)))
        })
    })
}

/// Whether a heartbeat changes nothing: it says nothing new, and there is nothing to tell.
fn is_quiet(
    group: &ConsumerGroup,
    presence: &Presence,
    turn: &Turn<'_>,
    member: &Member,
    caller: &Caller,
    request: &ConsumerGroupHeartbeatRequest,
) -> bool {
    request.rebalance_timeout_ms == -1
        && request.rack_id.is_none()
        && request.subscribed_topic_names.is_none()
        && request.subscribed_topic_regex.is_none()
        && request.server_assignor.is_none()
        && member.client_id == caller.client_id
        && member.client_host == caller.client_host
        && !member.uses_classic_protocol()
        && group.regexes.is_empty()
        && group.epoch == group.target_epoch
        && member.is_reconciled_to(group.target_epoch)
        && presence.topics_revision == Some(turn.view.topics.revision())
}

fn answer_quiet(group: &ConsumerGroup, presence: &mut Presence, turn: &mut Turn<'_>, ticket: Ticket, member: &Member) {
    presence.keep_alive(member, turn.settings(&group.group_id).session_timeout_ms, turn.now_ms);
    let response = response(group, turn, member, false);
    turn.step.replies.push((ticket, Reply::ConsumerGroupHeartbeat(response)));
}

/// What a request says anew.
fn update(member: &mut Member, caller: &Caller, request: &ConsumerGroupHeartbeatRequest) {
    fn replace<T: Clone>(field: &mut Option<T>, new: &Option<T>) {
        if new.is_some() {
            field.clone_from(new);
        }
    }
    replace(&mut member.instance_id, &request.instance_id);
    replace(&mut member.rack_id, &request.rack_id);
    replace(&mut member.server_assignor, &request.server_assignor);
    replace(&mut member.topic_regex, &request.subscribed_topic_regex);
    if request.rebalance_timeout_ms != -1 {
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    if let Some(names) = &request.subscribed_topic_names {
        let names: BTreeSet<String> = names.iter().cloned().collect();
        if *member.topic_names != names {
            member.topic_names = Arc::new(names);
        }
    }
    member.client_id = caller.client_id.clone();
    member.client_host = caller.client_host.clone();
    member.classic = None;
}

fn leave(
    group: &ConsumerGroup,
    presence: &mut Presence,
    turn: &mut Turn<'_>,
    ticket: Ticket,
    request: &ConsumerGroupHeartbeatRequest,
) -> Result<Option<Downgrade>, Refusal> {
    let member = known(group, request)?;
    let reply = |member_id: &str| {
        Reply::ConsumerGroupHeartbeat(ConsumerGroupHeartbeatResponse {
            member_id: Some(member_id.to_owned()),
            member_epoch: request.member_epoch,
            ..ConsumerGroupHeartbeatResponse::default()
        })
    };
    turn.step.replies.push((ticket, reply(&request.member_id)));
    if request.member_epoch == LEAVE_STATIC_EPOCH {
        // It keeps what it has for whoever comes back under its instance id, in epoch 0, and its session goes on.
        let mut away = member.clone();
        away.member_epoch = LEAVE_STATIC_EPOCH;
        away.pending_revocation = Arc::default();
        let reset = |partitions: &BTreeMap<i32, i32>| partitions.keys().map(|partition| (*partition, 0)).collect();
        away.assigned = Arc::new(member.assigned.iter().map(|(topic, held)| (*topic, reset(held))).collect());
        turn.step.records.push(group.assignment_record(&away));
        return Ok(None);
    }
    let member_id = member.member_id.clone();
    Ok(group.fence(presence, turn, &[member_id]))
}

pub(super) fn response(
    group: &ConsumerGroup,
    turn: &Turn<'_>,
    member: &Member,
    with_assignment: bool,
) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        member_id: Some(member.member_id.to_string()),
        member_epoch: member.member_epoch,
        heartbeat_interval_ms: turn.settings(&group.group_id).heartbeat_interval_ms,
        assignment: with_assignment.then(|| Assignment { topic_partitions: to_wire(&member.assigned) }),
        ..ConsumerGroupHeartbeatResponse::default()
    }
}

fn to_wire(held: &HeldPartitions) -> Vec<TopicPartitions> {
    held.iter()
        .map(|(topic, partitions)| TopicPartitions {
            topic_id: topic.0,
            partitions: partitions.keys().copied().collect(),
        })
        .collect()
}

impl Assignor {
    /// The assignor of a group: what most members ask for, else the broker's first.
    pub(super) fn of(group: &ConsumerGroup, config: &GroupConfig) -> Assignor {
        let default = || config.consumer_assignors.iter().find_map(|name| Assignor::from_name(name));
        group.preferred_assignor().and_then(Assignor::from_name).or_else(default).unwrap_or(Assignor::Uniform)
    }
}

impl Presence {
    pub(super) fn answered(&mut self, member_id: &Arc<str>) -> Option<Waiting> {
        self.cancel(member_id, Timer::Answer);
        self.waiting.remove(member_id)
    }
}
