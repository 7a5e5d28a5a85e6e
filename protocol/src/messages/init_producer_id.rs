//! InitProducerId (22): a producer id and epoch; fences earlier producers of the transactional id. Kafka 4.3 marks
//! version 6 as unstable, so it is not here.

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=5, flexible = 2)]
pub struct InitProducerIdRequest {
    pub transactional_id: Option<String>,
    /// Used with a transactional id only.
    pub transaction_timeout_ms: i32,
    /// -1 unless the producer asks for the next epoch of its own id (KIP-360).
    #[field(since = 3, default = -1)]
    pub producer_id: i64,
    #[field(since = 3, default = -1)]
    pub producer_epoch: i16,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=5, flexible = 2)]
pub struct InitProducerIdResponse {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[field(default = -1)]
    pub producer_id: i64,
    pub producer_epoch: i16,
}
