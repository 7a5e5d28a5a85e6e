//! Kafka's code for each internal error: the only place that knows both.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::records::BatchError;

use crate::partition::tier::TierError;
use crate::partition::{AppendError, Ended, ReadError, Unserved};
use crate::{coordinator, log, metadata};

pub fn of_append(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::Batch(error) => of_batch(error),
        AppendError::Log(error) => of_log_append(error),
        AppendError::Transactional => ErrorCode::INVALID_TXN_STATE,
        AppendError::BehindTier | AppendError::CutOff => ErrorCode::NOT_LEADER_OR_FOLLOWER,
    }
}

fn of_batch(error: &BatchError) -> ErrorCode {
    match error {
        BatchError::Corrupt(_) => ErrorCode::CORRUPT_MESSAGE,
        BatchError::InvalidRecord { .. } | BatchError::UnsupportedFormat(_) => ErrorCode::INVALID_RECORD,
        BatchError::TooLarge { .. } => ErrorCode::MESSAGE_TOO_LARGE,
        BatchError::UnsupportedCompression(_) => ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
        BatchError::LogAppendTime => ErrorCode::INVALID_TIMESTAMP,
        BatchError::Records(faults) if faults.has_timestamp() => ErrorCode::INVALID_TIMESTAMP,
        BatchError::Records(_) => ErrorCode::INVALID_RECORD,
    }
}

fn of_log_append(error: &log::AppendError) -> ErrorCode {
    match error {
        log::AppendError::OutOfOrderSequence { .. } => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
        log::AppendError::InvalidProducerEpoch { .. } => ErrorCode::INVALID_PRODUCER_EPOCH,
        log::AppendError::TransactionCoordinatorFenced { .. } => ErrorCode::TRANSACTION_COORDINATOR_FENCED,
        log::AppendError::InvalidTransactionState { .. } => ErrorCode::INVALID_TXN_STATE,
        log::AppendError::BatchTooLarge { .. } => ErrorCode::RECORD_LIST_TOO_LARGE,
        log::AppendError::InvalidBatch(_) => ErrorCode::CORRUPT_MESSAGE,
        log::AppendError::UnexpectedOffset { .. } => ErrorCode::UNKNOWN_SERVER_ERROR,
        log::AppendError::StorageFull | log::AppendError::TooManyOpenFiles | log::AppendError::Offline(_) => {
            ErrorCode::KAFKA_STORAGE_ERROR
        }
    }
}

pub fn of_read(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
        // Not OFFSET_OUT_OF_RANGE, on which consumers reset: the records exist, or may.
        ReadError::NoTier | ReadError::CutOff => ErrorCode::KAFKA_STORAGE_ERROR,
        ReadError::BehindTier => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ReadError::EndNotKnown => ErrorCode::OFFSET_NOT_AVAILABLE,
        ReadError::Tier(error) => of_tier(error),
        ReadError::Log(error) => match error {
            log::ReadError::OutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
            log::ReadError::BelowLocalStart { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
            log::ReadError::Corrupt { .. }
            | log::ReadError::Io { .. }
            | log::ReadError::Unavailable { .. }
            | log::ReadError::Unindexed => ErrorCode::KAFKA_STORAGE_ERROR,
            log::ReadError::Closed => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        },
    }
}

/// What is damaged or lost is a storage error; what may be there later is retriable too.
fn of_tier(error: &TierError) -> ErrorCode {
    match error {
        TierError::Replay(_)
        | TierError::Scrub(_)
        | TierError::Hole { .. }
        | TierError::Claim(_)
        | TierError::Manifest(_)
        | TierError::Upload(_)
        | TierError::LogRead(_)
        | TierError::Log(_)
        | TierError::NeedsReconcile { .. }
        | TierError::OnlyInTier { .. }
        | TierError::Fenced
        | TierError::Batch { .. }
        | TierError::CutOff
        | TierError::NotInTime
        | TierError::NotKnown => ErrorCode::KAFKA_STORAGE_ERROR,
    }
}

/// What a partition that ended is to those who wait for it; `known` says whether its topic is still there.
pub fn of_ended(ended: Ended, known: bool, by_id: bool) -> ErrorCode {
    match ended {
        Ended::Offline => ErrorCode::KAFKA_STORAGE_ERROR,
        Ended::Gone if known => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        Ended::Gone if by_id => ErrorCode::UNKNOWN_TOPIC_ID,
        Ended::Gone => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
    }
}

pub fn of_unserved(unserved: Unserved) -> ErrorCode {
    match unserved {
        Unserved::Unknown => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        Unserved::Offline => ErrorCode::KAFKA_STORAGE_ERROR,
    }
}

pub fn of_coordinator(error: coordinator::Error) -> ErrorCode {
    match error {
        coordinator::Error::Loading => ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
        coordinator::Error::NotCoordinator => ErrorCode::NOT_COORDINATOR,
        coordinator::Error::NotAvailable => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        coordinator::Error::TooLarge => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

pub fn of_metadata(error: &metadata::Error) -> ErrorCode {
    match error {
        metadata::Error::TopicExists(_) => ErrorCode::TOPIC_ALREADY_EXISTS,
        metadata::Error::TopicCollides(..) | metadata::Error::IllegalName(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
        metadata::Error::UnknownTopic => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        metadata::Error::FewerPartitions(_) => ErrorCode::INVALID_PARTITIONS,
        // Clients try again, for producer ids too.
        metadata::Error::Store(metadata::StoreError::Full { .. }) => ErrorCode::KAFKA_STORAGE_ERROR,
        metadata::Error::Store(_) => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}
