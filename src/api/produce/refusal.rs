//! What a producer is told of a batch that was not appended.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::produce::{BatchIndexAndErrorMessage, PartitionProduceResponse};
use stratalog_protocol::records::BatchError;
use stratalog_types::Offset;

use crate::api::error;
use crate::log;
use crate::partition::{AppendError, Partition};

/// Logs an append's failure once, and says it to the producer.
pub fn refused(partition: &Partition, error: AppendError) -> Refusal {
    log_refusal(partition, &error);
    Refusal { log_start_offset: log_start_told(&error).then(|| partition.log_start_offset()), ..Refusal::from(error) }
}

/// Kafka tells the log start with what the producer did wrong, and not with what is too large, damaged or unavailable.
fn log_start_told(error: &AppendError) -> bool {
    match error {
        AppendError::Batch(BatchError::TooLarge { .. } | BatchError::Corrupt(_)) => false,
        AppendError::Batch(_) => true,
        AppendError::Log(
            log::AppendError::OutOfOrderSequence { .. }
            | log::AppendError::InvalidProducerEpoch { .. }
            | log::AppendError::TransactionCoordinatorFenced { .. }
            | log::AppendError::InvalidTransactionState { .. },
        ) => true,
        AppendError::Log(_) | AppendError::Transactional | AppendError::BehindTier | AppendError::CutOff => false,
    }
}

/// A partition's refusal: the code, and since version 8 which records and why (KIP-467).
pub struct Refusal {
    pub code: ErrorCode,
    log_start_offset: Option<Offset>,
    message: Option<String>,
    record_errors: Vec<BatchIndexAndErrorMessage>,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Refusal {
        Refusal { code, log_start_offset: None, message: None, record_errors: Vec::new() }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Refusal {
        Refusal {
            code: error::of_append(&error),
            log_start_offset: None,
            record_errors: record_errors(&error),
            message: Some(error.to_string()),
        }
    }
}

fn record_errors(error: &AppendError) -> Vec<BatchIndexAndErrorMessage> {
    let row = |index: u32, message: String| BatchIndexAndErrorMessage {
        batch_index: i32::try_from(index).unwrap_or(i32::MAX),
        batch_index_error_message: Some(message),
    };
    match error {
        AppendError::Batch(BatchError::Records(faults)) => {
            faults.iter().map(|fault| row(fault.index, fault.reason.to_string())).collect()
        }
        AppendError::Batch(BatchError::InvalidRecord { index: Some(index), reason }) => {
            vec![row(*index, reason.to_string())]
        }
        AppendError::Batch(_)
        | AppendError::Log(_)
        | AppendError::Transactional
        | AppendError::BehindTier
        | AppendError::CutOff => Vec::new(),
    }
}

impl Refusal {
    /// Of a request that names no transactional id: nobody may write for a transaction then.
    pub fn without_transactional_id(mut self) -> Refusal {
        if self.code == ErrorCode::INVALID_TXN_STATE {
            self.code = ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
        }
        self
    }

    pub fn response(self, index: i32) -> PartitionProduceResponse {
        PartitionProduceResponse {
            index,
            error_code: self.code,
            base_offset: -1,
            log_start_offset: self.log_start_offset.map_or(-1, |offset| offset.0),
            record_errors: self.record_errors,
            error_message: self.message,
            ..PartitionProduceResponse::default()
        }
    }
}

fn log_refusal(partition: &Partition, error: &AppendError) {
    match error {
        AppendError::Batch(_) | AppendError::Transactional => {
            tracing::warn!(partition = %partition.topic_partition(), "batch refused: {error}");
        }
        // The log has said what is wrong with a disk, once and not for each try.
        AppendError::Log(_) | AppendError::BehindTier | AppendError::CutOff => {
            tracing::debug!(partition = %partition.topic_partition(), "append refused: {error}")
        }
    }
}
