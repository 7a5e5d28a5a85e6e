//! The partitions this broker leads, by topic id.
//!
//! Order of effects when a topic is created: metadata (durable), then the directories. A crash between them leaves a
//! topic without directories: `open_all` makes them. When a topic is deleted: metadata with the intent, then the
//! directories; `open_all` removes what the intent still names.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use stratalog_types::{PartitionIndex, TopicId, TopicPartition};

use super::leader::{Counters, Partition, log_config};
use super::tier::{Tier, Tiered, TopicFacts};
use crate::clock::Clock;
use crate::config::{Settings, TopicConfig};
use crate::log::{self, Log, LogDir};
use crate::metadata::{Image, Metadata, Topic};
use crate::metrics::Metrics;
use crate::platform::lock;
use stratalog_tiering::manifest::ManifestError;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("partition {topic_partition} cannot be opened: {source}")]
    Log { topic_partition: TopicPartition, source: log::Error },
    #[error(transparent)]
    Metadata(#[from] crate::metadata::Error),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

type ByIndex = Arc<[Arc<Partition>]>;

/// Partitions of a new topic that are made at a time. Each waits for half a dozen syncs, one after the other; those of
/// different partitions share the disk's own commits.
const CREATING_THREADS_MAX: usize = 16;

/// A log on its way to become a partition.
struct Opened {
    topic_partition: TopicPartition,
    log: Arc<Log>,
    tiered: Option<Arc<Tiered>>,
    /// Nothing is served until the tier was asked.
    held: bool,
    /// Offsets may have been given out that the log no longer has: it takes a new epoch first.
    unclean: bool,
}

pub struct Partitions {
    log_dir: Arc<LogDir>,
    clock: Clock,
    metrics: Arc<Metrics>,
    tier: Option<Arc<Tier>>,
    by_topic: RwLock<HashMap<TopicId, ByIndex>>,
    /// Held while directories of a topic are made or removed.
    changing: Mutex<()>,
}

impl Partitions {
    pub fn new(log_dir: Arc<LogDir>, clock: Clock, metrics: Arc<Metrics>, tier: Option<Arc<Tier>>) -> Partitions {
        Partitions { log_dir, clock, metrics, tier, by_topic: RwLock::default(), changing: Mutex::default() }
    }

    pub fn tier(&self) -> Option<&Arc<Tier>> {
        self.tier.as_ref()
    }

    pub fn log_dir(&self) -> &Arc<LogDir> {
        &self.log_dir
    }

    pub fn get(&self, topic: TopicId, partition: i32) -> Option<Arc<Partition>> {
        let by_topic = self.by_topic.read().unwrap_or_else(PoisonError::into_inner);
        by_topic.get(&topic)?.get(usize::try_from(partition).ok()?).cloned()
    }

    pub fn of_topic(&self, topic: TopicId) -> ByIndex {
        let by_topic = self.by_topic.read().unwrap_or_else(PoisonError::into_inner);
        by_topic.get(&topic).cloned().unwrap_or_else(|| Arc::from([]))
    }

    pub fn all(&self) -> Vec<Arc<Partition>> {
        let by_topic = self.by_topic.read().unwrap_or_else(PoisonError::into_inner);
        by_topic.values().flat_map(|partitions| partitions.iter().cloned()).collect()
    }

    /// Opens every partition of the image on `threads` threads, recovers what needs it, gives partitions that stopped
    /// uncleanly a new leader epoch before their first append, and removes the directories of deleted topics.
    pub fn open_all(&self, metadata: &Metadata, settings: &Settings, threads: usize) -> Result<(), OpenError> {
        let image = metadata.image();
        self.remove_strays(&image);
        let topics: Vec<Arc<Topic>> = image.topics().cloned().collect();
        on_threads(threads, topics, |topic| self.open_topic(metadata, &topic, settings, true)).map(drop)
    }

    /// Makes or opens what is missing of `topic`; partitions that are open stay as they are. `at_start`: a directory that
    /// is missing was lost, unless the topic's creation was cut short.
    fn open_topic(
        &self,
        metadata: &Metadata,
        topic: &Topic,
        settings: &Settings,
        at_start: bool,
    ) -> Result<(), OpenError> {
        let config = Arc::new(resolve(settings, topic));
        let validate_fully = settings.text("stratalog.record.validation") == Some("full");
        let open = self.of_topic(topic.id);
        let facts = facts_of(topic);
        for tiered in open.iter().filter_map(|partition| partition.tiered()) {
            tiered.set_topic(facts.clone());
        }
        // At start each thread has a topic of its own already.
        let threads = if at_start { 1 } else { CREATING_THREADS_MAX };
        let missing = (open.len()..topic.partitions.len()).collect();
        let logs = on_threads(threads, missing, |index: usize| {
            let partition = PartitionIndex(i32::try_from(index).unwrap_or(i32::MAX));
            let topic_partition = TopicPartition { topic: topic.name.clone(), partition };
            let lost = at_start && !self.log_dir.contains(&topic_partition);
            let log = self
                .open_log(&topic_partition, topic.id, &config, lost)
                .map_err(|source| OpenError::Log { topic_partition: topic_partition.clone(), source })?;
            self.metrics.log_recovery_bytes_cut.inc_by(log.cut_bytes());
            // What is left of a lost directory does not say whether it was ever tiered: then the bucket does.
            let ask = lost && metadata.image().tier_owner_epoch.is_some();
            let tiered = self.open_tiered(&log, &config, &facts, ask)?;
            // A directory that was lost, or a log that lost its synced end: the tier says where to go on.
            let held = tiered.as_ref().is_some_and(|t| lost || t.durable_end_offset() > log.log_end_offset());
            let unclean = lost || held || log.was_unclean();
            Ok(Opened { topic_partition, log, tiered, held, unclean })
        })?;
        let unclean: Vec<PartitionIndex> =
            logs.iter().filter(|opened| opened.unclean).map(|opened| opened.topic_partition.partition).collect();
        let raised;
        let topic = if unclean.is_empty() {
            topic
        } else {
            raised = metadata.raise_leader_epochs(topic.id, &unclean)?;
            &raised
        };
        let added = on_threads(threads, logs, |Opened { topic_partition, log, tiered, held, .. }: Opened| {
            let epoch = topic.partition(topic_partition.partition).map(|p| p.leader_epoch).unwrap_or_default();
            log.start_leader_epoch(epoch)
                .map_err(|source| OpenError::Log { topic_partition: topic_partition.clone(), source })?;
            let counters = Counters::of(&self.metrics, &topic.name);
            let partition = Partition::new(log, config.clone(), epoch, self.clock.clone(), counters, validate_fully);
            if let Some(tiered) = tiered {
                partition.set_tiered(tiered);
                partition.set_behind_tier(held);
            }
            Ok(partition)
        })?;
        let partitions: Vec<Arc<Partition>> = open.iter().cloned().chain(added).collect();
        let mut by_topic = self.by_topic.write().unwrap_or_else(PoisonError::into_inner);
        self.metrics.partitions.inc_by(count(partitions.len() - open.len()));
        by_topic.insert(topic.id, partitions.into());
        self.metrics.topics.set(count(by_topic.len()));
        Ok(())
    }

    /// The tier's half of a log that is to be tiered, or was: what lies in the tier stays readable, and stays ours to
    /// remove, when tiering is turned off. Blocks.
    fn open_tiered(
        &self,
        log: &Arc<Log>,
        config: &TopicConfig,
        facts: &Arc<TopicFacts>,
        ask: bool,
    ) -> Result<Option<Arc<Tiered>>, OpenError> {
        let Some(tier) = &self.tier else { return Ok(None) };
        if config.remote_storage_enable || ask || Tiered::was_opened(log) {
            Ok(Some(Arc::new(Tiered::open(tier.clone(), log.clone(), facts.clone())?)))
        } else {
            Ok(None)
        }
    }

    /// `open_topic` one caller at a time: for topics created while serving. A creation that fails leaves no directory.
    pub fn create_topic(&self, metadata: &Metadata, topic: &Topic, settings: &Settings) -> Result<(), OpenError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.open_topic(metadata, topic, settings, false).inspect_err(|_| self.remove_unserved(topic.id))
    }

    /// Removes the directories of a topic's partitions that are not served.
    fn remove_unserved(&self, topic: TopicId) {
        let served = count(self.of_topic(topic).len());
        let of_topic = |dir: &log::PartitionDir| {
            dir.topic_id == Some(topic) && i64::from(dir.topic_partition.partition.0) >= served
        };
        for dir in self.log_dir.partitions_on_disk().into_iter().filter(of_topic) {
            if let Err(error) = self.log_dir.remove_partition(&dir) {
                tracing::error!(path = %dir.path.display(), "directory of a creation that failed not removed: {error}");
            }
        }
    }

    fn open_log(
        &self,
        topic_partition: &TopicPartition,
        topic_id: TopicId,
        config: &TopicConfig,
        lost: bool,
    ) -> Result<Arc<Log>, log::Error> {
        if self.log_dir.contains(topic_partition) {
            Log::open(&self.log_dir, topic_partition.clone(), topic_id, log_config(config))
        } else if lost {
            Log::create_again(&self.log_dir, topic_partition.clone(), topic_id, log_config(config))
        } else {
            Log::create(&self.log_dir, topic_partition.clone(), topic_id, log_config(config))
        }
    }

    /// Stops serving a topic and removes its directories; its metadata is gone already.
    pub fn delete_topic(&self, topic: TopicId) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let removed = {
            let mut by_topic = self.by_topic.write().unwrap_or_else(PoisonError::into_inner);
            let removed = by_topic.remove(&topic);
            self.metrics.topics.set(count(by_topic.len()));
            removed
        };
        if let Some(partitions) = &removed {
            self.metrics.partitions.dec_by(count(partitions.len()));
            if let Some(first) = partitions.first() {
                self.metrics.forget_topic(&first.topic_partition().topic);
            }
        }
        for partition in removed.iter().flat_map(|partitions| partitions.iter()) {
            if let Err(error) = partition.log().delete() {
                tracing::error!(partition = %partition.topic_partition(), "directory not removed: {error}; it is tried again");
            }
        }
    }

    /// Removes the directories of a deleted topic that a first attempt left. Blocks.
    pub fn remove_directories(&self, topic: TopicId) -> Result<(), log::Error> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let dirs = self.log_dir.partitions_on_disk();
        dirs.iter().filter(|dir| dir.topic_id == Some(topic)).try_for_each(|dir| self.log_dir.remove_partition(dir))
    }

    /// Applies a topic's new configuration to its partitions.
    pub fn update_config(&self, topic: &Topic, settings: &Settings) {
        let config = Arc::new(resolve(settings, topic));
        let facts = facts_of(topic);
        for partition in self.of_topic(topic.id).iter() {
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

    /// Directories whose topic is not in the image: deleted topics go, unknown ones stay and are named.
    fn remove_strays(&self, image: &Image) {
        let known: HashSet<TopicId> = image.topics().map(|topic| topic.id).collect();
        for dir in self.log_dir.partitions_on_disk() {
            let Some(id) = dir.topic_id.filter(|id| !known.contains(id)) else { continue };
            if !image.deleting.contains_key(&id) {
                tracing::warn!(
                    path = %dir.path.display(),
                    "directory of topic id {id}, which the metadata does not know: left alone; remove it by hand if it is not wanted"
                );
            } else if let Err(error) = self.log_dir.remove_partition(&dir) {
                tracing::error!(path = %dir.path.display(), "directory of a deleted topic not removed: {error}");
            }
        }
    }
}

/// Does `work` on each item, several at a time. The answers are in the order of the items; after an error nothing more is
/// begun, and the first error is the answer.
fn on_threads<T: Send, R: Send>(
    threads: usize,
    items: Vec<T>,
    work: impl Fn(T) -> Result<R, OpenError> + Sync,
) -> Result<Vec<R>, OpenError> {
    let threads = threads.min(items.len());
    let queue = Mutex::new(items.into_iter().enumerate());
    let done = Mutex::new((Vec::new(), None));
    let run = || {
        while let Some((at, item)) = { lock(&queue).next() } {
            let result = work(item);
            let mut done = lock(&done);
            match result {
                Ok(answer) => done.0.push((at, answer)),
                Err(error) => {
                    done.1.get_or_insert(error);
                }
            }
            if done.1.is_some() {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // Without another thread those that run do all of it.
            let _ = std::thread::Builder::new().name("partition-open".to_owned()).spawn_scoped(scope, run);
        }
        run();
    });
    let (mut answers, failure) = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    answers.sort_unstable_by_key(|(at, _)| *at);
    failure.map_or_else(|| Ok(answers.into_iter().map(|(_, answer)| answer).collect()), Err)
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn facts_of(topic: &Topic) -> Arc<TopicFacts> {
    let configs = topic.configs.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    Arc::new(TopicFacts { partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX), configs })
}

/// A stored configuration was valid when it was set; one that no longer parses gives way to the defaults, loudly.
fn resolve(settings: &Settings, topic: &Topic) -> TopicConfig {
    TopicConfig::resolve(settings, &topic.configs).or_else(|error| {
        tracing::error!(topic = %topic.name, "stored topic configuration does not hold: {error}; the broker's defaults are used");
        TopicConfig::resolve(settings, &Default::default())
    })
    .unwrap_or_else(|error| unreachable!("the broker's defaults were checked at start: {error}"))
}
