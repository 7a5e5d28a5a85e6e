//! What all tiered partitions of a broker share: the store, codec threads, caches, and the claim on the bucket.

use std::io;
use std::sync::{Arc, OnceLock};

use stratalog_tiering::cluster::{ClaimError, ClusterClaim};
use stratalog_tiering::codec_pool::{CodecPool, CodecPoolConfig};
use stratalog_tiering::gc::topic::TopicLife;
use stratalog_tiering::manifest::{Ambient, Grace, PageCache, Retry};
use stratalog_tiering::reader::{Replay, ReplayConfig};
use stratalog_tiering::store::{Store, StoreError};
use stratalog_tiering::upload::{ByteBudget, ObjectWriter};

use crate::config::TierConfig;
use crate::metadata::Metadata;

/// Bytes of manifest pages kept in memory, over all partitions.
const PAGE_CACHE_BYTES: u64 = 64 << 20;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the tier's store cannot be opened: {0}")]
    Store(#[from] StoreError),
    #[error("the tier's threads did not start: {0}")]
    Threads(#[from] io::Error),
}

/// The owner epoch that this data directory holds on its bucket, in the metadata store: durable before anything is
/// tiered under it.
pub type OwnerRecord = Arc<Metadata>;

pub struct Tier {
    pub config: TierConfig,
    pub cluster_id: String,
    pub store: Arc<dyn Store>,
    pub ambient: Arc<Ambient>,
    pub writer: ObjectWriter,
    pub replay: Replay,
    pub pages: PageCache,
    /// Unpacks for verification; shared with uploads.
    pub codecs: CodecPool,
    pub grace: Grace,
    claim: ClusterClaim,
    owner_epoch: OnceLock<u64>,
    record: OwnerRecord,
}

impl Tier {
    /// Opens the store and starts the codec threads; asks the bucket nothing yet.
    pub fn open(
        config: TierConfig,
        cluster_id: String,
        node_id: i32,
        store: Arc<dyn Store>,
        record: OwnerRecord,
    ) -> Result<Tier, OpenError> {
        let ambient = Arc::new(Ambient::system());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let uploads = CodecPool::new(CodecPoolConfig {
            name: "tier-upload",
            threads: (cores / 2).max(1),
            zstd_level: config.compression_level,
            niceness: 10,
        })?;
        let unpacking = CodecPool::new(CodecPoolConfig {
            name: "tier-read",
            threads: cores.max(1),
            zstd_level: config.compression_level,
            niceness: 0,
        })?;
        let budget =
            Arc::new(config.upload_bytes_per_second.map_or_else(ByteBudget::unlimited, ByteBudget::per_second));
        let replay = ReplayConfig {
            cache_bytes: config.cache_memory_bytes,
            ahead_bytes_per_reader: config.read_ahead_bytes,
            loading_bytes_max: config.memory_bytes,
            ahead_bytes_max: config.memory_bytes,
            gets_max: config.fetch_concurrency,
            ..ReplayConfig::default()
        };
        let holder = format!("node {node_id} of {cluster_id}");
        let claim = ClusterClaim::new(store.clone(), ambient.clone(), cluster_id.clone(), holder, Retry::default());
        let grace = Grace { mark: config.delete_grace, late_put: config.late_put_max, ..Grace::default() };
        Ok(Tier {
            writer: ObjectWriter::new(store.clone(), uploads.clone(), budget),
            replay: Replay::new(store.clone(), unpacking, &replay),
            pages: PageCache::new(PAGE_CACHE_BYTES),
            codecs: uploads,
            config,
            cluster_id,
            store,
            ambient,
            grace,
            claim,
            owner_epoch: OnceLock::new(),
            record,
        })
    }

    /// The owner epoch of our claim; claims the bucket, or confirms that it is ours, the first time.
    pub async fn owner_epoch(&self) -> Result<u64, ClaimError> {
        if let Some(epoch) = self.owner_epoch.get() {
            return Ok(*epoch);
        }
        let claim = self.claim.claim(self.record.image().tier_owner_epoch).await?;
        let record = self.record.clone();
        let recorded = tokio::task::spawn_blocking(move || record.set_tier_owner_epoch(claim.owner_epoch)).await;
        let failed = |reason: String| ClaimError::Store {
            key: "the local record of the claim".to_owned(),
            source: StoreError::Unavailable { key: "metadata".to_owned(), reason },
        };
        recorded.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?;
        Ok(*self.owner_epoch.get_or_init(|| claim.owner_epoch))
    }

    /// Asks the bucket whether it is ours: one small GET. The first time it claims it.
    pub async fn confirm(&self) -> Result<(), ClaimError> {
        let Some(held) = self.owner_epoch.get() else { return self.owner_epoch().await.map(drop) };
        self.claim.claim(Some(*held)).await.map(drop)
    }

    /// The markers of this cluster's topics.
    pub async fn topic_life(&self) -> Result<TopicLife, ClaimError> {
        let owner_epoch = self.owner_epoch().await?;
        let (store, ambient) = (self.store.clone(), self.ambient.clone());
        Ok(TopicLife::new(store, ambient, self.cluster_id.clone(), owner_epoch, self.grace, Retry::default()))
    }
}
