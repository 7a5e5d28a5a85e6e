//! DescribeProducers: what the log remembers of its producers (KIP-664).

use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};

use super::node::Node;
use super::refusal::Refusal;
use crate::log;
use crate::metadata::{Image, topic_name};
use crate::net::RequestContext;

pub async fn handle(
    node: Arc<Node>,
    _context: RequestContext,
    request: DescribeProducersRequest,
    _version: i16,
) -> DescribeProducersResponse {
    let image = node.image();
    let topics = request.topics.into_iter().map(|topic| {
        let describe = |index: &i32| match producers(&node, &image, &topic.name, *index) {
            Ok(active_producers) => {
                PartitionResponse { partition_index: *index, active_producers, ..PartitionResponse::default() }
            }
            Err(refusal) => PartitionResponse {
                partition_index: *index,
                error_code: refusal.code,
                error_message: refusal.message,
                ..PartitionResponse::default()
            },
        };
        let partitions = topic.partition_indexes.iter().map(describe).collect();
        TopicResponse { name: topic.name, partitions }
    });
    DescribeProducersResponse { topics: topics.collect(), ..DescribeProducersResponse::default() }
}

fn producers(node: &Node, image: &Image, topic: &str, index: i32) -> Result<Vec<ProducerState>, Refusal> {
    topic_name::validate(topic)
        .map_err(|illegal| Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, illegal.to_string()))?;
    image.topic(topic).ok_or_else(Refusal::unknown_topic)?;
    let partition = node.partition(image, topic, index).map_err(Refusal::bare)?;
    Ok(partition.log().active_producers().iter().map(state).collect())
}

fn state(producer: &log::ProducerState) -> ProducerState {
    ProducerState {
        producer_id: producer.producer_id,
        producer_epoch: i32::from(producer.producer_epoch),
        last_sequence: producer.last_sequence(),
        last_timestamp: producer.last_timestamp,
        coordinator_epoch: producer.coordinator_epoch,
        current_txn_start_offset: producer.current_txn_first_offset.unwrap_or(-1),
    }
}
