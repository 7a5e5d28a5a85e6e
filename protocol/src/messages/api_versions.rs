//! ApiVersions (18): what the broker speaks. Its response header is version 0 whatever the version, and a request in a
//! version that the broker does not know is answered in version 0 with UNSUPPORTED_VERSION (KIP-511), so that any
//! client gets an answer that it can read.

use stratalog_protocol_derive::Message;

use crate::{ApiKey, ErrorCode};

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=4, flexible = 3)]
pub struct ApiVersionsRequest {
    /// Letters, digits, dash and dot (KIP-511).
    #[field(since = 3, ignorable)]
    pub client_software_name: String,
    #[field(since = 3, ignorable)]
    pub client_software_version: String,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=4, flexible = 3)]
pub struct ApiVersionsResponse {
    pub error_code: ErrorCode,
    pub api_keys: Vec<ApiVersion>,
    #[field(since = 1, ignorable)]
    pub throttle_time_ms: i32,
    #[field(tag = 0, since = 3, ignorable)]
    pub supported_features: Vec<SupportedFeatureKey>,
    /// -1 if unknown.
    #[field(tag = 1, since = 3, default = -1, ignorable)]
    pub finalized_features_epoch: i64,
    #[field(tag = 2, since = 3, ignorable)]
    pub finalized_features: Vec<FinalizedFeatureKey>,
    /// Always false since Kafka 4.
    #[field(tag = 3, since = 3, ignorable)]
    pub zk_migration_ready: bool,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ApiVersion {
    pub api_key: ApiKey,
    pub min_version: i16,
    pub max_version: i16,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct SupportedFeatureKey {
    pub name: String,
    pub min_version: i16,
    pub max_version: i16,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct FinalizedFeatureKey {
    pub name: String,
    pub max_version_level: i16,
    pub min_version_level: i16,
}
