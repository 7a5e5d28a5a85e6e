//! Changes to the metadata: one at a time, durable first, then visible.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use stratalog_types::{LeaderEpoch, PartitionIndex, TopicId};

use super::image::{Broker, Image, Partition, Topic};
use super::record;
use super::store::{Change, Identity, Store, StoreError};
use super::topic_name;
use crate::platform::disk::Disk;

/// Producer ids handed out per durable commit (Kafka's block size).
const PRODUCER_ID_BLOCK: i64 = 1000;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("Topic '{0}' already exists.")]
    TopicExists(String),
    #[error("Topic '{0}' collides with existing topic: {1}")]
    TopicCollides(String, String),
    #[error("{0}")]
    IllegalName(#[from] topic_name::Illegal),
    #[error("This server does not host this topic-partition.")]
    UnknownTopic,
    #[error("the topic has {0} partitions: the new count must be larger")]
    FewerPartitions(usize),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A topic to create.
#[derive(Debug, Clone)]
pub struct NewTopic {
    pub name: String,
    /// The replicas of each partition.
    pub assignment: Vec<Vec<i32>>,
    pub configs: BTreeMap<String, String>,
    pub created_at_ms: i64,
}

/// Producer ids `first .. end` belong to this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerIdBlock {
    pub first: i64,
    pub end: i64,
}

/// The metadata of this node.
pub struct Metadata {
    store: Store,
    image: RwLock<Arc<Image>>,
    /// Held through a change: store commit and new image.
    changing: Mutex<ProducerIds>,
}

struct ProducerIds {
    next: i64,
}

impl Metadata {
    /// Opens or creates the store at `path` and builds the image.
    pub fn open(path: &Path, disk: &Disk, broker: Broker) -> Result<Metadata, Error> {
        let store = Store::open(path, disk)?;
        let (revision, records) = store.load()?;
        let mut image = Image::default();
        (image.revision, image.brokers) = (revision, vec![broker]);
        let mut next_producer_id = 0;
        for (key, value) in records {
            if key.starts_with(record::TOPICS) {
                image.insert(record::decode_topic(&key, &value)?);
            } else if let Some(id) = key.strip_prefix(record::DELETING) {
                let deleting: record::Deleting = record::decode(&key, &value)?;
                let id: TopicId = id.parse().map_err(|_| StoreError::Corrupt {
                    key: key.clone(),
                    reason: "the key does not end in a topic id".to_owned(),
                })?;
                image.deleting.insert(id, (deleting.name.into(), deleting.partitions, deleting.tiered));
            } else if key == record::TIER_OWNER {
                image.tier_owner_epoch = Some(record::decode::<record::TierOwner>(&key, &value)?.owner_epoch);
            } else if key == record::PRODUCER_IDS {
                next_producer_id = record::decode::<record::ProducerIds>(&key, &value)?.next;
            } else if key == record::BROKER_CONFIGS {
                image.broker_configs = record::decode::<record::Configs>(&key, &value)?.configs;
            } else if let Some(id) = key.strip_prefix(record::NODE_CONFIGS) {
                let id = id.parse().map_err(|_| StoreError::Corrupt {
                    key: key.clone(),
                    reason: "the key does not end in a broker id".to_owned(),
                })?;
                image.node_configs.insert(id, record::decode::<record::Configs>(&key, &value)?.configs);
            } else if let Some(group) = key.strip_prefix(record::GROUP_CONFIGS) {
                let configs = record::decode::<record::Configs>(&key, &value)?.configs;
                image.group_configs.insert(group.to_owned(), configs);
            } else {
                let reason = "no record of this name is known here: start the newer stratalog that wrote it".to_owned();
                return Err(StoreError::Corrupt { key, reason }.into());
            }
        }
        Ok(Metadata {
            store,
            image: RwLock::new(Arc::new(image)),
            changing: Mutex::new(ProducerIds { next: next_producer_id }),
        })
    }

    /// Whose metadata these are, as the store that is not open says; `None`: it does not.
    pub fn identity_in(path: &Path) -> Result<Option<Identity>, Error> {
        Ok(Store::open(path, &Disk::default())?.identity()?)
    }

    /// Whose metadata these are: `identity`'s from now on, if they were nobody's.
    pub fn identity_or(&self, identity: &Identity) -> Result<Identity, Error> {
        let _changing = self.lock();
        match self.store.identity()? {
            Some(found) => Ok(found),
            None => {
                self.store.write_identity(identity)?;
                Ok(identity.clone())
            }
        }
    }

    pub fn image(&self) -> Arc<Image> {
        self.image.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lock(&self) -> MutexGuard<'_, ProducerIds> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits `changes`, then shows `image`. The lock is held by the caller.
    fn publish(&self, changes: &[Change], mut image: Image) -> Result<Arc<Image>, Error> {
        image.revision = self.store.commit(changes)?;
        let image = Arc::new(image);
        *self.image.write().unwrap_or_else(PoisonError::into_inner) = image.clone();
        Ok(image)
    }

    /// Whether `create_topic` would accept the name now.
    pub fn check_new_name(&self, name: &str) -> Result<(), Error> {
        check_new_name(&self.image(), name)
    }

    pub fn create_topic(&self, new: NewTopic) -> Result<Arc<Topic>, Error> {
        let _changing = self.lock();
        let mut image = Image::clone(&self.image());
        check_new_name(&image, &new.name)?;
        let partitions = new.assignment.into_iter().map(new_partition).collect();
        let topic = Topic {
            name: new.name.as_str().into(),
            id: TopicId::random(),
            partitions,
            configs: new.configs,
            created_at_ms: new.created_at_ms,
        };
        let change = Change::Put(record::topic_key(&topic.name), record::encode_topic(&topic)?);
        let name = topic.name.clone();
        image.insert(topic);
        let image = self.publish(&[change], image)?;
        image.topic(&name).cloned().ok_or(Error::UnknownTopic)
    }

    /// Drops the topic and remembers that its bytes are still to be removed.
    pub fn delete_topic(&self, id: TopicId) -> Result<Arc<Topic>, Error> {
        let _changing = self.lock();
        let mut image = Image::clone(&self.image());
        let topic = image.topic_by_id(id).cloned().ok_or(Error::UnknownTopic)?;
        let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        let intent_key = format!("{}{}", record::DELETING, topic.id);
        // Also a topic whose tier was turned off, by whatever way, may have left something; looking costs one LIST.
        let tiered = image.tier_owner_epoch.is_some();
        let intent = record::encode(&intent_key, &record::Deleting::new(&topic.name, partitions, tiered))?;
        image.remove(&topic.name);
        image.deleting.insert(topic.id, (topic.name.clone(), partitions, tiered));
        self.publish(&[Change::Delete(record::topic_key(&topic.name)), Change::Put(intent_key, intent)], image)?;
        Ok(topic)
    }

    /// The bytes of a deleted topic are gone everywhere.
    pub fn finish_deletion(&self, id: TopicId) -> Result<(), Error> {
        let _changing = self.lock();
        let mut image = Image::clone(&self.image());
        if image.deleting.remove(&id).is_some() {
            self.publish(&[Change::Delete(format!("{}{id}", record::DELETING))], image)?;
        }
        Ok(())
    }

    /// Appends partitions; `assignment` holds the replicas of the new ones only.
    pub fn add_partitions(&self, id: TopicId, expected: usize, assignment: Vec<Vec<i32>>) -> Result<Arc<Topic>, Error> {
        self.change_topic(id, |topic| {
            if topic.partitions.len() != expected {
                return Err(Error::FewerPartitions(topic.partitions.len()));
            }
            topic.partitions.extend(assignment.into_iter().map(new_partition));
            Ok(())
        })
    }

    /// Takes partitions back that were appended and could not be made: `count` stay.
    pub fn remove_added_partitions(&self, id: TopicId, count: usize) -> Result<Arc<Topic>, Error> {
        self.change_topic(id, |topic| {
            topic.partitions.truncate(count);
            Ok(())
        })
    }

    pub fn set_topic_configs(&self, id: TopicId, configs: BTreeMap<String, String>) -> Result<Arc<Topic>, Error> {
        self.change_topic(id, |topic| {
            topic.configs = configs;
            Ok(())
        })
    }

    /// Raises the leader epoch of partitions after an unclean stop, all in one change: durable before their first append.
    /// Topics that were deleted meanwhile are passed over.
    pub fn raise_leader_epochs(&self, partitions: &BTreeMap<TopicId, Vec<PartitionIndex>>) -> Result<(), Error> {
        let _changing = self.lock();
        let mut image = Image::clone(&self.image());
        let mut puts = Vec::with_capacity(partitions.len());
        for (id, partitions) in partitions {
            let Some(topic) = image.topic_by_id(*id) else { continue };
            let mut topic = Topic::clone(topic);
            for index in partitions {
                let slot = usize::try_from(index.0).ok().and_then(|i| topic.partitions.get_mut(i));
                let partition = slot.ok_or(Error::UnknownTopic)?;
                partition.leader_epoch = LeaderEpoch(partition.leader_epoch.0 + 1);
                partition.partition_epoch += 1;
            }
            puts.push(Change::Put(record::topic_key(&topic.name), record::encode_topic(&topic)?));
            image.insert(topic);
        }
        self.publish(&puts, image).map(drop)
    }

    fn change_topic(
        &self,
        id: TopicId,
        change: impl FnOnce(&mut Topic) -> Result<(), Error>,
    ) -> Result<Arc<Topic>, Error> {
        let _changing = self.lock();
        let mut image = Image::clone(&self.image());
        let mut topic = Topic::clone(image.topic_by_id(id).ok_or(Error::UnknownTopic)?);
        change(&mut topic)?;
        let put = Change::Put(record::topic_key(&topic.name), record::encode_topic(&topic)?);
        image.insert(topic);
        let image = self.publish(&[put], image)?;
        image.topic_by_id(id).cloned().ok_or(Error::UnknownTopic)
    }

    pub fn set_broker_configs(&self, configs: BTreeMap<String, String>) -> Result<(), Error> {
        let _changing = self.lock();
        let mut image = Image::clone(&self.image());
        let value = record::encode(record::BROKER_CONFIGS, &record::Configs::new(configs.clone()))?;
        image.broker_configs = configs;
        self.publish(&[Change::Put(record::BROKER_CONFIGS.to_owned(), value)], image)?;
        Ok(())
    }

    /// Records the owner epoch of our claim on the bucket, before anything is tiered under it.
    pub fn set_tier_owner_epoch(&self, owner_epoch: u64) -> Result<(), Error> {
        let _changing = self.lock();
        let mut image = Image::clone(&self.image());
        if image.tier_owner_epoch == Some(owner_epoch) {
            return Ok(());
        }
        let value = record::encode(record::TIER_OWNER, &record::TierOwner::new(owner_epoch))?;
        image.tier_owner_epoch = Some(owner_epoch);
        self.publish(&[Change::Put(record::TIER_OWNER.to_owned(), value)], image)?;
        Ok(())
    }

    /// Replaces the dynamic configs of one broker.
    pub fn set_node_configs(&self, node: i32, configs: BTreeMap<String, String>) -> Result<(), Error> {
        let _changing = self.lock();
        let mut image = Image::clone(&self.image());
        let key = format!("{}{node}", record::NODE_CONFIGS);
        let value = record::encode(&key, &record::Configs::new(configs.clone()))?;
        image.node_configs.insert(node, configs);
        self.publish(&[Change::Put(key, value)], image)?;
        Ok(())
    }

    /// Replaces the configs of one group; none are left of one without any.
    pub fn set_group_configs(&self, group: &str, configs: BTreeMap<String, String>) -> Result<(), Error> {
        let _changing = self.lock();
        let mut image = Image::clone(&self.image());
        let key = format!("{}{group}", record::GROUP_CONFIGS);
        let change = if configs.is_empty() {
            image.group_configs.remove(group);
            Change::Delete(key)
        } else {
            let value = record::encode(&key, &record::Configs::new(configs.clone()))?;
            image.group_configs.insert(group.to_owned(), configs);
            Change::Put(key, value)
        };
        self.publish(&[change], image)?;
        Ok(())
    }

    /// A block of producer ids that no other call ever returns.
    pub fn next_producer_id_block(&self) -> Result<ProducerIdBlock, Error> {
        let mut ids = self.lock();
        let block = ProducerIdBlock { first: ids.next, end: ids.next + PRODUCER_ID_BLOCK };
        let value = record::encode(record::PRODUCER_IDS, &record::ProducerIds::new(block.end))?;
        self.publish(&[Change::Put(record::PRODUCER_IDS.to_owned(), value)], Image::clone(&self.image()))?;
        ids.next = block.end;
        Ok(block)
    }
}

fn check_new_name(image: &Image, name: &str) -> Result<(), Error> {
    topic_name::validate(name)?;
    if image.topic(name).is_some() {
        return Err(Error::TopicExists(name.to_owned()));
    }
    match image.colliding(name) {
        Some(other) => Err(Error::TopicCollides(name.to_owned(), other.to_string())),
        None => Ok(()),
    }
}

fn new_partition(replicas: Vec<i32>) -> Partition {
    Partition {
        leader: replicas.first().copied().unwrap_or(-1),
        leader_epoch: LeaderEpoch(0),
        isr: replicas.clone(),
        replicas,
        partition_epoch: 0,
    }
}
