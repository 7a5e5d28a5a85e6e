//! GetTelemetrySubscriptions (71): which metrics a client is asked for (KIP-714).

use stratalog_protocol_derive::Message;
use uuid::Uuid;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=0, flexible = 0)]
pub struct GetTelemetrySubscriptionsRequest {
    /// All zeros asks for one.
    pub client_instance_id: Uuid,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=0, flexible = 0)]
pub struct GetTelemetrySubscriptionsResponse {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    pub client_instance_id: Uuid,
    pub subscription_id: i32,
    pub accepted_compression_types: Vec<i8>,
    pub push_interval_ms: i32,
    pub telemetry_max_bytes: i32,
    /// Counters are deltas, else cumulative.
    pub delta_temporality: bool,
    /// Name prefixes; one empty prefix asks for all.
    pub requested_metrics: Vec<String>,
}
