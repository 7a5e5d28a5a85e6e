//! AlterClientQuotas (49).

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=1, flexible = 1)]
pub struct AlterClientQuotasRequest {
    pub entries: Vec<RequestEntryData>,
    pub validate_only: bool,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct RequestEntryData {
    pub entity: Vec<EntityData>,
    pub ops: Vec<OpData>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct EntityData {
    pub entity_type: String,
    pub entity_name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct OpData {
    pub key: String,
    pub value: f64,
    pub remove: bool,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=1, flexible = 1)]
pub struct AlterClientQuotasResponse {
    pub throttle_time_ms: i32,
    pub entries: Vec<ResponseEntryData>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ResponseEntryData {
    pub error_code: ErrorCode,
    pub error_message: Option<String>,
    pub entity: Vec<EntityData>,
}
