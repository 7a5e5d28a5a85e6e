//! Opening what is on disk, and making what is to be there.
//!
//! A partition that does not open is offline, named, and holds up nobody else. Every partition is opened in parallel,
//! `num.recovery.threads.per.data.dir` at a time in each data directory; then the leader epochs of all that need a new
//! one are raised in one change of the metadata; then they are served.
//!
//! A partition without a directory was lost with it, or its topic's creation was cut short: it is made anew, empty, at
//! its log start. Not while a data directory is missing or offline: then it is taken to be in that one, and is offline.

mod placing;
mod threads;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use stratalog_tiering::manifest::ManifestError;
use stratalog_tiering::manifest::local_copy::{Found, LocalCopy};
use stratalog_types::{LeaderEpoch, Offset, PartitionIndex, TopicId, TopicPartition};

use self::placing::{Choice, There, Wanted};
use self::threads::on_threads;
use super::leader::{Counters, Partition, log_config};
use super::registry::{OfflinePartition, Partitions, Slot, count};
use super::tier::{Tiered, TopicFacts, chain};
use crate::config::{Settings, TopicConfig};
use crate::log::{self, Log, LogConfig, LogDir};
use crate::metadata::{self, Image, Metadata, StoreError, Topic, topic_name};
use crate::platform::lock;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("partition {topic_partition} cannot be opened: {source}")]
    Log { topic_partition: TopicPartition, source: log::Error },
    #[error(
        "its directory was lost, and the tier that may have its records is not configured: configure it (stratalog.tier.url) and \
         restart; or, to have it begin anew, set remote.storage.enable=false for the topic"
    )]
    TierNotConfigured,
    #[error("no data directory takes a new partition: {0}")]
    NoDirectory(String),
    #[error("its new leader epoch cannot be written: {0}")]
    NoRoomForEpoch(String),
    #[error(transparent)]
    Metadata(#[from] metadata::Error),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl OpenError {
    /// Whether room is all that is missing.
    fn waits_for_room(&self) -> bool {
        matches!(self, OpenError::NoRoomForEpoch(_) | OpenError::Log { source: log::Error::StorageFull { .. }, .. })
    }
}

/// Partitions of a new topic that are made at a time. Each waits for half a dozen syncs, one after the other; those of
/// different partitions share the disk's own commits.
const CREATING_THREADS_MAX: usize = 16;
/// Of late openings.
const LATE_ROUND: Duration = Duration::from_secs(1);

/// What the partitions of a topic have in common.
struct TopicTerms {
    topic: Arc<Topic>,
    config: Arc<TopicConfig>,
    facts: Arc<TopicFacts>,
    validate_fully: bool,
}

impl TopicTerms {
    fn of(topic: Arc<Topic>, settings: &Settings) -> Arc<TopicTerms> {
        Arc::new(TopicTerms {
            config: Arc::new(resolve(settings, &topic)),
            facts: facts_of(&topic),
            validate_fully: settings.text("stratalog.record.validation") == Some("full"),
            topic,
        })
    }

    fn name_of(&self, index: usize) -> TopicPartition {
        let partition = PartitionIndex(i32::try_from(index).unwrap_or(i32::MAX));
        TopicPartition { topic: self.topic.name.clone(), partition }
    }
}

/// What became of partitions that waited for room.
#[derive(Debug, Default)]
pub struct OpenedLate {
    /// Those with a partition that is served now.
    pub topics: BTreeSet<TopicId>,
    /// Partitions that were tried and failed again.
    pub failed: usize,
}

/// What became of one.
enum Late {
    Served(TopicId),
    Failed,
    /// There is no room yet, or it is gone.
    Waits,
}

/// A log on its way to become a partition.
struct Opened {
    log: Arc<Log>,
    tiered: Option<Arc<Tiered>>,
    /// Nothing is served until the tier was asked.
    held: bool,
    /// Offsets may have been given out that the log no longer has: it takes a new epoch first.
    unclean: bool,
    /// It was lost and no tier has it: with its new epoch it goes on where it is.
    is_settled: bool,
}

impl Partitions {
    /// Opens every partition of the image, recovers what needs it, gives partitions that stopped uncleanly a new leader
    /// epoch before their first append, and removes the directories of deleted topics.
    pub fn open_all(&self, metadata: &Metadata, settings: &Settings, threads: usize) -> Result<(), OpenError> {
        let _held: Vec<_> = self.log_dirs.opened().map(|dir| dir.hold_recovered_syncs()).collect();
        let image = metadata.image();
        let mut found = self.find_on_disk();
        self.remove_strays(&image, &mut found);
        let terms: Vec<Arc<TopicTerms>> = image.topics().map(|topic| TopicTerms::of(topic.clone(), settings)).collect();
        let asked = image.tier_owner_epoch.is_some();
        let (wanted, mut slots) = self.plan(&terms, &found);
        drop(found);
        slots.extend(self.bring_up(metadata, wanted, threads, asked)?);
        self.publish(&terms, slots);
        Ok(())
    }

    /// Opens what could not be opened for want of room, where there is some; one partition after the other, as long as
    /// `goes_on`, those of the coordinators first. Ends after a while, so that what is served now is heard of. Blocks.
    /// Configs that change meanwhile are not in what is opened.
    pub fn open_waiting(&self, metadata: &Metadata, settings: &Settings, goes_on: impl Fn() -> bool) -> OpenedLate {
        let mut late = OpenedLate::default();
        let mut waiting = self.offline();
        waiting.retain(|offline| offline.waits_for_room);
        waiting.sort_by_key(|offline| !topic_name::is_internal(&offline.topic_partition.topic));
        // Who fails may give up the room that is kept: the others do not wait for it again.
        let homes: Vec<&Arc<LogDir>> = self.log_dirs.online().filter(|dir| !dir.is_short_of_room()).collect();
        let began = Instant::now();
        for offline in &waiting {
            if began.elapsed() >= LATE_ROUND && !late.topics.is_empty() {
                break;
            }
            let is_home = |dir: &&&Arc<LogDir>| offline.path.as_deref().and_then(Path::parent) == Some(dir.path());
            let Some(home) = homes.iter().find(is_home) else { continue };
            match self.open_late(metadata, settings, offline, home, &goes_on) {
                Ok(Late::Served(topic)) => drop(late.topics.insert(topic)),
                Ok(Late::Waits) => {}
                Ok(Late::Failed) => late.failed += 1,
                Err(error) => {
                    tracing::error!(partition = %offline.topic_partition, "it waits for room and is not opened: {error}");
                    late.failed += 1;
                    break;
                }
            }
        }
        late
    }

    fn open_late(
        &self,
        metadata: &Metadata,
        settings: &Settings,
        offline: &Arc<OfflinePartition>,
        home: &Arc<LogDir>,
        goes_on: &impl Fn() -> bool,
    ) -> Result<Late, OpenError> {
        let Some(path) = offline.path.as_deref() else { return Ok(Late::Waits) };
        // Neither is its topic deleted meanwhile, nor made again, nor is the directory closed.
        let _changing = lock(&self.changing);
        if !goes_on() {
            return Ok(Late::Waits);
        }
        let image = metadata.image();
        let topic_partition = offline.topic_partition.clone();
        let Some(topic) = image.topic(&topic_partition.topic) else { return Ok(Late::Waits) };
        let is_it = |slot: &Slot| matches!(slot, Slot::Offline(found) if Arc::ptr_eq(found, offline));
        let Some(at) = self.slots(topic.id).iter().position(is_it) else { return Ok(Late::Waits) };
        let there = if Log::is_begun(path) { There::Directory } else { There::Lost };
        let terms = TopicTerms::of(topic.clone(), settings);
        let wanted = Wanted { terms, topic_partition, home: home.clone(), there };
        let mut opened = self.bring_up(metadata, vec![wanted], 1, image.tier_owner_epoch.is_some())?;
        let Some(slot) = opened.drain().next().map(|(_, slot)| slot) else { return Ok(Late::Waits) };
        let is_served = slot.served().is_some();
        let mut by_topic = self.by_topic.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(slots) = by_topic.get_mut(&topic.id) {
            let mut changed = slots.to_vec();
            if let Some(place) = changed.get_mut(at) {
                *place = slot;
            }
            *slots = changed.into();
            self.metrics.partitions.inc_by(count(usize::from(is_served)));
        }
        Ok(if is_served { Late::Served(topic.id) } else { Late::Failed })
    }

    /// Opens partitions, those that stopped uncleanly with a new leader epoch.
    fn bring_up(
        &self,
        metadata: &Metadata,
        wanted: Vec<Wanted>,
        threads: usize,
        tier_asked: bool,
    ) -> Result<HashMap<(TopicId, PartitionIndex), Slot>, OpenError> {
        let opened = self.open_in_parallel(wanted, threads, tier_asked);
        let mut unclean: BTreeMap<TopicId, Vec<PartitionIndex>> = BTreeMap::new();
        for (wanted, opened) in &opened {
            if opened.as_ref().is_ok_and(|opened| opened.unclean) {
                unclean.entry(wanted.terms.topic.id).or_default().push(wanted.topic_partition.partition);
            }
        }
        let raised = if unclean.is_empty() { Ok(()) } else { metadata.raise_leader_epochs(&unclean) };
        let no_room = match raised {
            Ok(()) => None,
            Err(error @ metadata::Error::Store(StoreError::Full { .. } | StoreError::Unknown { .. })) => {
                Some(error.to_string())
            }
            Err(error) => return Err(error.into()),
        };
        let image = metadata.image();
        let mut slots = HashMap::with_capacity(opened.len());
        for (wanted, opened) in opened {
            let (id, index) = (wanted.terms.topic.id, wanted.topic_partition.partition);
            let epoch = leader_epoch(&image, id, index);
            let served = opened.and_then(|opened| match &no_room {
                Some(reason) if opened.unclean => Err(OpenError::NoRoomForEpoch(reason.clone())),
                Some(_) | None => self.serve(&wanted, opened, epoch),
            });
            let slot = match served {
                Ok(partition) => Slot::Served(partition),
                Err(error) => {
                    let path = wanted.home.path().join(wanted.topic_partition.to_string());
                    offline(wanted.topic_partition.clone(), Some(path), chain(&error), error.waits_for_room())
                }
            };
            slots.insert((id, index), slot);
        }
        Ok(slots)
    }

    fn open_in_parallel(
        &self,
        wanted: Vec<Wanted>,
        threads: usize,
        tier_asked: bool,
    ) -> Vec<(Wanted, Result<Opened, OpenError>)> {
        let mut by_home: Vec<Vec<Wanted>> = self.log_dirs.opened().map(|_| Vec::new()).collect();
        for wanted in wanted {
            let at = self.log_dirs.opened().position(|dir| Arc::ptr_eq(dir, &wanted.home)).unwrap_or_default();
            if let Some(queue) = by_home.get_mut(at) {
                queue.push(wanted);
            }
        }
        let open_queue = |queue: Vec<Wanted>| {
            on_threads(threads, queue, |wanted| {
                let opened = self.open_one(&wanted, tier_asked);
                Ok((wanted, opened))
            })
            .unwrap_or_default()
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = by_home
                .split_off(1.min(by_home.len()))
                .into_iter()
                .map(|queue| scope.spawn(|| open_queue(queue)))
                .collect();
            let mut opened = open_queue(by_home.pop().unwrap_or_default());
            for other in others {
                opened.extend(other.join().unwrap_or_default());
            }
            opened
        })
    }

    fn open_one(&self, wanted: &Wanted, tier_asked: bool) -> Result<Opened, OpenError> {
        let Wanted { terms, topic_partition, home, there } = wanted;
        let (name, id) = (topic_partition.clone(), terms.topic.id);
        let config = log_config(&terms.config);
        let log = match there {
            There::Directory => self.open_or_heal(home, name, terms, config),
            There::Lost => Log::create_again(home, name, id, config),
            There::New => Log::create(home, name, id, config),
        };
        let failed = |source| OpenError::Log { topic_partition: topic_partition.clone(), source };
        let log = log.map_err(failed)?;
        let lost = log.was_lost().map_err(failed)?;
        // What is left of a lost directory does not say whether it was ever tiered: then the bucket does.
        let tiered = self.open_tiered(&log, &terms.config, &terms.facts, lost && tier_asked)?;
        self.check_start(&log, tiered.as_deref());
        if lost && self.tier.is_none() && tier_asked && terms.config.remote_storage_enable {
            return Err(OpenError::TierNotConfigured);
        }
        // A directory that was lost, or a log that lost its synced end: the tier says where to go on.
        let held = tiered.as_ref().is_some_and(|t| lost || t.durable_end_offset() > log.log_end_offset());
        let unclean = lost || held || log.was_unclean();
        let is_settled = lost && tiered.is_none();
        Ok(Opened { log, tiered, held, unclean, is_settled })
    }

    /// What lies before the first segment must be in a tier, or it is named; and where the checkpoint of the log
    /// start was lost, the tier's manifest has one.
    fn check_start(&self, log: &Log, tiered: Option<&Tiered>) {
        if let Some(tiered) = tiered {
            tiered.agreed_log_start();
            return;
        }
        let (start, local_start) = (log.log_start_offset(), log.local_log_start_offset());
        if start < local_start {
            self.metrics.log_segments_damaged.inc();
            tracing::error!(
                partition = %log.topic_partition(), path = %log.path().display(), %start, first_segment = %local_start,
                "segments are missing before the first one, and no tier has them: reads of their offsets are refused. Put the \
                 files back, configure the tier that has them, or move the log start with DeleteRecords"
            );
        }
    }

    /// Opens a log; where it is damaged and the tier has what is lost, that is put aside here first. Not where the tier was
    /// turned off with what it holds: it forgets what lies before the first local segment.
    fn open_or_heal(
        &self,
        home: &Arc<LogDir>,
        name: TopicPartition,
        terms: &TopicTerms,
        config: LogConfig,
    ) -> Result<Arc<Log>, log::Error> {
        let id = terms.topic.id;
        let mut healed_to = None;
        loop {
            let opened = Log::open(home, name.clone(), id, config.clone());
            let Err(log::Error::Corrupt(damage)) = &opened else { return opened };
            self.metrics.log_segments_damaged.inc();
            let path = home.path().join(name.to_string());
            let tier = self.tier.as_ref().filter(|_| !terms.config.forgets_tier());
            let Some(tiered) = tier.and_then(|_| tiered(&path, id)) else { return opened };
            // Each round puts a later segment aside.
            let at = (damage.base_offset, damage.first_offset);
            if healed_to.is_some_and(|before| before >= at) || !Log::heal(home, &name, damage, tiered)? {
                return opened;
            }
            healed_to = Some(at);
        }
    }

    fn serve(&self, wanted: &Wanted, opened: Opened, epoch: LeaderEpoch) -> Result<Arc<Partition>, OpenError> {
        let Wanted { terms, topic_partition, .. } = wanted;
        let Opened { log, tiered, held, is_settled, .. } = opened;
        let failed = |source| OpenError::Log { topic_partition: topic_partition.clone(), source };
        log.start_leader_epoch(epoch).map_err(failed)?;
        if is_settled {
            log.settle_loss().map_err(failed)?;
        }
        let counters = Counters::of(&self.metrics, &terms.topic.name);
        let (config, clock) = (terms.config.clone(), self.clock.clone());
        let partition = Partition::new(log, config, epoch, clock, counters, terms.validate_fully);
        if let Some(tiered) = tiered {
            partition.set_tiered(tiered);
            partition.set_behind_tier(held);
        }
        Ok(partition)
    }

    fn publish(&self, terms: &[Arc<TopicTerms>], mut slots: HashMap<(TopicId, PartitionIndex), Slot>) {
        let mut by_topic = self.by_topic.write().unwrap_or_else(PoisonError::into_inner);
        for terms in terms {
            let id = terms.topic.id;
            let of_topic = (0..terms.topic.partitions.len()).map(|index| {
                let name = terms.name_of(index);
                slots
                    .remove(&(id, name.partition))
                    .unwrap_or_else(|| offline(name, None, "no data directory takes it".to_owned(), false))
            });
            let of_topic: Vec<Slot> = of_topic.collect();
            self.metrics.partitions.inc_by(count(of_topic.iter().filter_map(Slot::served).count()));
            by_topic.insert(id, of_topic.into());
        }
        self.metrics.topics.set(count(by_topic.len()));
    }

    /// Makes what is missing of `topic`; partitions that are known stay as they are.
    pub(super) fn make_partitions(
        &self,
        metadata: &Metadata,
        topic: &Topic,
        settings: &Settings,
    ) -> Result<(), OpenError> {
        let terms = TopicTerms::of(Arc::new(topic.clone()), settings);
        let known = self.slots(topic.id);
        for tiered in known.iter().filter_map(|slot| slot.served()?.tiered()) {
            tiered.set_topic(terms.facts.clone());
        }
        let mut choice = Choice::of(self);
        let mut wanted = Vec::new();
        for index in known.len()..topic.partitions.len() {
            let topic_partition = terms.name_of(index);
            // What a creation that was cut short has made is gone on with where it is.
            let begun = self.log_dirs.online().find(|dir| dir.may_be_of(&topic_partition, topic.id)).cloned();
            let there = if begun.is_some() { There::Directory } else { There::New };
            // Where a directory of that name is another topic's, this one cannot be.
            let home = begun.or_else(|| choice.next_where(|dir| !dir.contains(&topic_partition))).ok_or_else(|| {
                OpenError::NoDirectory(self.log_dirs.all_offline().unwrap_or("each has one of that name").to_owned())
            })?;
            wanted.push(Wanted { terms: terms.clone(), topic_partition, home, there });
        }
        let made = on_threads(CREATING_THREADS_MAX, wanted, |wanted| {
            let opened = self.open_one(&wanted, false)?;
            let epoch = leader_epoch(&metadata.image(), topic.id, wanted.topic_partition.partition);
            self.serve(&wanted, opened, epoch)
        })?;
        let mut by_topic = self.by_topic.write().unwrap_or_else(PoisonError::into_inner);
        self.metrics.partitions.inc_by(count(made.len()));
        by_topic.insert(topic.id, known.iter().cloned().chain(made.into_iter().map(Slot::Served)).collect());
        self.metrics.topics.set(count(by_topic.len()));
        Ok(())
    }

    /// The tier's half of a log that is to be tiered, or was: what lies in the tier stays readable, and stays ours to
    /// remove, when tiering is turned off. Blocks.
    pub(super) fn open_tiered(
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
}

/// Everything of the topic below it is in the tier, or was deleted, as the directory's own copy of the manifest says.
fn tiered(directory: &Path, topic: TopicId) -> Option<Range<Offset>> {
    match LocalCopy::in_directory(directory).open() {
        Ok(Found::Head(head)) if head.identity.of.topic_id == topic => Some(head.log_start_offset..head.next_offset),
        Ok(Found::Head(_) | Found::None | Found::Damaged) | Err(_) => None,
    }
}

fn offline(topic_partition: TopicPartition, path: Option<PathBuf>, mut reason: String, waits_for_room: bool) -> Slot {
    if waits_for_room {
        reason.push_str("; it is opened as soon as the disk has room");
    }
    tracing::error!(partition = %topic_partition, "partition is offline: {reason}");
    Slot::Offline(Arc::new(OfflinePartition { topic_partition, path, reason, waits_for_room }))
}

fn leader_epoch(image: &Image, topic: TopicId, index: PartitionIndex) -> LeaderEpoch {
    let partition = image.topic_by_id(topic).and_then(|topic| topic.partition(index));
    partition.map(|partition| partition.leader_epoch).unwrap_or_default()
}

pub(super) fn facts_of(topic: &Topic) -> Arc<TopicFacts> {
    let configs = topic.configs.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    Arc::new(TopicFacts { partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX), configs })
}

/// A stored configuration was valid when it was set; one that no longer parses gives way to the defaults, loudly.
pub(super) fn resolve(settings: &Settings, topic: &Topic) -> TopicConfig {
    TopicConfig::resolve(settings, &topic.configs).or_else(|error| {
        tracing::error!(topic = %topic.name, "stored topic configuration does not hold: {error}; the broker's defaults are used");
        TopicConfig::resolve(settings, &Default::default())
    })
    .unwrap_or_else(|error| unreachable!("the broker's defaults were checked at start: {error}"))
}
