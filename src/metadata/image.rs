//! The immutable picture of the cluster that a request reads.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use stratalog_types::{LeaderEpoch, PartitionIndex, TopicId, TopicPartition};

use super::topic_name;

/// A broker as clients may reach it. The port and host may be left open: then the address that the client connected
/// to is what it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    pub id: i32,
    pub rack: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    pub leader: i32,
    pub leader_epoch: LeaderEpoch,
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
    /// Raised by every change of this partition's record; compared when it is changed.
    pub partition_epoch: i32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    pub name: Arc<str>,
    pub id: TopicId,
    /// By partition index: dense from 0.
    pub partitions: Vec<Partition>,
    /// Explicit topic configs; what is not here follows the broker.
    pub configs: BTreeMap<String, String>,
    pub created_at_ms: i64,
}

impl Topic {
    pub fn is_internal(&self) -> bool {
        topic_name::is_internal(&self.name)
    }

    pub fn partition(&self, index: PartitionIndex) -> Option<&Partition> {
        usize::try_from(index.0).ok().and_then(|i| self.partitions.get(i))
    }
}

#[derive(Debug, Clone, Default)]
pub struct Image {
    /// The store's revision that this image shows.
    pub revision: u64,
    pub brokers: Vec<Broker>,
    topics: BTreeMap<Arc<str>, Arc<Topic>>,
    by_id: HashMap<TopicId, Arc<Topic>>,
    collisions: HashMap<String, Arc<str>>,
    /// Topics whose metadata is gone and whose bytes are not: name, partitions, whether the tier may hold some.
    pub deleting: BTreeMap<TopicId, (Arc<str>, i32, bool)>,
    /// The owner epoch that this data directory holds on its bucket; `None` when it never claimed one.
    pub tier_owner_epoch: Option<u64>,
    /// Dynamic configs of all brokers ("" in AlterConfigs).
    pub broker_configs: BTreeMap<String, String>,
    /// Dynamic configs of single brokers, by id; stronger than those of all.
    pub node_configs: BTreeMap<i32, BTreeMap<String, String>>,
    /// Configs of single groups, by group id, whether the group is there or not.
    pub group_configs: BTreeMap<String, BTreeMap<String, String>>,
}

impl Image {
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.by_id.get(&id)
    }

    /// In name order.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.values()
    }

    /// Every partition of every topic.
    pub fn partition_names(&self) -> Vec<TopicPartition> {
        let names = self.topics().flat_map(|topic| {
            let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
            (0..count).map(|index| TopicPartition { topic: topic.name.clone(), partition: PartitionIndex(index) })
        });
        names.collect()
    }

    pub fn topics_from(&self, name: &str) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.range::<str, _>((std::ops::Bound::Included(name), std::ops::Bound::Unbounded)).map(|(_, t)| t)
    }

    /// The existing topic whose name differs from `name` only in `.` and `_`.
    pub fn colliding(&self, name: &str) -> Option<&Arc<str>> {
        self.collisions.get(&topic_name::collision_key(name)).filter(|other| other.as_ref() != name)
    }

    pub(super) fn insert(&mut self, topic: Topic) {
        let topic = Arc::new(topic);
        self.by_id.insert(topic.id, topic.clone());
        self.collisions.insert(topic_name::collision_key(&topic.name), topic.name.clone());
        self.topics.insert(topic.name.clone(), topic);
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Some(topic) = self.topics.remove(name) {
            self.by_id.remove(&topic.id);
            self.collisions.remove(&topic_name::collision_key(name));
        }
    }
}
