//! DeleteGroups: empty groups go, with their offsets.

use std::sync::Arc;

use stratalog_coordinator::machine::Request;
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};

use super::group::{answer_of, ask, caller};
use super::node::Node;
use crate::net::RequestContext;

pub async fn handle(
    node: Arc<Node>,
    context: RequestContext,
    request: DeleteGroupsRequest,
    version: i16,
) -> DeleteGroupsResponse {
    let caller = caller(&context, version);
    let mut results: Vec<DeletableGroupResult> = Vec::new();
    for group_id in request.groups_names {
        if results.iter().any(|result| result.group_id == group_id) {
            continue;
        }
        let reply = ask(&node, &group_id, &caller, Request::DeleteGroup { group_id: group_id.clone() }).await;
        let error_code: ErrorCode = answer_of!(reply, DeleteGroup).unwrap_or_else(|error| error);
        results.push(DeletableGroupResult { group_id, error_code });
    }
    DeleteGroupsResponse { results, ..DeleteGroupsResponse::default() }
}
