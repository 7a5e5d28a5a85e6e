//! Fetch, and the records in it that a consumer may see.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::FetchRequest;
use stratalog_protocol::messages::fetch::{FetchPartition, FetchTopic, PartitionData};
use stratalog_protocol::records::{Batch, BatchIter, EndTransactionMarker, RecordRef, TimestampType};

use super::{Client, Error, RETRY_PAUSE};

/// Fetch by name: topic ids come with version 13.
const FETCH_VERSION_MAX: i16 = 12;

/// The largest batch that is decompressed.
const BATCH_BYTES_MAX: usize = 512 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsolationLevel {
    ReadUncommitted,
    ReadCommitted,
}

/// What one fetch brought of one partition.
#[derive(Debug, Clone, Default)]
pub struct FetchedPartition {
    pub partition: i32,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub log_start_offset: i64,
    /// Whole batches, the last one perhaps cut short.
    pub records: Bytes,
    /// The offset that was asked for is not in the log.
    pub out_of_range: bool,
    /// Aborted transactions: producer id and first offset.
    aborted: Vec<(i64, i64)>,
}

/// A record and what its batch says of it.
#[derive(Debug, Clone)]
pub struct FetchedRecord<'a> {
    pub record: RecordRef<'a>,
    pub timestamp_type: TimestampType,
    pub leader_epoch: i32,
}

impl Client {
    /// Fetches from each partition at its offset, waiting up to `max_wait` for data. A partition whose leader moved is
    /// left out and found again by the next call.
    pub async fn fetch(
        &mut self,
        topic: &str,
        positions: &[(i32, i64)],
        max_wait: Duration,
        max_bytes: i32,
        isolation: IsolationLevel,
    ) -> Result<Vec<FetchedPartition>, Error> {
        let mut by_leader: BTreeMap<i32, Vec<FetchPartition>> = BTreeMap::new();
        for (partition, offset) in positions {
            let leader = self.leader(topic, *partition).await?;
            by_leader.entry(leader).or_default().push(FetchPartition {
                partition: *partition,
                fetch_offset: *offset,
                partition_max_bytes: max_bytes,
                ..Default::default()
            });
        }
        // One leader after the other: each waits only for its share.
        let wait = max_wait / u32::try_from(by_leader.len()).unwrap_or(1).max(1);
        let mut fetched = Vec::with_capacity(positions.len());
        for (leader, partitions) in by_leader {
            let request = FetchRequest {
                max_wait_ms: i32::try_from(wait.as_millis()).unwrap_or(i32::MAX),
                min_bytes: 1,
                max_bytes,
                isolation_level: i8::from(isolation == IsolationLevel::ReadCommitted),
                topics: vec![FetchTopic { topic: topic.to_owned(), partitions, ..Default::default() }],
                ..Default::default()
            };
            let response = match self.call(leader, &request, FETCH_VERSION_MAX).await {
                Err(error) if error.is_connection_lost() => {
                    self.forget_leaders(topic);
                    return Err(error);
                }
                answered => answered?,
            };
            if response.error_code != ErrorCode::NONE {
                return Err(Error::broker(format!("fetching {topic}"), response.error_code, None));
            }
            for partition in response.responses.into_iter().flat_map(|topic| topic.partitions) {
                if let Some(partition) = self.fetched(topic, partition).await? {
                    fetched.push(partition);
                }
            }
        }
        Ok(fetched)
    }

    async fn fetched(&mut self, topic: &str, data: PartitionData) -> Result<Option<FetchedPartition>, Error> {
        let out_of_range = data.error_code == ErrorCode::OFFSET_OUT_OF_RANGE;
        if !data.error_code.is_none() && !out_of_range {
            if data.error_code.is_retriable() {
                self.forget_leaders(topic);
                tokio::time::sleep(RETRY_PAUSE).await;
                return Ok(None);
            }
            let what = format!("fetching {topic}-{}", data.partition_index);
            return Err(Error::broker(what, data.error_code, None));
        }
        let aborted = data.aborted_transactions.unwrap_or_default();
        Ok(Some(FetchedPartition {
            partition: data.partition_index,
            high_watermark: data.high_watermark,
            last_stable_offset: data.last_stable_offset,
            log_start_offset: data.log_start_offset,
            records: data.records.bytes(),
            out_of_range,
            aborted: aborted.iter().map(|aborted| (aborted.producer_id, aborted.first_offset)).collect(),
        }))
    }
}

/// Calls `each` for every record from offset `from` on that a consumer may see, until it breaks. Returns the offset to
/// fetch next. Every batch's CRC is checked first.
pub fn visible_records<E: From<Error>>(
    fetched: &FetchedPartition,
    from: i64,
    isolation: IsolationLevel,
    mut each: impl FnMut(&FetchedRecord<'_>) -> Result<ControlFlow<()>, E>,
) -> Result<i64, E> {
    let mut next = from;
    let mut aborted = Aborted::new(fetched, isolation);
    for batch in BatchIter::new(&fetched.records) {
        let batch = batch.map_err(|error| damaged(fetched, next, &error.to_string()))?;
        if !batch.crc_matches() {
            return Err(damaged(fetched, next, "its checksum does not match").into());
        }
        let records = batch.records(BATCH_BYTES_MAX);
        let records = records.map_err(|error| damaged(fetched, next, &error.to_string()))?;
        aborted.enter(&batch);
        let hidden = batch.header.attributes.is_control_batch() || aborted.hides(&batch);
        for record in &records {
            let record = record.map_err(|error| damaged(fetched, next, &error.to_string()))?;
            if batch.header.attributes.is_control_batch() {
                aborted.end(&batch, &record);
            }
            if record.offset < from || hidden {
                continue;
            }
            let offset = record.offset;
            let shown = FetchedRecord {
                record,
                timestamp_type: batch.header.attributes.timestamp_type(),
                leader_epoch: batch.header.partition_leader_epoch,
            };
            if each(&shown)?.is_break() {
                return Ok(offset.saturating_add(1));
            }
        }
        next = next.max(batch.header.next_offset());
    }
    Ok(next)
}

fn damaged(fetched: &FetchedPartition, offset: i64, problem: &str) -> Error {
    Error::Damaged { problem: format!("partition {}, from offset {offset}: {problem}", fetched.partition) }
}

/// Which producers are in an aborted transaction, while the batches go by.
struct Aborted {
    /// Producer id and first offset, the earliest last.
    ahead: Vec<(i64, i64)>,
    open: BTreeSet<i64>,
    on: bool,
}

impl Aborted {
    fn new(fetched: &FetchedPartition, isolation: IsolationLevel) -> Aborted {
        let mut ahead = fetched.aborted.clone();
        ahead.sort_by_key(|(_, first_offset)| std::cmp::Reverse(*first_offset));
        Aborted { ahead, open: BTreeSet::new(), on: isolation == IsolationLevel::ReadCommitted }
    }

    fn enter(&mut self, batch: &Batch<'_>) {
        while let Some((producer_id, first_offset)) = self.ahead.last().copied() {
            if first_offset > batch.header.last_offset() {
                break;
            }
            self.open.insert(producer_id);
            self.ahead.pop();
        }
    }

    fn hides(&self, batch: &Batch<'_>) -> bool {
        self.on && batch.header.attributes.is_transactional() && self.open.contains(&batch.header.producer_id)
    }

    /// An abort marker ends its producer's transaction.
    fn end(&mut self, batch: &Batch<'_>, marker: &RecordRef<'_>) {
        if EndTransactionMarker::of_record(marker).is_some_and(|marker| !marker.committed) {
            self.open.remove(&batch.header.producer_id);
        }
    }
}
