//! Sets of partitions by topic: what a member should have (a target), and what it has, with the epoch in which it got
//! each.

use std::collections::{BTreeMap, BTreeSet};

use stratalog_types::TopicId;

/// Partitions by topic. No topic has an empty set.
pub type Partitions = BTreeMap<TopicId, BTreeSet<i32>>;

/// Partitions by topic, each with the member epoch in which it was given (KIP-1251: a commit of an older epoch is taken
/// for partitions that the member has had since then). No topic has an empty map.
pub type HeldPartitions = BTreeMap<TopicId, BTreeMap<i32, i32>>;

/// Whether `held` has this partition.
pub fn holds(held: &HeldPartitions, topic: &TopicId, partition: i32) -> bool {
    held.get(topic).is_some_and(|partitions| partitions.contains_key(&partition))
}

/// The same partitions, all of one epoch.
pub fn with_epoch(partitions: &Partitions, epoch: i32) -> HeldPartitions {
    partitions.iter().map(|(topic, set)| (*topic, set.iter().map(|partition| (*partition, epoch)).collect())).collect()
}

/// The same partitions without their epochs.
pub fn without_epochs(held: &HeldPartitions) -> Partitions {
    held.iter().map(|(topic, map)| (*topic, map.keys().copied().collect())).collect()
}

/// How many partitions there are over all topics.
pub fn count(partitions: &Partitions) -> usize {
    partitions.values().map(BTreeSet::len).sum()
}
