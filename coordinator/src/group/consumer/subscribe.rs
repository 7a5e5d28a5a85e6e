//! From a member that said something to the records that follow: its subscription, the group's epoch, the member's
//! step towards its target. Shared by heartbeats of the consumer protocol and joins of the classic one.
//!
//! Nothing here changes anything: a [`Plan`] is made up first, and carried out when no check is left that could fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::consumer_group_heartbeat::TopicPartitions;
use stratalog_types::TopicId;

use super::group::{ConsumerGroup, Resolved, Subscribers, change_subscribers};
use super::job::{AssignmentJob, Work};
use super::member::{LEAVE_STATIC_EPOCH, Member, MemberState};
use super::metadata_hash::{group_hash, topic_hash};
use super::partitions::{Partitions, holds};
use super::presence::Presence;
use super::reconcile::{Holders, Reconciliation, UnknownState};
use super::refusal::Refusal;
use super::regex::{Pattern, RegexJob};
use super::turn::Turn;
use crate::machine::{Topics, View};
use crate::records::Record;

/// Expressions of a group are not searched for again sooner than this.
const REGEX_REFRESH_MS_MIN: i64 = 10_000;

/// What an input of a member leads to.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub records: Vec<Record>,
    /// The group's epoch with these records.
    pub epoch: i32,
    pub subscription_changed: bool,
    /// Expressions to search topics for.
    pub resolve: Option<BTreeSet<String>>,
    /// The member's expression has not been searched for yet.
    pub unresolved: bool,
}

/// Whom a request is of.
#[derive(Debug)]
pub(super) struct Found {
    /// As it is recorded, or a new one.
    pub member: Member,
    pub is_new: bool,
    /// Records that put it in the place of a static member.
    pub records: Vec<Record>,
}

impl ConsumerGroup {
    pub(super) fn refuse_if_full(&self, member_id: &str, max_size: i32) -> Result<(), Refusal> {
        let full = i32::try_from(self.members.len()).unwrap_or(i32::MAX) >= max_size;
        if full && (member_id.is_empty() || !self.members.contains_key(member_id)) {
            let message = format!("The consumer group has reached its maximum capacity of {max_size} members.");
            return Err(Refusal::new(ErrorCode::GROUP_MAX_SIZE_REACHED, message));
        }
        Ok(())
    }

    pub(super) fn known_member(&self, member_id: &str) -> Result<&Member, Refusal> {
        self.members.get(member_id).ok_or_else(|| {
            let message = format!("Member {member_id} is not a member of group {}.", self.group_id);
            Refusal::new(ErrorCode::UNKNOWN_MEMBER_ID, message)
        })
    }

    /// The member with this instance id, if it has this member id too.
    pub(super) fn known_static_member(&self, instance_id: &str, member_id: &str) -> Result<&Member, Refusal> {
        let member = self.static_member(instance_id).ok_or_else(|| {
            Refusal::new(ErrorCode::UNKNOWN_MEMBER_ID, format!("Instance id {instance_id} is unknown."))
        })?;
        if &*member.member_id != member_id {
            let message = format!(
                "Static member {member_id} with instance id {instance_id} was fenced by member {}.",
                member.member_id
            );
            return Err(Refusal::new(ErrorCode::FENCED_INSTANCE_ID, message));
        }
        Ok(member)
    }

    /// A dynamic member, new if there is none.
    pub(super) fn find_or_new(&self, member_id: &str) -> Found {
        match self.members.get(member_id) {
            Some(member) => Found { member: member.clone(), is_new: false, records: Vec::new() },
            None => Found { member: Member::new(Arc::from(member_id)), is_new: true, records: Vec::new() },
        }
    }

    /// A static member that joins, in the place of the one that had its instance id.
    pub(super) fn join_static(&self, instance_id: &str, member_id: &str, classic: bool) -> Result<Found, Refusal> {
        let Some(existing) = self.static_member(instance_id) else { return Ok(self.find_or_new(member_id)) };
        if !classic && !existing.uses_classic_protocol() && existing.member_epoch != LEAVE_STATIC_EPOCH {
            let message = format!(
                "Static member {member_id} with instance id {instance_id} cannot join the group because the instance \
                 id is owned by {} member.",
                existing.member_id
            );
            return Err(Refusal::new(ErrorCode::UNRELEASED_INSTANCE_ID, message));
        }
        let mut member = existing.clone();
        member.member_id = Arc::from(member_id);
        member.member_epoch = 0;
        member.previous_member_epoch = 0;
        let mut records = Vec::from(self.member_tombstones(&existing.member_id));
        records.push(self.subscription_record(&member));
        let nothing = Partitions::new();
        let target = self.targets.get(&existing.member_id).map_or(&nothing, |target| target);
        records.push(self.target_record(member_id, target));
        records.push(self.assignment_record(&member));
        Ok(Found { member, is_new: false, records })
    }

    /// What a member should have: a static member takes over the target of the one whose place it takes.
    pub(super) fn target_of(&self, member: &Member) -> Option<&Arc<Partitions>> {
        let previous = member.instance_id.as_ref().and_then(|instance| self.instances.get(instance));
        self.targets.get(previous.unwrap_or(&member.member_id))
    }

    /// The records of a change in a member's subscription, and the epoch they lead to. `found` is who it was, `updated`
    /// who it is now.
    pub(super) fn plan(
        &self,
        presence: &Presence,
        turn: &Turn<'_>,
        found: &Found,
        updated: &Member,
        classic: bool,
    ) -> Result<Plan, Refusal> {
        let mut plan = Plan { epoch: self.epoch, ..Plan::default() };
        let base = &found.member;
        if found.is_new || updated != base {
            plan.records.push(self.subscription_record(updated));
        }
        let names_changed = updated.topic_names != base.topic_names;
        let regex = self.plan_regex(presence, turn, base, updated, &mut plan)?;
        plan.subscription_changed = names_changed || regex != RegexChange::None;
        // An expression that is not resolved yet changes nothing until it is.
        let bump = names_changed || regex == RegexChange::Resolved || (classic && regex != RegexChange::None);
        plan.unresolved = regex == RegexChange::Unresolved;
        if bump || presence.topics_revision != Some(turn.view.topics.revision()) {
            let hash = if plan.subscription_changed || found.is_new {
                names_hash(&self.names_after(&[base], Some(updated), &[]), turn.view)
            } else {
                names_hash(&self.topics, turn.view)
            };
            if bump || hash != self.metadata_hash {
                plan.epoch = self.epoch.saturating_add(1);
                plan.records.push(self.epoch_record(plan.epoch, hash));
            }
            if self.has_legacy_metadata {
                let group = self.group_id.to_string();
                plan.records.push(Record::ConsumerGroupPartitionMetadata { group, value: None });
            }
        }
        Ok(plan)
    }

    /// What follows from topics that came, went or grew, if anything does.
    pub(super) fn refreshed(&self, view: View<'_>) -> Plan {
        let mut plan = Plan { epoch: self.epoch, ..Plan::default() };
        let hash = names_hash(&self.topics, view);
        if hash != self.metadata_hash {
            plan.epoch = self.epoch.saturating_add(1);
            plan.records.push(self.epoch_record(plan.epoch, hash));
        }
        plan
    }

    fn plan_regex(
        &self,
        presence: &Presence,
        turn: &Turn<'_>,
        base: &Member,
        updated: &Member,
        plan: &mut Plan,
    ) -> Result<RegexChange, Refusal> {
        let (old, new) = (base.regex(), updated.regex());
        let mut change = RegexChange::None;
        let mut refresh = false;
        if base.topic_regex != updated.topic_regex {
            change = RegexChange::Unresolved;
            let subscribed = |regex: &str| self.regexes.get(regex).copied().unwrap_or(0);
            if let Some(old) = old
                && subscribed(old) == 1
            {
                plan.records.push(self.regex_tombstone(old));
            }
            match new {
                Some(new) if subscribed(new) == 0 => {
                    Pattern::compile(new).map_err(|problem| {
                        let message =
                            format!("SubscribedTopicRegex `{new}` is not a valid regular expression: {problem}.");
                        Refusal::new(ErrorCode::INVALID_REGULAR_EXPRESSION, message)
                    })?;
                    refresh = true;
                }
                Some(new) if self.resolved.contains_key(new) => change = RegexChange::Resolved,
                Some(_) => {}
                None if old.is_some() => change = RegexChange::Resolved,
                None => change = RegexChange::Cleared,
            }
        }
        if (!refresh && self.regexes.is_empty()) || !presence.may_resolve(turn.now_ms) {
            return Ok(change);
        }
        let last = self.resolved.values().next();
        if last.is_some_and(|last| turn.now_ms <= last.timestamp.saturating_add(REGEX_REFRESH_MS_MIN)) {
            return Ok(change);
        }
        let interval_ms = turn.view.config.consumer_regex_refresh_interval_ms;
        let stale = last.is_none_or(|last| {
            last.version != topics_version(turn.view.topics)
                || turn.now_ms > last.timestamp.saturating_add(i64::from(interval_ms))
        });
        let before = self.regexes.len();
        if old == new && !refresh && !stale && before == self.resolved.len() {
            return Ok(change);
        }
        let mut regexes = self.regexes.clone();
        if old != new {
            if let Some(count) = old.and_then(|old| regexes.get_mut(old)) {
                *count = count.saturating_sub(1);
            }
            regexes.retain(|_, count| *count > 0);
            if let Some(new) = new {
                *regexes.entry(new.to_owned()).or_default() += 1;
            }
        }
        if (refresh || stale || regexes.len() != self.resolved.len()) && !regexes.is_empty() {
            plan.resolve = Some(regexes.into_keys().collect());
        }
        Ok(change)
    }

    /// The topics subscribed to once `gone` are not there, `new` is, and `regexes_gone` are not resolved.
    pub(super) fn names_after(
        &self,
        gone: &[&Member],
        new: Option<&Member>,
        regexes_gone: &[&str],
    ) -> BTreeMap<String, Subscribers> {
        let mut topics = self.topics.clone();
        for name in gone.iter().flat_map(|member| member.topic_names.iter()) {
            change_subscribers(&mut topics, name, |subscribers| {
                subscribers.by_name = subscribers.by_name.saturating_sub(1);
            });
        }
        for name in new.iter().flat_map(|member| member.topic_names.iter()) {
            topics.entry(name.clone()).or_default().by_name += 1;
        }
        let mut dropped: Vec<&Resolved> = regexes_gone.iter().filter_map(|regex| self.resolved.get(*regex)).collect();
        if let (Some(new), [old]) = (new, gone)
            && let Some(regex) = old.regex().filter(|regex| new.regex() != Some(regex))
            && self.regexes.get(regex) == Some(&1)
        {
            dropped.extend(self.resolved.get(regex));
        }
        for topic in dropped.iter().flat_map(|resolved| resolved.topics.iter()) {
            change_subscribers(&mut topics, topic, |subscribers| {
                subscribers.by_regex = subscribers.by_regex.saturating_sub(1);
            });
        }
        topics
    }

    /// A member's step towards `target`, recorded if there is one to take. `taken` are partitions that other members
    /// are given in the same batch of records.
    pub(super) fn reconcile(
        &self,
        member: Member,
        goal: &Goal<'_>,
        view: View<'_>,
        records: &mut Vec<Record>,
        taken: &mut BTreeSet<(TopicId, i32)>,
    ) -> Result<Member, Refusal> {
        if !goal.subscription_changed && member.is_reconciled_to(goal.target_epoch) {
            return Ok(member);
        }
        let ids = self.names_of(&member).filter_map(|name| view.topics.by_name(name));
        let subscribed: BTreeSet<TopicId> = ids.map(|topic| TopicId(topic.id)).collect();
        let nothing = Partitions::new();
        let reconciliation = Reconciliation {
            target_epoch: goal.target_epoch,
            target: goal.target.map_or(&nothing, |target| target),
            subscribed: &subscribed,
            subscription_changed: goal.subscription_changed,
            owned: goal.owned,
            holders: &Remaining { group: self, taken },
        };
        let updated = reconciliation.apply(&member).map_err(|UnknownState| {
            let message =
                "The consumer group member is in a unknown state. The member must abandon all its partitions and rejoin.";
            Refusal::new(ErrorCode::FENCED_MEMBER_EPOCH, message)
        })?;
        if updated != member {
            records.push(self.assignment_record(&updated));
            for (topic, partitions) in updated.assigned.iter() {
                for partition in partitions.keys().filter(|partition| !holds(&member.assigned, topic, **partition)) {
                    taken.insert((*topic, *partition));
                }
            }
        }
        Ok(updated)
    }
}

/// Where a member is to get.
pub(super) struct Goal<'a> {
    pub target_epoch: i32,
    pub target: Option<&'a Partitions>,
    pub subscription_changed: bool,
    pub owned: Option<&'a [TopicPartitions]>,
}

/// Partitions that nobody holds, and that nobody gets in the batch that is being made.
struct Remaining<'a> {
    group: &'a ConsumerGroup,
    taken: &'a BTreeSet<(TopicId, i32)>,
}

impl Holders for Remaining<'_> {
    fn partition_epoch(&self, topic: &TopicId, partition: i32) -> Option<i32> {
        if self.taken.contains(&(*topic, partition)) {
            return Some(self.group.target_epoch);
        }
        self.group.partition_epoch(topic, partition)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RegexChange {
    None,
    /// Another expression, whose topics are not known yet.
    Unresolved,
    /// Another way to say that there is none.
    Cleared,
    /// Another expression, whose topics are known; or none where there was one.
    Resolved,
}

impl Plan {
    /// Starts what the plan asks for, once its records are sure to be written.
    pub(super) fn carry_out(self, group: &ConsumerGroup, presence: &mut Presence, turn: &mut Turn<'_>) {
        if !self.records.is_empty() {
            turn.step.watching.push(group.group_id.clone());
        }
        turn.step.records.extend(self.records);
        presence.topics_revision = Some(turn.view.topics.revision());
        if self.epoch > group.target_epoch {
            presence.assignment_due(group, turn.settings(&group.group_id).assignment_interval_ms, turn.now_ms);
        }
        if let Some(regexes) = self.resolve {
            let underway = presence.begin_job(turn.now_ms);
            presence.resolving = Some(underway);
            let topics = turn.view.topics;
            turn.step.jobs.push(AssignmentJob {
                group_id: group.group_id.clone(),
                job_id: underway.job_id,
                work: Work::Topics(RegexJob {
                    regexes,
                    topics: topics.all().into_iter().map(|topic| topic.name).collect(),
                    version: topics_version(topics),
                    asked_ms: turn.now_ms,
                }),
            });
        }
    }
}

impl Presence {
    /// A target is wanted: at once, or when the interval since the last one is over.
    pub(super) fn assignment_due(&mut self, group: &ConsumerGroup, interval_ms: i32, now_ms: i64) {
        let unhindered = group.target_timestamp == 0 || interval_ms == 0;
        let at = if unhindered { now_ms } else { group.target_timestamp.saturating_add(i64::from(interval_ms)) };
        // A clock that went back does not put it off for longer than the interval.
        self.assign_at = Some(at.max(now_ms).min(now_ms.saturating_add(i64::from(interval_ms))));
    }

    /// Follows a step of reconciliation with the timer for giving up partitions. Classic members have others.
    pub(super) fn reconciled(&mut self, before: &Member, after: &Member, now_ms: i64) {
        if after == before || after.uses_classic_protocol() {
            return;
        }
        if after.state == MemberState::UnrevokedPartitions {
            self.expect_revocation(after, now_ms);
        } else {
            self.revocation_done(after);
        }
    }
}

pub(super) fn topics_version(topics: &dyn Topics) -> i64 {
    i64::try_from(topics.revision()).unwrap_or(i64::MAX)
}

/// The hash over those of these topics that exist.
pub(super) fn names_hash(names: &BTreeMap<String, Subscribers>, view: View<'_>) -> i64 {
    let existing = names.keys().filter_map(|name| view.topics.by_name(name));
    group_hash(existing.map(|topic| topic_hash(&topic, view.topics)))
}
