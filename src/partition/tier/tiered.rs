//! One partition's history in the tier.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use stratalog_tiering::cluster::ClaimError;
use stratalog_tiering::entry::Entry;
use stratalog_tiering::format::{Sha256, TopicSection};
use stratalog_tiering::manifest::{
    COPY_FILE, Committed, Identity, Limits, Lookup, ManifestConfig, ManifestError, ManifestView, PartitionLog,
    PartitionManifest, Retry,
};
use stratalog_tiering::object_key::TierPartition;
use stratalog_tiering::reader::{IndexError, ReadAnswer, ReadRequest, ReplayError, SegmentIndex};
use stratalog_tiering::recovery::{EpochStart, Leadership, Reconcile, ReconcileCause, Started, lineage_agrees};
use stratalog_tiering::scrub::{self, Depth, ScrubError};
use stratalog_tiering::store::StoreError;
use stratalog_tiering::upload::{SegmentUpload, UploadError};
use stratalog_types::{LeaderEpoch, Offset};
use tokio::time::Instant;

use super::shared::Tier;
use super::source;
use crate::config::TierConfig;
use crate::log::{self, Log, SegmentReader};

/// Between two sweeps of a partition.
const SWEEP_INTERVAL: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
/// How long a reconcile waits for the newest footer before it is tried again.
const RECONCILE_WAIT: std::time::Duration = std::time::Duration::from_secs(30);

/// Named by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum TierError {
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Upload(#[from] UploadError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Scrub(#[from] ScrubError),
    #[error("the log cannot be read: {0}")]
    LogRead(#[from] log::ReadError),
    #[error("the log cannot be changed: {0}")]
    Log(#[from] log::Error),
    /// Offsets that the tier lacks and the local log no longer has, above the log start.
    #[error("offsets {from} to {to} are neither in the tier nor on local disk")]
    Hole { from: Offset, to: Offset },
    /// The log disagrees with the tier after it was damaged or emptied.
    #[error(
        "the log ends at {log_end_offset}, before the tier's end {next_offset}: the data directory lost synced records; \
         restore it, or recreate the topic"
    )]
    NeedsReconcile { log_end_offset: Offset, next_offset: Offset },
    #[error("the tier is led elsewhere")]
    Fenced,
    #[error("a task was cut off")]
    CutOff,
    #[error("the store has not answered in time: try again")]
    NotInTime,
    #[error("the batch before offset {end} cannot be read: {what}")]
    Batch { end: Offset, what: String },
    #[error("the manifest is not known yet: try again when the bucket has been asked")]
    NotKnown,
}

impl TierError {
    /// Whether stored bytes failed their check.
    pub fn is_corruption(&self) -> bool {
        matches!(
            self,
            TierError::Scrub(_)
                | TierError::Replay(ReplayError::CorruptChunk { .. } | ReplayError::CorruptFooter { .. })
        )
    }

    /// Whether the same call may succeed later by itself.
    pub fn is_retriable(&self) -> bool {
        match self {
            TierError::Claim(ClaimError::Contended { .. }) => true,
            TierError::Manifest(error) => error.is_retriable(),
            TierError::Claim(ClaimError::Store { source: error, .. })
            | TierError::Upload(UploadError::Store(error))
            | TierError::Replay(ReplayError::Store(error)) => !matches!(error, StoreError::Refused { .. }),
            TierError::NotInTime | TierError::NotKnown => true,
            TierError::Claim(_)
            | TierError::Upload(_)
            | TierError::Replay(_)
            | TierError::Scrub(_)
            | TierError::LogRead(_)
            | TierError::Log(_)
            | TierError::Hole { .. }
            | TierError::NeedsReconcile { .. }
            | TierError::Fenced
            | TierError::Batch { .. }
            | TierError::CutOff => false,
        }
    }
}

/// A segment that was moved up.
#[derive(Debug, Clone)]
pub struct UploadedSegment {
    pub entry: Entry,
    pub committed: Committed,
}

/// What the bucket is told of a topic, so that it can be opened without its broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicFacts {
    pub partitions: i32,
    /// What the topic sets itself.
    pub configs: Vec<(String, String)>,
}

pub struct Tiered {
    of: TierPartition,
    topic_name: Arc<str>,
    topic: RwLock<Arc<TopicFacts>>,
    tier: Arc<Tier>,
    log: Arc<Log>,
    manifest: PartitionManifest,
    index: Arc<dyn SegmentIndex>,
    /// One upload, retention round or start at a time.
    work: tokio::sync::Mutex<Work>,
    /// Chain digest of the newest segment, once it is known.
    chain: Mutex<Option<(Offset, Sha256)>>,
    swept_at: Mutex<Instant>,
}

#[derive(Default)]
struct Work {
    /// The leader epoch whose session is active.
    session: Option<LeaderEpoch>,
    /// Partitions that the topic's marker is known to count; partition 0 keeps it.
    marked_partitions: i32,
}

impl Tiered {
    /// Opens the local copy of the manifest: reads of tiered history can begin. Blocks; the bucket is not asked.
    pub fn open(tier: Arc<Tier>, log: Arc<Log>, topic: Arc<TopicFacts>) -> Result<Tiered, ManifestError> {
        let of = TierPartition { topic_id: log.topic_id(), partition: log.topic_partition().partition };
        let topic_name = log.topic_partition().topic.clone();
        let config = ManifestConfig {
            identity: Identity { cluster_id: tier.cluster_id.clone(), of, topic_name: topic_name.to_string() },
            directory: log.path().to_owned(),
            grace: tier.grace,
            retry: Retry::default(),
            limits: Limits::default(),
        };
        let manifest = PartitionManifest::open(
            tier.store.clone(),
            config,
            tier.ambient.clone(),
            tier.pages.clone(),
            Arc::new(Directory(log.clone())),
        )?;
        let index: Arc<dyn SegmentIndex> = Arc::new(Index(manifest.clone()));
        Ok(Tiered {
            of,
            topic_name,
            topic: RwLock::new(topic),
            tier,
            log,
            manifest,
            index,
            work: tokio::sync::Mutex::default(),
            chain: Mutex::new(None),
            swept_at: Mutex::new(Instant::now()),
        })
    }

    /// Whether anything of this log was ever tiered, as its directory says.
    pub fn was_opened(log: &Log) -> bool {
        log.path().join(COPY_FILE).exists()
    }

    pub fn set_topic(&self, topic: Arc<TopicFacts>) {
        *self.topic.write().unwrap_or_else(PoisonError::into_inner) = topic;
    }

    fn topic(&self) -> Arc<TopicFacts> {
        self.topic.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn partition(&self) -> TierPartition {
        self.of
    }

    /// What all partitions of the tier go by.
    pub fn config(&self) -> &TierConfig {
        &self.tier.config
    }

    pub fn view(&self) -> Arc<ManifestView> {
        self.manifest.snapshot()
    }

    /// The log's start, which the manifest follows. Each move of it is written down first: one that no checkpoint has was
    /// taken from the first local segment, because the checkpoint or earlier segments were lost. Then the log follows the
    /// manifest.
    pub fn agreed_log_start(&self) -> Offset {
        let view = self.view();
        if view.is_known() && view.tiered_end_offset().is_some() {
            self.log.lower_assumed_start(view.log_start_offset());
        }
        self.log.log_start_offset()
    }

    /// Local segments that end at or below it are tiered for good.
    pub fn durable_end_offset(&self) -> Offset {
        self.manifest.durable_next_offset()
    }

    /// Fences the head under this leadership, once.
    ///
    /// A log that is not `clean` (emptied, or cut below what was synced) is judged against the fenced head, and restarts
    /// at the tier's end where it disagrees.
    async fn ensure_session(&self, work: &mut Work, leader_epoch: LeaderEpoch, clean: bool) -> Result<(), TierError> {
        self.keep_marker(work).await?;
        if work.session == Some(leader_epoch) {
            return Ok(());
        }
        let owner_epoch = self.tier.owner_epoch().await?;
        let leadership = Leadership {
            owner_epoch,
            leader_epoch,
            clean,
            log_end_offset: self.log.log_end_offset(),
            // Nothing was ever dropped locally for the tier's sake, so a missing head loses nothing.
            topic_is_new: self.log.local_log_start_offset() <= self.log.log_start_offset(),
        };
        match self.manifest.start(&leadership).await? {
            Started::Active { .. } => {
                work.session = Some(leader_epoch);
                Ok(())
            }
            Started::Fenced { .. } => Err(TierError::Fenced),
            Started::ReconcileNeeded(reconcile) => {
                self.reconcile(reconcile).await?;
                self.manifest.reconciled().await?;
                work.session = Some(leader_epoch);
                Ok(())
            }
        }
    }

    /// Partition 0 keeps the topic's marker. Without it a bucket opened alone has the topic by its segments, so a marker
    /// that cannot be written now is tried again with the next call and stops nobody.
    async fn keep_marker(&self, work: &mut Work) -> Result<(), TierError> {
        let partitions = self.topic().partitions;
        if self.of.partition.0 != 0 || work.marked_partitions >= partitions {
            return Ok(());
        }
        let life = self.tier.topic_life().await?;
        match life.create(self.of.topic_id, &self.topic_name, partitions).await {
            Ok(_) => work.marked_partitions = partitions,
            Err(error) => tracing::debug!(of = %self.of, "topic marker not written: {error}"),
        }
        Ok(())
    }

    /// Begins this leadership's session, if it has not begun: for a log that is held until the tier was asked.
    pub async fn begin(&self, leader_epoch: LeaderEpoch, clean: bool) -> Result<(), TierError> {
        let mut work = self.work.lock().await;
        self.ensure_session(&mut work, leader_epoch, clean).await
    }

    /// Compares the log with the tier and, where it ends too early or has other epochs, sets it aside and goes on at the
    /// tier's end with the epochs and producers of the newest footer.
    async fn reconcile(&self, reconcile: Reconcile) -> Result<(), TierError> {
        let Reconcile { cause, log_start_offset, next_offset, last_entry } = reconcile;
        // What was exposed once never goes back: DeleteRecords may have gone past what the head knows.
        let log_start_offset = log_start_offset.max(self.agreed_log_start());
        let next_offset = next_offset.max(log_start_offset);
        let Some(entry) = last_entry else {
            // Everything tiered has expired: only the offset is to be kept.
            return match cause {
                ReconcileCause::CompareEpochs => Ok(()),
                ReconcileCause::LogEndsBelowTier => {
                    self.restart_log(next_offset, log_start_offset, self.log.leader_epochs(), Bytes::new()).await
                }
            };
        };
        let deadline = Instant::now() + RECONCILE_WAIT;
        let footer = self.tier.replay.footer(self.of, &entry, deadline).await?;
        let Some(footer) = footer else {
            return Err(TierError::NeedsReconcile { log_end_offset: self.log.log_end_offset(), next_offset });
        };
        let start_of = |epoch: LeaderEpoch, start_offset: Offset| EpochStart { leader_epoch: epoch, start_offset };
        let tiered: Vec<EpochStart> = footer.epochs.iter().map(|e| start_of(e.epoch, e.start_offset)).collect();
        let local: Vec<EpochStart> =
            self.log.leader_epochs().iter().map(|e| start_of(e.epoch, e.start_offset)).collect();
        let agrees = cause == ReconcileCause::CompareEpochs
            && lineage_agrees(&local, &tiered, entry.base_offset, entry.end_offset);
        if agrees {
            return Ok(());
        }
        let epochs: Vec<log::EpochStart> =
            footer.epochs.iter().map(|e| log::EpochStart { epoch: e.epoch, start_offset: e.start_offset }).collect();
        self.restart_log(next_offset, log_start_offset, epochs, footer.producer_snapshot.clone()).await
    }

    async fn restart_log(
        &self,
        next_offset: Offset,
        log_start_offset: Offset,
        epochs: Vec<log::EpochStart>,
        snapshot: Bytes,
    ) -> Result<(), TierError> {
        tracing::error!(
            of = %self.of, log_end_offset = %self.log.log_end_offset(), %next_offset,
            "the log lost synced records that the tier has: set aside as *.log.aside, it goes on at the tier's end"
        );
        let log = self.log.clone();
        let restarted = tokio::task::spawn_blocking(move || {
            log.restart_behind_tier(next_offset, log_start_offset, &epochs, &snapshot)
        });
        restarted.await.map_err(|_| TierError::CutOff)??;
        Ok(())
    }

    /// Moves the next closed segment up, if one is ready: below `committed_end` (high watermark and last stable offset).
    pub async fn upload_next(
        &self,
        leader_epoch: LeaderEpoch,
        committed_end: Offset,
    ) -> Result<Option<UploadedSegment>, TierError> {
        let mut work = self.work.lock().await;
        self.ensure_session(&mut work, leader_epoch, true).await?;
        let log_start_offset = self.agreed_log_start();
        let view = self.view();
        if log_start_offset > view.next_offset() {
            // DeleteRecords or local retention went past the tiered end: the next offset follows.
            self.manifest.advance_log_start(log_start_offset).await?;
        }
        let from = self.view().next_offset().max(log_start_offset);
        let local_start = self.log.local_log_start_offset();
        if local_start > from {
            return Err(TierError::Hole { from, to: local_start });
        }
        match self.log.closed_segment_beyond(from) {
            Some((end_offset, _)) if end_offset <= committed_end => {}
            Some(_) | None => return Ok(None),
        }
        // Where cleaning left that one without a batch from there on it is a later one.
        let log = self.log.clone();
        let opened = tokio::task::spawn_blocking(move || log.segment_for_upload(from)).await;
        let Some(segment) = opened.map_err(|_| TierError::CutOff)?? else { return Ok(None) };
        if segment.end_offset > committed_end {
            return Ok(None);
        }
        let result = self.upload(from, segment).await;
        if let Err(TierError::Manifest(ManifestError::Inactive { .. } | ManifestError::Fenced { .. })) = &result {
            work.session = None;
        }
        result.map(Some)
    }

    async fn upload(&self, from: Offset, segment: SegmentReader) -> Result<UploadedSegment, TierError> {
        let pending = self.manifest.begin_upload(from).await?;
        let (end, bytes_hint) = (segment.end_offset, segment.bytes);
        let (mut runs, aside) = source::open(segment);
        let previous_digest = self.chain_before(from).await?;
        let upload = SegmentUpload {
            topic: TopicSection {
                of: self.of,
                name: self.topic_name.to_string(),
                config: self.topic().configs.clone(),
            },
            name: pending.name(),
            end_offset: Some(end),
            raw_bytes_hint: bytes_hint,
            epochs: aside.epochs,
            aborted: aside.aborted,
            producer_snapshot: aside.producer_snapshot,
            may_have_holes: aside.may_have_holes,
            previous_digest,
            now_ms: (self.tier.ambient.wall_ms)(),
        };
        let uploaded = self.tier.writer.upload(upload, &mut runs).await?;
        let committed = self.manifest.commit_segment(&pending, uploaded.entry.clone(), self.agreed_log_start()).await?;
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = Some((end, uploaded.digest.chain()));
        Ok(UploadedSegment { entry: uploaded.entry, committed })
    }

    /// The chain digest of the segment that ends at `from`: after a restart its footer says it. Zeros where there is none.
    async fn chain_before(&self, from: Offset) -> Result<Sha256, TierError> {
        let known = *self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, chain)) = known.filter(|(end, _)| *end == from) {
            return Ok(chain);
        }
        let last = self.view().last_entry().await?;
        let Some(entry) = last.filter(|entry| entry.end_offset == from) else { return Ok(Sha256([0; 32])) };
        match self.tier.replay.footer(self.of, &entry, Instant::now() + RECONCILE_WAIT).await {
            Ok(Some(footer)) => Ok(footer.digest.chain()),
            Ok(None) => Err(TierError::NotInTime),
            Err(ReplayError::CorruptFooter { .. } | ReplayError::ObjectMissing { .. }) => {
                tracing::error!(of = %self.of, base_offset = %entry.base_offset, "damaged in the bucket: the chain of digests begins anew behind it");
                Ok(Sha256([0; 32]))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Moves the log start by total retention, then deletes what has waited out its grace.
    pub async fn retain(
        &self,
        leader_epoch: LeaderEpoch,
        policy: &stratalog_tiering::manifest::RetentionPolicy,
        committed_end: Offset,
    ) -> Result<(), TierError> {
        let mut work = self.work.lock().await;
        self.ensure_session(&mut work, leader_epoch, true).await?;
        let log_start_offset = self.agreed_log_start();
        if log_start_offset > self.view().log_start_offset() {
            self.manifest.advance_log_start(log_start_offset).await?;
        }
        self.manifest.retention(policy, committed_end).await?;
        // Uploads need not wait for deletions.
        drop(work);
        self.clean_up().await
    }

    /// Deletes what has waited out its grace, and at times what no manifest names.
    async fn clean_up(&self) -> Result<(), TierError> {
        self.manifest.reap(super::service::DELETES_PER_ROUND).await?;
        self.sweep_if_due().await
    }

    /// A round for a topic that is not to forget anything: only what is marked already goes.
    pub async fn tidy(&self, leader_epoch: LeaderEpoch) -> Result<(), TierError> {
        {
            let mut work = self.work.lock().await;
            self.ensure_session(&mut work, leader_epoch, true).await?;
        }
        self.clean_up().await
    }

    /// The tier was turned off with `remote.log.delete.on.disable`: the log starts where the local copies start, and what
    /// lies below goes from the bucket.
    pub async fn forget(&self, leader_epoch: LeaderEpoch) -> Result<(), TierError> {
        let mut work = self.work.lock().await;
        let local_start = self.log.local_log_start_offset();
        if self.log.log_start_offset() < local_start {
            let log = self.log.clone();
            let moved = tokio::task::spawn_blocking(move || log.set_log_start_offset(local_start));
            moved.await.map_err(|_| TierError::CutOff)??;
        }
        if self.view().log_start_offset() < local_start {
            self.ensure_session(&mut work, leader_epoch, true).await?;
            self.manifest.advance_log_start(local_start).await?;
        }
        if self.view().marks() > 0 {
            self.ensure_session(&mut work, leader_epoch, true).await?;
            self.manifest.reap(super::service::DELETES_PER_ROUND).await?;
        }
        Ok(())
    }

    /// Removes what no manifest names, when the last sweep was long ago. A crash leaves orphans; nothing waits for them.
    pub async fn sweep_if_due(&self) -> Result<(), TierError> {
        {
            let mut swept_at = self.swept_at.lock().unwrap_or_else(PoisonError::into_inner);
            if swept_at.elapsed() < SWEEP_INTERVAL {
                return Ok(());
            }
            *swept_at = Instant::now();
        }
        let swept = self.manifest.sweep(false).await?;
        tracing::info!(of = %self.of, ?swept, "swept");
        Ok(())
    }

    /// Whole batches from the one that holds `from`; empty when the store is not in time.
    pub async fn read(&self, from: Offset, bytes_max: usize, deadline: Instant) -> Result<Vec<Bytes>, TierError> {
        let request = ReadRequest { of: self.of, offset: from, bytes_max, deadline };
        match self.tier.replay.read(&self.index, request).await? {
            ReadAnswer::Data(read) => Ok(read.slices.into_iter().map(|slice| slice.bytes).collect()),
            ReadAnswer::Pending => Ok(Vec::new()),
            ReadAnswer::End => Err(TierError::Hole { from, to: self.log.local_log_start_offset() }),
        }
    }

    /// The first segment that holds `from` or what comes after it, and may hold a record at or after `timestamp`. A store
    /// that is not in time is [`TierError::NotInTime`], never `None`.
    pub async fn segment_at_timestamp(
        &self,
        timestamp: i64,
        from: Offset,
        deadline: Instant,
    ) -> Result<Option<Entry>, TierError> {
        let found = async { self.view().lookup_timestamp(timestamp, from).await };
        Ok(tokio::time::timeout_at(deadline, found).await.map_err(|_| TierError::NotInTime)??)
    }

    /// The first batches of the segment, from `from` on, that may hold a record at or after `timestamp`: one chunk, and
    /// the offset after it. `None`: its late records lie before `from`.
    pub async fn chunk_of(
        &self,
        entry: &Entry,
        timestamp: i64,
        from: Offset,
        deadline: Instant,
    ) -> Result<Option<(Bytes, Offset)>, TierError> {
        match self.tier.replay.chunk_at_timestamp(self.of, entry, timestamp, from, deadline).await? {
            ReadAnswer::Data(read) => {
                let next_offset = read.next_offset;
                Ok(read.slices.into_iter().next().map(|slice| (slice.bytes, next_offset)))
            }
            ReadAnswer::Pending => Err(TierError::NotInTime),
            ReadAnswer::End => Ok(None),
        }
    }

    /// Every entry of the manifest, in order.
    pub async fn entries(&self) -> Result<Vec<Entry>, TierError> {
        Ok(self.view().entries_from(Offset::ZERO, usize::MAX).await?)
    }

    /// Reads an object's real bytes and checks them all.
    pub async fn verify(&self, entry: &Entry) -> Result<scrub::Verified, TierError> {
        let depth = Depth::Unpacked(self.tier.codecs.clone());
        Ok(scrub::verify(&*self.tier.store, self.of, entry, &depth).await?)
    }

    /// The name of an entry's object.
    pub fn object_of(&self, entry: &Entry) -> String {
        self.of.segment_of(entry)
    }
}

/// The log as the manifest asks it.
struct Directory(Arc<Log>);

impl PartitionLog for Directory {
    fn checkpoint_log_start(&self, offset: Offset) -> io::Result<()> {
        self.0.checkpoint_log_start(offset).map_err(io::Error::other)
    }

    fn in_directory(&self, write: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        self.0.in_directory(write).map_err(io::Error::other)?
    }
}

/// The manifest as the cold reader asks it.
struct Index(PartitionManifest);

impl SegmentIndex for Index {
    fn find(&self, offset: Offset) -> BoxFuture<'_, Result<Option<Entry>, IndexError>> {
        let view = self.0.snapshot();
        async move {
            let failed = |error: ManifestError| IndexError(Arc::new(error));
            match view.lookup(offset).await.map_err(failed)? {
                Lookup::Found(entry) => Ok(Some(entry)),
                Lookup::BelowLogStart { log_start_offset } => {
                    match view.lookup(log_start_offset).await.map_err(failed)? {
                        Lookup::Found(entry) => Ok(Some(entry)),
                        Lookup::BelowLogStart { .. } | Lookup::Beyond { .. } | Lookup::Unknown => Ok(None),
                    }
                }
                Lookup::Beyond { .. } => Ok(None),
                Lookup::Unknown => {
                    let unasked = ManifestError::Inactive { of: self.0.partition() };
                    Err(IndexError(Arc::new(unasked)))
                }
            }
        }
        .boxed()
    }
}
