//! Produce: appends in request order, acknowledges when what was appended is durable and visible.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use stratalog_protocol::messages::produce::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse,
    TopicProduceData, TopicProduceResponse,
};
use stratalog_protocol::records::BatchError;
use stratalog_protocol::{ErrorCode, Records};
use stratalog_types::{Offset, TopicId};
use tokio::time::{Instant, timeout_at};

use super::call::Outcome;
use super::error;
use super::node::Node;
use crate::metadata::Image;
use crate::metrics::ReasonLabel;
use crate::net::RequestContext;
use crate::partition::{AppendError, Ended, Partition};

/// acks=all: wait for the in-sync replicas. On one node it waits for the same sync as acks=1.
const ACKS_ALL: i16 = -1;
/// The first version whose producers may send zstd (KIP-110).
const ZSTD_SINCE: i16 = 7;
/// The first version that names topics by id (KIP-516).
const TOPIC_ID_SINCE: i16 = 13;

/// A batch in the log that may be acknowledged when the partition's high watermark is at `visible_at`.
struct Pending {
    topic: usize,
    partition: usize,
    appended_to: Arc<Partition>,
    visible_at: Offset,
}

pub fn place(
    node: Arc<Node>,
    _context: RequestContext,
    request: ProduceRequest,
    version: i16,
) -> BoxFuture<'static, Outcome<ProduceResponse>> {
    let acks = request.acks;
    let deadline = Instant::now() + Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let mut placing = Placing { node: &node, image: node.image(), acks, version, pending: Vec::new() };
    let responses = request.topic_data.into_iter().enumerate().map(|(at, topic)| placing.topic(at, topic)).collect();
    let pending = placing.pending;
    let mut response = ProduceResponse { responses, ..ProduceResponse::default() };
    if acks == 0 {
        let outcome = match first_error(&response) {
            Some(code) => Outcome::Close(format!("Produce with acks=0 failed with {code}")),
            None => Outcome::Silent,
        };
        return std::future::ready(outcome).boxed();
    }
    async move {
        let sync_wait = &node.metrics.log_sync_wait;
        let waits = !pending.is_empty();
        let placed_at = Instant::now();
        await_durable(&node, pending, deadline, version, &mut response).await;
        if waits {
            sync_wait.observe(placed_at.elapsed().as_secs_f64());
        }
        Outcome::Answer(response)
    }
    .boxed()
}

fn first_error(response: &ProduceResponse) -> Option<ErrorCode> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    partitions.map(|partition| partition.error_code).find(|code| code.is_error())
}

struct Placing<'a> {
    node: &'a Node,
    image: Arc<Image>,
    acks: i16,
    version: i16,
    pending: Vec<Pending>,
}

impl Placing<'_> {
    fn topic(&mut self, at: usize, data: TopicProduceData) -> TopicProduceResponse {
        let by_id = self.version >= TOPIC_ID_SINCE;
        let (topic, unknown) = if by_id {
            (self.image.topic_by_id(TopicId(data.topic_id)), ErrorCode::UNKNOWN_TOPIC_ID)
        } else {
            (self.image.topic(&data.name), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
        };
        let topic = topic.map(|topic| topic.id);
        let partitions = data.partition_data.into_iter().enumerate();
        let partition_responses =
            partitions.map(|(slot, partition)| self.partition((at, slot), topic.ok_or(unknown), &partition)).collect();
        TopicProduceResponse { name: data.name, topic_id: data.topic_id, partition_responses }
    }

    fn partition(
        &mut self,
        (topic_at, partition_at): (usize, usize),
        topic: Result<TopicId, ErrorCode>,
        data: &PartitionProduceData,
    ) -> PartitionProduceResponse {
        match self.append(topic, data) {
            Ok((partition, appended)) => {
                self.pending.push(Pending {
                    topic: topic_at,
                    partition: partition_at,
                    appended_to: partition,
                    visible_at: appended.visible_at,
                });
                PartitionProduceResponse {
                    index: data.index,
                    base_offset: appended.base_offset.0,
                    log_append_time_ms: appended.log_append_time.unwrap_or(-1),
                    log_start_offset: appended.log_start_offset.0,
                    ..PartitionProduceResponse::default()
                }
            }
            Err(refusal) => {
                let reason = refusal.code.name().unwrap_or("unknown");
                self.node.metrics.produce_refused.get_or_create(&ReasonLabel { reason }).inc();
                refusal.response(data.index)
            }
        }
    }

    fn append(
        &self,
        topic: Result<TopicId, ErrorCode>,
        data: &PartitionProduceData,
    ) -> Result<(Arc<Partition>, crate::partition::Appended), Refusal> {
        if !(ACKS_ALL..=1).contains(&self.acks) {
            return Err(ErrorCode::INVALID_REQUIRED_ACKS.into());
        }
        let partition = self.node.partitions.find(topic?, data.index).map_err(error::of_unserved)?;
        if self.acks == ACKS_ALL && partition.config().min_insync_replicas > 1 {
            return Err(ErrorCode::NOT_ENOUGH_REPLICAS.into());
        }
        let Records::Bytes(batch) = &data.records else { return Err(ErrorCode::INVALID_RECORD.into()) };
        let appended = partition.append(batch, self.version >= ZSTD_SINCE).map_err(|error| {
            log_refusal(&partition, &error);
            Refusal::from(error)
        })?;
        Ok((partition, appended))
    }
}

/// A partition's refusal: the code, and since version 8 which records and why (KIP-467).
struct Refusal {
    code: ErrorCode,
    message: Option<String>,
    record_errors: Vec<BatchIndexAndErrorMessage>,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Refusal {
        Refusal { code, message: None, record_errors: Vec::new() }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Refusal {
        Refusal {
            code: error::of_append(&error),
            record_errors: record_errors(&error),
            message: Some(error.to_string()),
        }
    }
}

fn record_errors(error: &AppendError) -> Vec<BatchIndexAndErrorMessage> {
    let row = |index: u32, message: String| BatchIndexAndErrorMessage {
        batch_index: i32::try_from(index).unwrap_or(i32::MAX),
        batch_index_error_message: Some(message),
    };
    match error {
        AppendError::Batch(BatchError::Records(faults)) => {
            faults.iter().map(|fault| row(fault.index, fault.reason.to_string())).collect()
        }
        AppendError::Batch(BatchError::InvalidRecord { index: Some(index), reason }) => {
            vec![row(*index, reason.to_string())]
        }
        AppendError::Batch(_) | AppendError::Log(_) | AppendError::BehindTier => Vec::new(),
    }
}

impl Refusal {
    fn response(self, index: i32) -> PartitionProduceResponse {
        PartitionProduceResponse {
            index,
            error_code: self.code,
            base_offset: -1,
            record_errors: self.record_errors,
            error_message: self.message,
            ..PartitionProduceResponse::default()
        }
    }
}

fn log_refusal(partition: &Partition, error: &AppendError) {
    match error {
        AppendError::Batch(_) => {
            tracing::warn!(partition = %partition.topic_partition(), "batch refused: {error}");
        }
        // The log has said what is wrong with a disk, once and not for each try.
        AppendError::Log(_) | AppendError::BehindTier => {
            tracing::debug!(partition = %partition.topic_partition(), "append refused: {error}")
        }
    }
}

/// The code of a batch whose partition ended before it was durable.
fn ended(node: &Node, partition: &Partition, version: i16) -> ErrorCode {
    let known = node.image().topic_by_id(partition.topic_id()).is_some();
    let ended = partition.ended().unwrap_or(Ended::Gone);
    error::of_ended(ended, known, version >= TOPIC_ID_SINCE)
}

/// Waits for every appended batch; what is not visible by `deadline` is answered REQUEST_TIMED_OUT.
async fn await_durable(
    node: &Node,
    pending: Vec<Pending>,
    deadline: Instant,
    version: i16,
    response: &mut ProduceResponse,
) {
    let waits = pending.into_iter().map(|pending| async move {
        let visible = pending.appended_to.high_watermark().wait_for(pending.visible_at);
        let failed = match timeout_at(deadline, visible).await {
            Ok(Ok(())) => None,
            Ok(Err(_closed)) => Some(ended(node, &pending.appended_to, version)),
            Err(_elapsed) => Some(ErrorCode::REQUEST_TIMED_OUT),
        };
        failed.map(|code| (pending.topic, pending.partition, code))
    });
    for (topic, partition, code) in join_all(waits).await.into_iter().flatten() {
        let slot = response.responses.get_mut(topic).and_then(|topic| topic.partition_responses.get_mut(partition));
        if let Some(slot) = slot {
            *slot = Refusal::from(code).response(slot.index);
        }
    }
}
