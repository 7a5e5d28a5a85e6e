//! SaslAuthenticate (36): one step of the SASL exchange; carries secrets, so it is never logged.

use bytes::Bytes;
use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Clone, PartialEq, Message)]
#[message(versions = 0..=2, flexible = 2)]
pub struct SaslAuthenticateRequest {
    #[field(secret)]
    pub auth_bytes: Bytes,
}

#[derive(Clone, PartialEq, Message)]
#[message(versions = 0..=2, flexible = 2)]
pub struct SaslAuthenticateResponse {
    pub error_code: ErrorCode,
    pub error_message: Option<String>,
    #[field(secret)]
    pub auth_bytes: Bytes,
    /// After this the client authenticates again (KIP-368); 0: never.
    #[field(since = 1, ignorable)]
    pub session_lifetime_ms: i64,
}
