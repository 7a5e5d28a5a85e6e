//! OffsetDelete: a group forgets how far it has read, in topics that it does not subscribe to.

use std::sync::Arc;

use stratalog_coordinator::machine::Request;
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestTopic, OffsetDeleteResponse, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};
use stratalog_types::PartitionIndex;

use super::group::{answer_of, ask, caller};
use super::node::Node;
use crate::net::RequestContext;

pub async fn handle(
    node: Arc<Node>,
    context: RequestContext,
    request: OffsetDeleteRequest,
    version: i16,
) -> OffsetDeleteResponse {
    let caller = caller(&context, version);
    let image = node.image();
    let mut refused = Vec::new();
    let mut known = Vec::new();
    for topic in request.topics {
        let there = image.topic(&topic.name);
        let is_there = |index| there.is_some_and(|there| there.partition(PartitionIndex(index)).is_some());
        let (found, missing): (Vec<_>, Vec<_>) =
            topic.partitions.into_iter().partition(|partition| is_there(partition.partition_index));
        if !missing.is_empty() {
            let unknown = missing.into_iter().map(|partition| OffsetDeleteResponsePartition {
                partition_index: partition.partition_index,
                error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            });
            refused.push(OffsetDeleteResponseTopic { name: topic.name.clone(), partitions: unknown.collect() });
        }
        if !found.is_empty() {
            known.push(OffsetDeleteRequestTopic { name: topic.name, partitions: found });
        }
    }
    // The group is checked even if nothing is left to delete, as Kafka does.
    let group = request.group_id.clone();
    let request = OffsetDeleteRequest { group_id: request.group_id, topics: known };
    let reply = ask(&node, &group, &caller, Request::OffsetDelete(request)).await;
    match answer_of!(reply, OffsetDelete) {
        Ok(mut response) if response.error_code.is_none() => {
            for topic in refused {
                match response.topics.iter_mut().find(|known| known.name == topic.name) {
                    Some(known) => known.partitions.extend(topic.partitions),
                    None => response.topics.push(topic),
                }
            }
            response
        }
        Ok(response) => response,
        Err(error_code) => OffsetDeleteResponse { error_code, ..OffsetDeleteResponse::default() },
    }
}
