//! UpdateFeatures (57): finalizes feature levels.

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=2, flexible = 0)]
pub struct UpdateFeaturesRequest {
    #[field(default = 60_000)]
    pub timeout_ms: i32,
    pub feature_updates: Vec<FeatureUpdateKey>,
    #[field(since = 1)]
    pub validate_only: bool,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct FeatureUpdateKey {
    pub feature: String,
    pub max_version_level: i16,
    #[field(until = 0)]
    pub allow_downgrade: bool,
    /// 1: upgrade; 2: safe downgrade; 3: unsafe downgrade.
    #[field(since = 1, default = 1)]
    pub upgrade_type: i8,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=2, flexible = 0)]
pub struct UpdateFeaturesResponse {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    pub error_message: Option<String>,
    #[field(until = 1, ignorable)]
    pub results: Vec<UpdatableFeatureResult>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct UpdatableFeatureResult {
    pub feature: String,
    pub error_code: ErrorCode,
    pub error_message: Option<String>,
}
