//! AlterPartitionReassignments: the replicas asked for are those there are, or name a broker that does not exist.

use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use stratalog_types::PartitionIndex;

use super::create_topics::check_replicas;
use super::node::Node;
use super::refusal::Refusal;
use crate::metadata::Image;
use crate::net::RequestContext;

pub async fn handle(
    node: Arc<Node>,
    _context: RequestContext,
    request: AlterPartitionReassignmentsRequest,
    _version: i16,
) -> AlterPartitionReassignmentsResponse {
    let image = node.image();
    let responses = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let refusal = check(&image, &topic.name, asked).err();
            ReassignablePartitionResponse {
                partition_index: asked.partition_index,
                error_code: refusal.as_ref().map_or(ErrorCode::NONE, |refusal| refusal.code),
                error_message: refusal.and_then(|refusal| refusal.message),
            }
        });
        ReassignableTopicResponse { partitions: partitions.collect(), name: topic.name }
    });
    AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: request.allow_replication_factor_change,
        error_message: None,
        responses: responses.collect(),
        ..AlterPartitionReassignmentsResponse::default()
    }
}

fn check(image: &Image, topic: &str, asked: &ReassignablePartition) -> Result<(), Refusal> {
    let unknown = |what: String| Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, what);
    let known = image.topic(topic).ok_or_else(|| unknown(format!("Unable to find a topic named {topic}.")))?;
    let index = asked.partition_index;
    let partition = known.partition(PartitionIndex(index));
    partition.ok_or_else(|| unknown(format!("Unable to find partition {topic}:{index}.")))?;
    let Some(replicas) = &asked.replicas else {
        return Err(Refusal::bare(ErrorCode::NO_REASSIGNMENT_IN_PROGRESS));
    };
    let brokers: Vec<i32> = image.brokers.iter().map(|broker| broker.id).collect();
    check_replicas(replicas, &brokers)
}
