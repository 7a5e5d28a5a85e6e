//! DeleteRecords: moves the log start of partitions forward. The new start is durable on the local disk before it is
//! answered; what lies below goes with the next round of retention, from the disk and from the tier.

use std::sync::Arc;
use std::time::Duration;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};
use stratalog_types::Offset;
use tokio::time::{Instant, timeout_at};

use super::node::Node;
use super::refusal::{Refusal, blocking};
use crate::log::{Log, LogDir};
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
    let plan = |name: &str, asked: &DeleteRecordsPartition| {
        let partition = node.partition(&image, name, asked.partition_index)?;
        Move::of(partition, asked.offset)
    };
    let planned: Vec<_> = request
        .topics
        .iter()
        .map(|topic| topic.partitions.iter().map(|asked| plan(&topic.name, asked)).collect::<Vec<_>>())
        .collect();
    let begun = begin(planned.iter().flatten().flatten(), deadline).await;
    let mut topics = Vec::new();
    for (topic, planned) in request.topics.into_iter().zip(planned) {
        let mut partitions = Vec::new();
        for (asked, planned) in topic.partitions.into_iter().zip(planned) {
            let outcome = match planned {
                Ok(planned) => planned.finish(&begun, deadline).await,
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

/// A log start that is to move.
struct Move {
    partition: Arc<Partition>,
    target: Offset,
}

/// Moves what can be moved with one write for each data directory; answers those where that failed.
async fn begin(moves: impl Iterator<Item = &Move>, deadline: Instant) -> Result<Vec<Arc<LogDir>>, ErrorCode> {
    let moves: Vec<(Arc<Log>, Offset)> = moves.map(|of| (Arc::clone(of.partition.log()), of.target)).collect();
    let moving = blocking(move || {
        let failed = Log::advance_log_starts(&moves).into_iter().map(|(dir, error)| {
            tracing::error!(path = %dir.path().display(), "log starts not moved: {error}");
            dir
        });
        Ok(failed.collect())
    });
    in_time(moving, deadline).await
}

async fn in_time<T>(moving: impl Future<Output = Result<T, Refusal>>, deadline: Instant) -> Result<T, ErrorCode> {
    match timeout_at(deadline, moving).await {
        Ok(moved) => moved.map_err(|refusal| refusal.code),
        Err(_elapsed) => Err(ErrorCode::REQUEST_TIMED_OUT),
    }
}

impl Move {
    fn of(partition: Arc<Partition>, before: i64) -> Result<Move, ErrorCode> {
        if partition.is_behind_tier() {
            return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        }
        let target = target(&partition, before)?;
        Ok(Move { partition, target })
    }

    /// Answers the log start that holds after it. What failed for a whole directory is not tried again for each.
    async fn finish(self, begun: &Result<Vec<Arc<LogDir>>, ErrorCode>, deadline: Instant) -> Result<Offset, ErrorCode> {
        let Move { partition, target } = self;
        if partition.log_start_offset() < target {
            let failed = begun.as_ref().map_err(|code| *code)?;
            if failed.iter().any(|dir| partition.log().is_in(dir)) {
                return Err(ErrorCode::KAFKA_STORAGE_ERROR);
            }
        }
        let moving = blocking(move || {
            partition.log().set_log_start_offset(target).map_err(|error| {
                tracing::error!(partition = %partition.topic_partition(), "log start not moved to {target}: {error}");
                Refusal::new(ErrorCode::KAFKA_STORAGE_ERROR, error.to_string())
            })?;
            Ok(partition.log_start_offset())
        });
        in_time(moving, deadline).await
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
