//! Metadata: brokers and topics; creates a missing topic where the client and `auto.create.topics.enable` allow it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use stratalog_types::TopicId;

use super::create_topics::{self, Creation};
use super::group::offsets_creation;
use super::node::Node;
use super::operations;
use crate::coordinator::OFFSETS_TOPIC;
use crate::metadata::{Image, Topic, topic_name};
use crate::net::RequestContext;
use crate::partition::Slot;

/// The first version that may ask by topic id; the field is older (KIP-516).
const TOPIC_ID_SINCE: i16 = 12;
/// Before this version every request may create topics.
const AUTO_CREATION_FLAG_SINCE: i16 = 4;
/// A partition without a leader.
pub(super) const NO_LEADER: i32 = -1;

pub async fn handle(
    node: Arc<Node>,
    context: RequestContext,
    request: MetadataRequest,
    version: i16,
) -> MetadataResponse {
    let (host, port) = node.advertised(&context);
    let image = node.image();
    let brokers = image.brokers.iter().map(|broker| MetadataResponseBroker {
        node_id: broker.id,
        host: host.clone(),
        port,
        rack: broker.rack.clone(),
    });
    let brokers = brokers.collect();
    let asked = request.topics.as_deref().filter(|topics| version > 0 || !topics.is_empty());
    let mut topics: Vec<MetadataResponseTopic> = match asked {
        None => image.topics().map(|topic| describe(&node, topic)).collect(),
        Some(asked) => {
            let may_create = version < AUTO_CREATION_FLAG_SINCE || request.allow_auto_topic_creation;
            let mut described = Vec::new();
            let mut seen = HashSet::new();
            for topic in asked.iter().filter(|topic| seen.insert((topic.topic_id, topic.name.as_deref()))) {
                described.push(find(&node, &image, topic, may_create, version).await);
            }
            described
        }
    };
    if request.include_topic_authorized_operations {
        let known = topics.iter_mut().filter(|topic| topic.error_code.is_none());
        known.for_each(|topic| topic.topic_authorized_operations = operations::TOPIC);
    }
    let include_cluster = request.include_cluster_authorized_operations;
    MetadataResponse {
        brokers,
        cluster_id: Some(node.cluster_id.clone()),
        controller_id: node.node_id(),
        topics,
        cluster_authorized_operations: if include_cluster { operations::CLUSTER } else { i32::MIN },
        ..MetadataResponse::default()
    }
}

async fn find(
    node: &Arc<Node>,
    image: &Image,
    asked: &MetadataRequestTopic,
    may_create: bool,
    version: i16,
) -> MetadataResponseTopic {
    let id = TopicId(asked.topic_id);
    let refusal = |error_code, name: Option<&str>| MetadataResponseTopic {
        error_code,
        name: name.map(str::to_owned).or_else(|| (version < 12).then(String::new)),
        topic_id: id.0,
        ..MetadataResponseTopic::default()
    };
    if !id.is_zero() && version < TOPIC_ID_SINCE {
        return refusal(ErrorCode::INVALID_REQUEST, asked.name.as_deref());
    }
    if !id.is_zero() {
        return match image.topic_by_id(id) {
            Some(topic) => describe(node, topic),
            None => refusal(ErrorCode::UNKNOWN_TOPIC_ID, None),
        };
    }
    let Some(name) = asked.name.as_deref() else { return refusal(ErrorCode::INVALID_REQUEST, None) };
    if let Some(topic) = image.topic(name) {
        return describe(node, topic);
    }
    if topic_name::validate(name).is_err() {
        return refusal(ErrorCode::INVALID_TOPIC_EXCEPTION, Some(name));
    }
    if !may_create || !node.config.topics.auto_create {
        return refusal(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, Some(name));
    }
    let creation = if name == OFFSETS_TOPIC {
        offsets_creation(&node.settings())
    } else {
        Creation {
            name: name.to_owned(),
            partitions: None,
            replication_factor: None,
            assignment: None,
            configs: BTreeMap::new(),
        }
    };
    match create_topics::create(node, creation).await {
        Ok(topic) => describe(node, &topic),
        // Somebody else was faster: the topic is there now.
        Err(refused) if refused.code == ErrorCode::TOPIC_ALREADY_EXISTS => match node.image().topic(name) {
            Some(topic) => describe(node, topic),
            None => refusal(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, Some(name)),
        },
        Err(refused) => refusal(refused.code, Some(name)),
    }
}

/// A partition that is offline here has no leader, as in Kafka when the directory of its only replica failed.
fn describe(node: &Node, topic: &Arc<Topic>) -> MetadataResponseTopic {
    let slots = node.partitions.slots(topic.id);
    let partitions = topic.partitions.iter().enumerate().map(|(at, partition)| {
        let described = MetadataResponsePartition {
            partition_index: i32::try_from(at).unwrap_or(i32::MAX),
            leader_id: partition.leader,
            leader_epoch: partition.leader_epoch.0,
            replica_nodes: partition.replicas.clone(),
            isr_nodes: partition.isr.clone(),
            ..MetadataResponsePartition::default()
        };
        if slots.get(at).is_some_and(Slot::is_offline) {
            return MetadataResponsePartition {
                error_code: ErrorCode::LEADER_NOT_AVAILABLE,
                leader_id: NO_LEADER,
                offline_replicas: partition.replicas.clone(),
                ..described
            };
        }
        described
    });
    MetadataResponseTopic {
        name: Some(topic.name.to_string()),
        topic_id: topic.id.0,
        is_internal: topic.is_internal(),
        partitions: partitions.collect(),
        ..MetadataResponseTopic::default()
    }
}
