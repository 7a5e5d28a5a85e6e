//! CreateTopics, and the creation that Metadata does on demand.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest,
    CreateTopicsResponse,
};

use super::error;
use super::node::Node;
use crate::config::{TopicConfig, describe};
use crate::metadata::{self, NewTopic, Topic};
use crate::net::RequestContext;

/// Kafka's bound for one request.
const PARTITIONS_PER_REQUEST_MAX: usize = 10_000;
/// "The broker's default" in `num_partitions` and `replication_factor` (KIP-464).
const NOT_GIVEN: i64 = -1;

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

/// Why a topic is not created.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub code: ErrorCode,
    pub message: String,
}

impl Refusal {
    fn new(code: ErrorCode, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into() }
    }
}

impl From<metadata::Error> for Refusal {
    fn from(error: metadata::Error) -> Refusal {
        Refusal::new(error::of_metadata(&error), error.to_string())
    }
}

pub async fn handle(
    node: Arc<Node>,
    _context: RequestContext,
    request: CreateTopicsRequest,
    _version: i16,
) -> CreateTopicsResponse {
    let mut times: HashMap<&str, usize> = HashMap::new();
    request.topics.iter().for_each(|topic| *times.entry(&topic.name).or_default() += 1);
    let asked: usize = request.topics.iter().map(|topic| usize::try_from(topic.num_partitions).unwrap_or(1)).sum();
    let mut topics = Vec::new();
    for topic in &request.topics {
        let result = if asked > PARTITIONS_PER_REQUEST_MAX {
            Err(Refusal::new(ErrorCode::POLICY_VIOLATION, "Excessively large number of partitions per request."))
        } else if times.get(topic.name.as_str()).is_some_and(|times| *times > 1) {
            Err(Refusal::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name."))
        } else {
            create_asked(&node, topic, request.validate_only).await
        };
        let duplicate = topics.iter().any(|done: &CreatableTopicResult| done.name == topic.name);
        if !duplicate {
            topics.push(result.unwrap_or_else(|refusal| CreatableTopicResult {
                name: topic.name.clone(),
                error_code: refusal.code,
                error_message: Some(refusal.message),
                ..CreatableTopicResult::default()
            }));
        }
    }
    CreateTopicsResponse { topics, ..CreateTopicsResponse::default() }
}

async fn create_asked(
    node: &Arc<Node>,
    asked: &CreatableTopic,
    validate_only: bool,
) -> Result<CreatableTopicResult, Refusal> {
    node.metadata.check_new_name(&asked.name)?;
    let assignment = if asked.assignments.is_empty() {
        None
    } else if i64::from(asked.num_partitions) != NOT_GIVEN || i64::from(asked.replication_factor) != NOT_GIVEN {
        let problem = "A manual partition assignment was specified, but numPartitions and replicationFactor were not both set to -1.";
        return Err(Refusal::new(ErrorCode::INVALID_REQUEST, problem));
    } else {
        Some(manual_assignment(&asked.assignments)?)
    };
    let mut configs = BTreeMap::new();
    for config in &asked.configs {
        let Some(value) = &config.value else {
            let problem = format!("Null value not supported for topic configs: {}", config.name);
            return Err(Refusal::new(ErrorCode::INVALID_CONFIG, problem));
        };
        configs.insert(config.name.clone(), value.clone());
    }
    let creation = Creation {
        name: asked.name.clone(),
        partitions: (asked.num_partitions != -1).then_some(asked.num_partitions),
        replication_factor: (asked.replication_factor != -1).then_some(asked.replication_factor),
        assignment,
        configs,
    };
    let new = plan(node, creation)?;
    let described = describe::describe_topic(&node.settings(), &new.configs);
    let (partitions, replicas) = (new.assignment.len(), new.assignment.first().map_or(0, Vec::len));
    let topic_id = if validate_only { Default::default() } else { commit(node, new).await?.id };
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
        error_code: ErrorCode::NONE,
        num_partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
        replication_factor: i16::try_from(replicas).unwrap_or(i16::MAX),
        configs: Some(configs.collect()),
        ..CreatableTopicResult::default()
    })
}

/// Validates, stores and opens a topic.
pub async fn create(node: &Arc<Node>, creation: Creation) -> Result<Arc<Topic>, Refusal> {
    commit(node, plan(node, creation)?).await
}

fn plan(node: &Node, creation: Creation) -> Result<NewTopic, Refusal> {
    node.metadata.check_new_name(&creation.name)?;
    let image = node.image();
    let brokers: Vec<i32> = image.brokers.iter().map(|broker| broker.id).collect();
    let assignment = match creation.assignment {
        Some(assignment) => check_assignment(assignment, &brokers)?,
        None => {
            let partitions = creation.partitions.unwrap_or(node.config.topics.partitions);
            let replication_factor = creation.replication_factor.unwrap_or(node.config.topics.replication_factor);
            automatic_assignment(partitions, replication_factor, &brokers)?
        }
    };
    let settings = node.settings();
    let tier = node.config.tier.is_some();
    let configs = TopicConfig::creation_overrides(&settings, &creation.configs, tier);
    TopicConfig::validate(&settings, &BTreeMap::new(), &configs, tier)
        .map_err(|error| Refusal::new(ErrorCode::INVALID_CONFIG, error.to_string()))?;
    Ok(NewTopic { name: creation.name, assignment, configs, created_at_ms: node.clock.now_ms() })
}

/// Durable in the metadata first, then the directories: a crash between is healed at the next start.
async fn commit(node: &Arc<Node>, new: NewTopic) -> Result<Arc<Topic>, Refusal> {
    let node = node.clone();
    let committed = tokio::task::spawn_blocking(move || {
        let topic = node.metadata.create_topic(new)?;
        node.open_partitions(&topic).map_err(|error| {
            tracing::error!(topic = %topic.name, "topic created, its logs not: {error}");
            Refusal::new(ErrorCode::KAFKA_STORAGE_ERROR, error.to_string())
        })?;
        Ok(topic)
    });
    committed.await.unwrap_or_else(|_| Err(Refusal::new(ErrorCode::UNKNOWN_SERVER_ERROR, "topic creation was cut off")))
}

fn automatic_assignment(partitions: i32, replication_factor: i16, brokers: &[i32]) -> Result<Vec<Vec<i32>>, Refusal> {
    let Some(partitions) = usize::try_from(partitions).ok().filter(|count| *count > 0) else {
        let problem = "Number of partitions was set to an invalid non-positive value.";
        return Err(Refusal::new(ErrorCode::INVALID_PARTITIONS, problem));
    };
    let Some(replicas) = usize::try_from(replication_factor).ok().filter(|count| *count > 0) else {
        let problem = "Replication factor was set to an invalid non-positive value.";
        return Err(Refusal::new(ErrorCode::INVALID_REPLICATION_FACTOR, problem));
    };
    if partitions > PARTITIONS_PER_REQUEST_MAX {
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
        |index: usize| brokers.iter().cycle().skip(index % brokers.len()).take(replicas).copied().collect();
    Ok((0..partitions).map(of_partition).collect())
}

/// The request's assignment as a list by partition: from 0, without holes.
pub fn manual_assignment(asked: &[CreatableReplicaAssignment]) -> Result<Vec<Vec<i32>>, Refusal> {
    let mut by_partition = BTreeMap::new();
    for assignment in asked {
        if by_partition.insert(assignment.partition_index, assignment.broker_ids.clone()).is_some() {
            let problem =
                format!("Found multiple manual partition assignments for partition {}", assignment.partition_index);
            return Err(Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, problem));
        }
    }
    if by_partition.keys().copied().ne(0..i32::try_from(asked.len()).unwrap_or(i32::MAX)) {
        let problem = "partitions should be a consecutive 0-based integer sequence";
        return Err(Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, problem));
    }
    Ok(by_partition.into_values().collect())
}

/// Every partition has replicas, each a registered broker, none twice, all partitions the same number.
pub fn check_assignment(assignment: Vec<Vec<i32>>, brokers: &[i32]) -> Result<Vec<Vec<i32>>, Refusal> {
    let refuse = |problem: String| Err(Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, problem));
    let factor = assignment.first().map_or(0, Vec::len);
    for replicas in &assignment {
        if replicas.is_empty() {
            return refuse("The manual partition assignment includes an empty replica list.".to_owned());
        }
        if let Some(unknown) = replicas.iter().find(|id| !brokers.contains(id)) {
            return refuse(format!(
                "The manual partition assignment includes broker {unknown}, but no such broker is registered."
            ));
        }
        if let Some(twice) = replicas.iter().enumerate().find(|(at, id)| replicas[..*at].contains(id)) {
            return refuse(format!("The manual partition assignment includes the broker {} more than once.", twice.1));
        }
        if replicas.len() != factor {
            return refuse(format!(
                "The manual partition assignment includes a partition with {} replica(s), but this is not consistent with previous partitions, which have {factor} replica(s).",
                replicas.len()
            ));
        }
    }
    Ok(assignment)
}
