//! Why the tier did not do what was asked.

use stratalog_tiering::cluster::ClaimError;
use stratalog_tiering::manifest::ManifestError;
use stratalog_tiering::reader::ReplayError;
use stratalog_tiering::scrub::ScrubError;
use stratalog_tiering::store::StoreError;
use stratalog_tiering::upload::UploadError;
use stratalog_types::Offset;

use crate::log;

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
    /// The same, where the tier is to be forgotten: with the end that it has, all that the log held would go.
    #[error(
        "the log ends at {log_end_offset}, before the tier's end {next_offset}, and the tier is to be forgotten: set \
         remote.log.delete.on.disable=false to go on with what the tier has, or recreate the topic"
    )]
    OnlyInTier { log_end_offset: Offset, next_offset: Offset },
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
            | TierError::OnlyInTier { .. }
            | TierError::Fenced
            | TierError::Batch { .. }
            | TierError::CutOff => false,
        }
    }
}
