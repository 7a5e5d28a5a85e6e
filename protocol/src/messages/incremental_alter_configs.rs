//! IncrementalAlterConfigs (44): sets, deletes, appends to or subtracts from single configs.

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=1, flexible = 1)]
pub struct IncrementalAlterConfigsRequest {
    pub resources: Vec<AlterConfigsResource>,
    pub validate_only: bool,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct AlterConfigsResource {
    pub resource_type: i8,
    pub resource_name: String,
    pub configs: Vec<AlterableConfig>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AlterableConfig {
    pub name: String,
    /// 0: set; 1: delete; 2: append; 3: subtract.
    pub config_operation: i8,
    #[field(secret)]
    pub value: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=1, flexible = 1)]
pub struct IncrementalAlterConfigsResponse {
    pub throttle_time_ms: i32,
    pub responses: Vec<AlterConfigsResourceResponse>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct AlterConfigsResourceResponse {
    pub error_code: ErrorCode,
    pub error_message: Option<String>,
    pub resource_type: i8,
    pub resource_name: String,
}
