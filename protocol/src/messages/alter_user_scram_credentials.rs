//! AlterUserScramCredentials (51): clients send the salted password, so it is never logged.

use bytes::Bytes;
use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=0, flexible = 0)]
pub struct AlterUserScramCredentialsRequest {
    pub deletions: Vec<ScramCredentialDeletion>,
    pub upsertions: Vec<ScramCredentialUpsertion>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ScramCredentialDeletion {
    pub name: String,
    /// 1: SCRAM-SHA-256; 2: SCRAM-SHA-512.
    pub mechanism: i8,
}

#[derive(Clone, PartialEq, Message)]
pub struct ScramCredentialUpsertion {
    pub name: String,
    /// 1: SCRAM-SHA-256; 2: SCRAM-SHA-512.
    pub mechanism: i8,
    pub iterations: i32,
    #[field(secret)]
    pub salt: Bytes,
    #[field(secret)]
    pub salted_password: Bytes,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=0, flexible = 0)]
pub struct AlterUserScramCredentialsResponse {
    pub throttle_time_ms: i32,
    pub results: Vec<AlterUserScramCredentialsResult>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct AlterUserScramCredentialsResult {
    pub user: String,
    pub error_code: ErrorCode,
    pub error_message: Option<String>,
}
