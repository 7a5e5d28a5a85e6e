//! DeleteAcls: there is no authorizer that keeps any.

use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::delete_acls::{DeleteAclsFilterResult, DeleteAclsRequest, DeleteAclsResponse};

use super::node::Node;
use crate::net::RequestContext;

pub async fn handle(
    _node: Arc<Node>,
    _context: RequestContext,
    request: DeleteAclsRequest,
    _version: i16,
) -> DeleteAclsResponse {
    let refused = DeleteAclsFilterResult {
        error_code: ErrorCode::SECURITY_DISABLED,
        error_message: Some("No Authorizer is configured.".to_owned()),
        ..DeleteAclsFilterResult::default()
    };
    DeleteAclsResponse { filter_results: vec![refused; request.filters.len()], ..DeleteAclsResponse::default() }
}
