//! Errors by what the caller answers.

use stratalog_protocol::records::BatchError;
use stratalog_types::Offset;

use super::tier::TierError;
use crate::log;

#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Log(#[from] log::AppendError),
    /// Nobody could end the transaction that it would begin, and nothing behind it would ever be stable.
    #[error(
        "the batch is transactional, and this broker serves no transactions yet: produce without a transactional.id"
    )]
    Transactional,
    /// Retriable: the tier has not said yet where the log goes on.
    #[error("the log may lie behind the tier: appends wait until the tier has been asked")]
    BehindTier,
    #[error("the append was cut off: the broker is stopping")]
    CutOff,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("offset {offset} is outside of {log_start_offset}..={end_offset}")]
    OutOfRange { offset: Offset, log_start_offset: Offset, end_offset: Offset },
    #[error("the offset is not on local disk, and this partition has no tier")]
    NoTier,
    /// Retriable: the tier has not said yet where the log goes on.
    #[error("the log may lie behind the tier: reads wait until the tier has been asked")]
    BehindTier,
    /// Retriable: after an unclean stop the log's end is synced first.
    #[error("the end of the log is not known to be durable yet")]
    EndNotKnown,
    #[error("the read was cut off")]
    CutOff,
    #[error(transparent)]
    Tier(TierError),
    #[error(transparent)]
    Log(log::ReadError),
}
