//! ConsumerGroupHeartbeat: all that a member of the `consumer` protocol says and hears (KIP-848).

use std::sync::Arc;

use stratalog_coordinator::machine::Request;
use stratalog_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use super::group::{answer_of, ask, caller};
use super::node::Node;
use crate::net::RequestContext;

pub async fn handle(
    node: Arc<Node>,
    context: RequestContext,
    request: ConsumerGroupHeartbeatRequest,
    version: i16,
) -> ConsumerGroupHeartbeatResponse {
    let caller = caller(&context, version);
    let group = request.group_id.clone();
    let reply = ask(&node, &group, &caller, Request::ConsumerGroupHeartbeat(request)).await;
    answer_of!(reply, ConsumerGroupHeartbeat).unwrap_or_else(|error_code| ConsumerGroupHeartbeatResponse {
        error_code,
        ..ConsumerGroupHeartbeatResponse::default()
    })
}
