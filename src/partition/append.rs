//! What a producer sent becomes part of the log: checked, in the topic's codec, stamped, in its place.
//!
//! Most batches are checked and placed at once. One that has to be unpacked or compressed, and is not small, is prepared
//! first, off the connection's worker and a few at a time over all connections ([`Preparation`]); the caller keeps the
//! order of what it places. Where the broker's clock stamps, it does when the batch gets its place, not before.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use stratalog_protocol::records::{
    BatchError, BatchHeader, CodecId, Compression, TimestampType, ValidationRules, accept_produce, needs_unpacking,
    set_max_timestamp,
};
use stratalog_types::Offset;
use tokio::sync::Semaphore;

use super::error::AppendError;
use super::leader::Partition;
use crate::config::{CompressionType, MessageTimestampType, TopicConfig};
use crate::log::{self, Origin};

/// Bytes that the records of a compressed batch may take when they are walked.
const WALK_OUTPUT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A batch up to this size is unpacked on the worker, as long as its records take no more than this: a hop to another
/// thread costs more.
const AT_ONCE_BYTES_MAX: usize = 2 * 1024;
const AT_ONCE_OUTPUT_BYTES_MAX: usize = 8 * 1024;

/// Batches that are prepared at a time, over all connections: each may hold its records unpacked.
static PREPARING: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(prepared_at_once()));

/// Batches that may be prepared side by side: one for each processor.
pub fn prepared_at_once() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Where an append went and when it may be acknowledged.
#[derive(Debug, Clone, Copy)]
pub struct Appended {
    pub base_offset: Offset,
    /// Milliseconds since the epoch, with LogAppendTime only.
    pub log_append_time: Option<i64>,
    pub log_start_offset: Offset,
    /// Acknowledge when the high watermark is at least here.
    pub visible_at: Offset,
}

/// What became of a batch that was handed in.
pub enum Handed {
    Placed(Appended),
    /// It takes work that does not belong on a connection's worker.
    Later(Preparation),
}

/// A batch that waits to be checked, by the rules of the moment it was handed in.
pub struct Preparation {
    partition: Arc<Partition>,
    terms: Terms,
    batch: Bytes,
}

/// A batch that only wants its place.
pub struct Prepared {
    partition: Arc<Partition>,
    checked: Checked,
}

/// What the topic asks of a batch.
#[derive(Clone, Copy)]
struct Terms {
    rules: ValidationRules,
    target: Option<Compression>,
}

struct Checked {
    body: Body,
    header: BatchHeader,
    sent_bytes: usize,
    timestamp_type: TimestampType,
}

enum Body {
    Sent(Bytes),
    Made(Vec<u8>),
}

impl Partition {
    /// Takes what a producer sent: it is in the log when this returns, unless it takes longer. `zstd_allowed` is true
    /// from Produce v7 on.
    pub fn hand_in(self: &Arc<Self>, batch: &Bytes, zstd_allowed: bool) -> Result<Handed, AppendError> {
        if self.is_behind_tier() {
            return Err(AppendError::BehindTier);
        }
        let terms = self.terms(&self.config(), zstd_allowed);
        let later = || {
            let (partition, batch) = (self.clone(), batch.clone());
            Ok(Handed::Later(Preparation { partition, terms, batch }))
        };
        // What has no header is refused by the check.
        let header = BatchHeader::decode(batch);
        if header.as_ref().is_ok_and(|header| header.attributes.is_transactional()) {
            return Err(AppendError::Transactional);
        }
        let unpacks = header.is_ok_and(|header| needs_unpacking(&header, &terms.rules, terms.target));
        let checked = if !unpacks {
            check(batch, &terms)
        } else if batch.len() > AT_ONCE_BYTES_MAX {
            return later();
        } else {
            let small = ValidationRules { output_bytes_max: AT_ONCE_OUTPUT_BYTES_MAX, ..terms.rules };
            match check(batch, &Terms { rules: small, ..terms }) {
                Err(AppendError::Batch(BatchError::TooLarge { .. })) => return later(),
                checked => checked,
            }
        };
        self.place(checked?).map(Handed::Placed)
    }

    /// Appends a batch that a coordinator of this broker made, and that needs no check.
    pub fn append_own(&self, batch: &[u8], header: BatchHeader) -> Result<Appended, AppendError> {
        if self.is_behind_tier() {
            return Err(AppendError::BehindTier);
        }
        let appended = self.log().append(batch, header, self.leader_epoch(), Origin::Coordinator)?;
        self.count(batch.len(), &header);
        Ok(self.acknowledge(&appended))
    }

    fn place(&self, checked: Checked) -> Result<Appended, AppendError> {
        let Checked { mut body, mut header, sent_bytes, timestamp_type } = checked;
        if timestamp_type == TimestampType::LogAppendTime {
            let mut stamped = body.into_vec();
            header = stamp(&mut stamped, timestamp_type, self.now_ms())?;
            body = Body::Made(stamped);
        }
        let appended = self.log().append(body.bytes(), header, self.leader_epoch(), Origin::Client)?;
        if !appended.duplicate {
            self.count(sent_bytes, &header);
        }
        Ok(self.acknowledge(&appended))
    }

    fn count(&self, sent_bytes: usize, header: &BatchHeader) {
        self.counters().bytes_in.inc_by(sent_bytes as u64);
        self.counters().messages_in.inc_by(u64::try_from(header.record_count).unwrap_or(0));
    }

    fn acknowledge(&self, appended: &log::Appended) -> Appended {
        let visible_at = appended.last_offset.next();
        if !self.config().acks_wait_for_sync() {
            self.counters().unsynced.inc();
            self.high_watermark().advance(visible_at);
        }
        Appended {
            base_offset: appended.base_offset,
            log_append_time: appended.log_append_time,
            log_start_offset: self.log_start_offset(),
            visible_at,
        }
    }

    fn terms(&self, config: &TopicConfig, zstd_allowed: bool) -> Terms {
        let bound = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let timestamp_type = match config.message_timestamp_type {
            MessageTimestampType::CreateTime => TimestampType::CreateTime,
            MessageTimestampType::LogAppendTime => TimestampType::LogAppendTime,
        };
        let rules = ValidationRules {
            batch_bytes_max: config.max_message_bytes as usize,
            zstd_allowed,
            compacted: config.cleanup_compact,
            // A stamped batch is one whose records somebody will trust: they are looked at first, as Kafka does.
            full: self.validates_fully() || timestamp_type == TimestampType::LogAppendTime,
            output_bytes_max: WALK_OUTPUT_BYTES_MAX,
            timestamp_type,
            timestamp_before_max_ms: bound(config.message_timestamp_before_max_ms),
            timestamp_after_max_ms: bound(config.message_timestamp_after_max_ms),
            now_ms: self.now_ms(),
        };
        Terms { rules, target: target(config.compression) }
    }
}

impl Preparation {
    pub fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    /// Checks the batch and writes it anew, off the runtime's workers.
    pub async fn prepare(self) -> Result<Prepared, AppendError> {
        let permit = PREPARING.acquire().await.map_err(|_| AppendError::CutOff)?;
        let Preparation { partition, terms, batch } = self;
        let checked = tokio::task::spawn_blocking(move || {
            // A preparation whose caller has gone still counts until it ends.
            let _permit = permit;
            check(&batch, &terms)
        });
        let checked = checked.await.map_err(|_| AppendError::CutOff)??;
        Ok(Prepared { partition, checked })
    }
}

impl Prepared {
    pub fn place(self) -> Result<Appended, AppendError> {
        if self.partition.is_behind_tier() {
            return Err(AppendError::BehindTier);
        }
        self.partition.place(self.checked)
    }
}

impl Body {
    fn bytes(&self) -> &[u8] {
        match self {
            Body::Sent(bytes) => bytes,
            Body::Made(bytes) => bytes,
        }
    }

    fn into_vec(self) -> Vec<u8> {
        match self {
            Body::Sent(bytes) => bytes.to_vec(),
            Body::Made(bytes) => bytes,
        }
    }
}

/// Checks a batch; what comes of it has the topic's codec and, where the producer's clock rules, a true max timestamp.
fn check(batch: &Bytes, terms: &Terms) -> Result<Checked, AppendError> {
    let timestamp_type = terms.rules.timestamp_type;
    let accepted = accept_produce(batch, &terms.rules, terms.target)?;
    let (validated, mut header) = (accepted.validated, accepted.validated.header);
    let mut body = accepted.rewritten.map_or_else(|| Body::Sent(batch.clone()), Body::Made);
    if timestamp_type == TimestampType::CreateTime && validated.needs_max_timestamp() {
        let mut corrected = body.into_vec();
        header = stamp(&mut corrected, timestamp_type, validated.max_timestamp)?;
        body = Body::Made(corrected);
    }
    Ok(Checked { body, header, sent_bytes: batch.len(), timestamp_type })
}

fn stamp(batch: &mut [u8], timestamp_type: TimestampType, max_timestamp: i64) -> Result<BatchHeader, AppendError> {
    set_max_timestamp(batch, timestamp_type, max_timestamp)
        .map_err(|_| log::AppendError::InvalidBatch("the header did not survive its stamp").into())
}

/// The codec that a topic's batches are kept in; `None`: the producer's.
fn target(compression: CompressionType) -> Option<Compression> {
    let (codec, level) = match compression {
        CompressionType::Producer => return None,
        CompressionType::Uncompressed => (CodecId::NONE, None),
        CompressionType::Gzip { level } => (CodecId::GZIP, Some(level)),
        CompressionType::Snappy => (CodecId::SNAPPY, None),
        CompressionType::Lz4 { level } => (CodecId::LZ4, Some(level)),
        CompressionType::Zstd { level } => (CodecId::ZSTD, Some(level)),
    };
    Some(Compression { codec, level })
}
