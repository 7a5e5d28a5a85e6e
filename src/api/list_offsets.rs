//! ListOffsets: the special timestamps -1 to -6 and offsets by timestamp, over both tiers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};
use tokio::time::Instant;

use super::error;
use super::node::Node;
use crate::net::RequestContext;
use crate::partition::{Isolation, ListedOffset, OffsetSpec};

/// Partitions of one request that are looked up side by side.
const LOOKUPS_MAX: usize = 64;
/// The first version whose clients know OFFSET_NOT_AVAILABLE (KIP-207).
const END_NOT_KNOWN_SINCE: i16 = 5;

pub async fn handle(
    node: Arc<Node>,
    _context: RequestContext,
    request: ListOffsetsRequest,
    version: i16,
) -> ListOffsetsResponse {
    let asked = Asked {
        isolation: if request.isolation_level == 1 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted },
        version,
        deadline: deadline(&node, request.timeout_ms),
    };
    let image = node.image();
    let repeated = repeated(&request);
    let lookups = request.topics.iter().flat_map(|topic| topic.partitions.iter().map(|row| (&topic.name, row.clone())));
    let lookups = lookups.map(|(topic, row)| {
        let is_repeated = repeated.contains(&(topic.as_str(), row.partition_index));
        let partition = node.partition(&image, topic, row.partition_index);
        async move {
            match partition {
                _ if is_repeated => refusal(row.partition_index, ErrorCode::INVALID_REQUEST),
                Ok(partition) => list(&partition, &row, &asked).await,
                Err(code) => refusal(row.partition_index, code),
            }
        }
    });
    let lookups: Vec<_> = lookups.collect();
    let mut rows = stream::iter(lookups).buffered(LOOKUPS_MAX);
    let mut topics = Vec::new();
    for topic in &request.topics {
        let partitions = rows.by_ref().take(topic.partitions.len()).collect().await;
        topics.push(ListOffsetsTopicResponse { name: topic.name.clone(), partitions });
    }
    ListOffsetsResponse { topics, ..ListOffsetsResponse::default() }
}

/// The partitions that a request names more than once: each of their rows is refused, as Kafka does.
fn repeated(request: &ListOffsetsRequest) -> HashSet<(&str, i32)> {
    let mut seen = HashSet::new();
    let rows = request.topics.iter().flat_map(|topic| {
        let name = topic.name.as_str();
        topic.partitions.iter().map(move |row| (name, row.partition_index))
    });
    rows.filter(|row| !seen.insert(*row)).collect()
}

/// When the whole request is answered: the broker's bound, or the client's where that is less (KIP-1075).
fn deadline(node: &Node, timeout_ms: i32) -> Instant {
    let bound = node.config.tier.as_ref().map_or(Duration::ZERO, |tier| tier.lookup_wait_max);
    let asked = u64::try_from(timeout_ms).ok().filter(|asked| *asked > 0).map(Duration::from_millis);
    Instant::now() + asked.map_or(bound, |asked| asked.min(bound))
}

/// The terms of a request.
#[derive(Clone, Copy)]
struct Asked {
    isolation: Isolation,
    version: i16,
    deadline: Instant,
}

async fn list(
    partition: &Arc<crate::partition::Partition>,
    row: &ListOffsetsPartition,
    asked: &Asked,
) -> ListOffsetsPartitionResponse {
    let version = asked.version;
    let refuse = |code| refusal(row.partition_index, code);
    let epoch = partition.leader_epoch().0;
    match row.current_leader_epoch {
        -1 => {}
        claimed if claimed < epoch => return refuse(ErrorCode::FENCED_LEADER_EPOCH),
        claimed if claimed > epoch => return refuse(ErrorCode::UNKNOWN_LEADER_EPOCH),
        _ => {}
    }
    let Some(spec) = spec(row.timestamp, version) else { return refuse(ErrorCode::UNSUPPORTED_VERSION) };
    match partition.list_offset(spec, asked.isolation, asked.deadline).await {
        Ok(listed) => {
            let ListedOffset { offset, timestamp, leader_epoch } = listed;
            ListOffsetsPartitionResponse {
                partition_index: row.partition_index,
                timestamp,
                offset,
                leader_epoch: if version >= 4 { leader_epoch } else { -1 },
                ..ListOffsetsPartitionResponse::default()
            }
        }
        Err(error) => {
            tracing::warn!(partition = %partition.topic_partition(), timestamp = row.timestamp, "offset not found: {error}");
            match error::of_read(&error) {
                ErrorCode::OFFSET_NOT_AVAILABLE if version < END_NOT_KNOWN_SINCE => {
                    refuse(ErrorCode::LEADER_NOT_AVAILABLE)
                }
                code => refuse(code),
            }
        }
    }
}

/// The special timestamps and the versions that brought them: -3 KIP-734, -4 KIP-405, -5 KIP-1005, -6 KIP-1023.
fn spec(timestamp: i64, version: i16) -> Option<OffsetSpec> {
    match timestamp {
        -1 => Some(OffsetSpec::Latest),
        -2 => Some(OffsetSpec::Earliest),
        -3 if version >= 7 => Some(OffsetSpec::MaxTimestamp),
        -4 if version >= 8 => Some(OffsetSpec::EarliestLocal),
        -5 if version >= 9 => Some(OffsetSpec::LatestTiered),
        -6 if version >= 11 => Some(OffsetSpec::EarliestPendingUpload),
        0.. => Some(OffsetSpec::Timestamp(timestamp)),
        _ => None,
    }
}

fn refusal(partition_index: i32, error_code: ErrorCode) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse { partition_index, error_code, ..ListOffsetsPartitionResponse::default() }
}
