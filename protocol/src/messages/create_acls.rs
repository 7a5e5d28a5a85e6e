//! CreateAcls (30).

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=3, flexible = 2)]
pub struct CreateAclsRequest {
    pub creations: Vec<AclCreation>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct AclCreation {
    /// 2: topic; 3: group; 4: cluster; 5: transactional id; 6: delegation token; 7: user.
    pub resource_type: i8,
    pub resource_name: String,
    /// 3: literal; 4: prefixed.
    #[field(default = 3)]
    pub resource_pattern_type: i8,
    pub principal: String,
    pub host: String,
    /// 2: all; 3: read; 4: write; 5: create; 6: delete; 7: alter; 8: describe; 9: cluster action; 10: describe configs;
    /// 11: alter configs; 12: idempotent write; 13: create tokens; 14: describe tokens; 15: two-phase commit.
    pub operation: i8,
    /// 1: any; 2: deny; 3: allow.
    pub permission_type: i8,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=3, flexible = 2)]
pub struct CreateAclsResponse {
    pub throttle_time_ms: i32,
    pub results: Vec<AclCreationResult>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct AclCreationResult {
    pub error_code: ErrorCode,
    pub error_message: Option<String>,
}
