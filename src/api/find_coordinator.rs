//! FindCoordinator: on one node this broker coordinates every key. The first who asks for a group's makes the topic that
//! groups are kept in.

use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};

use super::create_topics;
use super::group::offsets_creation;
use super::node::Node;
use super::refusal::blocking;
use crate::coordinator::OFFSETS_TOPIC;
use crate::net::RequestContext;

/// The first version that asks for several keys at a time (KIP-699).
const BATCHED_SINCE: i16 = 4;
const GROUP: i8 = 0;

pub async fn handle(
    node: Arc<Node>,
    context: RequestContext,
    request: FindCoordinatorRequest,
    version: i16,
) -> FindCoordinatorResponse {
    let (host, port) = node.advertised(&context);
    let served = request.key_type != GROUP || offsets_topic(&node).await;
    let find = |key: &str| {
        let refused = match request.key_type {
            GROUP if served && !node.groups.has_leader(key) => {
                Some((ErrorCode::COORDINATOR_NOT_AVAILABLE, "the partition that this group is kept in is offline"))
            }
            GROUP if served => None,
            GROUP => Some((ErrorCode::COORDINATOR_NOT_AVAILABLE, "the offsets topic could not be made")),
            // Transaction and share coordinators are not served yet.
            1 | 2 => Some((ErrorCode::COORDINATOR_NOT_AVAILABLE, "this coordinator is not served by this version")),
            _ => Some((ErrorCode::INVALID_REQUEST, "unknown coordinator type")),
        };
        let mut found = Coordinator { key: key.to_owned(), error_message: None, ..Coordinator::default() };
        match refused {
            None => (found.node_id, found.host, found.port) = (node.node_id(), host.clone(), port),
            Some((code, message)) => {
                (found.node_id, found.port) = (-1, -1);
                (found.error_code, found.error_message) = (code, Some(message.to_owned()));
            }
        }
        found
    };
    if version >= BATCHED_SINCE {
        let coordinators = request.coordinator_keys.iter().map(|key| find(key)).collect();
        return FindCoordinatorResponse { coordinators, ..FindCoordinatorResponse::default() };
    }
    let found = find(&request.key);
    FindCoordinatorResponse {
        error_code: found.error_code,
        error_message: found.error_message,
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..FindCoordinatorResponse::default()
    }
}

/// Whether the topic of groups is there; it is made if it is not.
async fn offsets_topic(node: &Arc<Node>) -> bool {
    if node.groups.is_open() {
        return true;
    }
    let creation = offsets_creation(&node.settings());
    match create_topics::create(node, creation).await {
        Ok(_) => {}
        // Somebody else makes it, and may not be done.
        Err(refusal) if refusal.code == ErrorCode::TOPIC_ALREADY_EXISTS => {
            let node = node.clone();
            let made = blocking(move || {
                drop(node.lock_changes());
                Ok(())
            });
            if made.await.is_err() {
                return false;
            }
        }
        Err(refusal) => {
            let problem = refusal.message.unwrap_or_else(|| refusal.code.to_string());
            tracing::error!("{OFFSETS_TOPIC} cannot be made: {problem}");
            return false;
        }
    }
    node.groups.open().await;
    node.groups.is_open()
}
