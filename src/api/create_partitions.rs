//! CreatePartitions: more partitions for topics.

use std::collections::HashSet;
use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
};

use super::create_topics::{automatic_assignment, check_assignment};
use super::node::Node;
use super::refusal::{Refusal, blocking};
use crate::metadata::Topic;
use crate::net::RequestContext;

/// Kafka's bound on what one request may add.
const PARTITIONS_PER_REQUEST_MAX: usize = 10_000;

pub async fn handle(
    node: Arc<Node>,
    _context: RequestContext,
    request: CreatePartitionsRequest,
    _version: i16,
) -> CreatePartitionsResponse {
    let mut seen = HashSet::new();
    let repeated: HashSet<String> =
        request.topics.iter().filter(|topic| !seen.insert(&topic.name)).map(|topic| topic.name.clone()).collect();
    let mut told = HashSet::new();
    let mut left = PARTITIONS_PER_REQUEST_MAX;
    let mut results = Vec::new();
    for asked in request.topics {
        if !told.insert(asked.name.clone()) {
            continue;
        }
        let name = asked.name.clone();
        let outcome = if repeated.contains(&name) {
            Err(Refusal::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name."))
        } else {
            add(&node, asked, request.validate_only, left).await
        };
        let (error_code, error_message) = match outcome {
            Ok(added) => {
                left = left.saturating_sub(added);
                (ErrorCode::NONE, None)
            }
            Err(refusal) => (refusal.code, refusal.message),
        };
        results.push(CreatePartitionsTopicResult { name, error_code, error_message });
    }
    CreatePartitionsResponse { results, ..CreatePartitionsResponse::default() }
}

/// Adds what is asked for, at most `partitions_max`; answers how many.
async fn add(
    node: &Arc<Node>,
    asked: CreatePartitionsTopic,
    validate_only: bool,
    partitions_max: usize,
) -> Result<usize, Refusal> {
    let node = node.clone();
    blocking(move || {
        let _changing = node.lock_changes();
        let image = node.image();
        let unknown = Refusal::bare(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        let topic = image.topic(&asked.name).ok_or(unknown)?;
        let brokers: Vec<i32> = image.brokers.iter().map(|broker| broker.id).collect();
        let assignment = plan(topic, &asked, &brokers, partitions_max)?;
        let added = assignment.len();
        if !validate_only {
            let before = topic.partitions.len();
            let topic = node.metadata.add_partitions(topic.id, before, assignment)?;
            node.open_partitions(&topic).map_err(|error| {
                tracing::error!(topic = %topic.name, "partitions not added, their logs cannot be made: {error}");
                if let Err(error) = node.metadata.remove_added_partitions(topic.id, before) {
                    tracing::error!(topic = %topic.name, "partitions without logs not undone: {error}; delete the topic");
                }
                Refusal::new(ErrorCode::KAFKA_STORAGE_ERROR, error.to_string())
            })?;
        }
        Ok(added)
    })
    .await
}

/// The replicas of each partition to add.
fn plan(
    topic: &Topic,
    asked: &CreatePartitionsTopic,
    brokers: &[i32],
    partitions_max: usize,
) -> Result<Vec<Vec<i32>>, Refusal> {
    let have = topic.partitions.len();
    let wanted = usize::try_from(asked.count).unwrap_or(0);
    if wanted == have {
        return Err(Refusal::new(ErrorCode::INVALID_PARTITIONS, format!("Topic already has {have} partition(s).")));
    }
    if wanted < have {
        let problem = format!(
            "The topic {} currently has {have} partition(s); {} would not be an increase.",
            topic.name, asked.count
        );
        return Err(Refusal::new(ErrorCode::INVALID_PARTITIONS, problem));
    }
    let added = wanted - have;
    if let Some(assignments) = &asked.assignments
        && assignments.len() != added
    {
        let problem = format!(
            "Attempted to add {added} additional partition(s), but only {} assignment(s) were specified.",
            assignments.len()
        );
        return Err(Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, problem));
    }
    if added > partitions_max {
        let problem = "Excessively large number of partitions per request.";
        return Err(Refusal::new(ErrorCode::POLICY_VIOLATION, problem));
    }
    let replicas = topic.partitions.first().map_or(1, |partition| partition.replicas.len());
    match &asked.assignments {
        Some(assignments) => {
            let given = assignments.iter().map(|assignment| assignment.broker_ids.clone()).collect();
            check_assignment(given, brokers, Some(replicas))
        }
        None => automatic_assignment(have..wanted, replicas, brokers),
    }
}
