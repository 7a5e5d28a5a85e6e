//! CreateDelegationToken (38).

use bytes::Bytes;
use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=3, flexible = 2)]
pub struct CreateDelegationTokenRequest {
    #[field(since = 3)]
    pub owner_principal_type: Option<String>,
    #[field(since = 3)]
    pub owner_principal_name: Option<String>,
    pub renewers: Vec<CreatableRenewers>,
    pub max_lifetime_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct CreatableRenewers {
    pub principal_type: String,
    pub principal_name: String,
}

#[derive(Clone, PartialEq, Message)]
#[message(versions = 1..=3, flexible = 2)]
pub struct CreateDelegationTokenResponse {
    pub error_code: ErrorCode,
    pub principal_type: String,
    pub principal_name: String,
    #[field(since = 3)]
    pub token_requester_principal_type: String,
    #[field(since = 3)]
    pub token_requester_principal_name: String,
    pub issue_timestamp_ms: i64,
    pub expiry_timestamp_ms: i64,
    pub max_timestamp_ms: i64,
    pub token_id: String,
    #[field(secret)]
    pub hmac: Bytes,
    pub throttle_time_ms: i32,
}
