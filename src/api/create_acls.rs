//! CreateAcls: there is no authorizer to keep them.

use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::create_acls::{AclCreationResult, CreateAclsRequest, CreateAclsResponse};

use super::node::Node;
use crate::net::RequestContext;

pub async fn handle(
    _node: Arc<Node>,
    _context: RequestContext,
    request: CreateAclsRequest,
    _version: i16,
) -> CreateAclsResponse {
    let refused = AclCreationResult {
        error_code: ErrorCode::SECURITY_DISABLED,
        error_message: Some("No Authorizer is configured.".to_owned()),
    };
    CreateAclsResponse { results: vec![refused; request.creations.len()], ..CreateAclsResponse::default() }
}
