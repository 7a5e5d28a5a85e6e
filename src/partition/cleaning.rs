//! When compaction runs: threads that clean the dirtiest log, one after the other.
//!
//! Owns which partition is cleaned by whom, which is set aside, and the metrics. What a cleaning does is the log's
//! (`log::cleaner`). A partition whose cleaning fails is set aside, with its error, until it changes or a while has gone
//! by; the others go on. All state is in memory: a restart looks at everything again.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use stratalog_types::{Offset, TopicPartition};
use tokio::sync::watch;

use super::tier::{Tiered, chain};
use super::{Partition, Partitions};
use crate::config::CleanerConfig;
use crate::log::{CleanError, CleanOptions, Cleaned, Dirt, Pace};
use crate::metrics::Metrics;
use crate::platform::lock;

/// Between two looks at the configuration and at the threads.
const TICK: Duration = Duration::from_secs(1);
/// A partition that was set aside and has not changed is tried again after so long.
const SET_ASIDE_MS: i64 = 600_000;

pub type ConfigNow = Box<dyn Fn() -> CleanerConfig + Send + Sync>;

/// The log cleaner of a broker.
pub struct Cleaner {
    partitions: Arc<Partitions>,
    metrics: Arc<Metrics>,
    config: ConfigNow,
    pace: Pace,
    threads: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    under_way: HashSet<TopicPartition>,
    set_aside: HashMap<TopicPartition, SetAside>,
    last_run: Option<Instant>,
}

struct SetAside {
    /// What was to be cleaned when it failed.
    dirt: Dirt,
    since_ms: i64,
}

/// Why a log was not cleaned.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Cleaning(#[from] CleanError),
    #[error("it panicked: {0}")]
    Panic(String),
}

impl Cleaner {
    pub fn new(partitions: Arc<Partitions>, metrics: Arc<Metrics>, config: ConfigNow) -> Arc<Cleaner> {
        let (pace, threads, state) = (Pace::unlimited(), AtomicUsize::new(0), Mutex::default());
        Arc::new(Cleaner { partitions, metrics, config, pace, threads, state })
    }

    /// Runs until `stopped` turns true; a cleaning under way ends early, and leaves nothing.
    pub async fn run(self: Arc<Cleaner>, mut stopped: watch::Receiver<bool>) {
        let mut workers: HashMap<usize, JoinHandle<()>> = HashMap::new();
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                _ = stopped.changed() => break,
                _ = tick.tick() => self.keep_threads(&mut workers),
            }
        }
        self.pace.stop();
        let joined = tokio::task::spawn_blocking(move || workers.into_values().for_each(|worker| drop(worker.join())));
        let _ = joined.await;
    }

    /// As many threads as the configuration says now, at its pace.
    fn keep_threads(self: &Arc<Cleaner>, workers: &mut HashMap<usize, JoinHandle<()>>) {
        let config = (self.config)();
        let threads = if config.enable { config.threads } else { 0 };
        self.threads.store(threads, Ordering::SeqCst);
        self.pace.set_bytes_per_second(config.io_bytes_per_second);
        workers.retain(|_, worker| !worker.is_finished());
        for index in 0..threads {
            if workers.contains_key(&index) {
                continue;
            }
            let cleaner = Arc::clone(self);
            let started = std::thread::Builder::new().name("log-cleaner".to_owned()).spawn(move || cleaner.work(index));
            match started {
                Ok(worker) => drop(workers.insert(index, worker)),
                Err(error) => tracing::warn!(%error, "no further cleaner thread"),
            }
        }
        self.metrics.log_cleaner_threads.set(i64::try_from(workers.len()).unwrap_or(i64::MAX));
        self.metrics.log_cleaner_io.inc_by(self.pace.take_spent_bytes());
        let state = lock(&self.state);
        let since = state.last_run.map_or(0.0, |at| at.elapsed().as_secs_f64());
        self.metrics.log_cleaner_idle.set(since);
    }

    fn work(&self, index: usize) {
        lower_priority();
        while index < self.threads.load(Ordering::SeqCst) && !self.pace.is_stopped() {
            let config = (self.config)();
            if !self.clean_dirtiest(&config) && self.pace.rest(config.backoff) {
                return;
            }
        }
    }

    /// One round over the log that needs it most. False: none does.
    pub fn clean_dirtiest(&self, config: &CleanerConfig) -> bool {
        let Some((partition, dirt)) = self.take_dirtiest() else { return false };
        let options = CleanOptions {
            memory_bytes: config.thread_map_bytes(),
            load_factor: config.load_factor,
            buffer_bytes: config.thread_buffer_bytes(),
            keeps_tombstones: false,
        };
        let started = Instant::now();
        let result = caught(|| partition.clean(&dirt, &options, &self.pace));
        let name = partition.topic_partition();
        lock(&self.state).under_way.remove(name);
        match result {
            Ok(cleaned) => {
                self.count(&cleaned);
                lock(&self.state).set_aside.remove(name);
                tracing::info!(
                    partition = %name, from = %dirt.first_dirty_offset, to = %cleaned.end_offset,
                    bytes_before = cleaned.bytes_before, bytes_after = cleaned.bytes_after,
                    records_without_key = cleaned.records_without_key, seconds = started.elapsed().as_secs_f64(),
                    "log compacted"
                );
                true
            }
            Err(Failure::Cleaning(CleanError::Stopped | CleanError::Closed)) => false,
            Err(Failure::Cleaning(CleanError::Changed)) => {
                tracing::debug!(partition = %name, "the log changed while it was compacted; it is tried again");
                false
            }
            Err(failure) => {
                self.set_aside(name, dirt, &failure);
                true
            }
        }
    }

    fn count(&self, cleaned: &Cleaned) {
        let metrics = &self.metrics;
        metrics.log_cleaner_runs.inc();
        metrics.log_cleaner_bytes_before.inc_by(cleaned.bytes_before);
        metrics.log_cleaner_bytes_after.inc_by(cleaned.bytes_after);
        metrics.log_cleaner_keyless.inc_by(cleaned.records_without_key);
        metrics.log_cleaner_map_utilization.set(cleaned.map_utilization);
    }

    fn set_aside(&self, partition: &TopicPartition, dirt: Dirt, failure: &Failure) {
        tracing::error!(
            %partition, retry_after_seconds = SET_ASIDE_MS / 1000,
            "not compacted, and set aside until it changes: {}", chain(failure)
        );
        let mut state = lock(&self.state);
        state.set_aside.insert(partition.clone(), SetAside { dirt, since_ms: self.partitions.clock.now_ms() });
    }

    /// The dirtiest of the logs that are dirty enough, or overdue; nobody else takes it until its round is over.
    fn take_dirtiest(&self) -> Option<(Arc<Partition>, Dirt)> {
        let mut worst: Option<(Arc<Partition>, Dirt)> = None;
        let (mut ratio_max, mut overdue_max_ms, mut uncleanable) = (0.0_f64, 0, (0, 0));
        let partitions = self.partitions.all();
        for partition in partitions.iter().filter(|partition| partition.is_compacted()) {
            let name = partition.topic_partition();
            if lock(&self.state).under_way.contains(name) {
                continue;
            }
            let dirt = match caught(|| partition.dirt()) {
                Ok(dirt) => dirt,
                // Removed, or a segment of it was: the next look sees it as it is.
                Err(Failure::Cleaning(CleanError::Closed | CleanError::Changed)) => continue,
                Err(failure) => {
                    let nowhere = Dirt {
                        first_dirty_offset: Offset::ZERO,
                        end_offset: partition.log().log_end_offset(),
                        clean_bytes: 0,
                        dirty_bytes: 0,
                        overdue_ms: 0,
                    };
                    if !self.is_set_aside(name, &nowhere) {
                        self.set_aside(name, nowhere, &failure);
                    }
                    uncleanable.0 += 1;
                    continue;
                }
            };
            if self.is_set_aside(name, &dirt) {
                uncleanable = (uncleanable.0 + 1, uncleanable.1 + dirt.dirty_bytes);
                continue;
            }
            ratio_max = ratio_max.max(dirt.ratio());
            overdue_max_ms = overdue_max_ms.max(dirt.overdue_ms);
            let is_due = dirt.dirty_bytes > 0
                && (dirt.overdue_ms > 0 || dirt.ratio() > partition.config().min_cleanable_dirty_ratio);
            if is_due && worst.as_ref().is_none_or(|(_, worst)| dirt.ratio() > worst.ratio()) {
                worst = Some((partition.clone(), dirt));
            }
        }
        self.metrics.log_cleaner_dirty_ratio.set(ratio_max);
        self.metrics.log_cleaner_overdue.set(overdue_max_ms as f64 / 1000.0);
        self.metrics.log_cleaner_uncleanable_partitions.set(uncleanable.0);
        self.metrics.log_cleaner_uncleanable_bytes.set(i64::try_from(uncleanable.1).unwrap_or(i64::MAX));
        let mut state = lock(&self.state);
        state.last_run = Some(Instant::now());
        state.set_aside.retain(|name, _| partitions.iter().any(|partition| partition.topic_partition() == name));
        let (partition, dirt) = worst?;
        // Another thread may have come first.
        state.under_way.insert(partition.topic_partition().clone()).then_some((partition, dirt))
    }

    fn is_set_aside(&self, partition: &TopicPartition, dirt: &Dirt) -> bool {
        let state = lock(&self.state);
        let aside = state.set_aside.get(partition);
        let waits = |aside: &SetAside| self.partitions.clock.now_ms().saturating_sub(aside.since_ms) < SET_ASIDE_MS;
        aside.is_some_and(|aside| aside.dirt.end_offset == dirt.end_offset && waits(aside))
    }
}

impl Partition {
    /// Whether the cleaner looks at it: not while it moves segments to the tier, which holds what was written; nor on a disk
    /// that is short of room.
    fn is_compacted(&self) -> bool {
        let config = self.config();
        let copied = config.remote_storage_enable && !config.remote_log_copy_disable && self.tiered().is_some();
        config.cleanup_compact && !copied && !self.is_behind_tier() && self.log().may_be_copied()
    }

    /// One round, with what the tier holds in mind. Blocks.
    pub fn clean(&self, dirt: &Dirt, options: &CleanOptions, pace: &Pace) -> Result<Cleaned, CleanError> {
        let keeps_tombstones = options.keeps_tombstones || self.may_be_tiered();
        self.log().clean(dirt, &CleanOptions { keeps_tombstones, ..*options }, pace)
    }

    /// Whether the tier has records at or above the log start, as far as is known: local copies may go, and then they are
    /// read as they were written.
    fn may_be_tiered(&self) -> bool {
        match self.tiered().map(|tiered| tiered.view()).filter(|view| view.is_known()) {
            Some(view) => view.tiered_end_offset().is_some_and(|end| end > self.log_start_offset()),
            // Also where this broker has no tier, now.
            None => Tiered::was_opened(self.log()),
        }
    }

    fn dirt(&self) -> Result<Dirt, CleanError> {
        self.log().roll_for_compaction()?;
        self.log().dirt(self.high_watermark().get())
    }
}

/// A panic over one log is that log's failure: the thread goes on with the others.
fn caught<T>(work: impl FnOnce() -> Result<T, CleanError>) -> Result<T, Failure> {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Failure::Panic(text.unwrap_or_default())
    })?;
    Ok(outcome?)
}

/// Requests come before cleaning.
pub(super) fn lower_priority() {
    #[cfg(target_os = "linux")]
    // On Linux the value belongs to the calling thread. Without it cleaning is only less polite.
    let _ = rustix::process::nice(10);
}
