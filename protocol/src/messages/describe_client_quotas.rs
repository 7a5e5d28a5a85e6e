//! DescribeClientQuotas (48).

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=1, flexible = 1)]
pub struct DescribeClientQuotasRequest {
    pub components: Vec<ComponentData>,
    pub strict: bool,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ComponentData {
    pub entity_type: String,
    /// 0: exact name; 1: the default entity; 2: any name.
    pub match_type: i8,
    /// Kafka's field is called Match. Null unless `match_type` is 0.
    pub match_name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=1, flexible = 1)]
pub struct DescribeClientQuotasResponse {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    pub error_message: Option<String>,
    pub entries: Option<Vec<EntryData>>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct EntryData {
    pub entity: Vec<EntityData>,
    pub values: Vec<ValueData>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct EntityData {
    pub entity_type: String,
    pub entity_name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct ValueData {
    pub key: String,
    pub value: f64,
}
