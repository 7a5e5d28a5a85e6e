//! What groups have committed: replayed state, and the look-ups over it.
//!
//! Owns the offsets of a shard's groups, and those of open transactions, which count when their marker comes. Does not
//! own who may commit, or when an offset expires.

mod by_partition;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use uuid::Uuid;

pub use self::by_partition::ByPartition;
use crate::records::OffsetCommitValue;

/// How far a group has read in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed<'a> {
    pub offset: i64,
    /// -1 if unknown.
    pub leader_epoch: i32,
    pub metadata: &'a str,
    pub commit_timestamp_ms: i64,
    /// -1 if the broker's retention holds.
    pub expire_timestamp_ms: i64,
    /// Nil if the topic was only known by name.
    pub topic_id: Uuid,
    /// Of the record that says so: a transaction that ends late must not undo a later commit.
    record_offset: i64,
}

impl Committed<'_> {
    fn of(record_offset: i64, value: &OffsetCommitValue) -> Committed<'_> {
        Committed {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: &value.metadata,
            commit_timestamp_ms: value.commit_timestamp,
            expire_timestamp_ms: value.expire_timestamp,
            topic_id: value.topic_id,
            record_offset,
        }
    }

    /// Whether it was committed for this topic, as far as both sides know ids.
    pub fn is_of(&self, topic_id: Uuid) -> bool {
        self.topic_id.is_nil() || topic_id.is_nil() || self.topic_id == topic_id
    }
}

/// Offsets by topic. Most groups read few: a boxed entry keeps a node of theirs small.
pub type ByTopic = BTreeMap<Box<str>, Box<ByPartition>>;

#[derive(Debug, Default, PartialEq)]
struct Tree {
    groups: HashMap<Arc<str>, ByTopic>,
    len: usize,
}

impl Tree {
    fn get(&self, group: &str, topic: &str, partition: i32) -> Option<Committed<'_>> {
        self.groups.get(group)?.get(topic)?.get(partition)
    }

    fn put(&mut self, group: &str, topic: &str, partition: i32, committed: &Committed<'_>) {
        if !self.groups.contains_key(group) {
            self.groups.insert(group.into(), ByTopic::new());
        }
        let Some(topics) = self.groups.get_mut(group) else { return };
        let is_new = match topics.get_mut(topic) {
            Some(partitions) => partitions.put(partition, committed),
            None => topics.entry(topic.into()).or_default().put(partition, committed),
        };
        self.len += usize::from(is_new);
    }

    fn remove(&mut self, group: &str, topic: &str, partition: i32) {
        let Some(topics) = self.groups.get_mut(group) else { return };
        let Some(partitions) = topics.get_mut(topic) else { return };
        if !partitions.remove(partition) {
            return;
        }
        self.len -= 1;
        if partitions.is_empty() {
            topics.remove(topic);
            if topics.is_empty() {
                self.groups.remove(group);
            }
        }
    }
}

/// The offsets of a shard's groups.
#[derive(Debug, Default, PartialEq)]
pub struct Offsets {
    committed: Tree,
    /// Of open transactions, by producer id.
    pending: HashMap<i64, Tree>,
}

impl Offsets {
    /// Partitions with an offset.
    pub fn len(&self) -> usize {
        self.committed.len
    }

    pub fn is_empty(&self) -> bool {
        self.committed.len == 0
    }

    pub fn get(&self, group: &str, topic: &str, partition: i32) -> Option<Committed<'_>> {
        self.committed.get(group, topic, partition)
    }

    /// All that a group has committed.
    pub fn of_group(&self, group: &str) -> Option<&ByTopic> {
        self.committed.groups.get(group)
    }

    pub fn groups(&self) -> impl Iterator<Item = (&Arc<str>, &ByTopic)> {
        self.committed.groups.iter()
    }

    /// Whether a transaction that has not ended commits this partition.
    pub fn is_pending(&self, group: &str, topic: &str, partition: i32) -> bool {
        self.pending.values().any(|tree| tree.get(group, topic, partition).is_some())
    }

    /// Whether a transaction that has not ended commits anything of this group.
    pub fn has_pending(&self, group: &str) -> bool {
        self.pending.values().any(|tree| tree.groups.contains_key(group))
    }

    /// Offsets of open transactions: group, topic, partition and what would count.
    pub fn pending(&self) -> impl Iterator<Item = (&Arc<str>, &str, i32, Committed<'_>)> {
        let groups = self.pending.values().flat_map(|tree| &tree.groups);
        groups.flat_map(|(group, topics)| {
            let each = topics.iter().flat_map(|(topic, partitions)| partitions.iter().map(move |one| (topic, one)));
            each.map(move |(topic, (partition, committed))| (group, topic.as_ref(), partition, committed))
        })
    }

    /// A record comes in. `producer` is that of a transactional batch.
    pub fn replay(
        &mut self,
        record_offset: i64,
        producer: Option<i64>,
        (group, topic, partition): (&str, &str, i32),
        value: Option<OffsetCommitValue>,
    ) {
        match (value, producer) {
            (Some(value), None) => {
                self.committed.put(group, topic, partition, &Committed::of(record_offset, &value));
            }
            (Some(value), Some(producer)) => {
                let tree = self.pending.entry(producer).or_default();
                tree.put(group, topic, partition, &Committed::of(record_offset, &value));
            }
            (None, _) => {
                self.committed.remove(group, topic, partition);
                self.pending.retain(|_, tree| {
                    tree.remove(group, topic, partition);
                    tree.len > 0
                });
            }
        }
    }

    /// A transaction ends: what it committed counts, unless something later was committed meanwhile.
    pub fn end_transaction(&mut self, producer: i64, committed: bool) {
        let Some(tree) = self.pending.remove(&producer).filter(|_| committed) else { return };
        for (group, topics) in tree.groups {
            for (topic, partitions) in topics {
                for (partition, pending) in partitions.iter() {
                    let newer = self.committed.get(&group, &topic, partition);
                    if newer.is_none_or(|newer| newer.record_offset < pending.record_offset) {
                        self.committed.put(&group, &topic, partition, &pending);
                    }
                }
            }
        }
    }
}
