//! ElectLeaders: with one replica the preferred leader leads already.

use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult, TopicPartitions,
};
use stratalog_types::PartitionIndex;

use super::node::Node;
use crate::metadata::Image;
use crate::net::RequestContext;

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

pub async fn handle(
    node: Arc<Node>,
    _context: RequestContext,
    request: ElectLeadersRequest,
    _version: i16,
) -> ElectLeadersResponse {
    let image = node.image();
    let election = request.election_type;
    let is_known = matches!(election, PREFERRED | UNCLEAN);
    let results = match &request.topic_partitions {
        Some(asked) => asked.iter().map(|topic| of_topic(&image, topic, election)).collect(),
        // Asked for all, Kafka leaves out those that need no election: the topics stay, empty.
        None if is_known => image
            .topics()
            .map(|topic| ReplicaElectionResult { topic: topic.name.to_string(), partition_result: Vec::new() })
            .collect(),
        None => Vec::new(),
    };
    ElectLeadersResponse {
        error_code: if is_known { ErrorCode::NONE } else { ErrorCode::INVALID_REQUEST },
        replica_election_results: results,
        ..ElectLeadersResponse::default()
    }
}

fn of_topic(image: &Image, asked: &TopicPartitions, election: i8) -> ReplicaElectionResult {
    let partition_result = asked.partitions.iter().map(|index| {
        let (error_code, message) = verdict(image, &asked.topic, *index, election);
        PartitionResult { partition_id: *index, error_code, error_message: Some(message) }
    });
    ReplicaElectionResult { topic: asked.topic.clone(), partition_result: partition_result.collect() }
}

fn verdict(image: &Image, topic: &str, index: i32, election: i8) -> (ErrorCode, String) {
    if !matches!(election, PREFERRED | UNCLEAN) {
        return (ErrorCode::INVALID_REQUEST, format!("Unknown election type {election}"));
    }
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    let Some(known) = image.topic(topic) else { return (unknown, format!("No such topic as {topic}")) };
    match known.partition(PartitionIndex(index)) {
        Some(_) => (ErrorCode::ELECTION_NOT_NEEDED, "Leader election not needed for topic partition.".to_owned()),
        None => (unknown, format!("No such partition as {topic}-{index}")),
    }
}
