//! LeaveGroup: members go, of themselves or by an administrator.

use std::sync::Arc;

use stratalog_coordinator::machine::Request;
use stratalog_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use super::group::{answer_of, ask, caller};
use super::node::Node;
use crate::net::RequestContext;

pub async fn handle(
    node: Arc<Node>,
    context: RequestContext,
    request: LeaveGroupRequest,
    version: i16,
) -> LeaveGroupResponse {
    let caller = caller(&context, version);
    let group = request.group_id.clone();
    let reply = ask(&node, &group, &caller, Request::LeaveGroup(request)).await;
    answer_of!(reply, LeaveGroup)
        .unwrap_or_else(|error_code| LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() })
}
