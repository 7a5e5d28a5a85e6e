//! A member of a consumer group: what it said of itself and what it has been given.
//!
//! Owns the fields and their two records, which carry one half each: the subscription
//! (ConsumerGroupMemberMetadata) and the current assignment (ConsumerGroupCurrentMemberAssignment).

use std::collections::BTreeSet;
use std::sync::Arc;

use stratalog_types::TopicId;

use super::partitions::HeldPartitions;
use super::planted::{Bug, planted};
use crate::records::{
    AssignedPartitions, ClassicMemberMetadata, ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupMemberMetadataValue,
};

/// In a heartbeat: the member joins, or joins again after it was fenced.
pub const JOIN_EPOCH: i32 = 0;
/// In a heartbeat: the member leaves.
pub const LEAVE_EPOCH: i32 = -1;
/// In a heartbeat: a static member leaves and means to come back; also the epoch that it has until then.
pub const LEAVE_STATIC_EPOCH: i32 = -2;

/// How far a member is on its way to its target assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberState {
    /// It has what the target of its epoch gives it.
    Stable,
    /// It has to give up partitions before it goes on.
    UnrevokedPartitions,
    /// It waits for partitions that other members still have.
    UnreleasedPartitions,
    /// Written by a later Kafka.
    Unknown(i8),
}

impl MemberState {
    pub fn from_number(number: i8) -> MemberState {
        match number {
            0 => MemberState::Stable,
            1 => MemberState::UnrevokedPartitions,
            2 => MemberState::UnreleasedPartitions,
            other => MemberState::Unknown(other),
        }
    }

    pub fn number(self) -> i8 {
        match self {
            MemberState::Stable => 0,
            MemberState::UnrevokedPartitions => 1,
            MemberState::UnreleasedPartitions => 2,
            MemberState::Unknown(number) => number,
        }
    }
}

/// A member. Large parts are shared, so that a copy costs a few strings.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    pub member_id: Arc<str>,
    pub member_epoch: i32,
    pub previous_member_epoch: i32,
    pub state: MemberState,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub rebalance_timeout_ms: i32,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub topic_names: Arc<BTreeSet<String>>,
    /// `None` and empty both mean that there is none; they are told apart because the record does.
    pub topic_regex: Option<String>,
    pub server_assignor: Option<String>,
    pub assigned: Arc<HeldPartitions>,
    pub pending_revocation: Arc<HeldPartitions>,
    /// Of a member that speaks the classic protocol.
    pub classic: Option<Arc<ClassicMemberMetadata>>,
}

impl Member {
    pub fn new(member_id: Arc<str>) -> Member {
        Member {
            member_id,
            member_epoch: JOIN_EPOCH,
            previous_member_epoch: -1,
            state: MemberState::Stable,
            instance_id: None,
            rack_id: None,
            rebalance_timeout_ms: -1,
            client_id: Arc::from(""),
            client_host: Arc::from(""),
            topic_names: Arc::default(),
            topic_regex: Some(String::new()),
            server_assignor: None,
            assigned: Arc::default(),
            pending_revocation: Arc::default(),
            classic: None,
        }
    }

    pub fn uses_classic_protocol(&self) -> bool {
        self.classic.is_some()
    }

    /// The regular expression, if there is a non-empty one.
    pub fn regex(&self) -> Option<&str> {
        self.topic_regex.as_deref().filter(|regex| !regex.is_empty())
    }

    pub fn is_reconciled_to(&self, target_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.member_epoch == target_epoch
    }

    /// Goes to `epoch`; the one until now stays valid for a retry whose answer was lost.
    pub fn enter_epoch(&mut self, epoch: i32) {
        self.previous_member_epoch = self.member_epoch;
        self.member_epoch = epoch;
    }

    /// The epoch in which a partition was given to the member that has it still, or has to give it up.
    pub fn epoch_of(&self, topic: &TopicId, partition: i32) -> Option<i32> {
        let of = |held: &HeldPartitions| held.get(topic)?.get(&partition).copied();
        of(&self.assigned).or_else(|| of(&self.pending_revocation))
    }

    pub fn subscription_value(&self) -> ConsumerGroupMemberMetadataValue {
        ConsumerGroupMemberMetadataValue {
            instance_id: self.instance_id.clone(),
            rack_id: self.rack_id.clone(),
            client_id: self.client_id.to_string(),
            client_host: self.client_host.to_string(),
            subscribed_topic_names: self.topic_names.iter().cloned().collect(),
            subscribed_topic_regex: self.topic_regex.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            server_assignor: self.server_assignor.clone(),
            classic_member_metadata: self.classic.as_deref().cloned(),
        }
    }

    pub fn set_subscription(&mut self, value: ConsumerGroupMemberMetadataValue) {
        self.instance_id = value.instance_id;
        self.rack_id = value.rack_id;
        self.client_id = value.client_id.into();
        self.client_host = value.client_host.into();
        self.topic_names = Arc::new(value.subscribed_topic_names.into_iter().collect());
        self.topic_regex = value.subscribed_topic_regex;
        self.rebalance_timeout_ms = value.rebalance_timeout_ms;
        self.server_assignor = value.server_assignor;
        self.classic = value.classic_member_metadata.map(Arc::new);
    }

    pub fn assignment_value(&self) -> ConsumerGroupCurrentMemberAssignmentValue {
        ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: self.member_epoch,
            previous_member_epoch: self.previous_member_epoch,
            state: self.state.number(),
            assigned_partitions: held_to_record(&self.assigned),
            partitions_pending_revocation: match planted(Bug::RevocationForgotten) {
                true => Vec::new(),
                false => held_to_record(&self.pending_revocation),
            },
        }
    }

    pub fn set_assignment(&mut self, value: ConsumerGroupCurrentMemberAssignmentValue) {
        self.member_epoch = value.member_epoch;
        self.previous_member_epoch = value.previous_member_epoch;
        self.state = MemberState::from_number(value.state);
        self.assigned = Arc::new(held_from_record(&value.assigned_partitions, value.member_epoch));
        self.pending_revocation = Arc::new(held_from_record(&value.partitions_pending_revocation, value.member_epoch));
    }
}

fn held_to_record(held: &HeldPartitions) -> Vec<AssignedPartitions> {
    held.iter()
        .map(|(topic, partitions)| AssignedPartitions {
            topic_id: topic.0,
            partitions: partitions.keys().copied().collect(),
            assignment_epochs: Some(partitions.values().copied().collect()),
        })
        .collect()
}

/// Records of Kafka before 4.3 have no epochs of partitions: the member's own stands in, 0 for a static member that is
/// away.
fn held_from_record(topics: &[AssignedPartitions], member_epoch: i32) -> HeldPartitions {
    let mut held = HeldPartitions::new();
    for topic in topics.iter().filter(|topic| !topic.partitions.is_empty()) {
        let epochs = topic.assignment_epochs.as_deref().filter(|epochs| epochs.len() == topic.partitions.len());
        let of = |index: usize| epochs.and_then(|epochs| epochs.get(index).copied()).unwrap_or(member_epoch.max(0));
        let partitions = topic.partitions.iter().enumerate().map(|(index, partition)| (*partition, of(index)));
        held.entry(TopicId(topic.topic_id)).or_default().extend(partitions);
    }
    held
}
