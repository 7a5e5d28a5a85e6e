//! DescribeTopicPartitions: partitions of topics in name order, in pages with a cursor (KIP-966).

use std::collections::BTreeSet;
use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};

use super::metadata::NO_LEADER;
use super::node::Node;
use super::operations;
use crate::metadata::{Image, Partition, Topic, topic_name};
use crate::net::RequestContext;
use crate::partition::Slot;

pub async fn handle(
    node: Arc<Node>,
    _context: RequestContext,
    request: DescribeTopicPartitionsRequest,
    _version: i16,
) -> DescribeTopicPartitionsResponse {
    let asked = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let partitions_max = asked.clamp(1, node.config.network.describe_partitions_max.max(1));
    page(&node, &node.image(), &request, partitions_max)
}

fn page(
    node: &Node,
    image: &Image,
    request: &DescribeTopicPartitionsRequest,
    partitions_max: usize,
) -> DescribeTopicPartitionsResponse {
    let from = request.cursor.as_ref().map_or("", |cursor| cursor.topic_name.as_str());
    let mut page = Page { node, left: partitions_max, topics: Vec::new(), next_cursor: None };
    if request.topics.is_empty() {
        for topic in image.topics_from(from) {
            if !page.add(&topic.name, Some(topic), start_in(&topic.name, request)) {
                break;
            }
        }
        return page.response();
    }
    if !is_consistent(request) {
        return refuse_all(request);
    }
    let names: BTreeSet<&str> = request.topics.iter().map(|topic| topic.name.as_str()).collect();
    for name in names.range(from..) {
        if !page.add(name, image.topic(name), start_in(name, request)) {
            break;
        }
    }
    page.response()
}

/// A cursor belongs to a topic that is asked for.
fn is_consistent(request: &DescribeTopicPartitionsRequest) -> bool {
    let fits = |cursor: &Cursor| {
        cursor.partition_index >= 0 && request.topics.iter().any(|topic| topic.name == cursor.topic_name)
    };
    request.cursor.as_ref().is_none_or(fits)
}

fn refuse_all(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let topics = request.topics.iter().map(|topic| DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::INVALID_REQUEST,
        name: Some(topic.name.clone()),
        ..DescribeTopicPartitionsResponseTopic::default()
    });
    DescribeTopicPartitionsResponse { topics: topics.collect(), ..DescribeTopicPartitionsResponse::default() }
}

/// The partition to begin with in the topic `name`.
fn start_in(name: &str, request: &DescribeTopicPartitionsRequest) -> usize {
    let cursor = request.cursor.as_ref().filter(|cursor| cursor.topic_name == name);
    cursor.and_then(|cursor| usize::try_from(cursor.partition_index).ok()).unwrap_or(0)
}

struct Page<'n> {
    node: &'n Node,
    left: usize,
    topics: Vec<DescribeTopicPartitionsResponseTopic>,
    next_cursor: Option<Cursor>,
}

impl Page<'_> {
    /// Adds what fits of a topic; false when the page is full and the rest is for the next one.
    fn add(&mut self, name: &str, topic: Option<&Arc<Topic>>, start: usize) -> bool {
        if self.left == 0 {
            self.next_cursor = Some(Cursor { topic_name: name.to_owned(), partition_index: 0 });
            return false;
        }
        let Some(topic) = topic else {
            self.topics.push(unknown(name));
            return true;
        };
        let slots = self.node.partitions.slots(topic.id);
        let end = start.saturating_add(self.left).min(topic.partitions.len());
        let partitions: Vec<_> = (0i32..)
            .zip(&topic.partitions)
            .take(end)
            .skip(start)
            .map(|(index, partition)| {
                let slot = usize::try_from(index).ok().and_then(|at| slots.get(at));
                describe(index, partition, slot.is_some_and(Slot::is_offline))
            })
            .collect();
        self.left = self.left.saturating_sub(partitions.len());
        self.topics.push(DescribeTopicPartitionsResponseTopic {
            error_code: ErrorCode::NONE,
            name: Some(name.to_owned()),
            topic_id: topic.id.0,
            is_internal: topic.is_internal(),
            partitions,
            topic_authorized_operations: operations::TOPIC,
        });
        if end < topic.partitions.len() {
            let partition_index = i32::try_from(end).unwrap_or(i32::MAX);
            self.next_cursor = Some(Cursor { topic_name: name.to_owned(), partition_index });
            return false;
        }
        true
    }

    fn response(self) -> DescribeTopicPartitionsResponse {
        DescribeTopicPartitionsResponse {
            topics: self.topics,
            next_cursor: self.next_cursor,
            ..DescribeTopicPartitionsResponse::default()
        }
    }
}

fn unknown(name: &str) -> DescribeTopicPartitionsResponseTopic {
    let legal = topic_name::validate(name).is_ok();
    DescribeTopicPartitionsResponseTopic {
        error_code: if legal { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION } else { ErrorCode::INVALID_TOPIC_EXCEPTION },
        name: Some(name.to_owned()),
        topic_authorized_operations: operations::TOPIC,
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn describe(partition_index: i32, partition: &Partition, offline: bool) -> DescribeTopicPartitionsResponsePartition {
    DescribeTopicPartitionsResponsePartition {
        error_code: if offline { ErrorCode::LEADER_NOT_AVAILABLE } else { ErrorCode::NONE },
        partition_index,
        leader_id: if offline { NO_LEADER } else { partition.leader },
        offline_replicas: if offline { partition.replicas.clone() } else { Vec::new() },
        leader_epoch: partition.leader_epoch.0,
        replica_nodes: partition.replicas.clone(),
        isr_nodes: partition.isr.clone(),
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
    }
}
