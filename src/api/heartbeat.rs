//! Heartbeat: a member of a classic group is alive, and hears of rebalances.

use std::sync::Arc;

use stratalog_coordinator::machine::Request;
use stratalog_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::group::{answer_of, ask, caller};
use super::node::Node;
use crate::net::RequestContext;

pub async fn handle(
    node: Arc<Node>,
    context: RequestContext,
    request: HeartbeatRequest,
    version: i16,
) -> HeartbeatResponse {
    let caller = caller(&context, version);
    let group = request.group_id.clone();
    let reply = ask(&node, &group, &caller, Request::Heartbeat(request)).await;
    answer_of!(reply, Heartbeat)
        .unwrap_or_else(|error_code| HeartbeatResponse { error_code, ..HeartbeatResponse::default() })
}
