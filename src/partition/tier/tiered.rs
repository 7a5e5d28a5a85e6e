//! One partition's history in the tier.
//!
//! Owns what its parts share: the manifest, the log, and who works on them. The parts: `session`, `moving_up`, `forgetting`,
//! `reading`.

mod forgetting;
mod moving_up;
mod reading;
mod session;

use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use stratalog_tiering::format::Sha256;
use stratalog_tiering::manifest::{
    COPY_FILE, Identity, Limits, ManifestConfig, ManifestError, ManifestView, PartitionLog, PartitionManifest, Retry,
};
use stratalog_tiering::object_key::TierPartition;
use stratalog_tiering::reader::SegmentIndex;
use stratalog_types::{LeaderEpoch, Offset};
use tokio::time::Instant;

pub use self::moving_up::UploadedSegment;
use self::reading::Index;
pub use self::session::Standing;
use super::error::TierError;
use super::shared::Tier;
use crate::config::TierConfig;
use crate::log::Log;

/// How long the newest footer is waited for before what asks for it is tried again.
const FOOTER_WAIT: Duration = Duration::from_secs(30);

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
