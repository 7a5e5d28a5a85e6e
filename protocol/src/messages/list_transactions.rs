//! ListTransactions (66): filtered by state, producer, age and transactional id.

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=2, flexible = 0)]
pub struct ListTransactionsRequest {
    pub state_filters: Vec<String>,
    pub producer_id_filters: Vec<i64>,
    /// Milliseconds that a transaction must have run; negative: any.
    #[field(since = 1, default = -1)]
    pub duration_filter: i64,
    #[field(since = 2, default = None)]
    pub transactional_id_pattern: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=2, flexible = 0)]
pub struct ListTransactionsResponse {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    pub unknown_state_filters: Vec<String>,
    pub transaction_states: Vec<TransactionState>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct TransactionState {
    pub transactional_id: String,
    pub producer_id: i64,
    pub transaction_state: String,
}
