//! A data directory: its lock, its identity, its checkpoints, and the logs that are open in it.
//!
//! Owns `.lock`, `meta.properties`, the checkpoint files, `.kafka_cleanshutdown`, the sync pool. Does not own the
//! partition directories: each log has its own.
//!
//! Order of effects at start: lock, identity, then the clean mark is read and removed (directory synced) before any log
//! can write. A crash at any later point therefore finds no mark, and every log is recovered. At a clean stop the mark
//! is the last thing written, after all logs and checkpoints. It vouches for the logs that closed as they should: those
//! that were not opened since an unclean stop, or that a truncation left half done, are listed before
//! (`unrecovered-partitions`), and recovered when they are opened.

mod checkpoint_file;
mod checkpoints;
mod doubt;
mod lock_file;
mod meta;
mod options;
mod permits;
mod points;
mod recovered;
mod removal;
mod set;
mod space;
mod spare;
mod stop;
mod upkeep;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32};
use std::sync::{Arc, Mutex, Weak};

use stratalog_types::{TopicId, TopicPartition};

use self::checkpoint_file::CheckpointFile;
use self::doubt::Doubts;
pub use self::lock_file::DirectoryLock;
use self::meta::Meta;
pub use self::options::LogDirOptions;
use self::permits::Permits;
pub use self::points::RecoveryPoint;
use self::recovered::RecoveredSyncs;
use self::removal::Removals;
pub use self::set::{LogDirState, LogDirs};
use self::spare::Spare;
use self::upkeep::Upkeep;
use super::Log;
use super::checkpoint;
use super::error::Error;
use super::names;
use super::segment::FileCache;
use super::sync::{Health, OfflineHook, Syncer};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::platform::disk::Disk;
use crate::platform::lock;

/// A partition directory that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionDir {
    pub topic_partition: TopicPartition,
    /// `None`: its creation was cut short before the id was written.
    pub topic_id: Option<TopicId>,
    pub path: PathBuf,
}

/// One open data directory; the lock is held as long as this lives.
pub struct LogDir {
    path: PathBuf,
    meta: Meta,
    pub(super) clock: Clock,
    pub(super) disk: Disk,
    pub(super) files: Arc<FileCache>,
    pub(super) health: Arc<Health>,
    pub(super) syncer: Syncer,
    was_clean: bool,
    /// Also of partitions that are not open.
    recovery_points: CheckpointFile,
    log_starts: CheckpointFile,
    /// Up to where each compacted log is clean.
    cleaner_points: CheckpointFile,
    doubts: Doubts,
    pub(super) walks: Permits,
    open: Mutex<HashMap<TopicPartition, Weak<Log>>>,
    upkeep: Upkeep,
    removals: Removals,
    recovered_syncs: RecoveredSyncs,
    spare: Spare,
    refusal_told_ms: AtomicI64,
    throttle_ms: AtomicU32,
    pub(super) metrics: Arc<Metrics>,
    /// Logs that are not believed although the last stop was clean.
    distrusted: Mutex<HashSet<TopicPartition>>,
    /// Logs that closed as they should: all of each is durable.
    closed: Mutex<HashSet<TopicPartition>>,
    reserve_bytes: u64,
    below_reserve: AtomicBool,
    _lock: DirectoryLock,
}

impl LogDir {
    /// Opens a data directory, and makes one of an empty or missing directory.
    pub fn open(path: impl AsRef<Path>, options: LogDirOptions) -> Result<Arc<LogDir>, Error> {
        let path = path.as_ref().to_owned();
        std::fs::create_dir_all(&path).map_err(Error::io("create directory", &path))?;
        let lock = DirectoryLock::take(&path, &options.holder)?;
        let disk = options.disk;
        meta::note_if_new(&disk, &path)?;
        let meta = meta::read_or_create(&disk, &path, options.node_id, options.cluster_id.as_deref())?;
        for name in [names::RECOVERY_POINTS, names::LOG_STARTS, names::CLEANER_POINTS] {
            checkpoints::miss(&disk, &path, name)?;
        }
        let checkpoint = |name: &str| {
            let path = path.join(name);
            checkpoints::read(&disk, &path).map(|found| CheckpointFile::new(disk.clone(), path, found))
        };
        let recovery_points = checkpoint(names::RECOVERY_POINTS)?;
        let log_starts = checkpoint(names::LOG_STARTS)?;
        let cleaner_points = checkpoint(names::CLEANER_POINTS)?;
        let clean_mark = path.join(names::CLEAN_SHUTDOWN);
        let was_marked = clean_mark.try_exists().map_err(Error::io("look for", &clean_mark))?;
        let (unrecovered, unreadable) = checkpoint::salvage_offsets(&path.join(names::UNRECOVERED))?;
        let was_clean = was_marked && unreadable.is_none() && stop::is_of_its_list(&path)?;
        if was_marked && !was_clean {
            tracing::error!(
                path = %path.display(), list = names::UNRECOVERED,
                "the clean mark is not believed: the list of what it does not vouch for is damaged or missing"
            );
        }
        if was_marked {
            disk.unlink(&clean_mark).map_err(Error::io("remove", &clean_mark))?;
        }
        // After an unclean stop, too: a partition whose creation was cut short has a name that nobody has synced.
        disk.sync_directory(&path).map_err(Error::io("sync directory", &path))?;
        let removals = Removals::default();
        removals.find_left(&path, options.clock.now_ms())?;
        let health = Arc::new(Health::default());
        let metrics = options.metrics;
        let (threads_min, threads_max) = (options.sync_threads_min, options.sync_threads_max);
        let syncer = Syncer::new(disk.clone(), Arc::clone(&health), Arc::clone(&metrics), threads_min, threads_max);
        let dir = Arc::new(LogDir {
            spare: Spare::of(&path),
            path,
            meta,
            clock: options.clock,
            files: Arc::new(FileCache::new(disk.clone(), options.open_files_max, Arc::clone(&metrics))),
            disk,
            health,
            syncer,
            was_clean,
            recovery_points,
            log_starts,
            cleaner_points,
            doubts: Doubts::default(),
            walks: Permits::new(options.recovery_threads),
            open: Mutex::new(HashMap::new()),
            upkeep: Upkeep::none(),
            removals,
            recovered_syncs: RecoveredSyncs::default(),
            refusal_told_ms: AtomicI64::new(i64::MIN),
            throttle_ms: AtomicU32::new(0),
            metrics,
            distrusted: Mutex::new(unrecovered.into_keys().collect()),
            closed: Mutex::default(),
            reserve_bytes: options.reserve_bytes,
            below_reserve: AtomicBool::new(false),
            _lock: lock,
        });
        dir.look_at_space();
        if options.sync_threads_max > 0 {
            dir.upkeep.start(Arc::downgrade(&dir)).map_err(Error::io("start the upkeep thread of", &dir.path))?;
        }
        Ok(dir)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// 22 characters of URL-safe base64.
    pub fn cluster_id(&self) -> &str {
        &self.meta.cluster_id
    }

    pub fn node_id(&self) -> i32 {
        self.meta.node_id
    }

    pub fn directory_id(&self) -> &str {
        &self.meta.directory_id
    }

    /// Whether the last stop was clean, so that the logs need no recovery.
    pub fn was_clean(&self) -> bool {
        self.was_clean
    }

    /// Whether what lies above the recovery point of a log is believed at its next opening.
    pub(super) fn believes(&self, partition: &TopicPartition) -> bool {
        self.was_clean && !lock(&self.distrusted).contains(partition)
    }

    pub(in crate::log) fn distrust(&self, partition: &TopicPartition) {
        lock(&self.distrusted).insert(partition.clone());
    }

    /// Why the directory takes no more writes, if so. It stays so until a restart.
    pub fn offline(&self) -> Option<&str> {
        self.health.offline()
    }

    /// Sets the one listener that hears of the directory going offline.
    pub fn on_offline(&self, hook: OfflineHook) -> bool {
        self.health.on_offline(hook)
    }

    /// Takes the directory offline for the life of this process.
    pub fn take_offline(&self, reason: String) {
        self.health.take_offline(reason);
    }

    /// Whether it was made here, and nobody has said yet that it may be: an empty mount point looks the same.
    pub fn is_new(&self) -> Result<bool, Error> {
        let path = self.path.join(names::NEW_DIRECTORY);
        path.try_exists().map_err(Error::io("look for", &path))
    }

    /// A new directory may be one; durable when this returns.
    pub fn settle(&self) -> Result<(), Error> {
        let path = self.path.join(names::NEW_DIRECTORY);
        self.disk.unlink_if_exists(&path).map_err(Error::io("remove", &path))?;
        self.disk.sync_directory(&self.path).map_err(Error::io("sync directory", &self.path))
    }

    /// The partition directories, in order. An error: what is there cannot be told, and nothing may be taken for lost.
    pub fn partitions_on_disk(&self) -> Result<Vec<PartitionDir>, Error> {
        let failed = |e| Error::io("list", &self.path)(e);
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let Some(topic_partition) = name.to_str().and_then(names::parse_partition_directory) else { continue };
            let path = entry.path();
            if !path.metadata().map_err(Error::io("look at", &path))?.is_dir() {
                continue;
            }
            let topic_id = checkpoint::read_topic_id(&path).unwrap_or_else(|e| {
                tracing::error!(error = %e, "topic id is unreadable");
                None
            });
            found.push(PartitionDir { topic_partition, topic_id, path });
        }
        found.sort_by(|a, b| a.topic_partition.cmp(&b.topic_partition));
        Ok(found)
    }

    /// Whether there is a directory of this partition.
    pub fn contains(&self, topic_partition: &TopicPartition) -> bool {
        self.path.join(topic_partition.to_string()).is_dir()
    }

    /// Whether there is a directory of this partition, and it does not say that it is another topic's.
    pub fn may_be_of(&self, topic_partition: &TopicPartition, topic: TopicId) -> bool {
        let path = self.path.join(topic_partition.to_string());
        path.is_dir() && checkpoint::read_topic_id(&path).is_ok_and(|found| found.is_none_or(|found| found == topic))
    }

    /// Syncs what is queued on the calling thread; for a directory without sync threads.
    pub fn sync_queued(&self) {
        self.syncer.run_queued();
    }

    /// Starts syncs that `flush.ms` asks for.
    fn flush_overdue(&self) {
        let now_ms = self.clock.now_ms();
        for log in self.open_logs() {
            log.flush_if_overdue(now_ms);
        }
    }

    pub(super) fn register(&self, log: &Arc<Log>) {
        lock(&self.open).insert(log.topic_partition().clone(), Arc::downgrade(log));
    }

    pub(super) fn open_logs(&self) -> Vec<Arc<Log>> {
        lock(&self.open).values().filter_map(Weak::upgrade).collect()
    }
}

impl Drop for LogDir {
    fn drop(&mut self) {
        self.upkeep.stop();
        self.syncer.stop();
    }
}

/// The properties of `meta.properties`, for tools that look at a directory without opening it.
pub fn read_meta_properties(path: &Path) -> Result<Option<BTreeMap<String, String>>, Error> {
    checkpoint::read_properties(&path.join(names::META_PROPERTIES))
}
