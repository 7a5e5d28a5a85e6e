//! Records to state, and state to records.
//!
//! Tolerant where a compacted log may be: a tombstone for what is not there is passed over. A member's two records may
//! come in either order, and a tombstone of its assignment before that of its subscription.

use std::sync::Arc;

use stratalog_types::TopicId;

use super::group::{ConsumerGroup, Resolved};
use super::member::{LEAVE_EPOCH, Member};
use super::partitions::Partitions;
use crate::records::{
    ConsumerGroupMetadataValue, ConsumerGroupRegularExpressionValue, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataValue, Record, TargetPartitions,
};

/// Whether the group is still there after a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Replayed {
    Kept,
    /// Its tombstone came: drop it.
    Deleted,
}

impl ConsumerGroup {
    /// Applies a record of this group. Records of other kinds are not its business.
    pub fn replay(&mut self, record: &Record) -> Replayed {
        match record {
            Record::ConsumerGroupMetadata { value: None, .. } => return Replayed::Deleted,
            Record::ConsumerGroupMetadata { value: Some(value), .. } => {
                self.epoch = value.epoch;
                self.metadata_hash = value.metadata_hash;
            }
            Record::ConsumerGroupPartitionMetadata { value, .. } => self.has_legacy_metadata = value.is_some(),
            Record::ConsumerGroupMemberMetadata { member, value: Some(value), .. } => {
                let mut updated = self.member_or_new(member);
                updated.set_subscription(value.clone());
                self.put_member(updated);
            }
            Record::ConsumerGroupMemberMetadata { member, value: None, .. } => self.take_member(member),
            Record::ConsumerGroupTargetAssignmentMetadata { value, .. } => {
                self.target_epoch = value.as_ref().map_or(-1, |value| value.assignment_epoch);
                self.target_timestamp = value.as_ref().map_or(0, |value| value.assignment_timestamp);
            }
            Record::ConsumerGroupTargetAssignmentMember { member, value: Some(value), .. } => {
                let known = self.members.get_key_value(member.as_str()).map(|(id, _)| id.clone());
                let member = known.unwrap_or_else(|| Arc::from(member.as_str()));
                self.targets.insert(member, Arc::new(target_from_record(&value.topic_partitions)));
            }
            Record::ConsumerGroupTargetAssignmentMember { member, value: None, .. } => {
                self.targets.remove(member.as_str());
            }
            Record::ConsumerGroupCurrentMemberAssignment { member, value: Some(value), .. } => {
                let mut updated = self.member_or_new(member);
                updated.set_assignment(value.clone());
                self.put_member(updated);
            }
            Record::ConsumerGroupCurrentMemberAssignment { member, value: None, .. } => {
                if let Some(member) = self.members.get(member.as_str()) {
                    let mut updated = member.clone();
                    updated.member_epoch = LEAVE_EPOCH;
                    updated.previous_member_epoch = LEAVE_EPOCH;
                    updated.assigned = Arc::default();
                    updated.pending_revocation = Arc::default();
                    self.put_member(updated);
                }
            }
            Record::ConsumerGroupRegularExpression { regular_expression, value: Some(value), .. } => {
                let resolved = Resolved {
                    topics: Arc::new(value.topics.iter().cloned().collect()),
                    version: value.version,
                    timestamp: value.timestamp,
                };
                self.put_resolved(regular_expression.clone(), resolved);
            }
            Record::ConsumerGroupRegularExpression { regular_expression, value: None, .. } => {
                self.take_resolved(regular_expression);
            }
            Record::OffsetCommit { .. } | Record::GroupMetadata { .. } => {}
        }
        Replayed::Kept
    }

    fn member_or_new(&self, member_id: &str) -> Member {
        self.members.get(member_id).cloned().unwrap_or_else(|| Member::new(Arc::from(member_id)))
    }

    /// Tombstones for all that is recorded of the group, the group's own last. `renamed` is a member whose records in
    /// the same batch are under another id by now.
    pub(super) fn tombstones(&self, renamed: Option<(&str, &str)>) -> Vec<Record> {
        let id = |member: &Arc<str>| match renamed {
            Some((from, to)) if from == &**member => to.to_owned(),
            _ => member.to_string(),
        };
        let group = || self.group_id.to_string();
        let mut records = Vec::with_capacity(3 * self.members.len() + self.resolved.len() + 3);
        for member in self.members.keys() {
            records.push(Record::ConsumerGroupCurrentMemberAssignment {
                group: group(),
                member: id(member),
                value: None,
            });
        }
        for member in self.members.keys() {
            records.push(Record::ConsumerGroupTargetAssignmentMember {
                group: group(),
                member: id(member),
                value: None,
            });
        }
        records.push(Record::ConsumerGroupTargetAssignmentMetadata { group: group(), value: None });
        for member in self.members.keys() {
            records.push(Record::ConsumerGroupMemberMetadata { group: group(), member: id(member), value: None });
        }
        for regex in self.resolved.keys() {
            records.push(Record::ConsumerGroupRegularExpression {
                group: group(),
                regular_expression: regex.clone(),
                value: None,
            });
        }
        records.push(Record::ConsumerGroupPartitionMetadata { group: group(), value: None });
        records.push(Record::ConsumerGroupMetadata { group: group(), value: None });
        records
    }

    /// What deletes the group: it must be empty.
    pub fn deletion(&self) -> Vec<Record> {
        self.tombstones(None)
    }

    /// Records from which the group as it is can be replayed.
    pub fn snapshot(&self) -> Vec<Record> {
        let mut records: Vec<Record> = self.members.values().map(|member| self.subscription_record(member)).collect();
        records.push(self.epoch_record(self.epoch, self.metadata_hash));
        for (member, target) in &self.targets {
            records.push(self.target_record(member, target));
        }
        records.push(self.target_epoch_record(self.target_epoch, self.target_timestamp));
        records.extend(self.resolved.iter().map(|(regex, resolved)| self.regex_record(regex, resolved)));
        records.extend(self.members.values().map(|member| self.assignment_record(member)));
        records
    }

    pub(super) fn subscription_record(&self, member: &Member) -> Record {
        Record::ConsumerGroupMemberMetadata {
            group: self.group_id.to_string(),
            member: member.member_id.to_string(),
            value: Some(member.subscription_value()),
        }
    }

    pub(super) fn assignment_record(&self, member: &Member) -> Record {
        Record::ConsumerGroupCurrentMemberAssignment {
            group: self.group_id.to_string(),
            member: member.member_id.to_string(),
            value: Some(member.assignment_value()),
        }
    }

    pub(super) fn epoch_record(&self, epoch: i32, metadata_hash: i64) -> Record {
        Record::ConsumerGroupMetadata {
            group: self.group_id.to_string(),
            value: Some(ConsumerGroupMetadataValue { epoch, metadata_hash }),
        }
    }

    pub(super) fn target_record(&self, member_id: &str, target: &Partitions) -> Record {
        Record::ConsumerGroupTargetAssignmentMember {
            group: self.group_id.to_string(),
            member: member_id.to_owned(),
            value: Some(ConsumerGroupTargetAssignmentMemberValue { topic_partitions: target_to_record(target) }),
        }
    }

    pub(super) fn target_epoch_record(&self, assignment_epoch: i32, assignment_timestamp: i64) -> Record {
        Record::ConsumerGroupTargetAssignmentMetadata {
            group: self.group_id.to_string(),
            value: Some(ConsumerGroupTargetAssignmentMetadataValue { assignment_epoch, assignment_timestamp }),
        }
    }

    pub(super) fn regex_record(&self, regex: &str, resolved: &Resolved) -> Record {
        Record::ConsumerGroupRegularExpression {
            group: self.group_id.to_string(),
            regular_expression: regex.to_owned(),
            value: Some(ConsumerGroupRegularExpressionValue {
                topics: resolved.topics.iter().cloned().collect(),
                version: resolved.version,
                timestamp: resolved.timestamp,
            }),
        }
    }

    pub(super) fn regex_tombstone(&self, regex: &str) -> Record {
        Record::ConsumerGroupRegularExpression {
            group: self.group_id.to_string(),
            regular_expression: regex.to_owned(),
            value: None,
        }
    }

    /// Takes a member out: assignment, target, subscription, in the order in which replay wants them.
    pub(super) fn member_tombstones(&self, member_id: &str) -> [Record; 3] {
        let group = || self.group_id.to_string();
        let member = || member_id.to_owned();
        [
            Record::ConsumerGroupCurrentMemberAssignment { group: group(), member: member(), value: None },
            Record::ConsumerGroupTargetAssignmentMember { group: group(), member: member(), value: None },
            Record::ConsumerGroupMemberMetadata { group: group(), member: member(), value: None },
        ]
    }
}

fn target_to_record(target: &Partitions) -> Vec<TargetPartitions> {
    target
        .iter()
        .map(|(topic, partitions)| TargetPartitions {
            topic_id: topic.0,
            partitions: partitions.iter().copied().collect(),
        })
        .collect()
}

fn target_from_record(topics: &[TargetPartitions]) -> Partitions {
    let mut target = Partitions::new();
    for topic in topics.iter().filter(|topic| !topic.partitions.is_empty()) {
        target.entry(TopicId(topic.topic_id)).or_default().extend(&topic.partitions);
    }
    target
}
