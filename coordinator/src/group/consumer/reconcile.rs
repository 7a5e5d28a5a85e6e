//! A member's next step from what it has towards what it should have (KIP-848).
//!
//! A partition has one owner at a time. A member first gives up what its target no longer has, in its old epoch, and
//! goes on when its heartbeat no longer names those partitions; only then it enters the target's epoch and is given
//! what nobody else has. What others still have it is given with later heartbeats, as they let go.
//!
//! Pure: from a member and its group to the member as it should be recorded.

use std::collections::BTreeSet;
use std::sync::Arc;

use stratalog_protocol::messages::consumer_group_heartbeat::TopicPartitions;
use stratalog_types::TopicId;

use super::member::{Member, MemberState};
use super::partitions::{HeldPartitions, Partitions, holds};
use super::planted::{Bug, planted};

/// Tells which epoch a partition is held in by some member of the group, `None` if by none.
pub trait Holders {
    fn partition_epoch(&self, topic: &TopicId, partition: i32) -> Option<i32>;
}

/// What a member is reconciled with.
pub struct Reconciliation<'a, H> {
    pub target_epoch: i32,
    pub target: &'a Partitions,
    /// The topics that it is subscribed to now, by name or expression: the target may be older than that.
    pub subscribed: &'a BTreeSet<TopicId>,
    /// Forces what it has into its subscription even if the target did not change.
    pub subscription_changed: bool,
    /// What the member says it has; `None` if it did not say, which means that nothing was given up.
    pub owned: Option<&'a [TopicPartitions]>,
    pub holders: &'a H,
}

/// The member's state is of a later Kafka and it has partitions: it must join again.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownState;

impl<H: Holders> Reconciliation<'_, H> {
    pub fn apply(&self, member: &Member) -> Result<Member, UnknownState> {
        match member.state {
            MemberState::Stable if member.member_epoch != self.target_epoch => {
                Ok(self.next_assignment(member, member.member_epoch))
            }
            MemberState::Stable if self.subscription_changed => Ok(self.within_subscription(member)),
            MemberState::Stable => Ok(member.clone()),
            MemberState::UnrevokedPartitions if self.still_owns(&member.pending_revocation) => {
                Ok(if self.subscription_changed { self.within_subscription(member) } else { member.clone() })
            }
            MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => {
                Ok(self.next_assignment(member, member.member_epoch))
            }
            MemberState::Unknown(_) if self.owned.is_none_or(|owned| !owned.is_empty()) => Err(UnknownState),
            MemberState::Unknown(_) => Ok(self.next_assignment(member, self.target_epoch)),
        }
    }

    /// Whether the member may still work on any of these.
    fn still_owns(&self, revoked: &HeldPartitions) -> bool {
        if planted(Bug::RevocationAssumed) {
            return false;
        }
        let Some(owned) = self.owned else { return true };
        owned.iter().any(|topic| {
            revoked
                .get(&TopicId(topic.topic_id))
                .is_some_and(|revoked| topic.partitions.iter().any(|partition| revoked.contains_key(partition)))
        })
    }

    /// Takes away topics that the member is no longer subscribed to, and nothing else.
    fn within_subscription(&self, member: &Member) -> Member {
        if member.assigned.keys().all(|topic| self.subscribed.contains(topic)) {
            return member.clone();
        }
        let mut assigned = HeldPartitions::new();
        let mut revoked = HeldPartitions::clone(&member.pending_revocation);
        for (topic, partitions) in member.assigned.iter() {
            if self.subscribed.contains(topic) {
                assigned.insert(*topic, partitions.clone());
            } else {
                revoked.entry(*topic).or_default().extend(partitions);
            }
        }
        let mut next = member.clone();
        next.enter_epoch(member.member_epoch);
        next.assigned = Arc::new(assigned);
        if self.still_owns(&revoked) {
            next.state = MemberState::UnrevokedPartitions;
            next.pending_revocation = Arc::new(revoked);
        }
        next
    }

    fn next_assignment(&self, member: &Member, member_epoch: i32) -> Member {
        let mut kept = HeldPartitions::new();
        let mut revoked = HeldPartitions::new();
        for (topic, partitions) in member.assigned.iter() {
            let target = self.target_of(topic);
            for (partition, epoch) in partitions {
                let stays = target.is_some_and(|target| target.contains(partition));
                let into = if stays { &mut kept } else { &mut revoked };
                into.entry(*topic).or_default().insert(*partition, *epoch);
            }
        }
        let mut next = member.clone();
        if !revoked.is_empty() && self.still_owns(&revoked) {
            next.enter_epoch(member_epoch);
            next.state = MemberState::UnrevokedPartitions;
            next.assigned = Arc::new(kept);
            next.pending_revocation = Arc::new(revoked);
            return next;
        }
        let mut unreleased = false;
        for topic in self.target.keys() {
            for partition in self.target_of(topic).into_iter().flatten() {
                if holds(&kept, topic, *partition) {
                    continue;
                }
                // The member itself may be the holder, of what it gives up with this very step: it may have it back.
                let free = self.holders.partition_epoch(topic, *partition).is_none()
                    || holds(&member.pending_revocation, topic, *partition)
                    || planted(Bug::HeldIsGranted);
                if free {
                    kept.entry(*topic).or_default().insert(*partition, self.target_epoch);
                } else {
                    unreleased = true;
                }
            }
        }
        next.enter_epoch(self.target_epoch);
        next.state = if unreleased { MemberState::UnreleasedPartitions } else { MemberState::Stable };
        next.assigned = Arc::new(kept);
        next.pending_revocation = Arc::default();
        next
    }

    /// The target in a topic, nothing where the member is not subscribed any more.
    fn target_of(&self, topic: &TopicId) -> Option<&BTreeSet<i32>> {
        self.target.get(topic).filter(|_| self.subscribed.contains(topic))
    }
}
