//! DescribeDelegationToken (41).

use bytes::Bytes;
use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=3, flexible = 2)]
pub struct DescribeDelegationTokenRequest {
    pub owners: Option<Vec<DescribeDelegationTokenOwner>>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribeDelegationTokenOwner {
    pub principal_type: String,
    pub principal_name: String,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=3, flexible = 2)]
pub struct DescribeDelegationTokenResponse {
    pub error_code: ErrorCode,
    pub tokens: Vec<DescribedDelegationToken>,
    pub throttle_time_ms: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct DescribedDelegationToken {
    pub principal_type: String,
    pub principal_name: String,
    #[field(since = 3)]
    pub token_requester_principal_type: String,
    #[field(since = 3)]
    pub token_requester_principal_name: String,
    pub issue_timestamp: i64,
    pub expiry_timestamp: i64,
    pub max_timestamp: i64,
    pub token_id: String,
    #[field(secret)]
    pub hmac: Bytes,
    pub renewers: Vec<DescribedDelegationTokenRenewer>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribedDelegationTokenRenewer {
    pub principal_type: String,
    pub principal_name: String,
}
