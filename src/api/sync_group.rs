//! SyncGroup: the leader brings the assignment, everybody gets a part.

use std::sync::Arc;

use stratalog_coordinator::machine::Request;
use stratalog_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use super::group::{answer_of, ask, caller};
use super::node::Node;
use crate::net::RequestContext;

pub async fn handle(
    node: Arc<Node>,
    context: RequestContext,
    request: SyncGroupRequest,
    version: i16,
) -> SyncGroupResponse {
    let caller = caller(&context, version);
    let group = request.group_id.clone();
    let reply = ask(&node, &group, &caller, Request::SyncGroup(request)).await;
    answer_of!(reply, SyncGroup)
        .unwrap_or_else(|error_code| SyncGroupResponse { error_code, ..SyncGroupResponse::default() })
}
