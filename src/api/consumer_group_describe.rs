//! ConsumerGroupDescribe: state, epochs, members and assignments of groups of the `consumer` protocol.

use std::sync::Arc;

use stratalog_coordinator::machine::Request;
use stratalog_protocol::messages::consumer_group_describe::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup,
};

use super::group::{answer_of, ask, caller};
use super::node::Node;
use super::operations;
use crate::net::RequestContext;

pub async fn handle(
    node: Arc<Node>,
    context: RequestContext,
    request: ConsumerGroupDescribeRequest,
    version: i16,
) -> ConsumerGroupDescribeResponse {
    let caller = caller(&context, version);
    let mut groups = Vec::new();
    for group_id in request.group_ids {
        let reply = ask(&node, &group_id, &caller, Request::DescribeConsumer { group_id: group_id.clone() }).await;
        let mut described = answer_of!(reply, DescribeConsumer).unwrap_or_else(|error_code| DescribedGroup {
            error_code,
            group_id,
            ..DescribedGroup::default()
        });
        if request.include_authorized_operations && described.error_code.is_none() {
            described.authorized_operations = operations::GROUP;
        }
        groups.push(described);
    }
    ConsumerGroupDescribeResponse { groups, ..ConsumerGroupDescribeResponse::default() }
}
