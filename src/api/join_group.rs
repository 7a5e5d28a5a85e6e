//! JoinGroup: a member comes to a classic group; the answer waits for the others.

use std::sync::Arc;

use stratalog_coordinator::machine::Request;
use stratalog_protocol::messages::{JoinGroupRequest, JoinGroupResponse};

use super::group::{answer_of, ask, caller};
use super::node::Node;
use crate::net::RequestContext;

/// Before this version no strategy is an empty one.
const NULL_PROTOCOL_SINCE: i16 = 7;

pub async fn handle(
    node: Arc<Node>,
    context: RequestContext,
    request: JoinGroupRequest,
    version: i16,
) -> JoinGroupResponse {
    let caller = caller(&context, version);
    let group = request.group_id.clone();
    let member_id = request.member_id.clone();
    let reply = ask(&node, &group, &caller, Request::JoinGroup(request)).await;
    let mut response = answer_of!(reply, JoinGroup).unwrap_or_else(|error_code| JoinGroupResponse {
        error_code,
        member_id,
        ..JoinGroupResponse::default()
    });
    if version < NULL_PROTOCOL_SINCE {
        response.protocol_name.get_or_insert_default();
    }
    response
}
