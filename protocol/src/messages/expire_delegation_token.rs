//! ExpireDelegationToken (40).

use bytes::Bytes;
use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Clone, PartialEq, Message)]
#[message(versions = 1..=2, flexible = 2)]
pub struct ExpireDelegationTokenRequest {
    #[field(secret)]
    pub hmac: Bytes,
    pub expiry_time_period_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=2, flexible = 2)]
pub struct ExpireDelegationTokenResponse {
    pub error_code: ErrorCode,
    pub expiry_timestamp_ms: i64,
    pub throttle_time_ms: i32,
}
