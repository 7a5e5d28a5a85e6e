//! ListOffsets: the special timestamps -1 to -6 and offsets by timestamp, over both tiers.

use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};

use super::error;
use super::node::Node;
use crate::net::RequestContext;
use crate::partition::{Isolation, ListedOffset, OffsetSpec};

pub async fn handle(
    node: Arc<Node>,
    _context: RequestContext,
    request: ListOffsetsRequest,
    version: i16,
) -> ListOffsetsResponse {
    let isolation = if request.isolation_level == 1 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
    let image = node.image();
    let mut topics = Vec::new();
    for topic in request.topics {
        let mut partitions = Vec::new();
        for asked in &topic.partitions {
            let partition = node.partition(&image, &topic.name, asked.partition_index);
            partitions.push(match partition {
                Some(partition) => list(&partition, asked, isolation, version).await,
                None => refusal(asked.partition_index, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            });
        }
        topics.push(ListOffsetsTopicResponse { name: topic.name, partitions });
    }
    ListOffsetsResponse { topics, ..ListOffsetsResponse::default() }
}

async fn list(
    partition: &Arc<crate::partition::Partition>,
    asked: &ListOffsetsPartition,
    isolation: Isolation,
    version: i16,
) -> ListOffsetsPartitionResponse {
    let refuse = |code| refusal(asked.partition_index, code);
    let epoch = partition.leader_epoch().0;
    match asked.current_leader_epoch {
        -1 => {}
        claimed if claimed < epoch => return refuse(ErrorCode::FENCED_LEADER_EPOCH),
        claimed if claimed > epoch => return refuse(ErrorCode::UNKNOWN_LEADER_EPOCH),
        _ => {}
    }
    let Some(spec) = spec(asked.timestamp, version) else { return refuse(ErrorCode::UNSUPPORTED_VERSION) };
    match partition.list_offset(spec, isolation).await {
        Ok(listed) => {
            let ListedOffset { offset, timestamp, leader_epoch } = listed;
            ListOffsetsPartitionResponse {
                partition_index: asked.partition_index,
                timestamp,
                offset,
                leader_epoch: if version >= 4 { leader_epoch } else { -1 },
                ..ListOffsetsPartitionResponse::default()
            }
        }
        Err(error) => {
            tracing::warn!(partition = %partition.topic_partition(), timestamp = asked.timestamp, "offset not found: {error}");
            refuse(error::of_read(&error))
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
