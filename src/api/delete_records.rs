//! DeleteRecords: moves the log start of partitions forward. The new start is durable on the local disk before it is
//! answered; what lies below goes with the next round of retention, from the disk and from the tier.

use std::sync::Arc;
use std::time::Duration;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use stratalog_types::Offset;
use tokio::time::{Instant, timeout_at};

use super::node::Node;
use super::refusal::{Refusal, blocking};
use crate::metadata::topic_name;
use crate::net::RequestContext;
use crate::partition::Partition;

/// "Up to the high watermark".
const HIGH_WATERMARK: i64 = -1;
/// Kafka's timeout bounds only the wait for followers, and its tools send 0: the local checkpoint gets at least this.
const LOCAL_WAIT_MIN: Duration = Duration::from_secs(5);

pub async fn handle(
    node: Arc<Node>,
    _context: RequestContext,
    request: DeleteRecordsRequest,
    _version: i16,
) -> DeleteRecordsResponse {
    let wait = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let deadline = Instant::now() + wait.max(LOCAL_WAIT_MIN);
    let image = node.image();
    let mut topics = Vec::new();
    for topic in request.topics {
        let mut partitions = Vec::new();
        for asked in topic.partitions {
            let outcome = match node.partition(&image, &topic.name, asked.partition_index) {
                Ok(partition) => delete(partition, asked.offset, deadline).await,
                Err(code) => Err(code),
            };
            partitions.push(DeleteRecordsPartitionResult {
                partition_index: asked.partition_index,
                low_watermark: outcome.map_or(-1, |start| start.0),
                error_code: outcome.err().unwrap_or(ErrorCode::NONE),
            });
        }
        topics.push(DeleteRecordsTopicResult { name: topic.name, partitions });
    }
    DeleteRecordsResponse { topics, ..DeleteRecordsResponse::default() }
}

/// Answers the log start that holds after it.
async fn delete(partition: Arc<Partition>, before: i64, deadline: Instant) -> Result<Offset, ErrorCode> {
    if partition.is_behind_tier() {
        return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
    }
    let target = target(&partition, before)?;
    let moving = blocking(move || {
        partition.log().set_log_start_offset(target).map_err(|error| {
            tracing::error!(partition = %partition.topic_partition(), "log start not moved to {target}: {error}");
            Refusal::new(ErrorCode::KAFKA_STORAGE_ERROR, error.to_string())
        })?;
        Ok(partition.log_start_offset())
    });
    match timeout_at(deadline, moving).await {
        Ok(moved) => moved.map_err(|refusal| refusal.code),
        Err(_elapsed) => Err(ErrorCode::REQUEST_TIMED_OUT),
    }
}

fn target(partition: &Partition, before: i64) -> Result<Offset, ErrorCode> {
    if topic_name::is_internal(&partition.topic_partition().topic) {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
    }
    let config = partition.config();
    if config.cleanup_compact && !config.cleanup_delete {
        return Err(ErrorCode::POLICY_VIOLATION);
    }
    let high_watermark = partition.high_watermark().get();
    let target = if before == HIGH_WATERMARK { high_watermark } else { Offset(before) };
    if target < Offset::ZERO || target > high_watermark {
        return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    Ok(target)
}
