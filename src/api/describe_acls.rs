//! DescribeAcls: there is no authorizer to ask.

use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::describe_acls::{DescribeAclsRequest, DescribeAclsResponse};

use super::node::Node;
use crate::net::RequestContext;

pub async fn handle(
    _node: Arc<Node>,
    _context: RequestContext,
    _request: DescribeAclsRequest,
    _version: i16,
) -> DescribeAclsResponse {
    DescribeAclsResponse {
        error_code: ErrorCode::SECURITY_DISABLED,
        error_message: Some("No Authorizer is configured on the broker".to_owned()),
        ..DescribeAclsResponse::default()
    }
}
