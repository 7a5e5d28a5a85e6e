//! ListTransactions. InitProducerId gives out no transactional ids, so there is never one to list.

use std::sync::Arc;

use stratalog_protocol::messages::list_transactions::{ListTransactionsRequest, ListTransactionsResponse};

use super::node::Node;
use crate::net::RequestContext;

/// Kafka's names of the states.
const STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "PrepareEpochFence",
    "Dead",
];

pub async fn handle(
    _node: Arc<Node>,
    _context: RequestContext,
    request: ListTransactionsRequest,
    _version: i16,
) -> ListTransactionsResponse {
    let mut unknown_state_filters: Vec<String> = Vec::new();
    for state in request.state_filters {
        if !STATES.contains(&state.as_str()) && !unknown_state_filters.contains(&state) {
            unknown_state_filters.push(state);
        }
    }
    ListTransactionsResponse { unknown_state_filters, ..ListTransactionsResponse::default() }
}
