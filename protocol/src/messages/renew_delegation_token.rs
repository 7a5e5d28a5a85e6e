//! RenewDelegationToken (39).

use bytes::Bytes;
use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Clone, PartialEq, Message)]
#[message(versions = 1..=2, flexible = 2)]
pub struct RenewDelegationTokenRequest {
    #[field(secret)]
    pub hmac: Bytes,
    pub renew_period_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=2, flexible = 2)]
pub struct RenewDelegationTokenResponse {
    pub error_code: ErrorCode,
    pub expiry_timestamp_ms: i64,
    pub throttle_time_ms: i32,
}
