//! OffsetFetch: how far groups have read; several at a time since version 8.

use std::sync::Arc;

use stratalog_coordinator::machine::{Caller, Request};
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use stratalog_types::TopicId;
use uuid::Uuid;

use super::group::{answer_of, ask, caller};
use super::node::Node;
use crate::net::RequestContext;

/// The first version that asks for several groups (KIP-709).
const SEVERAL_SINCE: i16 = 8;
/// The first version that names topics by id.
const TOPIC_ID_SINCE: i16 = 10;
/// The first version with an error of the whole group.
const GROUP_ERROR_SINCE: i16 = 2;

pub async fn handle(
    node: Arc<Node>,
    context: RequestContext,
    request: OffsetFetchRequest,
    version: i16,
) -> OffsetFetchResponse {
    let caller = caller(&context, version);
    let require_stable = request.require_stable;
    if version >= SEVERAL_SINCE {
        let mut groups = Vec::new();
        for group in request.groups {
            groups.push(fetch(&node, &caller, group, require_stable).await);
        }
        return OffsetFetchResponse { groups, ..OffsetFetchResponse::default() };
    }
    let topics = request.topics.map(|topics| {
        let topic =
            |topic: stratalog_protocol::messages::offset_fetch::OffsetFetchRequestTopic| OffsetFetchRequestTopics {
                name: topic.name,
                partition_indexes: topic.partition_indexes,
                ..OffsetFetchRequestTopics::default()
            };
        topics.into_iter().map(topic).collect()
    });
    let group = OffsetFetchRequestGroup { group_id: request.group_id, topics, ..OffsetFetchRequestGroup::default() };
    single(fetch(&node, &caller, group, require_stable).await, version)
}

/// The form of before version 8.
fn single(group: OffsetFetchResponseGroup, version: i16) -> OffsetFetchResponse {
    let by_partition = version < GROUP_ERROR_SINCE && group.error_code.is_error();
    let topics = group.topics.into_iter().map(|topic| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic
            .partitions
            .into_iter()
            .map(|partition| OffsetFetchResponsePartition {
                partition_index: partition.partition_index,
                committed_offset: partition.committed_offset,
                committed_leader_epoch: partition.committed_leader_epoch,
                metadata: partition.metadata,
                error_code: if by_partition { group.error_code } else { partition.error_code },
            })
            .collect(),
    });
    OffsetFetchResponse { topics: topics.collect(), error_code: group.error_code, ..OffsetFetchResponse::default() }
}

async fn fetch(
    node: &Arc<Node>,
    caller: &Caller,
    mut group: OffsetFetchRequestGroup,
    require_stable: bool,
) -> OffsetFetchResponseGroup {
    let by_id = caller.api_version >= TOPIC_ID_SINCE;
    let mut unknown = Vec::new();
    if by_id {
        let image = node.image();
        if let Some(topics) = &mut group.topics {
            topics.retain_mut(|topic| match image.topic_by_id(TopicId(topic.topic_id)) {
                Some(there) => {
                    topic.name = there.name.to_string();
                    true
                }
                None => {
                    unknown.push(refused(topic, ErrorCode::UNKNOWN_TOPIC_ID));
                    false
                }
            });
        }
    }
    let id = group.group_id.clone();
    // Before version 2 an error is told by each partition.
    let asked = if caller.api_version < GROUP_ERROR_SINCE { group.topics.clone() } else { None };
    let reply = ask(node, &id, caller, Request::OffsetFetch { group, require_stable }).await;
    match answer_of!(reply, OffsetFetch) {
        Ok(mut answer) => {
            if by_id {
                name_by_id(node, &mut answer);
            }
            answer.topics.extend(unknown);
            answer
        }
        Err(error_code) => {
            // A consumer before 3.9 takes this for fatal, and the other for "look again".
            let error_code = match error_code {
                ErrorCode::COORDINATOR_NOT_AVAILABLE => ErrorCode::NOT_COORDINATOR,
                other => other,
            };
            let topics = asked.unwrap_or_default().iter().map(|topic| refused(topic, error_code)).collect();
            OffsetFetchResponseGroup { group_id: id, topics, error_code }
        }
    }
}

/// All offsets of a group come by name; a topic that is gone has no id to be told by.
fn name_by_id(node: &Node, answer: &mut OffsetFetchResponseGroup) {
    let image = node.image();
    answer.topics.retain_mut(|topic| {
        if topic.topic_id.is_nil() {
            topic.topic_id = image.topic(&topic.name).map_or(Uuid::nil(), |there| there.id.0);
        }
        !topic.topic_id.is_nil()
    });
}

fn refused(topic: &OffsetFetchRequestTopics, error_code: ErrorCode) -> OffsetFetchResponseTopics {
    let partition = |index: &i32| OffsetFetchResponsePartitions {
        partition_index: *index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(String::new()),
        error_code,
    };
    OffsetFetchResponseTopics {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: topic.partition_indexes.iter().map(partition).collect(),
    }
}
