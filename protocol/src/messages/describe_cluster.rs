//! DescribeCluster (60): cluster id, controller and brokers.

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=2, flexible = 0)]
pub struct DescribeClusterRequest {
    pub include_cluster_authorized_operations: bool,
    /// 1: brokers; 2: controllers.
    #[field(since = 1, default = 1)]
    pub endpoint_type: i8,
    #[field(since = 2)]
    pub include_fenced_brokers: bool,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=2, flexible = 0)]
pub struct DescribeClusterResponse {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    #[field(default = None)]
    pub error_message: Option<String>,
    /// 1: brokers; 2: controllers.
    #[field(since = 1, default = 1)]
    pub endpoint_type: i8,
    pub cluster_id: String,
    #[field(default = -1)]
    pub controller_id: i32,
    pub brokers: Vec<DescribeClusterBroker>,
    /// One bit per operation; `i32::MIN` if it was not asked for.
    #[field(default = i32::MIN)]
    pub cluster_authorized_operations: i32,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct DescribeClusterBroker {
    pub broker_id: i32,
    pub host: String,
    pub port: i32,
    #[field(default = None)]
    pub rack: Option<String>,
    #[field(since = 2)]
    pub is_fenced: bool,
}
