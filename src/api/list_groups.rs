//! ListGroups: every group here, or those in some states or of some types.

use std::sync::Arc;

use stratalog_protocol::messages::list_groups::{ListGroupsRequest, ListGroupsResponse};

use super::error;
use super::group::caller;
use super::node::Node;
use crate::net::RequestContext;

pub async fn handle(
    node: Arc<Node>,
    context: RequestContext,
    request: ListGroupsRequest,
    version: i16,
) -> ListGroupsResponse {
    let caller = caller(&context, version);
    match node.groups.list(&caller, request.states_filter, request.types_filter).await {
        Ok(groups) => ListGroupsResponse { groups, ..ListGroupsResponse::default() },
        Err(failed) => {
            ListGroupsResponse { error_code: error::of_coordinator(failed), ..ListGroupsResponse::default() }
        }
    }
}
