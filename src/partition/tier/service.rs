//! The tasks that move closed segments up, oldest first and fair over partitions, and forget what retention says.
//!
//! A partition that fails is tried again at the next round; the others go on. Every round is bounded by the store's own
//! deadlines. Owns no state that matters: all of it is in the log and the manifest.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::ready;
use futures::stream::{self, FuturesUnordered, StreamExt};
use stratalog_tiering::manifest::RetentionPolicy;
use stratalog_types::{PartitionIndex, TopicId};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::MissedTickBehavior;

use super::deletion::Deletions;
use super::error::TierError;
use super::shared::Tier;
use super::tiered::UploadedSegment;
use crate::clock::Clock;
use crate::log;
use crate::metadata::Metadata;
use crate::metrics::{Metrics, ReasonLabel, TopicLabel};
use crate::partition::retention::LocalRetention;
use crate::partition::{Partition, Partitions};

/// DELETE requests of one partition's round.
pub const DELETES_PER_ROUND: u64 = 1000;

/// Partitions whose log starts one write moves: their appends wait for it, and a plan is not old when it is carried out.
const RETAINED_TOGETHER: usize = 1000;

/// Wakes the service before its interval is over.
#[derive(Clone, Default)]
pub struct ServiceHandle {
    wake: Arc<Notify>,
}

impl ServiceHandle {
    pub fn wake(&self) {
        self.wake.notify_one();
    }
}

pub struct Service {
    pub tier: Option<Arc<Tier>>,
    pub partitions: Arc<Partitions>,
    pub metadata: Arc<Metadata>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    pub handle: ServiceHandle,
    /// Between two rounds of uploads.
    pub interval: Duration,
    /// Partitions whose retention runs side by side.
    pub expire_concurrency: usize,
    /// Between two rounds of retention.
    pub retention_interval: Duration,
    pub deletions: tokio::sync::Mutex<Deletions>,
}

impl Service {
    /// Runs until `stopped` turns true; an upload under way is finished or dropped with its future.
    pub async fn run(self, mut stopped: watch::Receiver<bool>) {
        // Side by side: what waits for its store keeps no disk from being freed.
        let work = async { tokio::join!(self.upload(), self.retain_local(), self.retain_tiered()) };
        tokio::select! {
            _ = stopped.changed() => {}
            _ = work => {}
        }
    }

    /// Each partition uploads on its own, a segment per permit and in turn; one that waits for its store holds a permit
    /// and nobody else.
    async fn upload(&self) {
        let Some(tier) = &self.tier else { return };
        let permits = Semaphore::new(tier.config.upload_concurrency.max(1));
        let mut uploading: HashSet<(TopicId, PartitionIndex)> = HashSet::new();
        let mut uploads = FuturesUnordered::new();
        let mut tick = tokio::time::interval(self.interval.max(Duration::from_millis(10)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.handle.wake.notified() => {}
                Some(done) = uploads.next(), if !uploads.is_empty() => {
                    uploading.remove(&done);
                    continue;
                }
            }
            for partition in self.partitions.all().into_iter().filter(|partition| partition.tiered().is_some()) {
                let name = (partition.topic_id(), partition.topic_partition().partition);
                if uploading.insert(name) {
                    uploads.push(self.upload_ready(partition, &permits).map(move |()| name));
                }
            }
            self.measure(tier);
        }
    }

    /// Uploads until nothing is ready.
    async fn upload_ready(&self, partition: Arc<Partition>, permits: &Semaphore) {
        while let Ok(_permit) = permits.acquire().await
            && self.upload_one(&partition).await
        {}
    }

    /// Local disk: needs no store, so it waits for none.
    async fn retain_local(&self) {
        loop {
            tokio::time::sleep(self.retention_interval).await;
            for partitions in self.partitions.all().chunks(RETAINED_TOGETHER) {
                self.retain_together(partitions).await;
            }
        }
    }

    async fn retain_together(&self, partitions: &[Arc<Partition>]) {
        let partitions = partitions.iter().map(|partition| (partition.clone(), ())).collect();
        let planned = self.each_of(partitions, |partition, ()| async move {
            let (config, now_ms) = (partition.config(), self.clock.now_ms());
            blocking(move || Ok((partition.plan_local_retention(&config, now_ms)?, partition))).await
        });
        let planned: Vec<_> = planned.await.into_iter().map(|(plan, partition)| (partition, plan)).collect();
        let planned = Arc::new(planned);
        let beginning = Arc::clone(&planned);
        let failed = match blocking(move || Ok(LocalRetention::begin(&beginning))).await {
            Ok(failed) => failed,
            Err(error) => return tracing::warn!("retention was cut off and tries again: {}", chain(&error)),
        };
        for (dir, error) in &failed {
            tracing::warn!(path = %dir.path().display(), "log starts are not moved, retention tries again: {}", chain(error));
        }
        // What failed for a whole directory is not tried again for each.
        let has_failed = |partition: &Partition| failed.iter().any(|(dir, _)| partition.log().is_in(dir));
        let going = planned.iter().filter(|(partition, plan)| !has_failed(partition) || plan.has_begun(partition));
        let going = going.cloned().collect();
        self.each_of(going, |partition, plan| blocking(move || partition.carry_out(&plan))).await;
    }

    async fn retain_tiered(&self) {
        if self.tier.is_none() {
            self.remove_all_deleted().await;
        }
        loop {
            tokio::time::sleep(self.retention_interval).await;
            let partitions = self.partitions.all().into_iter().map(|partition| (partition, ())).collect();
            self.each_of(partitions, |partition, ()| async move { self.retain_tiered_one(&partition).await }).await;
            self.remove_all_deleted().await;
        }
    }

    /// Some side by side; answers what came of those that went well.
    async fn each_of<P, T, F>(
        &self,
        partitions: Vec<(Arc<Partition>, P)>,
        retain: impl Fn(Arc<Partition>, P) -> F,
    ) -> Vec<T>
    where
        F: Future<Output = Result<T, TierError>>,
    {
        let retaining =
            partitions.into_iter().filter(|(partition, _)| !partition.is_behind_tier()).map(|(partition, with)| {
                let retaining = retain(partition.clone(), with);
                async move {
                    match retaining.await {
                        Ok(retained) => Some(retained),
                        // Deleted meanwhile.
                        Err(TierError::Log(log::Error::Closed)) => None,
                        Err(error) => {
                            let partition = partition.topic_partition();
                            tracing::warn!(%partition, "retention failed and is tried again: {}", chain(&error));
                            None
                        }
                    }
                }
            });
        let retained = stream::iter(retaining).buffer_unordered(self.expire_concurrency.max(1));
        retained.filter_map(ready).collect().await
    }

    /// What the tier holds, and how far behind it is.
    fn measure(&self, tier: &Tier) {
        let mut stored: HashMap<Arc<str>, u64> = HashMap::new();
        let mut oldest_ms: Option<i64> = None;
        for partition in self.partitions.all() {
            let Some(tiered) = partition.tiered() else { continue };
            let view = tiered.view();
            *stored.entry(partition.topic_partition().topic.clone()).or_default() += view.totals().object_bytes;
            let config = partition.config();
            if config.remote_storage_enable && !config.remote_log_copy_disable {
                oldest_ms = oldest_ms.into_iter().chain(partition.log().closed_since_ms(view.next_offset())).min();
            }
        }
        let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        for (topic, bytes) in stored {
            self.metrics.tier_bytes.get_or_create(&TopicLabel { topic: topic.to_string() }).set(gauge(bytes));
        }
        let age_ms = oldest_ms.map_or(0, |oldest| self.clock.now_ms().saturating_sub(oldest).max(0));
        self.metrics.tier_untiered_age.set(age_ms as f64 / 1000.0);
        self.metrics.tier_cache_bytes.set(gauge(tier.replay.cached_bytes()));
    }

    /// Whether something was uploaded: there may be more.
    async fn upload_one(&self, partition: &Arc<Partition>) -> bool {
        let rolling = partition.clone();
        let rolled = tokio::task::spawn_blocking(move || rolling.roll_quiet()).await;
        if let Ok(Err(error)) = rolled {
            tracing::warn!(partition = %partition.topic_partition(), "quiet segment not closed: {error}");
        }
        match partition.upload_next().await {
            Ok(Some(uploaded)) => {
                count_upload(&self.metrics, partition, &uploaded);
                true
            }
            Ok(None) => false,
            Err(error) => {
                self.metrics.tier_upload_errors.get_or_create(&ReasonLabel { reason: reason(&error) }).inc();
                tracing::warn!(partition = %partition.topic_partition(), "upload failed and is tried again: {}", chain(&error));
                false
            }
        }
    }

    async fn retain_tiered_one(&self, partition: &Partition) -> Result<(), TierError> {
        let config = partition.config();
        let Some(tiered) = partition.tiered() else { return Ok(()) };
        if !config.remote_storage_enable {
            return if config.forgets_tier() { tiered.forget(partition.leader_epoch()).await } else { Ok(()) };
        }
        if !config.cleanup_delete {
            return tiered.tidy(partition.leader_epoch()).await;
        }
        let policy = RetentionPolicy {
            retention_ms: config.retention_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)),
            retention_bytes: config.retention_bytes,
            now_ms: self.clock.now_ms(),
            bytes_beyond_tier: partition.log().bytes_beyond(tiered.view().next_offset()),
        };
        let committed_end = partition.tierable_end();
        tiered.retain(partition.leader_epoch(), &policy, committed_end).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, log::Error> + Send + 'static,
) -> Result<T, TierError> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| TierError::CutOff)??)
}

/// Counts a segment that was moved up.
pub fn count_upload(metrics: &Metrics, partition: &Partition, uploaded: &UploadedSegment) {
    let label = TopicLabel { topic: partition.topic_partition().topic.to_string() };
    let entry = &uploaded.entry;
    metrics.tier_segments_uploaded.get_or_create(&label).inc();
    metrics.tier_raw_bytes_uploaded.get_or_create(&label).inc_by(entry.raw_bytes);
    metrics.tier_stored_bytes_uploaded.get_or_create(&label).inc_by(entry.object_bytes);
    tracing::debug!(
        partition = %partition.topic_partition(), base_offset = %entry.base_offset, end_offset = %entry.end_offset,
        raw_bytes = entry.raw_bytes, object_bytes = entry.object_bytes, "segment tiered"
    );
}

fn reason(error: &TierError) -> &'static str {
    match error {
        TierError::Claim(_) => "claim",
        TierError::Manifest(_)
        | TierError::Fenced
        | TierError::NeedsReconcile { .. }
        | TierError::OnlyInTier { .. } => "manifest",
        TierError::Upload(_) => "store",
        TierError::Replay(_) | TierError::Scrub(_) | TierError::Batch { .. } => "read",
        TierError::LogRead(_) | TierError::Log(_) | TierError::Hole { .. } => "log",
        TierError::CutOff => "stopped",
        TierError::NotInTime | TierError::NotKnown => "store",
    }
}

/// An error with all its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
