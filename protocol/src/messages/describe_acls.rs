//! DescribeAcls (29).

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=3, flexible = 2)]
pub struct DescribeAclsRequest {
    pub resource_type_filter: i8,
    pub resource_name_filter: Option<String>,
    /// 1: any; 2: match; 3: literal; 4: prefixed.
    #[field(default = 3)]
    pub pattern_type_filter: i8,
    pub principal_filter: Option<String>,
    pub host_filter: Option<String>,
    pub operation: i8,
    /// 1: any; 2: deny; 3: allow.
    pub permission_type: i8,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 1..=3, flexible = 2)]
pub struct DescribeAclsResponse {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    pub error_message: Option<String>,
    pub resources: Vec<DescribeAclsResource>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribeAclsResource {
    pub resource_type: i8,
    pub resource_name: String,
    /// 3: literal; 4: prefixed.
    #[field(default = 3)]
    pub pattern_type: i8,
    pub acls: Vec<AclDescription>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct AclDescription {
    pub principal: String,
    pub host: String,
    pub operation: i8,
    /// 1: any; 2: deny; 3: allow.
    pub permission_type: i8,
}
