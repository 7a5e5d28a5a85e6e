//! What people and tests ask of the tier over HTTP: flush, evict, list, verify. Deterministic: `flush` with `wait`
//! answers when all that was in the log is tiered.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use stratalog_types::Offset;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::admin::{
    AdminError, AdminRequest, EvictReport, EvictedPartition, FlushReport, FlushedPartition, TierListing, TierPartition,
    TierSegment, VerifiedPartition, VerifyReport,
};
use crate::api::Node;
use crate::metadata::Topic;
use crate::metrics::Metrics;
use crate::partition::Partition;
use crate::partition::tier::{ServiceHandle, TierError, Tiered, chain, count_upload};

/// How long a flush that waits goes on without progress, against a store that is away; the service goes on after it.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(30);
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Answers requests until the asking end is gone; each runs in a task of its own.
pub async fn serve(node: Arc<Node>, service: ServiceHandle, mut requests: mpsc::Receiver<AdminRequest>) {
    while let Some(request) = requests.recv().await {
        let (node, service) = (node.clone(), service.clone());
        tokio::spawn(async move {
            // A reply that nobody waits for any more is dropped.
            match request {
                AdminRequest::Flush { topic, wait, reply } => {
                    let _ = reply.send(flush(&node, &service, &topic, wait).await);
                }
                AdminRequest::Evict { topic, reply } => {
                    let _ = reply.send(evict(&node, &topic).await);
                }
                AdminRequest::List { topic, reply } => {
                    let _ = reply.send(list(&node, topic.as_deref()).await);
                }
                AdminRequest::Verify { topic, reply } => {
                    let _ = reply.send(verify(&node, &topic).await);
                }
            }
        });
    }
}

fn unavailable(error: impl std::fmt::Display) -> AdminError {
    AdminError::Unavailable { reason: error.to_string() }
}

fn of_tier(error: &TierError) -> AdminError {
    match error {
        TierError::Scrub(_) => AdminError::Corrupt { what: chain(error) },
        _ => AdminError::Unavailable { reason: chain(error) },
    }
}

fn find(node: &Node, topic: &str) -> Result<Arc<Topic>, AdminError> {
    node.image().topic(topic).cloned().ok_or_else(|| AdminError::UnknownTopic { topic: topic.to_owned() })
}

/// A partition and its half of the tier.
type TieredPartition = (Arc<Partition>, Arc<Tiered>);

/// The partitions of a topic that has a tier.
fn tiered_partitions(node: &Node, topic: &str) -> Result<Vec<TieredPartition>, AdminError> {
    if node.partitions.tier().is_none() {
        return Err(AdminError::NoTier);
    }
    let partitions = node.partitions.of_topic(find(node, topic)?.id);
    let tiered = partitions.iter().filter_map(|partition| Some((partition.clone(), partition.tiered()?)));
    let tiered: Vec<_> = tiered.collect();
    if tiered.is_empty() { Err(AdminError::NotTiered { topic: topic.to_owned() }) } else { Ok(tiered) }
}

async fn flush(node: &Node, service: &ServiceHandle, topic: &str, wait: bool) -> Result<FlushReport, AdminError> {
    let partitions = tiered_partitions(node, topic)?;
    let flushes = partitions.iter().map(|(partition, tiered)| async {
        let end = partition.log().log_end_offset();
        let rolling = partition.clone();
        tokio::task::spawn_blocking(move || rolling.log().roll()).await.map_err(unavailable)?.map_err(unavailable)?;
        let mut report = FlushedPartition {
            partition: partition.topic_partition().partition.0,
            segments_uploaded: 0,
            raw_bytes: 0,
            stored_bytes: 0,
            tiered_end_offset: 0,
            log_end_offset: end.0,
        };
        if wait {
            upload_to(&node.metrics, partition, end, &mut report).await?;
        }
        report.tiered_end_offset = tiered.view().next_offset().0;
        Ok(report)
    });
    let partitions = join_all(flushes).await.into_iter().collect::<Result<Vec<_>, AdminError>>()?;
    if !wait {
        service.wake();
    }
    let complete = partitions.iter().all(|flushed| flushed.tiered_end_offset >= flushed.log_end_offset);
    Ok(FlushReport { topic: topic.to_owned(), complete, partitions })
}

/// Uploads until everything below `end` is tiered. A store that is away is tried again while it was not away for long.
async fn upload_to(
    metrics: &Metrics,
    partition: &Partition,
    end: Offset,
    report: &mut FlushedPartition,
) -> Result<(), AdminError> {
    let mut deadline = Instant::now() + FLUSH_WAIT_MAX;
    partition.log().flush();
    partition.high_watermark().wait_for(end).await.map_err(unavailable)?;
    while partition.tiered().is_some_and(|tiered| tiered.view().next_offset() < end) {
        match partition.upload_next().await {
            Ok(Some(uploaded)) => {
                count_upload(metrics, partition, &uploaded);
                deadline = Instant::now() + FLUSH_WAIT_MAX;
                report.segments_uploaded += 1;
                report.raw_bytes += uploaded.entry.raw_bytes;
                report.stored_bytes += uploaded.entry.object_bytes;
            }
            // Another task has it in hand, or the tier was turned off meanwhile.
            Ok(None) if Instant::now() < deadline => sleep(RETRY_PAUSE).await,
            Err(error) if error.is_retriable() && Instant::now() < deadline => {
                tracing::warn!(partition = %partition.topic_partition(), "flush goes on trying: {}", chain(&error));
                sleep(RETRY_PAUSE).await;
            }
            Ok(None) => return Ok(()),
            Err(error) => return Err(of_tier(&error)),
        }
    }
    Ok(())
}

async fn evict(node: &Node, topic: &str) -> Result<EvictReport, AdminError> {
    let mut evicted = Vec::new();
    let mut partitions = tiered_partitions(node, topic)?;
    partitions.retain(|(partition, _)| partition.keeping_tier().is_some());
    if partitions.is_empty() {
        return Err(AdminError::NotTiered { topic: topic.to_owned() });
    }
    for (partition, _) in partitions {
        let evicting = partition.clone();
        let (segments, bytes) =
            tokio::task::spawn_blocking(move || evicting.evict()).await.map_err(unavailable)?.map_err(unavailable)?;
        evicted.push(EvictedPartition {
            partition: partition.topic_partition().partition.0,
            segments,
            bytes,
            local_log_start_offset: partition.log().local_log_start_offset().0,
        });
    }
    Ok(EvictReport { topic: topic.to_owned(), partitions: evicted })
}

async fn list(node: &Node, topic: Option<&str>) -> Result<TierListing, AdminError> {
    let tier = node.config.tier.as_ref().ok_or(AdminError::NoTier)?.location.to_string();
    let topics: Vec<Arc<Topic>> = match topic {
        Some(topic) => vec![find(node, topic)?],
        None => node.image().topics().cloned().collect(),
    };
    let mut listed = Vec::new();
    for topic in topics {
        for partition in node.partitions.of_topic(topic.id) {
            let Some(tiered) = partition.tiered() else { continue };
            let local_start = partition.log().local_log_start_offset();
            let entries = tiered.entries().await.map_err(|error| of_tier(&error))?;
            let segments = entries.iter().map(|entry| TierSegment {
                base_offset: entry.base_offset.0,
                last_offset: entry.end_offset.0 - 1,
                leader_epoch: entry.leader_epoch.0,
                raw_bytes: entry.raw_bytes,
                stored_bytes: entry.object_bytes,
                first_timestamp_ms: entry.min_timestamp,
                max_timestamp_ms: entry.max_timestamp,
                object: tiered.object_of(entry),
                local: entry.base_offset >= local_start,
            });
            listed.push(TierPartition {
                topic: topic.name.to_string(),
                topic_id: topic.id.to_string(),
                partition: partition.topic_partition().partition.0,
                log_start_offset: partition.log_start_offset().0,
                local_log_start_offset: local_start.0,
                tiered_end_offset: tiered.view().tiered_end_offset().unwrap_or(partition.log_start_offset()).0,
                log_end_offset: partition.log().log_end_offset().0,
                local_bytes: partition.log().size_bytes(),
                segments: segments.collect(),
            });
        }
    }
    Ok(TierListing { tier, partitions: listed })
}

async fn verify(node: &Node, topic: &str) -> Result<VerifyReport, AdminError> {
    let mut verified = Vec::new();
    for (partition, tiered) in tiered_partitions(node, topic)? {
        let mut report = VerifiedPartition {
            partition: partition.topic_partition().partition.0,
            objects: 0,
            chunks: 0,
            stored_bytes: 0,
            problems: Vec::new(),
        };
        for entry in tiered.entries().await.map_err(|error| of_tier(&error))? {
            match tiered.verify(&entry).await {
                Ok(sound) => {
                    report.objects += 1;
                    report.chunks += sound.chunks as u64;
                    report.stored_bytes += sound.bytes;
                }
                Err(error) => {
                    if error.is_corruption() {
                        node.metrics.tier_corruptions.inc();
                    }
                    report.problems.push(chain(&error));
                }
            }
        }
        verified.push(report);
    }
    Ok(VerifyReport { topic: topic.to_owned(), partitions: verified })
}
