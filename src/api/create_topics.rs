//! CreateTopics, and the creation that Metadata does on demand.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest,
    CreateTopicsResponse,
};
use stratalog_types::TopicId;

use super::node::Node;
use super::refusal::{Refusal, blocking};
use crate::config::{TopicConfig, describe, without_effect};
use crate::metadata::{NewTopic, Topic};
use crate::net::RequestContext;

/// Kafka's bound for one request.
const PARTITIONS_PER_REQUEST_MAX: usize = 10_000;
/// "The broker's default" in `num_partitions` and `replication_factor` (KIP-464).
const NOT_GIVEN: i32 = -1;
/// The log of Kafka's own metadata: no topic may take its name.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// A topic to create; `None` is the broker's default.
#[derive(Debug, Clone)]
pub struct Creation {
    pub name: String,
    pub partitions: Option<i32>,
    pub replication_factor: Option<i16>,
    /// Replicas by partition, instead of the two above.
    pub assignment: Option<Vec<Vec<i32>>>,
    pub configs: BTreeMap<String, String>,
}

pub async fn handle(
    node: Arc<Node>,
    _context: RequestContext,
    request: CreateTopicsRequest,
    _version: i16,
) -> CreateTopicsResponse {
    let mut seen = HashSet::new();
    let repeated: HashSet<&str> =
        request.topics.iter().map(|topic| topic.name.as_str()).filter(|name| !seen.insert(*name)).collect();
    let excessive = partitions_asked(&request.topics) > PARTITIONS_PER_REQUEST_MAX;
    let mut told = HashSet::new();
    let mut topics = Vec::new();
    for topic in &request.topics {
        if !told.insert(topic.name.as_str()) {
            continue;
        }
        let result = if repeated.contains(topic.name.as_str()) {
            Err(Refusal::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name."))
        } else if excessive {
            Err(Refusal::new(ErrorCode::POLICY_VIOLATION, "Excessively large number of partitions per request."))
        } else {
            create_asked(&node, topic, request.validate_only).await
        };
        topics.push(result.unwrap_or_else(|refusal| refused(topic, refusal)));
    }
    CreateTopicsResponse { topics, ..CreateTopicsResponse::default() }
}

fn partitions_asked(topics: &[CreatableTopic]) -> usize {
    let of = |topic: &CreatableTopic| match topic.assignments.len() {
        0 => usize::try_from(topic.num_partitions).unwrap_or(1),
        assigned => assigned,
    };
    topics.iter().fold(0usize, |sum, topic| sum.saturating_add(of(topic)))
}

fn refused(topic: &CreatableTopic, refusal: Refusal) -> CreatableTopicResult {
    CreatableTopicResult {
        name: topic.name.clone(),
        error_code: refusal.code,
        error_message: refusal.message,
        num_partitions: NOT_GIVEN,
        replication_factor: -1,
        configs: Some(Vec::new()),
        ..CreatableTopicResult::default()
    }
}

async fn create_asked(
    node: &Arc<Node>,
    asked: &CreatableTopic,
    validate_only: bool,
) -> Result<CreatableTopicResult, Refusal> {
    check_new_name(node, &asked.name)?;
    let new = plan(node, creation(asked)?)?;
    let described = describe::describe_topic(&node.settings(), &new.configs);
    let (partitions, replicas) = (new.assignment.len(), new.assignment.first().map_or(0, Vec::len));
    // As Kafka, which gives a rehearsed topic an id too.
    let topic_id = if validate_only { TopicId::random() } else { commit(node, new).await?.id };
    let configs = described.into_iter().map(|config| CreatableTopicConfigs {
        name: config.name.to_owned(),
        value: config.value,
        read_only: config.read_only,
        config_source: config.source as i8,
        is_sensitive: config.is_sensitive,
    });
    Ok(CreatableTopicResult {
        name: asked.name.clone(),
        topic_id: topic_id.0,
        error_message: None,
        num_partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
        replication_factor: i16::try_from(replicas).unwrap_or(i16::MAX),
        configs: Some(configs.collect()),
        ..CreatableTopicResult::default()
    })
}

/// What the request says of a topic, once it does not contradict itself.
fn creation(asked: &CreatableTopic) -> Result<Creation, Refusal> {
    let mut configs = BTreeMap::new();
    for config in &asked.configs {
        let Some(value) = &config.value else {
            let problem = format!("Null value not supported for topic configs: {}", config.name);
            return Err(Refusal::new(ErrorCode::INVALID_CONFIG, problem));
        };
        configs.insert(config.name.clone(), value.clone());
    }
    let invalid = |problem: &str| Err(Refusal::new(ErrorCode::INVALID_REQUEST, problem));
    let assignment = if asked.assignments.is_empty() {
        None
    } else if asked.replication_factor != -1 {
        return invalid("A manual partition assignment was specified, but replication factor was not set to -1.");
    } else if asked.num_partitions != NOT_GIVEN {
        return invalid("A manual partition assignment was specified, but numPartitions was not set to -1.");
    } else {
        Some(manual_assignment(&asked.assignments)?)
    };
    Ok(Creation {
        name: asked.name.clone(),
        partitions: (asked.num_partitions != NOT_GIVEN).then_some(asked.num_partitions),
        replication_factor: (asked.replication_factor != -1).then_some(asked.replication_factor),
        assignment,
        configs,
    })
}

fn check_new_name(node: &Node, name: &str) -> Result<(), Refusal> {
    if name == METADATA_TOPIC {
        let problem = format!("Creation of internal topic {METADATA_TOPIC} is prohibited.");
        return Err(Refusal::new(ErrorCode::INVALID_REQUEST, problem));
    }
    Ok(node.metadata.check_new_name(name)?)
}

/// Validates, stores and opens a topic.
pub async fn create(node: &Arc<Node>, creation: Creation) -> Result<Arc<Topic>, Refusal> {
    commit(node, plan(node, creation)?).await
}

fn plan(node: &Node, creation: Creation) -> Result<NewTopic, Refusal> {
    check_new_name(node, &creation.name)?;
    let settings = node.settings();
    let tier = node.config.tier.is_some();
    let configs = TopicConfig::creation_overrides(&settings, &creation.configs, tier);
    TopicConfig::validate(&settings, &BTreeMap::new(), &configs, tier)
        .map_err(|error| Refusal::invalid_config(&error))?;
    let image = node.image();
    let brokers: Vec<i32> = image.brokers.iter().map(|broker| broker.id).collect();
    let assignment = match creation.assignment {
        Some(assignment) => check_assignment(assignment, &brokers, None)?,
        None => {
            let replication_factor = creation.replication_factor.unwrap_or(node.config.topics.replication_factor);
            let Some(replicas) = usize::try_from(replication_factor).ok().filter(|count| *count > 0) else {
                let problem = "Replication factor must be larger than 0, or -1 to use the default value.";
                return Err(Refusal::new(ErrorCode::INVALID_REPLICATION_FACTOR, problem));
            };
            let partitions = creation.partitions.unwrap_or(node.config.topics.partitions);
            let Some(partitions) = usize::try_from(partitions).ok().filter(|count| *count > 0) else {
                let problem = "Number of partitions was set to an invalid non-positive value.";
                return Err(Refusal::new(ErrorCode::INVALID_PARTITIONS, problem));
            };
            automatic_assignment(0..partitions, replicas, &brokers)?
        }
    };
    Ok(NewTopic { name: creation.name, assignment, configs, created_at_ms: node.clock.now_ms() })
}

/// Durable in the metadata first, then the directories: a crash between is healed at the next start, a failure between
/// is undone, so that no topic stays whose partitions do not serve.
async fn commit(node: &Arc<Node>, new: NewTopic) -> Result<Arc<Topic>, Refusal> {
    let node = node.clone();
    blocking(move || {
        let _changing = node.lock_changes();
        let topic = node.metadata.create_topic(new)?;
        node.open_partitions(&topic).map_err(|error| {
            tracing::error!(topic = %topic.name, "topic not created, its logs cannot be made: {error}");
            if let Err(error) = node.metadata.delete_topic(topic.id) {
                tracing::error!(topic = %topic.name, "topic without logs not undone: {error}; delete it");
            }
            Refusal::new(ErrorCode::KAFKA_STORAGE_ERROR, error.to_string())
        })?;
        for line in without_effect(&topic.configs) {
            tracing::info!(topic = %topic.name, "{line}");
        }
        Ok(topic)
    })
    .await
}

/// `replicas` brokers for each of `partitions`, leaders taking turns.
pub fn automatic_assignment(
    partitions: Range<usize>,
    replicas: usize,
    brokers: &[i32],
) -> Result<Vec<Vec<i32>>, Refusal> {
    if partitions.len() > PARTITIONS_PER_REQUEST_MAX {
        return Err(Refusal::new(ErrorCode::POLICY_VIOLATION, "Excessively large number of partitions per request."));
    }
    if replicas > brokers.len() {
        let problem = format!(
            "Unable to replicate the partition {replicas} time(s): The target replication factor of {replicas} cannot be reached because only {} broker(s) are registered.",
            brokers.len()
        );
        return Err(Refusal::new(ErrorCode::INVALID_REPLICATION_FACTOR, problem));
    }
    let of_partition =
        |index: usize| brokers.iter().cycle().skip(index % brokers.len().max(1)).take(replicas).copied().collect();
    Ok(partitions.map(of_partition).collect())
}

/// The request's assignment as a list by partition: from 0, without holes.
fn manual_assignment(asked: &[CreatableReplicaAssignment]) -> Result<Vec<Vec<i32>>, Refusal> {
    let refuse = |problem: String| Err(Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, problem));
    let mut by_partition = BTreeMap::new();
    for assignment in asked {
        let index = assignment.partition_index;
        if by_partition.insert(index, assignment.broker_ids.clone()).is_some() {
            return refuse(format!("Found multiple manual partition assignments for partition {index}"));
        }
    }
    if by_partition.keys().copied().ne(0..i32::try_from(asked.len()).unwrap_or(i32::MAX)) {
        return refuse("partitions should be a consecutive 0-based integer sequence".to_owned());
    }
    Ok(by_partition.into_values().collect())
}

/// Every partition has `factor` replicas (or as many as the first one has), each a registered broker, none twice.
pub fn check_assignment(
    assignment: Vec<Vec<i32>>,
    brokers: &[i32],
    factor: Option<usize>,
) -> Result<Vec<Vec<i32>>, Refusal> {
    let factor = factor.or_else(|| assignment.first().map(Vec::len));
    for replicas in &assignment {
        check_replicas(replicas, brokers)?;
        if let Some(factor) = factor.filter(|factor| *factor != replicas.len()) {
            let problem = format!(
                "The manual partition assignment includes a partition with {} replica(s), but this is not consistent with previous partitions, which have {factor} replica(s).",
                replicas.len()
            );
            return Err(Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, problem));
        }
    }
    Ok(assignment)
}

/// The replicas of one partition.
pub fn check_replicas(replicas: &[i32], brokers: &[i32]) -> Result<(), Refusal> {
    let refuse = |problem: String| Err(Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, problem));
    if replicas.is_empty() {
        return refuse("The manual partition assignment includes an empty replica list.".to_owned());
    }
    if let Some(unknown) = replicas.iter().find(|id| !brokers.contains(id)) {
        return refuse(format!(
            "The manual partition assignment includes broker {unknown}, but no such broker is registered."
        ));
    }
    let mut seen = HashSet::new();
    if let Some(twice) = replicas.iter().find(|id| !seen.insert(**id)) {
        return refuse(format!("The manual partition assignment includes the broker {twice} more than once."));
    }
    Ok(())
}
