//! Produce: batches per partition, Java's choice of partitions, and an idempotent producer where the broker has one.
//!
//! Bounded by `batch_bytes` per partition and [`BUFFERED_BYTES_MAX`] in all. A batch is tried again with the same
//! sequence until its deadline, so that a lost answer stores nothing twice.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use stratalog_protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use stratalog_protocol::messages::{InitProducerIdRequest, ProduceRequest};
use stratalog_protocol::records::{BatchBuilder, BuildError, CodecId, NewRecord};
use stratalog_protocol::{ErrorCode, Records};
use tokio::time::Instant;

use super::{Client, Error, RETRY_PAUSE, partition_of_key};

/// Produce by name: topic ids come with version 13.
const PRODUCE_VERSION_MAX: i16 = 12;

/// Record bytes that wait over all partitions before they are sent.
const BUFFERED_BYTES_MAX: usize = 32 << 20;

/// How long a batch is tried.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    None,
    Leader,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Compression {
    fn codec(self) -> CodecId {
        match self {
            Compression::None => CodecId::NONE,
            Compression::Gzip => CodecId::GZIP,
            Compression::Snappy => CodecId::SNAPPY,
            Compression::Lz4 => CodecId::LZ4,
            Compression::Zstd => CodecId::ZSTD,
        }
    }
}

#[derive(Debug, Clone)]
pub struct ProducerSettings {
    pub acks: Acks,
    pub compression: Compression,
    /// Record bytes of one batch, before compression.
    pub batch_bytes: usize,
    /// Used with acks all.
    pub idempotent: bool,
    /// Whether the broker may create the topic.
    pub create_topic: bool,
}

impl Default for ProducerSettings {
    fn default() -> ProducerSettings {
        ProducerSettings {
            acks: Acks::All,
            compression: Compression::None,
            batch_bytes: 512 << 10,
            idempotent: true,
            create_topic: true,
        }
    }
}

/// A record to be produced; without a partition its key decides, without a key the batch does.
#[derive(Debug, Clone, Copy, Default)]
pub struct OutgoingRecord<'a> {
    pub partition: Option<i32>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
    pub timestamp_ms: i64,
}

/// What was stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProduceSummary {
    pub records: u64,
    /// Keys and values.
    pub payload_bytes: u64,
    pub batches: u64,
    /// Batches as sent.
    pub batch_bytes: u64,
}

/// A producer to one topic. Each call borrows the client.
#[derive(Debug)]
pub struct Producer {
    topic: String,
    settings: ProducerSettings,
    /// Producer id and epoch.
    identity: Option<(i64, i16)>,
    open: Vec<OpenBatch>,
    buffered_bytes: usize,
    /// Where records without a key go until the next flush.
    sticky: usize,
    summary: ProduceSummary,
}

#[derive(Debug)]
struct OpenBatch {
    builder: BatchBuilder,
    next_sequence: i32,
}

struct SealedBatch {
    partition: i32,
    bytes: Bytes,
    records: i32,
}

impl Producer {
    /// Finds the topic's partitions and takes a producer id.
    pub async fn open(client: &mut Client, topic: &str, settings: ProducerSettings) -> Result<Producer, Error> {
        let partitions = client.partitions(topic, settings.create_topic).await?.len();
        let identity = if settings.idempotent && settings.acks == Acks::All { identity(client).await? } else { None };
        let mut producer = Producer {
            topic: topic.to_owned(),
            settings,
            identity,
            open: Vec::new(),
            buffered_bytes: 0,
            sticky: 0,
            summary: ProduceSummary::default(),
        };
        producer.open = (0..partitions).map(|_| OpenBatch { builder: producer.builder(0), next_sequence: 0 }).collect();
        Ok(producer)
    }

    /// What was acknowledged so far; with acks 0, what was sent.
    pub fn summary(&self) -> ProduceSummary {
        self.summary
    }

    /// Whether records wait to be sent.
    pub fn has_buffered(&self) -> bool {
        self.buffered_bytes > 0
    }

    /// Takes a record; sends what waits when its batch is full.
    pub async fn send(&mut self, client: &mut Client, record: OutgoingRecord<'_>) -> Result<(), Error> {
        let at = self.place(&record)?;
        let size = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + 64;
        let full = self.open.get(at).is_some_and(|batch| {
            !batch.builder.is_empty() && batch.builder.uncompressed_bytes() + size > self.settings.batch_bytes
        });
        if full || self.buffered_bytes + size > BUFFERED_BYTES_MAX {
            self.flush(client).await?;
        }
        let unknown = Error::UnknownPartition { topic: self.topic.clone(), partition: at as i32 };
        let batch = self.open.get_mut(at).ok_or(unknown)?;
        let new =
            NewRecord { timestamp: record.timestamp_ms, key: record.key, value: record.value, headers: record.headers };
        batch.builder.append(&new).map_err(|error| build(&error))?;
        self.buffered_bytes += size;
        self.summary.payload_bytes += (size - 64) as u64;
        Ok(())
    }

    /// Sends what waits and returns when all of it is acknowledged.
    pub async fn flush(&mut self, client: &mut Client) -> Result<(), Error> {
        let mut sealed = self.seal()?;
        self.buffered_bytes = 0;
        let deadline = Instant::now() + DELIVERY_TIMEOUT;
        while !sealed.is_empty() {
            let last = match self.send_all(client, &mut sealed).await {
                Ok(last) => last,
                Err(error) if error.is_connection_lost() || matches!(error, Error::Timeout { .. }) => Some(error),
                Err(error) => return Err(error),
            };
            let Some(error) = last else { continue };
            if Instant::now() >= deadline {
                return Err(error);
            }
            client.forget_leaders(&self.topic);
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        self.sticky = (self.sticky + 1) % self.open.len().max(1);
        Ok(())
    }

    fn place(&self, record: &OutgoingRecord<'_>) -> Result<usize, Error> {
        let partitions = self.open.len();
        let partition = match (record.partition, record.key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_of_key(key, i32::try_from(partitions).unwrap_or(i32::MAX)),
            (None, None) => return Ok(self.sticky),
        };
        match usize::try_from(partition) {
            Ok(at) if at < partitions => Ok(at),
            _ => Err(Error::UnknownPartition { topic: self.topic.clone(), partition }),
        }
    }

    fn builder(&self, next_sequence: i32) -> BatchBuilder {
        let builder = BatchBuilder::new(0).codec(self.settings.compression.codec());
        match self.identity {
            Some((id, epoch)) => builder.producer(id, epoch, next_sequence),
            None => builder,
        }
    }

    fn seal(&mut self) -> Result<Vec<SealedBatch>, Error> {
        let mut sealed = Vec::new();
        for at in 0..self.open.len() {
            let Some(batch) = self.open.get(at).filter(|batch| !batch.builder.is_empty()) else { continue };
            let records = batch.builder.record_count();
            // Sequences wrap to 0 after the largest (KIP-98).
            let sum = i64::from(batch.next_sequence) + i64::from(records);
            let next_sequence = i32::try_from(sum % (i64::from(i32::MAX) + 1)).unwrap_or(0);
            let fresh = OpenBatch { builder: self.builder(next_sequence), next_sequence };
            let Some(slot) = self.open.get_mut(at) else { continue };
            let full = std::mem::replace(slot, fresh);
            let bytes = full.builder.build().map_err(|error| build(&error))?;
            sealed.push(SealedBatch { partition: at as i32, bytes, records });
        }
        Ok(sealed)
    }

    /// One request to each leader. Takes what was acknowledged out of `sealed`; returns the last retriable error.
    async fn send_all(&mut self, client: &mut Client, sealed: &mut Vec<SealedBatch>) -> Result<Option<Error>, Error> {
        let mut by_leader: BTreeMap<i32, Vec<PartitionProduceData>> = BTreeMap::new();
        for batch in sealed.iter() {
            let leader = client.leader(&self.topic, batch.partition).await?;
            let data = PartitionProduceData { index: batch.partition, records: Records::Bytes(batch.bytes.clone()) };
            by_leader.entry(leader).or_default().push(data);
        }
        let mut last = None;
        for (leader, partition_data) in by_leader {
            let partitions: Vec<i32> = partition_data.iter().map(|data| data.index).collect();
            let request = ProduceRequest {
                acks: match self.settings.acks {
                    Acks::None => 0,
                    Acks::Leader => 1,
                    Acks::All => -1,
                },
                timeout_ms: i32::try_from(client.config().request_timeout.as_millis()).unwrap_or(i32::MAX),
                topic_data: vec![TopicProduceData { name: self.topic.clone(), partition_data, ..Default::default() }],
                ..Default::default()
            };
            if self.settings.acks == Acks::None {
                client.send_only(leader, &request, PRODUCE_VERSION_MAX).await?;
                partitions.iter().for_each(|partition| self.acknowledged(sealed, *partition));
                continue;
            }
            let response = client.call(leader, &request, PRODUCE_VERSION_MAX).await?;
            for answer in response.responses.iter().flat_map(|topic| &topic.partition_responses) {
                let bytes = sealed.iter().find(|batch| batch.partition == answer.index).map_or(0, |b| b.bytes.len());
                match answer.error_code {
                    ErrorCode::NONE | ErrorCode::DUPLICATE_SEQUENCE_NUMBER => self.acknowledged(sealed, answer.index),
                    ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE => {
                        return Err(Error::TooLarge { topic: self.topic.clone(), bytes });
                    }
                    code => {
                        let what = format!("producing to {}-{}", self.topic, answer.index);
                        let error = Error::broker(what, code, answer.error_message.clone());
                        if !code.is_retriable() {
                            return Err(error);
                        }
                        last = Some(error);
                    }
                }
            }
        }
        Ok(last)
    }

    fn acknowledged(&mut self, sealed: &mut Vec<SealedBatch>, partition: i32) {
        sealed.retain(|batch| {
            if batch.partition != partition {
                return true;
            }
            self.summary.records += u64::from(batch.records.unsigned_abs());
            self.summary.batches += 1;
            self.summary.batch_bytes += batch.bytes.len() as u64;
            false
        });
    }
}

/// A producer id, or `None` where the broker hands out none.
async fn identity(client: &mut Client) -> Result<Option<(i64, i16)>, Error> {
    let request =
        InitProducerIdRequest { transactional_id: None, transaction_timeout_ms: 60_000, ..Default::default() };
    let deadline = Instant::now() + client.config().request_timeout;
    loop {
        let response = match client.call_any(&request, i16::MAX).await {
            Err(Error::Unsupported { .. }) => return Ok(None),
            answered => answered?,
        };
        match response.error_code {
            ErrorCode::NONE => return Ok(Some((response.producer_id, response.producer_epoch))),
            code if code.is_retriable() && Instant::now() < deadline => tokio::time::sleep(RETRY_PAUSE).await,
            code => return Err(Error::broker("taking a producer id", code, None)),
        }
    }
}

fn build(error: &BuildError) -> Error {
    Error::Build { problem: error.to_string() }
}
