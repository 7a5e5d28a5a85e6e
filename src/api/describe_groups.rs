//! DescribeGroups: state, strategy and members of classic groups.

use std::sync::Arc;

use stratalog_coordinator::machine::Request;
use stratalog_protocol::messages::describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup};

use super::group::{answer_of, ask, caller};
use super::node::Node;
use super::operations;
use crate::net::RequestContext;

pub async fn handle(
    node: Arc<Node>,
    context: RequestContext,
    request: DescribeGroupsRequest,
    version: i16,
) -> DescribeGroupsResponse {
    let caller = caller(&context, version);
    let mut groups = Vec::new();
    for group_id in request.groups {
        let reply = ask(&node, &group_id, &caller, Request::DescribeClassic { group_id: group_id.clone() }).await;
        let mut described = answer_of!(reply, DescribeClassic).unwrap_or_else(|error_code| DescribedGroup {
            error_code,
            group_id,
            ..DescribedGroup::default()
        });
        if request.include_authorized_operations && described.error_code.is_none() {
            described.authorized_operations = operations::GROUP;
        }
        groups.push(described);
    }
    DescribeGroupsResponse { groups, ..DescribeGroupsResponse::default() }
}
