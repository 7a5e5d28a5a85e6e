//! Why a manifest call did not do what was asked, by what the caller does next.

use std::io;
use std::path::PathBuf;

use stratalog_types::Offset;

use super::head::Token;
use super::plan::Refusal;
use super::wire::Malformed;
use crate::object_key::TierPartition;
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Nothing certain is known; the same call may be made again later, with the same object.
    #[error("the store gave no usable answer for the manifest of {of}")]
    Store { of: TierPartition, source: StoreError },
    /// The head kept changing under us, or the store kept failing; call again later.
    #[error("the manifest of {of} could not be committed in {attempts} attempts")]
    Contended { of: TierPartition, attempts: u32 },
    /// A newer leader or owner holds the head: stop all work on it, deletes too.
    #[error("{of} is led elsewhere: the head carries {by}, ours is {mine}")]
    Fenced { of: TierPartition, by: Token, mine: Token },
    /// No session: call `start` (again). A later session of the same token has taken the head.
    #[error("no leadership session is active for {of}")]
    Inactive { of: TierPartition },
    /// `start` asked for a reconcile that has not been reported by `reconciled`.
    #[error("the log of {of} has not been reconciled with the tier")]
    NotReconciled { of: TierPartition },
    #[error(
        "the head of {of} is missing from the bucket although this partition was tiered: the bucket is wrong or was \
         emptied; nothing is written until it is back"
    )]
    HeadMissing { of: TierPartition },
    #[error(
        "the head of {of} in the bucket is version {found}, older than version {known} seen before: the bucket was \
         rolled back; restore it, or recreate the topic under a new id"
    )]
    RolledBack { of: TierPartition, found: u64, known: u64 },
    #[error("the topic of {of} is deleted")]
    TopicDeleted { of: TierPartition },
    #[error("the manifest of {of} belongs to cluster {found}, we are {ours}")]
    Foreign { of: TierPartition, found: String, ours: String },
    #[error("{key} is damaged: {malformed}")]
    Corrupt { key: String, malformed: Malformed },
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The log start could not be made durable: it is not exposed.
    #[error("the log start {log_start_offset} of {of} could not be checkpointed")]
    Checkpoint { of: TierPartition, log_start_offset: Offset, source: io::Error },
    #[error("local manifest copy {path}")]
    LocalCopy { path: PathBuf, source: io::Error },
}

impl ManifestError {
    /// Whether the same call can succeed later without anything else being done.
    pub fn is_retriable(&self) -> bool {
        match self {
            ManifestError::Store { source, .. } => !matches!(source, StoreError::Refused { .. }),
            ManifestError::Contended { .. } => true,
            ManifestError::Refused(refusal) => matches!(refusal, Refusal::MarksFull { .. } | Refusal::HeadFull),
            ManifestError::Fenced { .. }
            | ManifestError::Inactive { .. }
            | ManifestError::NotReconciled { .. }
            | ManifestError::HeadMissing { .. }
            | ManifestError::RolledBack { .. }
            | ManifestError::TopicDeleted { .. }
            | ManifestError::Foreign { .. }
            | ManifestError::Corrupt { .. }
            | ManifestError::Checkpoint { .. }
            | ManifestError::LocalCopy { .. } => false,
        }
    }
}
