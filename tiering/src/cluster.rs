//! The claim on a bucket: which cluster owns it, and in which owner epoch.
//!
//! ```text
//! "SLMC"  version u16
//! claim_version u64  nonce 16  cluster_id text  owner_epoch u64  holder text      (text: length u16, UTF-8)
//! crc32c u32 over all before it
//! ```
//! Written by compare-and-swap. A restart keeps its owner epoch; a take-over raises it and then fences every head and
//! marker, and only after that reads, plans or appends: an old owner's commit may land until its head is fenced. A data
//! directory that never held this bucket never takes its objects for its own.

use std::sync::Arc;

use stratalog_types::{LeaderEpoch, Offset};
use uuid::Uuid;

use crate::gc::topic::Marker;
use crate::manifest::ambient::Ambient;
use crate::manifest::head::{Head, Token};
use crate::manifest::session::{Retry, back_off};
use crate::manifest::wire::{Malformed, Reader, Writer};
use crate::object_key::{self, ObjectKey, TierPartition};
use crate::planted::{Bug, planted};
use crate::store::{Etag, Purpose, Store, StoreError};

const MAGIC: &[u8; 4] = b"SLMC";
const TEXT_BYTES_MAX: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub version: u64,
    pub nonce: Uuid,
    pub cluster_id: String,
    pub owner_epoch: u64,
    /// Who took it, for people: node and host.
    pub holder: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    #[error(
        "the bucket belongs to cluster {found}, this data directory to cluster {ours}: point stratalog.tier.url at \
         another prefix, or take the bucket over with `stratalog tier restore`"
    )]
    Foreign { found: String, ours: String },
    #[error(
        "the bucket was taken over by {holder} in owner epoch {found}, this data directory holds {held:?}: stop the \
         other cluster and take it over with `stratalog tier restore`, or use another prefix"
    )]
    TakenOver { holder: String, found: u64, held: Option<u64> },
    #[error(
        "the bucket has no cluster object although this data directory claimed it in owner epoch {held}: the bucket is \
         wrong or was emptied; correct stratalog.tier.url"
    )]
    Missing { held: u64 },
    #[error("the store gave no usable answer for {key}")]
    Store { key: String, source: StoreError },
    #[error("{key} is damaged: {malformed}")]
    Corrupt { key: String, malformed: Malformed },
    #[error("{key} could not be changed in {attempts} attempts")]
    Contended { key: String, attempts: u32 },
}

impl Claim {
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        if self.cluster_id.len() > TEXT_BYTES_MAX || self.holder.len() > TEXT_BYTES_MAX {
            return Err(Malformed::Rule("a name is too long"));
        }
        let mut out = Writer::new(MAGIC);
        out.u64(self.version);
        out.uuid(&self.nonce);
        out.text(&self.cluster_id);
        out.u64(self.owner_epoch);
        out.text(&self.holder);
        Ok(out.finish())
    }

    pub fn decode(bytes: &[u8]) -> Result<Claim, Malformed> {
        let mut reader = Reader::open(bytes, MAGIC)?;
        let claim = Claim {
            version: reader.u64()?,
            nonce: reader.uuid()?,
            cluster_id: reader.text(TEXT_BYTES_MAX)?,
            owner_epoch: reader.u64()?,
            holder: reader.text(TEXT_BYTES_MAX)?,
        };
        reader.finish()?;
        Ok(claim)
    }
}

/// A partition after its head was fenced for a new owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FencedPartition {
    pub of: TierPartition,
    pub topic_name: String,
    pub log_start_offset: Offset,
    pub next_offset: Offset,
    /// The new cluster's record epochs must start above it.
    pub leader_epoch: LeaderEpoch,
}

/// The bucket as a cluster claims it.
pub struct ClusterClaim {
    store: Arc<dyn Store>,
    ambient: Arc<Ambient>,
    cluster_id: String,
    holder: String,
    retry: Retry,
}

impl ClusterClaim {
    pub fn new(
        store: Arc<dyn Store>,
        ambient: Arc<Ambient>,
        cluster_id: String,
        holder: String,
        retry: Retry,
    ) -> ClusterClaim {
        ClusterClaim { store, ambient, cluster_id, holder, retry }
    }

    pub async fn read(&self) -> Result<Option<Claim>, ClaimError> {
        Ok(self.get().await?.map(|(claim, _)| claim))
    }

    /// Claims an unclaimed bucket, or confirms that it is still ours. `held` is the owner epoch that this data directory
    /// has on record, `None` when it never claimed a bucket; the caller stores the answer durably before it tiers.
    pub async fn claim(&self, held: Option<u64>) -> Result<Claim, ClaimError> {
        self.change(|found| match (found, held) {
            (None, None) => Ok(Some(self.fresh(1))),
            (None, Some(held)) => Err(ClaimError::Missing { held }),
            (Some(claim), _) if claim.cluster_id != self.cluster_id => {
                Err(ClaimError::Foreign { found: claim.cluster_id.clone(), ours: self.cluster_id.clone() })
            }
            (Some(claim), Some(held)) if claim.owner_epoch == held => Ok(None),
            // Our own first claim whose answer was lost before it was recorded: nothing was written under it yet.
            (Some(claim), None) if claim.owner_epoch == 1 && claim.holder == self.holder => Ok(None),
            (Some(claim), held) => {
                let (holder, found) = (claim.holder.clone(), claim.owner_epoch);
                Err(ClaimError::TakenOver { holder, found, held })
            }
        })
        .await
    }

    /// Takes the bucket from whoever has it: owner epoch + 1. Call `fence` before anything is read or planned.
    pub async fn take_over(&self) -> Result<Claim, ClaimError> {
        self.change(|found| {
            let owner_epoch = found.map_or(1, |claim| claim.owner_epoch.saturating_add(1));
            Ok(Some(Claim { version: found.map_or(0, |claim| claim.version), ..self.fresh(owner_epoch) }))
        })
        .await
    }

    /// Fences every head and marker of the bucket under `claim`. May be repeated; only when it has returned is the
    /// history at rest.
    pub async fn fence(&self, claim: &Claim) -> Result<Vec<FencedPartition>, ClaimError> {
        let mut fenced = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let prefix = object_key::root_prefix();
            let listed = self.store.list(&prefix, after.as_deref(), Purpose::Admin).await;
            let listed = listed.map_err(|source| ClaimError::Store { key: prefix, source })?;
            let Some(last) = listed.last() else { return Ok(fenced) };
            after = Some(after_segments(&last.key));
            for info in &listed {
                match object_key::parse(&info.key) {
                    Some(ObjectKey::Head { of }) => {
                        fenced.extend(self.fence_head(claim, of).await?);
                    }
                    Some(ObjectKey::Marker { topic_id }) => {
                        self.fence_marker(claim, &object_key::marker(topic_id)).await?;
                    }
                    Some(
                        ObjectKey::Cluster
                        | ObjectKey::Snapshot { .. }
                        | ObjectKey::Segment { .. }
                        | ObjectKey::Page { .. },
                    )
                    | None => {}
                }
            }
        }
    }

    async fn fence_head(&self, claim: &Claim, of: TierPartition) -> Result<Option<FencedPartition>, ClaimError> {
        let key = of.head();
        let session = (self.ambient.uuid)();
        let head = self
            .swap(&key, |bytes| {
                let mut head = Head::decode(bytes)?;
                if head.session == session || planted(Bug::RestoreWithoutHeadFence) {
                    return Ok(Swap::Already(head));
                }
                head.version = head.version.saturating_add(1);
                head.nonce = (self.ambient.uuid)();
                head.token = Token { owner_epoch: claim.owner_epoch, leader_epoch: head.token.leader_epoch };
                head.session = session;
                head.identity.cluster_id.clone_from(&claim.cluster_id);
                let bytes = head.encode()?;
                Ok(Swap::Write(bytes, head))
            })
            .await?;
        Ok(head.map(|head| FencedPartition {
            of,
            topic_name: head.identity.topic_name,
            log_start_offset: head.log_start_offset,
            next_offset: head.next_offset,
            leader_epoch: head.token.leader_epoch,
        }))
    }

    async fn fence_marker(&self, claim: &Claim, key: &str) -> Result<(), ClaimError> {
        let written = self.swap(key, |bytes| {
            let mut marker = Marker::decode(bytes)?;
            if marker.owner_epoch == claim.owner_epoch {
                return Ok(Swap::Already(()));
            }
            marker.version = marker.version.saturating_add(1);
            marker.nonce = (self.ambient.uuid)();
            marker.owner_epoch = claim.owner_epoch;
            marker.cluster_id.clone_from(&claim.cluster_id);
            let bytes = marker.encode()?;
            Ok(Swap::Write(bytes, ()))
        });
        written.await.map(|_| ())
    }

    /// Reads, changes, writes until it is written or read as written; `None` when the object is gone.
    async fn swap<T>(
        &self,
        key: &str,
        change: impl Fn(&[u8]) -> Result<Swap<T>, Malformed>,
    ) -> Result<Option<T>, ClaimError> {
        let store_error = |source| ClaimError::Store { key: key.to_owned(), source };
        for attempt in 0..self.retry.attempts_max {
            let (bytes, etag) = match self.store.get(key, Purpose::Admin).await {
                Ok(found) => found,
                Err(StoreError::NotFound { .. }) => return Ok(None),
                Err(source) => return Err(store_error(source)),
            };
            let swap = change(&bytes).map_err(|malformed| ClaimError::Corrupt { key: key.to_owned(), malformed })?;
            let (bytes, value) = match swap {
                Swap::Already(value) => return Ok(Some(value)),
                Swap::Write(bytes, value) => (bytes, value),
            };
            match self.store.put_if_match(key, bytes.into(), &etag, Purpose::Admin).await {
                Ok(_) => return Ok(Some(value)),
                Err(source @ StoreError::Refused { .. }) => return Err(store_error(source)),
                Err(_) => back_off(&self.ambient, self.retry, attempt).await,
            }
        }
        Err(ClaimError::Contended { key: key.to_owned(), attempts: self.retry.attempts_max })
    }

    fn fresh(&self, owner_epoch: u64) -> Claim {
        let (cluster_id, holder) = (self.cluster_id.clone(), self.holder.clone());
        Claim { version: 0, nonce: Uuid::nil(), cluster_id, owner_epoch, holder }
    }

    async fn get(&self) -> Result<Option<(Claim, Etag)>, ClaimError> {
        let key = object_key::cluster();
        match self.store.get(&key, Purpose::Admin).await {
            Ok((bytes, etag)) => {
                let claim = Claim::decode(&bytes).map_err(|malformed| ClaimError::Corrupt { key, malformed })?;
                Ok(Some((claim, etag)))
            }
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(source) => Err(ClaimError::Store { key, source }),
        }
    }

    async fn change(
        &self,
        step: impl Fn(Option<&Claim>) -> Result<Option<Claim>, ClaimError>,
    ) -> Result<Claim, ClaimError> {
        let key = object_key::cluster();
        let nonce = (self.ambient.uuid)();
        for attempt in 0..self.retry.attempts_max {
            let found = self.get().await?;
            if let Some((claim, _)) = found.as_ref().filter(|(claim, _)| claim.nonce == nonce) {
                return Ok(claim.clone());
            }
            let Some(mut next) = step(found.as_ref().map(|(claim, _)| claim))? else {
                return found.map(|(claim, _)| claim).ok_or(ClaimError::Missing { held: 0 });
            };
            next.version = next.version.saturating_add(1);
            next.nonce = nonce;
            let bytes = next.encode().map_err(|malformed| ClaimError::Corrupt { key: key.clone(), malformed })?;
            let answer = match &found {
                Some((_, etag)) => self.store.put_if_match(&key, bytes.into(), etag, Purpose::Admin).await,
                None => self.store.put_create(&key, bytes.into(), Purpose::Admin).await,
            };
            match answer {
                Ok(_) => return Ok(next),
                Err(source @ StoreError::Refused { .. }) => return Err(ClaimError::Store { key, source }),
                Err(_) => back_off(&self.ambient, self.retry, attempt).await,
            }
        }
        Err(ClaimError::Contended { key, attempts: self.retry.attempts_max })
    }
}

enum Swap<T> {
    Write(Vec<u8>, T),
    Already(T),
}

/// Where a LIST that looks for heads goes on: past all segments of the partition. Their names begin with 20 digits, the
/// first of them 0, which sort before "head".
fn after_segments(key: &str) -> String {
    match object_key::parse(key) {
        Some(ObjectKey::Segment { of, .. } | ObjectKey::Page { of, .. }) => format!("{}1", of.prefix()),
        _ => key.to_owned(),
    }
}
