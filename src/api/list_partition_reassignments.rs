//! ListPartitionReassignments: nothing ever moves on one node. What is not being reassigned, known or not, is left out.

use std::sync::Arc;

use stratalog_protocol::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

use super::node::Node;
use crate::net::RequestContext;

pub async fn handle(
    _node: Arc<Node>,
    _context: RequestContext,
    _request: ListPartitionReassignmentsRequest,
    _version: i16,
) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse { error_message: None, ..ListPartitionReassignmentsResponse::default() }
}
