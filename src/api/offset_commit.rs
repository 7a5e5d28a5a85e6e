//! OffsetCommit: how far a group has read becomes durable.

use std::sync::Arc;

use stratalog_coordinator::machine::Request;
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use stratalog_types::{PartitionIndex, TopicId};
use uuid::Uuid;

use super::group::{answer_of, ask, caller};
use super::node::Node;
use crate::metadata::Image;
use crate::net::RequestContext;

/// The first version that names topics by id.
const TOPIC_ID_SINCE: i16 = 10;

pub async fn handle(
    node: Arc<Node>,
    context: RequestContext,
    mut request: OffsetCommitRequest,
    version: i16,
) -> OffsetCommitResponse {
    let caller = caller(&context, version);
    let mut answered = OffsetCommitResponse::default();
    let topics = std::mem::take(&mut request.topics);
    request.topics = known(&node.image(), topics, version, &mut answered.topics);
    if request.topics.is_empty() && !answered.topics.is_empty() {
        return answered;
    }
    let group = request.group_id.clone();
    let asked: Vec<Asked> = request.topics.iter().map(Asked::of).collect();
    let reply = ask(&node, &group, &caller, Request::OffsetCommit(request)).await;
    let topics = match answer_of!(reply, OffsetCommit) {
        Ok(response) => response.topics,
        Err(error) => asked.into_iter().map(|topic| topic.refused(error)).collect(),
    };
    for topic in topics {
        let same = |other: &&mut OffsetCommitResponseTopic| {
            other.name == topic.name && (version < TOPIC_ID_SINCE || other.topic_id == topic.topic_id)
        };
        match answered.topics.iter_mut().find(same) {
            Some(other) => other.partitions.extend(topic.partitions),
            None => answered.topics.push(topic),
        }
    }
    answered
}

/// The topics and partitions that are there, with names; the others are answered.
fn known(
    image: &Image,
    topics: Vec<OffsetCommitRequestTopic>,
    version: i16,
    answered: &mut Vec<OffsetCommitResponseTopic>,
) -> Vec<OffsetCommitRequestTopic> {
    let mut known = Vec::new();
    for mut topic in topics {
        let by_id = version >= TOPIC_ID_SINCE;
        let there = if by_id { image.topic_by_id(TopicId(topic.topic_id)) } else { image.topic(&topic.name) };
        let missing = if by_id { ErrorCode::UNKNOWN_TOPIC_ID } else { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION };
        if let Some(there) = there {
            topic.name = there.name.to_string();
        }
        let is_there = |partition: &OffsetCommitRequestPartition| {
            there.is_some_and(|there| there.partition(PartitionIndex(partition.partition_index)).is_some())
        };
        let (found, unknown): (Vec<_>, Vec<_>) = topic.partitions.into_iter().partition(is_there);
        let error_code = if there.is_some() { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION } else { missing };
        if !unknown.is_empty() {
            let partitions = unknown.iter().map(|partition| OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code,
            });
            let partitions = partitions.collect();
            answered.push(OffsetCommitResponseTopic { name: topic.name.clone(), topic_id: topic.topic_id, partitions });
        }
        if !found.is_empty() {
            known.push(OffsetCommitRequestTopic { partitions: found, ..topic });
        }
    }
    known
}

/// What is needed to refuse a topic after it was handed on.
struct Asked {
    name: String,
    topic_id: Uuid,
    partitions: Vec<i32>,
}

impl Asked {
    fn of(topic: &OffsetCommitRequestTopic) -> Asked {
        let partitions = topic.partitions.iter().map(|partition| partition.partition_index).collect();
        Asked { name: topic.name.clone(), topic_id: topic.topic_id, partitions }
    }

    fn refused(self, error_code: ErrorCode) -> OffsetCommitResponseTopic {
        let partitions = self.partitions.into_iter();
        OffsetCommitResponseTopic {
            name: self.name,
            topic_id: self.topic_id,
            partitions: partitions
                .map(|partition_index| OffsetCommitResponsePartition { partition_index, error_code })
                .collect(),
        }
    }
}
