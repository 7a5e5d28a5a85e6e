//! One partition that this broker leads.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::metrics::counter::Counter;
use stratalog_types::{LeaderEpoch, Offset, TopicId, TopicPartition};

use super::error::ReadError;
use super::off_worker::OffWorker;
use super::tier::Tiered;
use crate::clock::Clock;
use crate::config::TopicConfig;
use crate::log::{self, AbortedTransaction, CompactionConfig, Effort, Log, LogConfig, LogSlice, Unstable};
use crate::metrics::{LaneLabel, Metrics, TopicLabel};
use crate::watermark::Watermark;

/// Segments whose index is looked at, or made anew, for a fetch.
static LOADS: OffWorker = OffWorker::new(4);

/// What a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    ReadUncommitted,
    ReadCommitted,
}

/// Why a partition takes and shows nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A sync failed: its directory is offline until a restart.
    Offline,
    /// It was deleted, or the broker stops.
    Gone,
}

/// Where the records at an offset are.
#[derive(Debug)]
pub enum Located {
    /// `aborted`: what a reader of read_committed has to be told of.
    Local { slice: LogSlice, aborted: Option<Vec<AbortedTransaction>> },
    /// Only the tier has them.
    Remote,
    /// Nothing there yet.
    AtEnd,
}

/// What a partition counts: bytes and messages by topic, the rest for the whole broker.
#[derive(Clone)]
pub struct Counters {
    pub bytes_in: Counter,
    pub bytes_out: Counter,
    pub messages_in: Counter,
    /// Fetched from local segments.
    pub local_out: Counter,
    /// Fetched from the tier.
    pub tier_out: Counter,
    pub unsynced: Counter,
    pub corruptions: Counter,
}

impl Counters {
    pub fn of(metrics: &Metrics, topic: &str) -> Counters {
        let label = TopicLabel { topic: topic.to_owned() };
        Counters {
            bytes_in: metrics.topic_bytes_in.get_or_create_owned(&label),
            bytes_out: metrics.topic_bytes_out.get_or_create_owned(&label),
            messages_in: metrics.topic_messages_in.get_or_create_owned(&label),
            local_out: metrics.fetch_bytes.get_or_create_owned(&LaneLabel { lane: "local" }),
            tier_out: metrics.fetch_bytes.get_or_create_owned(&LaneLabel { lane: "tier" }),
            unsynced: metrics.produce_unsynced.clone(),
            corruptions: metrics.tier_corruptions.clone(),
        }
    }
}

pub struct Partition {
    log: Arc<Log>,
    config: RwLock<Arc<TopicConfig>>,
    leader_epoch: AtomicI32,
    high_watermark: Watermark,
    /// The last stable offset, for who waits for it. It follows the high watermark, and comes after those who wait for
    /// that were woken: who asks is not answered from here.
    last_stable: Watermark,
    clock: Clock,
    counters: Counters,
    /// `stratalog.record.validation=full`: the records of compressed batches are walked too.
    validate_fully: bool,
    pub(super) tiered: RwLock<Option<Arc<Tiered>>>,
    /// Set while the log may lie behind the tier: nothing is appended until the tier was asked.
    behind_tier: AtomicBool,
    /// The log end at start. While the high watermark lies below it, what had been shown before is not known.
    found_end: Offset,
}

impl Partition {
    /// Takes over an opened log as its leader.
    pub fn new(
        log: Arc<Log>,
        config: Arc<TopicConfig>,
        leader_epoch: LeaderEpoch,
        clock: Clock,
        counters: Counters,
        validate_fully: bool,
    ) -> Arc<Partition> {
        // After an unclean stop the end may not be durable yet: it is not shown before, where acknowledgements wait for that.
        let found = log.log_end_offset();
        let shown = if config.acks_wait_for_sync() { log.flushed().get() } else { found };
        let high_watermark = Watermark::new(shown);
        let stable = stable_end(log.unstable(), shown);
        if stable < shown {
            // Kafka left it so, and nobody can end it here yet.
            tracing::warn!(
                partition = %log.topic_partition(), first_offset = %stable,
                "a transaction is open: read_committed, the tier and compaction go no further than where it begins"
            );
        }
        let last_stable = Watermark::new(stable);
        let (unstable, following) = (log.unstable().clone(), last_stable.clone());
        high_watermark.on_advance(Box::new(move |to| following.advance(stable_end(&unstable, to))));
        let ending = last_stable.clone();
        high_watermark.on_close(Box::new(move || ending.close()));
        let raised = high_watermark.clone();
        log.flushed().on_advance(Box::new(move |flushed| raised.advance(flushed)));
        // A sync that ended before it was listened to.
        if log.flushed().get() > shown {
            high_watermark.advance(log.flushed().get());
        }
        // A failed sync, a deletion, a stop: nothing more becomes visible, and whoever waits for it is told.
        let ended = high_watermark.clone();
        log.flushed().on_close(Box::new(move || ended.close()));
        Arc::new(Partition {
            log,
            config: RwLock::new(config),
            leader_epoch: AtomicI32::new(leader_epoch.0),
            high_watermark,
            last_stable,
            clock,
            counters,
            validate_fully,
            tiered: RwLock::new(None),
            behind_tier: AtomicBool::new(false),
            found_end: found,
        })
    }

    pub fn topic_partition(&self) -> &TopicPartition {
        self.log.topic_partition()
    }

    pub fn topic_id(&self) -> TopicId {
        self.log.topic_id()
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    pub fn config(&self) -> Arc<TopicConfig> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn update_config(&self, config: Arc<TopicConfig>) {
        self.log.update_config(log_config(&config));
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(self.leader_epoch.load(Ordering::Acquire))
    }

    pub fn high_watermark(&self) -> &Watermark {
        &self.high_watermark
    }

    /// Why nothing more becomes visible, once the high watermark is closed.
    pub fn ended(&self) -> Option<Ended> {
        if !self.high_watermark.is_closed() {
            return None;
        }
        Some(if self.log.is_offline() { Ended::Offline } else { Ended::Gone })
    }

    /// One past the last offset that read_committed may see: where the oldest transaction begins that is open, or whose
    /// marker is not to be seen yet; else the high watermark.
    pub fn last_stable_offset(&self) -> Offset {
        stable_end(self.log.unstable(), self.high_watermark.get()).max(self.log_start_offset())
    }

    /// What a reader waits for.
    pub fn visible(&self, isolation: Isolation) -> &Watermark {
        match isolation {
            Isolation::ReadUncommitted => &self.high_watermark,
            Isolation::ReadCommitted => &self.last_stable,
        }
    }

    /// The log was made anew, and all of it may be seen.
    pub(super) fn log_was_restarted(&self) {
        let end = self.log.log_end_offset();
        self.high_watermark.reset(end);
        self.last_stable.reset(stable_end(self.log.unstable(), end));
    }

    pub fn log_start_offset(&self) -> Offset {
        self.log.log_start_offset()
    }

    /// One past the last visible offset.
    pub fn visible_end(&self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::ReadUncommitted => self.high_watermark.get(),
            Isolation::ReadCommitted => self.last_stable_offset(),
        }
    }

    /// Whether the end that was shown before the start is shown again.
    pub fn shows_its_end(&self) -> bool {
        self.high_watermark.get() >= self.found_end.min(self.log.log_end_offset())
    }

    /// Whether appends are refused because the log may lie behind the tier (manifest protocol 3.1, step 4).
    pub fn is_behind_tier(&self) -> bool {
        self.behind_tier.load(Ordering::Acquire)
    }

    pub(super) fn set_behind_tier(&self, behind: bool) {
        self.behind_tier.store(behind, Ordering::Release);
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    pub(super) fn validates_fully(&self) -> bool {
        self.validate_fully
    }

    /// The largest known epoch not after `epoch` and its end, as a reader may see it.
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.log.end_offset_for_epoch(epoch)
    }

    /// Finds the records at `from`: at most `bytes_max` bytes, but a whole batch where `minimum_one` asks for it. Blocks
    /// for as long as an index takes that is read first, or made anew.
    pub fn locate(
        &self,
        from: Offset,
        bytes_max: u32,
        isolation: Isolation,
        minimum_one: bool,
    ) -> Result<Located, ReadError> {
        self.locate_with(Effort::Any, from, bytes_max, isolation, minimum_one)
    }

    /// As [`Partition::locate`]; what takes more than a few reads is done off the runtime's workers.
    pub async fn locate_gently(
        self: &Arc<Self>,
        from: Offset,
        bytes_max: u32,
        isolation: Isolation,
        minimum_one: bool,
    ) -> Result<Located, ReadError> {
        match self.locate_with(Effort::Little, from, bytes_max, isolation, minimum_one) {
            Err(ReadError::Log(log::ReadError::Unindexed)) => {
                let own = Arc::clone(self);
                LOADS.run(move || own.locate(from, bytes_max, isolation, minimum_one)).await?
            }
            located => located,
        }
    }

    fn locate_with(
        &self,
        effort: Effort,
        from: Offset,
        bytes_max: u32,
        isolation: Isolation,
        minimum_one: bool,
    ) -> Result<Located, ReadError> {
        if self.is_behind_tier() {
            return Err(ReadError::BehindTier);
        }
        let end_offset = self.visible_end(isolation);
        let log_start_offset = self.log_start_offset();
        if from < log_start_offset || from > self.log.log_end_offset() {
            return Err(ReadError::OutOfRange { offset: from, log_start_offset, end_offset });
        }
        if from >= end_offset {
            return Ok(Located::AtEnd);
        }
        match self.read_local(effort, from, bytes_max, isolation, minimum_one) {
            Ok(local) => Ok(local),
            Err(log::ReadError::BelowLocalStart { .. }) => Ok(Located::Remote),
            // Damaged here, and whole in the tier: retention puts the local copy aside.
            Err(log::ReadError::Corrupt { .. } | log::ReadError::Io { .. }) if self.is_tiered(from) => {
                Ok(Located::Remote)
            }
            Err(error) => Err(ReadError::Log(error)),
        }
    }

    fn read_local(
        &self,
        effort: Effort,
        from: Offset,
        bytes_max: u32,
        isolation: Isolation,
        minimum_one: bool,
    ) -> Result<Located, log::ReadError> {
        loop {
            let slice = self.log.read_with(effort, from, bytes_max, self.visible_end(isolation), minimum_one)?;
            if isolation == Isolation::ReadUncommitted {
                return Ok(Located::Local { slice, aborted: None });
            }
            if let Some(aborted) = self.log.aborted_in(effort, from, &slice)? {
                return Ok(Located::Local { slice, aborted: Some(aborted) });
            }
        }
    }
}

/// The last stable offset where the high watermark is this.
fn stable_end(unstable: &Unstable, high_watermark: Offset) -> Offset {
    unstable.first_offset(high_watermark.0).map_or(high_watermark, |first| high_watermark.min(Offset(first)))
}

/// What of a topic's configuration the log itself goes by.
pub fn log_config(config: &TopicConfig) -> LogConfig {
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    // What is never closed is never compacted.
    let max_lag_ms = config.max_compaction_lag_ms.filter(|_| config.cleanup_compact);
    LogConfig {
        segment_bytes: config.segment_bytes,
        segment_ms: signed(config.segment_ms.min(max_lag_ms.unwrap_or(u64::MAX))),
        segment_jitter_ms: signed(config.segment_jitter_ms),
        segment_index_bytes: config.segment_index_bytes,
        index_interval_bytes: config.index_interval_bytes,
        flush_messages: signed(config.flush_messages),
        flush_ms: config.flush_ms.map_or(i64::MAX, signed),
        may_have_holes: config.cleanup_compact,
        producer_id_expiration_ms: signed(config.producer_id_expiration_ms),
        file_delete_delay_ms: signed(config.file_delete_delay_ms),
        compaction: CompactionConfig {
            min_lag_ms: signed(config.min_compaction_lag_ms),
            max_lag_ms: max_lag_ms.map(signed),
            delete_retention_ms: signed(config.delete_retention_ms),
        },
    }
}
