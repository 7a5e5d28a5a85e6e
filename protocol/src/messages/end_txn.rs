//! EndTxn (26): commit or abort. Since version 5 the answer carries the bumped epoch (KIP-890).

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=5, flexible = 3)]
pub struct EndTxnRequest {
    pub transactional_id: String,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub committed: bool,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=5, flexible = 3)]
pub struct EndTxnResponse {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[field(since = 5, default = -1, ignorable)]
    pub producer_id: i64,
    #[field(since = 5, default = -1, ignorable)]
    pub producer_epoch: i16,
}
