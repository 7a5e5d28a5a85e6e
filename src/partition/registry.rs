//! The partitions this broker leads, by topic id: those that are served, and those that are offline here.
//!
//! Order of effects when a topic is created: metadata (durable), then the directories. A crash between them leaves a
//! topic without directories: `open_all` makes them. When a topic is deleted: metadata with the intent, then the
//! directories; `open_all` removes what the intent still names.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use stratalog_types::{TopicId, TopicPartition};

use super::leader::Partition;
use super::opening::{OpenError, facts_of, resolve};
use super::tier::Tier;
use crate::clock::Clock;
use crate::config::Settings;
use crate::log::{self, Log, LogDirs, PartitionDir};
use crate::metadata::{Metadata, Topic};
use crate::metrics::Metrics;
use crate::platform::lock;

/// A partition of this broker that could not be opened. It stays so until a restart, unless room is all that it lacks.
#[derive(Debug, Clone)]
pub struct OfflinePartition {
    pub topic_partition: TopicPartition,
    /// Its directory; `None`: it is in a data directory that could not be opened.
    pub path: Option<PathBuf>,
    /// What is wrong, with every cause.
    pub reason: String,
    /// The disk was full: it is opened as soon as there is room.
    pub waits_for_room: bool,
}

/// What is known of one partition index of a topic.
#[derive(Clone)]
pub enum Slot {
    Served(Arc<Partition>),
    Offline(Arc<OfflinePartition>),
}

impl Slot {
    pub fn served(&self) -> Option<&Arc<Partition>> {
        match self {
            Slot::Served(partition) => Some(partition),
            Slot::Offline(_) => None,
        }
    }

    /// Whether nobody leads it: it did not open, or its data directory failed since.
    pub fn is_offline(&self) -> bool {
        self.served().is_none_or(|partition| partition.log().is_offline())
    }
}

/// Why a partition has no answer here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unserved {
    #[error("this broker has no such partition")]
    Unknown,
    #[error("the partition is offline: its directory or its log is damaged")]
    Offline,
}

pub(super) type Slots = Arc<[Slot]>;

pub struct Partitions {
    pub(super) log_dirs: LogDirs,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) tier: Option<Arc<Tier>>,
    pub(super) by_topic: RwLock<HashMap<TopicId, Slots>>,
    /// Held while directories of a topic are made or removed.
    pub(super) changing: Mutex<()>,
}

impl Partitions {
    pub fn new(log_dirs: LogDirs, clock: Clock, metrics: Arc<Metrics>, tier: Option<Arc<Tier>>) -> Partitions {
        Partitions { log_dirs, clock, metrics, tier, by_topic: RwLock::default(), changing: Mutex::default() }
    }

    pub fn tier(&self) -> Option<&Arc<Tier>> {
        self.tier.as_ref()
    }

    pub fn log_dirs(&self) -> &LogDirs {
        &self.log_dirs
    }

    /// A partition that is served.
    pub fn get(&self, topic: TopicId, partition: i32) -> Option<Arc<Partition>> {
        self.find(topic, partition).ok()
    }

    /// A partition that is served, or why it is not.
    pub fn find(&self, topic: TopicId, partition: i32) -> Result<Arc<Partition>, Unserved> {
        let by_topic = self.by_topic.read().unwrap_or_else(PoisonError::into_inner);
        let slot = usize::try_from(partition).ok().and_then(|at| by_topic.get(&topic)?.get(at));
        match slot {
            Some(Slot::Served(partition)) => Ok(partition.clone()),
            Some(Slot::Offline(_)) => Err(Unserved::Offline),
            None => Err(Unserved::Unknown),
        }
    }

    /// By partition index, as far as they were opened or found to be offline.
    pub fn slots(&self, topic: TopicId) -> Slots {
        let by_topic = self.by_topic.read().unwrap_or_else(PoisonError::into_inner);
        by_topic.get(&topic).cloned().unwrap_or_else(|| Arc::from([]))
    }

    /// The served partitions of a topic.
    pub fn of_topic(&self, topic: TopicId) -> Vec<Arc<Partition>> {
        self.slots(topic).iter().filter_map(Slot::served).cloned().collect()
    }

    /// Every partition that is served.
    pub fn all(&self) -> Vec<Arc<Partition>> {
        let by_topic = self.by_topic.read().unwrap_or_else(PoisonError::into_inner);
        by_topic.values().flat_map(|slots| slots.iter().filter_map(Slot::served).cloned()).collect()
    }

    /// The clean stop of every data directory. Waits for a partition that is being opened, or made, or removed.
    pub fn close(&self) -> Result<(), log::Error> {
        let _changing = lock(&self.changing);
        self.log_dirs.close()
    }

    /// Every partition that could not be opened.
    pub fn offline(&self) -> Vec<Arc<OfflinePartition>> {
        let by_topic = self.by_topic.read().unwrap_or_else(PoisonError::into_inner);
        let slots = by_topic.values().flat_map(|slots| slots.iter());
        slots.filter_map(|slot| if let Slot::Offline(offline) = slot { Some(offline.clone()) } else { None }).collect()
    }

    /// How many partitions nobody leads: not opened, or in a data directory that failed since.
    pub fn offline_count(&self) -> usize {
        let by_topic = self.by_topic.read().unwrap_or_else(PoisonError::into_inner);
        by_topic.values().flat_map(|slots| slots.iter()).filter(|slot| slot.is_offline()).count()
    }

    /// `open_topic` one caller at a time: for topics created while serving. A creation that fails leaves no directory.
    pub fn create_topic(&self, metadata: &Metadata, topic: &Topic, settings: &Settings) -> Result<(), OpenError> {
        let _changing = lock(&self.changing);
        self.make_partitions(metadata, topic, settings).inspect_err(|_| self.remove_unserved(topic.id))
    }

    /// Removes the directories of a topic's partitions that are not known here.
    fn remove_unserved(&self, topic: TopicId) {
        let known = count(self.slots(topic).len());
        let removed = self.remove_where(topic, |dir| i64::from(dir.topic_partition.partition.0) >= known);
        if let Err(error) = removed {
            tracing::error!("directories of a creation that failed not removed: {error}");
        }
    }

    /// Removes the directories of a topic's partitions that are to go.
    fn remove_where(&self, topic: TopicId, goes: impl Fn(&PartitionDir) -> bool) -> Result<(), log::Error> {
        let mut outcome = Ok(());
        for log_dir in self.log_dirs.online() {
            let found = log_dir.partitions_on_disk()?;
            let going: Vec<&PartitionDir> =
                found.iter().filter(|dir| dir.topic_id == Some(topic) && goes(dir)).collect();
            outcome = outcome.and(log_dir.remove_partitions(&going));
        }
        outcome
    }

    /// Stops serving a topic and removes its directories; its metadata is gone already.
    pub fn delete_topic(&self, topic: TopicId) {
        let _changing = lock(&self.changing);
        let removed = {
            let mut by_topic = self.by_topic.write().unwrap_or_else(PoisonError::into_inner);
            let removed = by_topic.remove(&topic);
            self.metrics.topics.set(count(by_topic.len()));
            removed
        };
        let slots = removed.iter().flat_map(|slots| slots.iter());
        let served: Vec<&Arc<Partition>> = slots.clone().filter_map(Slot::served).collect();
        if let Some(first) = served.first() {
            self.metrics.partitions.dec_by(count(served.len()));
            self.metrics.forget_topic(&first.topic_partition().topic);
        }
        let logs: Vec<Arc<Log>> = served.iter().map(|partition| Arc::clone(partition.log())).collect();
        if let Err(error) = Log::delete_all(&logs) {
            tracing::error!(topic_id = %topic, "directories not removed: {error}; it is tried again");
        }
        for slot in slots {
            if let Slot::Offline(offline) = slot {
                self.delete_offline(offline, topic);
            }
        }
    }

    /// A directory that did not open goes too: also one that does not say any more whose it is.
    fn delete_offline(&self, offline: &OfflinePartition, topic: TopicId) {
        let Some(path) = &offline.path else { return };
        let topic_partition = offline.topic_partition.clone();
        let dir = PartitionDir { topic_partition, topic_id: Some(topic), path: path.clone() };
        let home = self.log_dirs.online().find(|log_dir| path.parent() == Some(log_dir.path()));
        if let Some(Err(error)) = home.map(|log_dir| log_dir.remove_partition(&dir)) {
            tracing::error!(path = %path.display(), "directory not removed: {error}; it is tried again");
        }
    }

    /// Removes the directories of a deleted topic that a first attempt left. Blocks. An error while a data directory is
    /// offline: what is in it of the topic cannot be removed yet.
    pub fn remove_directories(&self, topic: TopicId) -> Result<(), log::Error> {
        let _changing = lock(&self.changing);
        self.remove_where(topic, |_| true)?;
        let offline = self.log_dirs.states().find_map(|state| Some((state.path, state.offline?)));
        offline.map_or(Ok(()), |(path, reason)| {
            Err(log::Error::Offline { path: path.to_owned(), reason: reason.to_owned() })
        })
    }

    /// Applies a topic's new configuration to its partitions.
    pub fn update_config(&self, topic: &Topic, settings: &Settings) {
        let config = Arc::new(resolve(settings, topic));
        let facts = facts_of(topic);
        for partition in self.of_topic(topic.id) {
            partition.update_config(config.clone());
            if let Some(tiered) = partition.tiered() {
                tiered.set_topic(facts.clone());
                continue;
            }
            match self.open_tiered(partition.log(), &config, &facts, false) {
                Ok(Some(tiered)) => partition.set_tiered(tiered),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(partition = %partition.topic_partition(), "the tier is not open for it: {error}");
                }
            }
        }
    }

    /// Served partitions of each open data directory, in the order of `log.dirs`; offline ones are where their bytes are.
    pub(super) fn partitions_by_directory(&self) -> BTreeMap<PathBuf, usize> {
        let mut counts: BTreeMap<PathBuf, usize> = BTreeMap::new();
        let mut add = |path: Option<&std::path::Path>| {
            if let Some(path) = path {
                *counts.entry(path.to_owned()).or_default() += 1;
            }
        };
        for partition in self.all() {
            add(partition.log().path().parent());
        }
        for offline in self.offline() {
            add(offline.path.as_deref().and_then(std::path::Path::parent));
        }
        counts
    }
}

pub(super) fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
