//! DescribeLogDirs: the data directory, its volume, and the bytes of each partition on it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};

use super::node::Node;
use crate::net::RequestContext;
use crate::partition::Partition;
use crate::platform::volume;

pub async fn handle(
    node: Arc<Node>,
    _context: RequestContext,
    request: DescribeLogDirsRequest,
    _version: i16,
) -> DescribeLogDirsResponse {
    let described = tokio::task::spawn_blocking(move || describe(&node, request.topics.as_deref()));
    match described.await {
        Ok(result) => DescribeLogDirsResponse { results: vec![result], ..DescribeLogDirsResponse::default() },
        Err(_) => DescribeLogDirsResponse {
            error_code: ErrorCode::UNKNOWN_SERVER_ERROR,
            ..DescribeLogDirsResponse::default()
        },
    }
}

fn describe(node: &Node, asked: Option<&[DescribableLogDirTopic]>) -> DescribeLogDirsResult {
    let log_dir = node.partitions.log_dir();
    let path = log_dir.path();
    let mut result = DescribeLogDirsResult {
        log_dir: path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string(),
        ..DescribeLogDirsResult::default()
    };
    if log_dir.offline().is_some() {
        result.error_code = ErrorCode::KAFKA_STORAGE_ERROR;
        return result;
    }
    match volume::space(path) {
        Ok(space) => {
            let told = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
            (result.total_bytes, result.usable_bytes) = (told(space.total_bytes), told(space.usable_bytes));
        }
        Err(error) => tracing::warn!(path = %path.display(), "size of the volume not known: {error}"),
    }
    result.topics = topics(wanted(node, asked));
    result
}

/// All partitions, or those that are asked for and exist: what is not here is left out.
fn wanted(node: &Node, asked: Option<&[DescribableLogDirTopic]>) -> Vec<Arc<Partition>> {
    let Some(asked) = asked else { return node.partitions.all() };
    let image = node.image();
    let mut seen = HashSet::new();
    let named = asked.iter().flat_map(|topic| topic.partitions.iter().map(|index| (topic.topic.as_str(), *index)));
    named.filter(|one| seen.insert(*one)).filter_map(|(topic, index)| node.partition(&image, topic, index)).collect()
}

fn topics(partitions: Vec<Arc<Partition>>) -> Vec<DescribeLogDirsTopic> {
    let mut by_topic: BTreeMap<Arc<str>, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for partition in partitions {
        let id = partition.topic_partition();
        by_topic.entry(id.topic.clone()).or_default().push(DescribeLogDirsPartition {
            partition_index: id.partition.0,
            partition_size: i64::try_from(partition.log().size_bytes()).unwrap_or(i64::MAX),
            // The leader's own log is never behind its high watermark.
            offset_lag: 0,
            is_future_key: false,
        });
    }
    by_topic.into_iter().map(|(name, partitions)| DescribeLogDirsTopic { name: name.to_string(), partitions }).collect()
}
