//! Produce: appends in request order, acknowledges when what was appended is durable and visible.
//!
//! A batch that has to be unpacked or compressed is prepared off the worker; the connection places nothing else until it
//! has its place, so the order of a producer's requests holds.

mod refusal;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use futures::stream::{self, StreamExt};
use stratalog_protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
    TopicProduceResponse,
};
use stratalog_protocol::{ErrorCode, Records};
use stratalog_types::{Offset, TopicId};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use super::call::{Outcome, Started};
use super::error;
use super::node::Node;
use crate::metadata::Image;
use crate::metrics::ReasonLabel;
use crate::net::RequestContext;
use crate::partition::{Appended, Ended, Handed, Partition, Preparation, Prepared, prepared_at_once};

use refusal::{Refusal, refused};

/// acks=all: wait for the in-sync replicas. On one node it waits for the same sync as acks=1.
const ACKS_ALL: i16 = -1;
/// The first version whose producers may send zstd (KIP-110).
const ZSTD_SINCE: i16 = 7;
/// The first version whose clients pause by themselves when they are told to (KIP-219).
const PAUSES_SINCE: i16 = 6;
/// The first version that names topics by id (KIP-516).
const TOPIC_ID_SINCE: i16 = 13;

/// A place in the response: of its topics, and of that topic's partitions.
type Slot = (usize, usize);

/// A batch in the log that may be acknowledged when the partition's high watermark is at `visible_at`.
struct Pending {
    slot: Slot,
    appended_to: Arc<Partition>,
    visible_at: Offset,
}

pub fn place(
    node: Arc<Node>,
    _context: RequestContext,
    request: ProduceRequest,
    version: i16,
) -> Started<ProduceResponse> {
    let acks = request.acks;
    let deadline = Instant::now() + Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let (pending, later) = (Vec::new(), Vec::new());
    let transactional = request.transactional_id.is_some();
    let mut placing = Placing { node: &node, image: node.image(), acks, version, transactional, pending, later };
    let responses = request.topic_data.into_iter().enumerate().map(|(at, topic)| placing.topic(at, topic)).collect();
    let Placing { mut pending, later, .. } = placing;
    let mut response = ProduceResponse { responses, ..ProduceResponse::default() };
    if later.is_empty() {
        return answer(node, acks, pending, deadline, version, response).into();
    }
    let (all_placed, admitted) = oneshot::channel();
    let completion = async move {
        place_later(&node, later, &mut pending, &mut response).await;
        // Later requests of the connection wait for this, and for nothing more.
        drop(all_placed);
        answer(node, acks, pending, deadline, version, response).await
    };
    Started { completion: completion.boxed(), admitted: Some(admitted) }
}

/// Prepares what could not be placed at once, a few side by side, and places it in the request's order.
async fn place_later(
    node: &Node,
    later: Vec<(Slot, i32, Preparation)>,
    pending: &mut Vec<Pending>,
    response: &mut ProduceResponse,
) {
    let preparing = later.into_iter().map(|(slot, index, preparation)| async move {
        let partition = preparation.partition().clone();
        (slot, index, partition, preparation.prepare().await)
    });
    let mut prepared = stream::iter(preparing).buffered(prepared_at_once());
    while let Some((slot, index, partition, prepared)) = prepared.next().await {
        let appended = prepared.and_then(Prepared::place).map_err(|error| refused(&partition, error));
        let row = match appended {
            Ok(appended) => {
                pending.push(Pending { slot, appended_to: partition, visible_at: appended.visible_at });
                placed(index, &appended)
            }
            Err(refusal) => refuse(node, index, refusal),
        };
        set(response, slot, row);
    }
}

/// Acknowledges when all that was appended is durable.
fn answer(
    node: Arc<Node>,
    acks: i16,
    pending: Vec<Pending>,
    deadline: Instant,
    version: i16,
    mut response: ProduceResponse,
) -> BoxFuture<'static, Outcome<ProduceResponse>> {
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
        let pause = pending.iter().map(|pending| pending.appended_to.log().throttle()).max().unwrap_or_default();
        await_durable(&node, pending, deadline, version, &mut response).await;
        if waits {
            sync_wait.observe(placed_at.elapsed().as_secs_f64());
        }
        if !pause.is_zero() {
            node.metrics.produce_throttled.inc();
            response.throttle_time_ms = i32::try_from(pause.as_millis()).unwrap_or(i32::MAX);
            if version < PAUSES_SINCE {
                sleep(pause).await;
            }
        }
        Outcome::Answer(response)
    }
    .boxed()
}

fn set(response: &mut ProduceResponse, (topic, partition): Slot, row: PartitionProduceResponse) {
    let slot = response.responses.get_mut(topic).and_then(|topic| topic.partition_responses.get_mut(partition));
    if let Some(slot) = slot {
        *slot = row;
    }
}

fn placed(index: i32, appended: &Appended) -> PartitionProduceResponse {
    PartitionProduceResponse {
        index,
        base_offset: appended.base_offset.0,
        log_append_time_ms: appended.log_append_time.unwrap_or(-1),
        log_start_offset: appended.log_start_offset.0,
        ..PartitionProduceResponse::default()
    }
}

fn refuse(node: &Node, index: i32, refusal: Refusal) -> PartitionProduceResponse {
    let reason = refusal.code.name().unwrap_or("unknown");
    node.metrics.produce_refused.get_or_create(&ReasonLabel { reason }).inc();
    refusal.response(index)
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
    /// Whether the request names a transactional id.
    transactional: bool,
    pending: Vec<Pending>,
    /// What is to be prepared first, with the partition's index.
    later: Vec<(Slot, i32, Preparation)>,
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
        slot: Slot,
        topic: Result<TopicId, ErrorCode>,
        data: &PartitionProduceData,
    ) -> PartitionProduceResponse {
        match self.hand_in(topic, data) {
            Ok((partition, Handed::Placed(appended))) => {
                self.pending.push(Pending { slot, appended_to: partition, visible_at: appended.visible_at });
                placed(data.index, &appended)
            }
            Ok((_, Handed::Later(preparation))) => {
                self.later.push((slot, data.index, preparation));
                PartitionProduceResponse::default()
            }
            Err(refusal) => refuse(self.node, data.index, refusal),
        }
    }

    fn hand_in(
        &self,
        topic: Result<TopicId, ErrorCode>,
        data: &PartitionProduceData,
    ) -> Result<(Arc<Partition>, Handed), Refusal> {
        if !(ACKS_ALL..=1).contains(&self.acks) {
            return Err(ErrorCode::INVALID_REQUIRED_ACKS.into());
        }
        let partition = self.node.partitions.find(topic?, data.index).map_err(error::of_unserved)?;
        if self.acks == ACKS_ALL && partition.config().min_insync_replicas > 1 {
            return Err(ErrorCode::NOT_ENOUGH_REPLICAS.into());
        }
        let Records::Bytes(batch) = &data.records else { return Err(ErrorCode::INVALID_RECORD.into()) };
        let handed = partition.hand_in(batch, self.version >= ZSTD_SINCE).map_err(|error| {
            let refusal = refused(&partition, error);
            if self.transactional { refusal } else { refusal.without_transactional_id() }
        })?;
        Ok((partition, handed))
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
        failed.map(|code| (pending.slot, code))
    });
    for ((topic, partition), code) in join_all(waits).await.into_iter().flatten() {
        let slot = response.responses.get_mut(topic).and_then(|topic| topic.partition_responses.get_mut(partition));
        if let Some(slot) = slot {
            *slot = Refusal::from(code).response(slot.index);
        }
    }
}
