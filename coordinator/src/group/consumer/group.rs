//! A group of the `consumer` protocol as its records say it is, and what can be told from that.
//!
//! Owns the replayed state: [`ConsumerGroup::replay`] alone changes it. Everything else reads. What is not in records
//! (sessions, waiting requests, jobs under way) is in [`Presence`](super::Presence).
//!
//! Epochs: the group's grows with every change of members, subscriptions or their topics; the target's follows when an
//! assignment for it has been computed; a member's follows that when it has given up what it no longer should have.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use stratalog_types::TopicId;

use super::member::{Member, MemberState};
use super::partitions::{HeldPartitions, Partitions, holds};
use super::planted::{Bug, planted};
use super::reconcile::Holders;

/// The state of a group as tools show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupState {
    Empty,
    Assigning,
    Reconciling,
    Stable,
}

impl GroupState {
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::Assigning => "Assigning",
            GroupState::Reconciling => "Reconciling",
            GroupState::Stable => "Stable",
        }
    }
}

/// How many members and expressions subscribe to a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Subscribers {
    pub by_name: usize,
    pub by_regex: usize,
}

/// The topics that a regular expression was found to match.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolved {
    pub topics: Arc<BTreeSet<String>>,
    /// The revision of the topics that were searched.
    pub version: i64,
    pub timestamp: i64,
}

/// A consumer group, as its records have it.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsumerGroup {
    pub(super) group_id: Arc<str>,
    pub(super) epoch: i32,
    pub(super) metadata_hash: i64,
    pub(super) target_epoch: i32,
    /// When the target was computed; 0 if none was.
    pub(super) target_timestamp: i64,
    pub(super) members: BTreeMap<Arc<str>, Member>,
    pub(super) targets: BTreeMap<Arc<str>, Arc<Partitions>>,
    pub(super) resolved: BTreeMap<String, Resolved>,
    /// There is a record of Kafka before 4.1 to be removed.
    pub(super) has_legacy_metadata: bool,
    // Derived from the above.
    /// Member id by instance id.
    pub(super) instances: BTreeMap<String, Arc<str>>,
    pub(super) holders: HashMap<TopicId, HashMap<i32, Arc<str>>>,
    pub(super) topics: BTreeMap<String, Subscribers>,
    pub(super) regexes: BTreeMap<String, usize>,
    pub(super) assignors: BTreeMap<String, usize>,
    pub(super) classic_members: usize,
    /// How many classic members support each protocol.
    pub(super) classic_protocols: BTreeMap<String, usize>,
}

impl ConsumerGroup {
    /// A group of which there are no records yet. Epochs start at 1, so that the first member, which makes it 2, can be
    /// told an epoch that is not 0 even before it has a target.
    pub fn new(group_id: Arc<str>) -> ConsumerGroup {
        ConsumerGroup {
            group_id,
            epoch: 1,
            metadata_hash: 0,
            target_epoch: 1,
            target_timestamp: 0,
            members: BTreeMap::new(),
            targets: BTreeMap::new(),
            resolved: BTreeMap::new(),
            has_legacy_metadata: false,
            instances: BTreeMap::new(),
            holders: HashMap::new(),
            topics: BTreeMap::new(),
            regexes: BTreeMap::new(),
            assignors: BTreeMap::new(),
            classic_members: 0,
            classic_protocols: BTreeMap::new(),
        }
    }

    pub fn group_id(&self) -> &Arc<str> {
        &self.group_id
    }

    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    pub fn target_epoch(&self) -> i32 {
        self.target_epoch
    }

    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub fn member(&self, member_id: &str) -> Option<&Member> {
        self.members.get(member_id)
    }

    pub fn static_member(&self, instance_id: &str) -> Option<&Member> {
        self.members.get(self.instances.get(instance_id)?)
    }

    pub fn target(&self, member_id: &str) -> Option<&Arc<Partitions>> {
        self.targets.get(member_id)
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn state(&self) -> GroupState {
        if self.members.is_empty() {
            GroupState::Empty
        } else if self.epoch > self.target_epoch {
            GroupState::Assigning
        } else if self.members.values().all(|member| member.is_reconciled_to(self.target_epoch)) {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        }
    }

    /// Whether some member subscribes to this topic: its offsets do not expire then.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// The assignor that most members ask for.
    pub fn preferred_assignor(&self) -> Option<&str> {
        let mut best: Option<(&str, usize)> = None;
        for (name, count) in &self.assignors {
            if best.is_none_or(|(_, most)| *count > most) {
                best = Some((name, *count));
            }
        }
        best.map(|(name, _)| name)
    }

    /// Whether all members have the same subscription: the same names, or one expression and no names.
    pub fn is_homogeneous(&self) -> bool {
        let members = self.members.len();
        match self.regexes.values().next() {
            None => self.topics.values().all(|subscribers| subscribers.by_name == members),
            Some(count) if *count == members => {
                self.topics.values().all(|subscribers| subscribers.by_regex == 1 && subscribers.by_name == 0)
            }
            Some(_) => false,
        }
    }

    /// Whether a classic member with these protocols can be in the group beside the classic members that it has.
    pub fn supports_classic_protocols<'a>(&self, mut protocols: impl Iterator<Item = &'a str>) -> bool {
        if self.members.is_empty() {
            return protocols.next().is_some();
        }
        protocols.any(|name| self.classic_protocols.get(name).copied().unwrap_or(0) == self.classic_members)
    }

    /// Whether an unreleased partition of this member's target is still with somebody.
    pub fn waits_for_partitions(&self, member: &Member) -> bool {
        member.state == MemberState::UnreleasedPartitions
            && self.targets.get(&member.member_id).is_some_and(|target| {
                target.iter().any(|(topic, partitions)| {
                    partitions.iter().any(|partition| {
                        !holds(&member.assigned, topic, *partition) && self.partition_epoch(topic, *partition).is_some()
                    })
                })
            })
    }

    /// The names that a member subscribes to, its expression resolved.
    pub(super) fn names_of<'a>(&'a self, member: &'a Member) -> impl Iterator<Item = &'a String> {
        let resolved = member.regex().and_then(|regex| self.resolved.get(regex));
        member.topic_names.iter().chain(resolved.into_iter().flat_map(|resolved| resolved.topics.iter()))
    }

    pub(super) fn put_member(&mut self, member: Member) {
        let old = self.members.remove(&member.member_id);
        self.forget(old.as_ref());
        for name in member.topic_names.iter() {
            self.topics.entry(name.clone()).or_default().by_name += 1;
        }
        if let Some(regex) = member.regex() {
            *self.regexes.entry(regex.to_owned()).or_default() += 1;
        }
        if let Some(assignor) = &member.server_assignor {
            *self.assignors.entry(assignor.clone()).or_default() += 1;
        }
        if let Some(instance) = &member.instance_id {
            self.instances.insert(instance.clone(), member.member_id.clone());
        }
        if let Some(classic) = &member.classic {
            self.classic_members += 1;
            for protocol in &classic.supported_protocols {
                *self.classic_protocols.entry(protocol.name.clone()).or_default() += 1;
            }
        }
        for held in [&member.assigned, &member.pending_revocation] {
            for (topic, partitions) in held.iter() {
                let holders = self.holders.entry(*topic).or_default();
                for partition in partitions.keys() {
                    holders.insert(*partition, member.member_id.clone());
                }
            }
        }
        self.members.insert(member.member_id.clone(), member);
    }

    pub(super) fn take_member(&mut self, member_id: &str) {
        let old = self.members.remove(member_id);
        self.forget(old.as_ref());
    }

    /// Takes what is derived from a member out again.
    fn forget(&mut self, member: Option<&Member>) {
        let Some(member) = member else { return };
        for name in member.topic_names.iter().filter(|_| !planted(Bug::SubscriptionKept)) {
            change_subscribers(&mut self.topics, name, |subscribers| {
                subscribers.by_name = subscribers.by_name.saturating_sub(1);
            });
        }
        if let Some(regex) = member.regex() {
            decrement(&mut self.regexes, regex);
        }
        if let Some(assignor) = &member.server_assignor {
            decrement(&mut self.assignors, assignor);
        }
        if let Some(instance) = &member.instance_id
            && self.instances.get(instance) == Some(&member.member_id)
        {
            self.instances.remove(instance);
        }
        if let Some(classic) = &member.classic {
            self.classic_members = self.classic_members.saturating_sub(1);
            for protocol in &classic.supported_protocols {
                decrement(&mut self.classic_protocols, &protocol.name);
            }
        }
        self.release(&member.member_id, &member.assigned);
        self.release(&member.member_id, &member.pending_revocation);
    }

    fn release(&mut self, member_id: &Arc<str>, held: &HeldPartitions) {
        if planted(Bug::HolderKept) && !self.members.contains_key(member_id) && self.epoch % 3 == 0 {
            return;
        }
        for (topic, partitions) in held {
            let Some(holders) = self.holders.get_mut(topic) else { continue };
            for partition in partitions.keys() {
                if holders.get(partition) == Some(member_id) {
                    holders.remove(partition);
                }
            }
            if holders.is_empty() {
                self.holders.remove(topic);
            }
        }
    }

    pub(super) fn put_resolved(&mut self, regex: String, resolved: Resolved) {
        self.take_resolved(&regex);
        for topic in resolved.topics.iter() {
            self.topics.entry(topic.clone()).or_default().by_regex += 1;
        }
        self.resolved.insert(regex, resolved);
    }

    pub(super) fn take_resolved(&mut self, regex: &str) {
        let Some(resolved) = self.resolved.remove(regex) else { return };
        for topic in resolved.topics.iter() {
            change_subscribers(&mut self.topics, topic, |subscribers| {
                subscribers.by_regex = subscribers.by_regex.saturating_sub(1);
            });
        }
    }
}

impl Holders for ConsumerGroup {
    fn partition_epoch(&self, topic: &TopicId, partition: i32) -> Option<i32> {
        let holder = self.holders.get(topic)?.get(&partition)?;
        self.members.get(holder).map(|member| member.member_epoch)
    }
}

fn decrement(counts: &mut BTreeMap<String, usize>, key: &str) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// Changes the count of a topic, which goes when nobody is left.
pub(super) fn change_subscribers(
    topics: &mut BTreeMap<String, Subscribers>,
    topic: &str,
    change: impl FnOnce(&mut Subscribers),
) {
    if let Some(subscribers) = topics.get_mut(topic) {
        change(subscribers);
        if *subscribers == Subscribers::default() {
            topics.remove(topic);
        }
    }
}
