//! Time, and jobs that come back: members whose time ran out go, targets are computed and taken over, joins that waited
//! for them are answered.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_types::TopicId;

use super::assignor::{Assignor, Subscription, TargetJob, TargetMember, Targets};
use super::classic_member;
use super::fence::Downgrade;
use super::group::{ConsumerGroup, Resolved, change_subscribers};
use super::heartbeat::{refuse_heartbeat, response};
use super::job::{Assigned, AssignmentJob, Outcome, Work};
use super::partitions::Partitions;
use super::planted::{Bug, planted};
use super::presence::{Presence, Timer, WaitingRequest};
use super::regex::RegexMatches;
use super::subscribe::{Goal, names_hash};
use super::turn::Turn;
use crate::machine::{Reply, Ticket};

/// To be called when [`Presence::next_deadline`] has passed, again until it is in the future: one call does one thing,
/// and what comes next looks at the group with its records.
pub fn tick(group: &ConsumerGroup, presence: &mut Presence, turn: &mut Turn<'_>) -> Option<Downgrade> {
    let mut expired: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut late: Vec<Arc<str>> = Vec::new();
    while let Some((member_id, timer)) = presence.deadlines.pop_due(turn.now_ms) {
        let Some(member) = group.members.get(&member_id) else {
            // Its joining was not written; `append_failed` answers.
            late.push(member_id);
            continue;
        };
        match timer {
            Timer::Session | Timer::Join | Timer::Sync => {
                expired.insert(member_id);
            }
            Timer::Rebalance => {
                // In another epoch it has given up what it had to.
                let stalled = presence.rebalancing.remove(&member_id) == Some(member.member_epoch);
                if stalled && !planted(Bug::StallTolerated) {
                    expired.insert(member_id);
                }
            }
            Timer::Answer => late.push(member_id),
        }
    }
    if !expired.is_empty() {
        let expired: Vec<Arc<str>> = expired.into_iter().collect();
        for member_id in &late {
            presence.set_if_absent(member_id, Timer::Answer, turn.now_ms, 0);
        }
        return group.fence(presence, turn, &expired);
    }
    if !late.is_empty() {
        let goals = Goals { target_epoch: group.target_epoch, targets: None };
        answer(group, presence, turn, &goals, late);
        return None;
    }
    if presence.assign_at.is_some_and(|at| at <= turn.now_ms) && presence.may_assign(turn.now_ms) {
        presence.assign_at = None;
        begin_assignment(group, presence, turn);
    }
    None
}

fn begin_assignment(group: &ConsumerGroup, presence: &mut Presence, turn: &mut Turn<'_>) {
    if group.is_empty() || group.epoch <= group.target_epoch {
        return;
    }
    let underway = presence.begin_job(turn.now_ms);
    presence.assigning = Some(underway);
    turn.step.jobs.push(AssignmentJob {
        group_id: group.group_id.clone(),
        job_id: underway.job_id,
        work: Work::Targets(target_job(group, turn)),
    });
}

/// The group as an assignor sees it.
fn target_job(group: &ConsumerGroup, turn: &Turn<'_>) -> TargetJob {
    let mut partition_counts: BTreeMap<TopicId, i32> = BTreeMap::new();
    let mut ids: HashMap<&str, TopicId> = HashMap::new();
    for name in group.topics.keys() {
        if let Some(topic) = turn.view.topics.by_name(name) {
            ids.insert(name, TopicId(topic.id));
            partition_counts.insert(TopicId(topic.id), topic.partitions);
        }
    }
    // Members mostly share their subscription; so do their sets of ids.
    let mut subscriptions: HashMap<(&BTreeSet<String>, Option<&str>), Subscription> = HashMap::new();
    let members = group.members.values().map(|member| {
        let topics = subscriptions.entry((&member.topic_names, member.regex())).or_insert_with(|| {
            Arc::new(group.names_of(member).filter_map(|name| ids.get(name.as_str()).copied()).collect())
        });
        TargetMember {
            member_id: member.member_id.to_string(),
            instance_id: member.instance_id.clone(),
            topics: topics.clone(),
            target: group.targets.get(&member.member_id).cloned().unwrap_or_default(),
        }
    });
    let members = members.collect();
    TargetJob {
        group_epoch: group.epoch,
        assignor: Assignor::of(group, turn.view.config),
        homogeneous: group.is_homogeneous(),
        members,
        partition_counts,
    }
}

/// Takes what a job came to, unless nobody waits for it any more.
pub fn assigned(group: &ConsumerGroup, presence: &mut Presence, turn: &mut Turn<'_>, result: Assigned) {
    match result.outcome {
        Outcome::Targets(targets) => {
            if presence.assigning.is_some_and(|underway| underway.job_id == result.job_id)
                || planted(Bug::LateResultTaken)
            {
                presence.assigning = None;
                take_targets(group, presence, turn, targets);
            }
        }
        Outcome::Topics(matches) => {
            if presence.resolving.is_some_and(|underway| underway.job_id == result.job_id) {
                presence.resolving = None;
                take_matches(group, presence, turn, matches);
            }
        }
    }
}

/// Targets may be of an epoch that is not the group's any more. They are taken over nevertheless, as far as their
/// members are still there, since a group that changes all the time would never get any otherwise; the next ones follow.
fn take_targets(group: &ConsumerGroup, presence: &mut Presence, turn: &mut Turn<'_>, computed: Targets) {
    let is_late = computed.group_epoch <= group.target_epoch || computed.group_epoch > group.epoch;
    if is_late && !planted(Bug::LateResultTaken) {
        return;
    }
    let mut targets: BTreeMap<Arc<str>, Partitions> = BTreeMap::new();
    for target in computed.targets {
        // A static member may have been replaced while its target was computed: it is its successor's.
        let successor = || group.instances.get(target.instance_id.as_ref()?);
        let known = group.members.get_key_value(target.member_id.as_str()).map(|(id, _)| id);
        if let Some(member_id) = known.or_else(successor) {
            targets.insert(member_id.clone(), target.partitions);
        }
    }
    for (member_id, target) in &targets {
        if group.targets.get(member_id).is_none_or(|before| **before != *target) {
            turn.step.records.push(group.target_record(member_id, target));
        }
    }
    turn.step.records.push(group.target_epoch_record(computed.group_epoch, turn.now_ms));
    turn.step.watching.push(group.group_id.clone());
    if group.epoch > computed.group_epoch {
        let interval_ms = turn.settings(&group.group_id).assignment_interval_ms;
        presence.assign_at = Some(turn.now_ms.saturating_add(i64::from(interval_ms)));
    }
    let ready = presence.waiting.iter().filter(|(_, waiting)| waiting.target_epoch <= computed.group_epoch);
    let ready: Vec<Arc<str>> = ready.map(|(member_id, _)| member_id.clone()).collect();
    let goals = Goals { target_epoch: computed.group_epoch, targets: Some(&targets) };
    answer(group, presence, turn, &goals, ready);
}

fn take_matches(group: &ConsumerGroup, presence: &mut Presence, turn: &mut Turn<'_>, found: RegexMatches) {
    let mut topics = group.topics.clone();
    let mut changed = false;
    for (regex, matches) in found.matches {
        if !group.regexes.contains_key(&regex) {
            continue;
        }
        let nothing = Arc::default();
        let before = group.resolved.get(&regex).map_or(&nothing, |resolved| &resolved.topics);
        if **before != *matches {
            changed = true;
            for topic in before.iter() {
                change_subscribers(&mut topics, topic, |subscribers| {
                    subscribers.by_regex = subscribers.by_regex.saturating_sub(1);
                });
            }
            for topic in matches.iter() {
                topics.entry(topic.clone()).or_default().by_regex += 1;
            }
        }
        let resolved = Resolved { topics: matches, version: found.version, timestamp: found.asked_ms };
        turn.step.records.push(group.regex_record(&regex, &resolved));
    }
    let hash = names_hash(&topics, turn.view);
    turn.step.watching.push(group.group_id.clone());
    if changed || hash != group.metadata_hash {
        turn.step.records.push(group.epoch_record(group.epoch.saturating_add(1), hash));
        let interval_ms = turn.settings(&group.group_id).assignment_interval_ms;
        presence.assignment_due(group, interval_ms, turn.now_ms);
        return;
    }
    let ready = presence.waiting.iter().filter(|(_, waiting)| waiting.target_epoch > group.epoch);
    let ready: Vec<Arc<str>> = ready.map(|(member_id, _)| member_id.clone()).collect();
    answer(group, presence, turn, &Goals { target_epoch: group.target_epoch, targets: None }, ready);
}

/// The targets that waiting members are reconciled with: those of the group, or new ones that are not replayed yet.
struct Goals<'a> {
    target_epoch: i32,
    targets: Option<&'a BTreeMap<Arc<str>, Partitions>>,
}

/// Answers the waiting requests of these members with what they get.
fn answer(
    group: &ConsumerGroup,
    presence: &mut Presence,
    turn: &mut Turn<'_>,
    goals: &Goals<'_>,
    member_ids: Vec<Arc<str>>,
) {
    // Members that are answered in one batch do not see each other's records: what one is given, the next is not.
    let mut taken: BTreeSet<(TopicId, i32)> = BTreeSet::new();
    for member_id in member_ids {
        let Some(waiting) = presence.answered(&member_id) else { continue };
        let Some(member) = group.members.get(&member_id) else {
            turn.step.replies.push(waiting.refused(&member_id, ErrorCode::UNKNOWN_MEMBER_ID));
            continue;
        };
        let own = match goals.targets {
            Some(targets) => targets.get(&member_id),
            None => group.targets.get(&member_id).map(|target| &**target),
        };
        let owned = match &waiting.request {
            WaitingRequest::Heartbeat => &[],
            WaitingRequest::Join { owned, .. } => owned.as_slice(),
        };
        let goal =
            Goal { target_epoch: goals.target_epoch, target: own, subscription_changed: false, owned: Some(owned) };
        let mut records = Vec::new();
        let reconciled = match group.reconcile(member.clone(), &goal, turn.view, &mut records, &mut taken) {
            Ok(reconciled) => reconciled,
            Err(refusal) => {
                turn.step.replies.push((waiting.ticket, refuse_heartbeat(refusal)));
                continue;
            }
        };
        turn.step.records.append(&mut records);
        presence.reconciled(member, &reconciled, turn.now_ms);
        let ticket: Ticket = waiting.ticket;
        let reply = match waiting.request {
            WaitingRequest::Heartbeat => Reply::ConsumerGroupHeartbeat(response(group, turn, &reconciled, true)),
            WaitingRequest::Join { session_timeout_ms, rebalance_timeout_ms, .. } => {
                let timeouts = classic_member::Timeouts { session_timeout_ms, rebalance_timeout_ms };
                classic_member::joined(presence, turn, &reconciled, timeouts)
            }
        };
        turn.step.replies.push((ticket, reply));
    }
}

/// A batch of records of this group was not written. What soft state assumed of it is put right: nothing is under way,
/// sessions start again, and whoever waits is told `error`.
pub fn append_failed(group: Option<&ConsumerGroup>, presence: &mut Presence, turn: &mut Turn<'_>, error: ErrorCode) {
    let waiting = std::mem::take(&mut presence.waiting);
    let waiting = waiting.into_iter().filter(|_| !planted(Bug::WaitingForgotten));
    turn.step.replies.extend(waiting.map(|(member_id, waiting)| waiting.refused(&member_id, error)));
    presence.assign_at = None;
    presence.assigning = None;
    presence.resolving = None;
    presence.topics_revision = None;
    presence.rebalancing.clear();
    presence.deadlines.clear();
    if let Some(group) = group {
        let settings = turn.settings(&group.group_id);
        presence.start(group, settings, turn.now_ms);
    }
}

impl Presence {
    /// The group ends or becomes a classic one: nobody is waited for, whoever waits is to try again.
    pub(super) fn disband(&mut self) -> Vec<(Ticket, Reply)> {
        let waiting = std::mem::take(&mut self.waiting);
        let replies = waiting
            .into_iter()
            .map(|(member_id, waiting)| waiting.refused(&member_id, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS));
        let replies = replies.collect();
        self.deadlines.clear();
        self.rebalancing.clear();
        self.assign_at = None;
        self.assigning = None;
        self.resolving = None;
        replies
    }
}
