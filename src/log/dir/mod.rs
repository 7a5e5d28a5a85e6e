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

mod checkpoints;
mod lock_file;
mod meta;
mod permits;
mod removal;
mod set;
mod upkeep;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use stratalog_types::{Offset, TopicId, TopicPartition};

pub use self::set::{LogDirState, LogDirs};

pub use self::lock_file::DirectoryLock;
use self::meta::Meta;
use self::permits::Permits;
use self::removal::Removals;
use self::upkeep::Upkeep;
use super::Log;
use super::checkpoint::{self, OffsetsByPartition};
use super::error::Error;
use super::names;
use super::segment::FileCache;
use super::sync::{Health, OfflineHook, Syncer};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::platform::disk::Disk;
use crate::platform::lock;
use crate::platform::volume::space;

/// How to open a data directory.
#[derive(Clone)]
pub struct LogDirOptions {
    /// What the process is, for the message to a second one: "stratalog broker".
    pub holder: String,
    pub node_id: i32,
    /// The cluster that the directory must belong to; `None` takes the one it has, or makes one.
    pub cluster_id: Option<String>,
    pub clock: Clock,
    pub disk: Disk,
    pub sync_threads_min: usize,
    /// 0: no sync threads; `LogDir::sync_queued` does the work. For tests that decide the order of things.
    pub sync_threads_max: usize,
    /// Files of closed segments that may stay open.
    pub open_files_max: usize,
    /// Free bytes of the volume below which appends are refused; looked at each second by the directory's own thread.
    pub reserve_bytes: u64,
    /// Segments that are read at a time when logs are recovered.
    pub recovery_threads: usize,
    pub metrics: Arc<Metrics>,
}

impl Default for LogDirOptions {
    fn default() -> LogDirOptions {
        LogDirOptions {
            holder: "stratalog".to_owned(),
            node_id: 1,
            cluster_id: None,
            clock: Clock::System,
            disk: Disk::default(),
            sync_threads_min: 4,
            sync_threads_max: 16,
            open_files_max: 1000,
            reserve_bytes: 0,
            recovery_threads: 2,
            metrics: Arc::default(),
        }
    }
}

/// Logs that are closed at a time.
const CLOSING_THREADS: usize = 16;

/// A partition directory that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionDir {
    pub topic_partition: TopicPartition,
    /// `None`: its creation was cut short before the id was written.
    pub topic_id: Option<TopicId>,
    pub path: PathBuf,
}

/// What is known to be synced of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecoveryPoint {
    /// Everything before it.
    At(Offset),
    /// The checkpoint did not read.
    Unknown,
}

impl RecoveryPoint {
    pub fn or(self, unknown: Offset) -> Offset {
        match self {
            RecoveryPoint::At(point) => point,
            RecoveryPoint::Unknown => unknown,
        }
    }

    /// Where something else says what is synced too.
    pub fn at_least(self, synced: Option<Offset>) -> RecoveryPoint {
        match self {
            RecoveryPoint::At(point) => RecoveryPoint::At(point.max(synced.unwrap_or_default())),
            RecoveryPoint::Unknown => RecoveryPoint::Unknown,
        }
    }

    /// Whether `offset` is known to lie above it.
    pub fn is_below(self, offset: i64) -> bool {
        match self {
            RecoveryPoint::At(point) => point.0 < offset,
            RecoveryPoint::Unknown => false,
        }
    }
}

const FULL_TOLD_EVERY_MS: i64 = 10_000;
/// Of one Produce.
const THROTTLE_MAX: Duration = Duration::from_secs(1);

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
    /// As last written: also of partitions that are not open.
    recovery_points: Mutex<OffsetsByPartition>,
    log_starts: Mutex<OffsetsByPartition>,
    /// False: partitions without an entry may have had one.
    recovery_points_whole: bool,
    log_starts_whole: bool,
    pub(super) walks: Permits,
    /// Up to where each compacted log is clean.
    cleaner_points: Mutex<OffsetsByPartition>,
    cleaner_points_whole: bool,
    open: Mutex<HashMap<TopicPartition, Weak<Log>>>,
    upkeep: Upkeep,
    removals: Removals,
    full_told_ms: AtomicI64,
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
        checkpoints::miss_recovery_points(&disk, &path)?;
        let points = checkpoints::read(&disk, &path.join(names::RECOVERY_POINTS))?;
        let starts = checkpoints::read(&disk, &path.join(names::LOG_STARTS))?;
        let clean = checkpoints::read(&disk, &path.join(names::CLEANER_POINTS))?;
        let clean_mark = path.join(names::CLEAN_SHUTDOWN);
        let was_marked = clean_mark.try_exists().map_err(Error::io("look for", &clean_mark))?;
        let (unrecovered, unreadable) = checkpoint::salvage_offsets(&path.join(names::UNRECOVERED))?;
        let was_clean = was_marked && unreadable.is_none();
        if was_marked {
            disk.unlink(&clean_mark).map_err(Error::io("remove", &clean_mark))?;
            disk.sync_directory(&path).map_err(Error::io("sync directory", &path))?;
        }
        removal::finish(&disk, &path)?;
        let health = Arc::new(Health::default());
        let metrics = options.metrics;
        let (threads_min, threads_max) = (options.sync_threads_min, options.sync_threads_max);
        let syncer = Syncer::new(disk.clone(), Arc::clone(&health), Arc::clone(&metrics), threads_min, threads_max);
        let dir = Arc::new(LogDir {
            path,
            meta,
            clock: options.clock,
            files: Arc::new(FileCache::new(disk.clone(), options.open_files_max, Arc::clone(&metrics))),
            disk,
            health,
            syncer,
            was_clean,
            recovery_points: Mutex::new(points.offsets),
            log_starts: Mutex::new(starts.offsets),
            recovery_points_whole: points.whole,
            log_starts_whole: starts.whole,
            walks: Permits::new(options.recovery_threads),
            cleaner_points: Mutex::new(clean.offsets),
            open: Mutex::new(HashMap::new()),
            upkeep: Upkeep::none(),
            removals: Removals::default(),
            full_told_ms: AtomicI64::new(i64::MIN),
            throttle_ms: AtomicU32::new(0),
            metrics,
            distrusted: Mutex::new(unrecovered.into_keys().collect()),
            closed: Mutex::default(),
            cleaner_points_whole: clean.whole,
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

    /// Whether a cleaner has been at a log, or may have been.
    pub(super) fn was_compacted(&self, partition: &TopicPartition) -> bool {
        !self.cleaner_points_whole || self.cleaner_point(partition).is_some()
    }

    pub(super) fn distrust(&self, partition: &TopicPartition) {
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

    /// Removes the directory of a partition that is not open.
    pub fn remove_partition(&self, partition: &PartitionDir) -> Result<(), Error> {
        lock(&self.open).remove(&partition.topic_partition);
        let away = removal::rename_away(&self.disk, &self.path, &partition.path)?;
        removal::empty_and_remove(&self.disk, &away)?;
        self.forget_checkpoints(&partition.topic_partition)
    }

    /// Syncs what is queued on the calling thread; for a directory without sync threads.
    pub fn sync_queued(&self) {
        self.syncer.run_queued();
    }

    /// Writes the recovery points: what is synced now of each open log.
    pub fn checkpoint_recovery_points(&self) -> Result<(), Error> {
        let mut points = lock(&self.recovery_points);
        for log in self.open_logs() {
            let flushed = log.flushed().get();
            // Unknown until all that was found of it is synced: an entry would say that what lies above was never acknowledged.
            let is_unknown = !self.recovery_points_whole && !points.contains_key(log.topic_partition());
            if is_unknown && flushed == Offset::ZERO && log.log_end_offset() > flushed {
                continue;
            }
            points.insert(log.topic_partition().clone(), flushed);
        }
        checkpoint::write_offsets(&self.disk, &self.path.join(names::RECOVERY_POINTS), &points)
    }

    /// Whether the volume has less room than is kept free.
    pub(super) fn is_below_reserve(&self) -> bool {
        self.below_reserve.load(Ordering::Relaxed)
    }

    /// How long producers should pause, so that the disk does not fill before somebody looks: from nothing at twice the
    /// reserve to [`THROTTLE_MAX`] at the reserve.
    pub(super) fn throttle(&self) -> Duration {
        Duration::from_millis(self.throttle_ms.load(Ordering::Relaxed).into())
    }

    /// A volume that does not tell its room is taken to have some: a write that fails says so itself.
    fn look_at_space(&self) {
        if self.reserve_bytes == 0 {
            return;
        }
        let free = space(&self.path).map_or(u64::MAX, |space| space.usable_bytes);
        let below = free < self.reserve_bytes;
        let throttle_ms = throttle_ms(free, self.reserve_bytes);
        if (throttle_ms > 0) != (self.throttle_ms.swap(throttle_ms, Ordering::Relaxed) > 0) && !below {
            if throttle_ms > 0 {
                tracing::warn!(
                    path = %self.path.display(), free_bytes = free, reserve_bytes = self.reserve_bytes,
                    "the disk has less room than twice stratalog.log.dir.reserve.bytes: producers are slowed down"
                );
            } else {
                tracing::info!(path = %self.path.display(), "the disk has room: producers are not slowed down");
            }
        }
        if below != self.below_reserve.swap(below, Ordering::Relaxed) {
            if below {
                tracing::error!(
                    path = %self.path.display(), reserve_bytes = self.reserve_bytes,
                    "the disk has less room than stratalog.log.dir.reserve.bytes: produce is refused until it has more"
                );
            } else {
                tracing::info!(path = %self.path.display(), "the disk has room again: produce is accepted");
            }
        }
    }

    /// A write found no room. Producers try again at once, so not every one is worth a line.
    pub(super) fn tell_full(&self) {
        let now_ms = self.clock.now_ms();
        let told_ms = self.full_told_ms.load(Ordering::Relaxed);
        if now_ms.saturating_sub(told_ms) >= FULL_TOLD_EVERY_MS {
            self.full_told_ms.store(now_ms, Ordering::Relaxed);
            tracing::error!(path = %self.path.display(), "no space left on the disk: produce is refused until there is some");
        }
    }

    /// Starts syncs that `flush.ms` asks for.
    fn flush_overdue(&self) {
        let now_ms = self.clock.now_ms();
        for log in self.open_logs() {
            log.flush_if_overdue(now_ms);
        }
    }

    /// Durable when this returns: records from `offset` on may be gone after the next crash.
    pub(super) fn lower_recovery_point(&self, partition: &TopicPartition, offset: Offset) -> Result<(), Error> {
        // First, for it lies below the recovery point.
        let mut clean = lock(&self.cleaner_points);
        if clean.get(partition).is_some_and(|point| *point > offset) {
            clean.insert(partition.clone(), offset);
            checkpoint::write_offsets(&self.disk, &self.path.join(names::CLEANER_POINTS), &clean)?;
        }
        drop(clean);
        let mut points = lock(&self.recovery_points);
        if points.get(partition).is_none_or(|point| *point <= offset) {
            return Ok(());
        }
        points.insert(partition.clone(), offset);
        checkpoint::write_offsets(&self.disk, &self.path.join(names::RECOVERY_POINTS), &points)
    }

    pub(super) fn recovery_point(&self, partition: &TopicPartition) -> RecoveryPoint {
        match lock(&self.recovery_points).get(partition) {
            Some(point) => RecoveryPoint::At(*point),
            // Younger than the last checkpoint: nothing of it is known to be synced.
            None if self.recovery_points_whole => RecoveryPoint::At(Offset::ZERO),
            None => RecoveryPoint::Unknown,
        }
    }

    /// Whether a log start that has no entry may have been lost with the checkpoint.
    pub(super) fn may_lack_log_start(&self, partition: &TopicPartition) -> bool {
        !self.log_starts_whole && self.log_start(partition).is_none()
    }

    /// Up to where a log is clean, as checkpointed.
    pub(super) fn cleaner_point(&self, partition: &TopicPartition) -> Option<Offset> {
        lock(&self.cleaner_points).get(partition).copied()
    }

    /// Durable when this returns.
    pub(super) fn write_cleaner_point(&self, partition: &TopicPartition, offset: Offset) -> Result<(), Error> {
        let mut points = lock(&self.cleaner_points);
        points.insert(partition.clone(), offset);
        checkpoint::write_offsets(&self.disk, &self.path.join(names::CLEANER_POINTS), &points)
    }

    pub(super) fn log_start(&self, partition: &TopicPartition) -> Option<Offset> {
        lock(&self.log_starts).get(partition).copied()
    }

    /// Durable when this returns.
    pub(super) fn write_log_start(&self, partition: &TopicPartition, offset: Offset) -> Result<(), Error> {
        let mut starts = lock(&self.log_starts);
        let before = starts.insert(partition.clone(), offset);
        let written = checkpoint::write_offsets(&self.disk, &self.path.join(names::LOG_STARTS), &starts);
        if written.is_err() {
            match before {
                Some(before) => starts.insert(partition.clone(), before),
                None => starts.remove(partition),
            };
        }
        written
    }

    /// Writes the log start of a partition that has no entry yet.
    pub(super) fn write_log_start_once(&self, partition: &TopicPartition, offset: Offset) -> Result<(), Error> {
        if self.log_start(partition).is_some() {
            return Ok(());
        }
        self.write_log_start(partition, offset)
    }

    /// Removes what the checkpoints say of a partition; durable when this returns. A new log of the same name must not
    /// find its predecessor's entries: a log start would hide its records. So a creation asks for this too, in case the
    /// deletion was cut short.
    pub(super) fn forget_checkpoints(&self, partition: &TopicPartition) -> Result<(), Error> {
        let checkpoints = [
            (names::RECOVERY_POINTS, &self.recovery_points),
            (names::LOG_STARTS, &self.log_starts),
            (names::CLEANER_POINTS, &self.cleaner_points),
        ];
        lock(&self.distrusted).remove(partition);
        lock(&self.closed).remove(partition);
        for (name, map) in checkpoints {
            let mut offsets = lock(map);
            if offsets.remove(partition).is_some() {
                checkpoint::write_offsets(&self.disk, &self.path.join(name), &offsets)?;
            }
        }
        Ok(())
    }

    /// Removes the directory of a log that was open.
    pub(super) fn remove_log(&self, log: &Log) -> Result<(), Error> {
        lock(&self.open).remove(log.topic_partition());
        let away = removal::rename_away(&self.disk, &self.path, log.path())?;
        match self.removal_due(log.config().file_delete_delay_ms) {
            Some(due_ms) => self.removals.add(away, due_ms),
            None => removal::empty_and_remove(&self.disk, &away)?,
        }
        self.forget_checkpoints(log.topic_partition())
    }

    /// Removes a file that is out of use; after `delay_ms` if the disk has room for it until then. Directories are not
    /// synced: a name that comes back after a power cut is found by the next start as what it was.
    pub(super) fn remove_file(&self, path: &Path, delay_ms: i64) -> Result<(), Error> {
        let Some(due_ms) = self.removal_due(delay_ms) else {
            return self.disk.unlink_if_exists(path).map_err(Error::io("remove", path));
        };
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}", names::DELETED_SUFFIX));
        let away = PathBuf::from(name);
        match self.disk.rename(path, &away) {
            Ok(()) => self.removals.add(away, due_ms),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("rename", path)(error)),
        }
        Ok(())
    }

    /// When what goes out of use now is removed; `None`: at once.
    fn removal_due(&self, delay_ms: i64) -> Option<i64> {
        let waits = delay_ms > 0 && !self.is_below_reserve();
        waits.then(|| self.clock.now_ms().saturating_add(delay_ms))
    }

    /// Removes what waited for it long enough, or all of it if the disk has no room.
    pub fn remove_due(&self) {
        let now_ms = if self.is_below_reserve() { i64::MAX } else { self.clock.now_ms() };
        self.removals.carry_out(&self.disk, now_ms);
    }

    /// What a recovery found may not be durable yet: synced in the background, or at once where nobody else would.
    pub(super) fn sync_recovered(&self, log: &Log) {
        if !log.sync.is_unsynced() {
            return;
        }
        if self.syncer.has_threads() { log.flush() } else { self.syncer.run_one(&log.sync) }
    }

    pub(super) fn register(&self, log: &Arc<Log>) {
        lock(&self.open).insert(log.topic_partition().clone(), Arc::downgrade(log));
    }

    pub(super) fn open_logs(&self) -> Vec<Arc<Log>> {
        lock(&self.open).values().filter_map(Weak::upgrade).collect()
    }

    /// Checkpoints that were damaged are whole again once each partition that is here is open.
    fn forget_damage(&self) -> Result<(), Error> {
        if self.recovery_points_whole && self.log_starts_whole {
            return Ok(());
        }
        for log in self.open_logs() {
            self.write_log_start_once(log.topic_partition(), log.log_start_offset())?;
        }
        let here = self.partitions_on_disk()?;
        let is_known = |dir: &PartitionDir| lock(&self.recovery_points).contains_key(&dir.topic_partition);
        if here.iter().all(is_known) {
            for name in [names::RECOVERY_POINTS, names::LOG_STARTS] {
                checkpoints::forget_damage(&self.disk, &self.path.join(name))?;
            }
        }
        Ok(())
    }

    /// Logs with something to sync wait for the disk: side by side.
    fn close_logs(&self) -> Result<(), Error> {
        let logs = Mutex::new(self.open_logs().into_iter());
        let failed: Mutex<Option<Error>> = Mutex::new(None);
        let run = || {
            while let Some(log) = { lock(&logs).next() } {
                match log.close_clean() {
                    Ok(true) => drop(lock(&self.closed).insert(log.topic_partition().clone())),
                    Ok(false) => {}
                    Err(error) => drop(lock(&failed).get_or_insert(error)),
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..CLOSING_THREADS {
                let _ = std::thread::Builder::new().name("log-close".to_owned()).spawn_scoped(scope, run);
            }
            run();
        });
        failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// Lists what the clean mark does not vouch for; durable when this returns.
    fn write_unrecovered(&self) -> Result<(), Error> {
        let path = self.path.join(names::UNRECOVERED);
        let mut partitions = OffsetsByPartition::new();
        for found in self.partitions_on_disk()? {
            let partition = found.topic_partition;
            if !self.believes(&partition) && !lock(&self.closed).contains(&partition) {
                tracing::warn!(%partition, path = %found.path.display(), "not recovered at this stop: it is when it is opened");
                partitions.insert(partition, Offset::ZERO);
            }
        }
        if partitions.is_empty() {
            return self.disk.unlink_if_exists(&path).map_err(Error::io("remove", &path));
        }
        checkpoint::write_offsets(&self.disk, &path, &partitions)
    }

    /// The clean stop: every log takes its last sync and writes its producer snapshot, the checkpoints follow, the
    /// clean mark is last. Logs take no appends afterwards.
    pub fn close(&self) -> Result<(), Error> {
        self.upkeep.stop();
        self.syncer.stop();
        if let Some(reason) = self.offline() {
            return Err(Error::Offline { path: self.path.clone(), reason: reason.to_owned() });
        }
        self.close_logs()?;
        self.checkpoint_recovery_points()?;
        self.forget_damage()?;
        self.write_unrecovered()?;
        let starts = lock(&self.log_starts).clone();
        checkpoint::write_offsets(&self.disk, &self.path.join(names::LOG_STARTS), &starts)?;
        checkpoint::replace(&self.disk, &self.path.join(names::CLEAN_SHUTDOWN), "{\"version\":0,\"brokerEpoch\":-1}")
    }
}

/// In milliseconds: linear from twice the reserve down to the reserve.
fn throttle_ms(free_bytes: u64, reserve_bytes: u64) -> u32 {
    let missing = reserve_bytes.saturating_mul(2).saturating_sub(free_bytes).min(reserve_bytes);
    let share = u128::from(missing) * THROTTLE_MAX.as_millis() / u128::from(reserve_bytes.max(1));
    u32::try_from(share).unwrap_or(u32::MAX)
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
