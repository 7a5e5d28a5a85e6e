//! PushTelemetry (72): metrics of a client, OTLP in compressed form (KIP-714).

use bytes::Bytes;
use stratalog_protocol_derive::Message;
use uuid::Uuid;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=0, flexible = 0)]
pub struct PushTelemetryRequest {
    pub client_instance_id: Uuid,
    pub subscription_id: i32,
    /// The last push before the client closes; not throttled.
    pub terminating: bool,
    /// 0: none; 1: gzip; 2: snappy; 3: lz4; 4: zstd.
    pub compression_type: i8,
    pub metrics: Bytes,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=0, flexible = 0)]
pub struct PushTelemetryResponse {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
}
