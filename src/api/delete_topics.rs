//! DeleteTopics, by name and by id: out of the metadata first, then the directories. What the tier holds of a topic goes
//! later, from the intent that the metadata keeps.

use std::collections::HashSet;
use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use stratalog_types::TopicId;
use uuid::Uuid;

use super::node::Node;
use super::refusal::{Refusal, blocking};
use crate::metadata::Image;
use crate::net::RequestContext;

/// The first version that asks by id, and answers with it (KIP-516).
const TOPIC_ID_SINCE: i16 = 6;
/// The first version that knows TOPIC_DELETION_DISABLED.
const DELETION_DISABLED_SINCE: i16 = 3;

pub async fn handle(
    node: Arc<Node>,
    _context: RequestContext,
    request: DeleteTopicsRequest,
    version: i16,
) -> DeleteTopicsResponse {
    let by_name = |name: String| DeleteTopicState { name: Some(name), topic_id: Uuid::nil() };
    let asked: Vec<DeleteTopicState> =
        if version >= TOPIC_ID_SINCE { request.topics } else { request.topic_names.into_iter().map(by_name).collect() };
    let mut responses = Vec::new();
    if !node.config.topics.delete_enable {
        let refusal = deletion_disabled(version);
        responses.extend(asked.into_iter().map(|topic| answer(topic.name, topic.topic_id, Err(refusal.clone()))));
        return DeleteTopicsResponse { responses, ..DeleteTopicsResponse::default() };
    }
    for target in resolve(&node.image(), asked) {
        let outcome = match target.topic {
            Ok(id) => delete(&node, id).await,
            Err(refusal) => Err(refusal),
        };
        responses.push(answer(target.name, target.id, outcome));
    }
    DeleteTopicsResponse { responses, ..DeleteTopicsResponse::default() }
}

fn deletion_disabled(version: i16) -> Refusal {
    if version >= DELETION_DISABLED_SINCE {
        Refusal::new(ErrorCode::TOPIC_DELETION_DISABLED, "Topic deletion is disabled.")
    } else {
        Refusal::new(ErrorCode::INVALID_REQUEST, "Topic deletion is disabled.")
    }
}

fn answer(name: Option<String>, topic_id: Uuid, outcome: Result<(), Refusal>) -> DeletableTopicResult {
    let (error_code, error_message) = match outcome {
        Ok(()) => (ErrorCode::NONE, None),
        Err(refusal) => (refusal.code, refusal.message),
    };
    DeletableTopicResult { name, topic_id, error_code, error_message }
}

/// One row of the answer: what is told of it, and the topic to delete.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    name: Option<String>,
    id: Uuid,
    topic: Result<TopicId, Refusal>,
}

impl Target {
    fn refused(name: Option<String>, id: Uuid, code: ErrorCode, message: &str) -> Target {
        Target { name, id, topic: Err(Refusal::new(code, message)) }
    }
}

/// Each topic once. What is asked for twice, in whichever way, is not deleted at all.
fn resolve(image: &Image, asked: Vec<DeleteTopicState>) -> Vec<Target> {
    let repeated_names = repeated(asked.iter().filter_map(|topic| topic.name.clone()));
    let repeated_ids = repeated(asked.iter().map(|topic| topic.topic_id).filter(|id| !id.is_nil()));
    let by_id = |topic: &DeleteTopicState| {
        topic
            .name
            .is_none()
            .then(|| image.topic_by_id(TopicId(topic.topic_id)))
            .flatten()
            .map(|known| known.name.clone())
    };
    let named_by_id: HashSet<Arc<str>> = asked.iter().filter_map(by_id).collect();
    let names: HashSet<String> = asked.iter().filter_map(|topic| topic.name.clone()).collect();
    let mut told = HashSet::new();
    let mut targets = Vec::new();
    for DeleteTopicState { name, topic_id: id } in asked {
        let refused = |name, code, message| Target::refused(name, id, code, message);
        let target = match (name, id.is_nil()) {
            (None, true) => refused(None, ErrorCode::INVALID_REQUEST, "Neither topic name nor id were specified."),
            (Some(name), false) => {
                refused(Some(name), ErrorCode::INVALID_REQUEST, "You may not specify both topic name and topic id.")
            }
            (Some(name), true) if repeated_names.contains(&name) => {
                refused(Some(name), ErrorCode::INVALID_REQUEST, "Duplicate topic name.")
            }
            (None, false) if repeated_ids.contains(&id) => {
                refused(None, ErrorCode::INVALID_REQUEST, "Duplicate topic id.")
            }
            (Some(name), true) => match image.topic(&name) {
                None => Target { name: Some(name), id, topic: Err(Refusal::unknown_topic()) },
                Some(topic) if named_by_id.contains(&topic.name) => {
                    let problem = "The provided topic name maps to an ID that was already supplied.";
                    Target::refused(Some(name), topic.id.0, ErrorCode::INVALID_REQUEST, problem)
                }
                Some(topic) => Target { name: Some(name), id: topic.id.0, topic: Ok(topic.id) },
            },
            (None, false) => match image.topic_by_id(TopicId(id)) {
                None => refused(None, ErrorCode::UNKNOWN_TOPIC_ID, "This server does not host this topic ID."),
                // Told by the row that names it.
                Some(topic) if names.contains(topic.name.as_ref()) => continue,
                Some(topic) => Target { name: Some(topic.name.to_string()), id, topic: Ok(topic.id) },
            },
        };
        let anonymous = target.name.is_none() && target.id.is_nil();
        if anonymous || told.insert((target.name.clone(), target.id)) {
            targets.push(target);
        }
    }
    targets
}

fn repeated<T: Eq + std::hash::Hash + Clone>(all: impl Iterator<Item = T>) -> HashSet<T> {
    let mut seen = HashSet::new();
    all.filter(|one| !seen.insert(one.clone())).collect()
}

async fn delete(node: &Arc<Node>, id: TopicId) -> Result<(), Refusal> {
    let node = node.clone();
    blocking(move || {
        let _changing = node.lock_changes();
        let topic = node.metadata.delete_topic(id)?;
        node.partitions.delete_topic(id);
        node.groups.topics_deleted(&[(topic.name.to_string(), id.0)]);
        tracing::info!(topic = %topic.name, %id, "topic deleted");
        Ok(())
    })
    .await
}
