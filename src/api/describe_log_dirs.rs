//! DescribeLogDirs: each data directory, its volume, and the bytes of each partition on it: of its segments, not of what
//! recovery put aside. A partition that is offline is told with a lag of -1, as Kafka tells one that it does not know.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};
use stratalog_types::TopicPartition;

use super::node::Node;
use crate::log;
use crate::net::RequestContext;
use crate::platform::volume;

/// Kafka's lag of a replica that it does not know.
const LAG_UNKNOWN: i64 = -1;

pub async fn handle(
    node: Arc<Node>,
    _context: RequestContext,
    request: DescribeLogDirsRequest,
    _version: i16,
) -> DescribeLogDirsResponse {
    let described = tokio::task::spawn_blocking(move || describe(&node, request.topics.as_deref()));
    match described.await {
        Ok(results) => DescribeLogDirsResponse { results, ..DescribeLogDirsResponse::default() },
        Err(_) => DescribeLogDirsResponse {
            error_code: ErrorCode::UNKNOWN_SERVER_ERROR,
            ..DescribeLogDirsResponse::default()
        },
    }
}

/// One row for each of `log.dirs`. One that failed has its error and nothing more, as in Kafka.
fn describe(node: &Node, asked: Option<&[DescribableLogDirTopic]>) -> Vec<DescribeLogDirsResult> {
    let mut by_directory = sizes(node, asked);
    let dirs = node.partitions.log_dirs();
    let results = dirs.states().map(|state| {
        let path = state.path;
        let mut result = DescribeLogDirsResult {
            log_dir: path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string(),
            ..DescribeLogDirsResult::default()
        };
        if state.offline.is_some() {
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
        result.topics = topics(by_directory.remove(path).unwrap_or_default());
        result
    });
    results.collect()
}

/// A partition, as far as it is told.
struct Size {
    of: TopicPartition,
    bytes: u64,
    lag: i64,
}

/// By data directory, all partitions, or those that are asked for and exist: what is not here is left out.
fn sizes(node: &Node, asked: Option<&[DescribableLogDirTopic]>) -> HashMap<PathBuf, Vec<Size>> {
    let wanted = |of: &TopicPartition| {
        asked.is_none_or(|asked| {
            let mut topics = asked.iter().filter(|topic| *topic.topic == *of.topic);
            topics.any(|topic| topic.partitions.contains(&of.partition.0))
        })
    };
    let mut by_directory: HashMap<PathBuf, Vec<Size>> = HashMap::new();
    let mut add = |path: &Path, size: Size| {
        if let Some(directory) = path.parent() {
            by_directory.entry(directory.to_owned()).or_default().push(size);
        }
    };
    for partition in node.partitions.all().iter().filter(|partition| wanted(partition.topic_partition())) {
        let (of, log) = (partition.topic_partition().clone(), partition.log());
        // The leader's own log is never behind its high watermark.
        add(log.path(), Size { of, bytes: log.size_bytes(), lag: 0 });
    }
    for offline in node.partitions.offline().iter().filter(|offline| wanted(&offline.topic_partition)) {
        if let Some(path) = &offline.path {
            add(path, Size { of: offline.topic_partition.clone(), bytes: log::segment_bytes(path), lag: LAG_UNKNOWN });
        }
    }
    by_directory
}

fn topics(sizes: Vec<Size>) -> Vec<DescribeLogDirsTopic> {
    let mut by_topic: BTreeMap<Arc<str>, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for Size { of, bytes, lag } in sizes {
        by_topic.entry(of.topic).or_default().push(DescribeLogDirsPartition {
            partition_index: of.partition.0,
            partition_size: i64::try_from(bytes).unwrap_or(i64::MAX),
            offset_lag: lag,
            is_future_key: false,
        });
    }
    by_topic.into_iter().map(|(name, partitions)| DescribeLogDirsTopic { name: name.to_string(), partitions }).collect()
}
