//! Segments for this crate's tests.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use stratalog_types::{LeaderEpoch, Offset, PartitionIndex, ProducerId, TopicId};
use uuid::Uuid;

use crate::batches::tests::batch;
use crate::codec_pool::{CodecPool, CodecPoolConfig};
use crate::entry::Entry;
use crate::format::{AbortedTransaction, EpochStart, Sha256, TopicSection};
use crate::object_key::{ObjectName, TierPartition};
use crate::reader::{IndexError, SegmentIndex};
use crate::store::Store;
use crate::upload::{ByteBudget, ObjectWriter, Run, RunSource, SegmentUpload, SourceError, UploadError, Uploaded};

pub(crate) fn partition() -> TierPartition {
    TierPartition { topic_id: TopicId::from_bytes([7; 16]), partition: PartitionIndex(3) }
}

pub(crate) fn pool() -> CodecPool {
    let config = CodecPoolConfig { name: "test-codec", threads: 2, zstd_level: 1, niceness: 0 };
    CodecPool::new(config).expect("threads")
}

/// A small generator, so that data is the same everywhere.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| (self.next() >> 24) as u8).collect()
    }

    /// Looks like events: packs to about a fifth.
    pub(crate) fn events(&mut self, length: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(length + 128);
        while out.len() < length {
            let (user, amount) = (self.next() % 10_000, self.next() % 100_000);
            out.extend_from_slice(
                format!("{{\"user\":\"u{user}\",\"action\":\"view\",\"amount\":{amount},\"region\":\"north\"}}\n")
                    .as_bytes(),
            );
        }
        out.truncate(length);
        out
    }
}

/// Runs of ten batches each, every batch ten offsets, from `base` on; times are `1000 + offset`.
pub(crate) fn runs(base: i64, count: usize, batch_bytes: usize, packs: bool, seed: u64) -> Vec<Run> {
    let mut noise = Noise(seed | 1);
    let mut offset = base;
    (0..count)
        .map(|_| {
            let first = offset;
            let mut bytes = Vec::new();
            for _ in 0..10 {
                let body = if packs { noise.events(batch_bytes) } else { noise.bytes(batch_bytes) };
                bytes.extend_from_slice(&batch(offset, &body));
                offset += 10;
            }
            Run {
                bytes: bytes.into(),
                base_offset: Offset(first),
                last_offset: Offset(offset - 1),
                min_timestamp: 1000 + first,
                max_timestamp: 1000 + offset - 1,
            }
        })
        .collect()
}

pub(crate) fn joined(runs: &[Run]) -> Vec<u8> {
    runs.iter().flat_map(|run| run.bytes.iter().copied()).collect()
}

pub(crate) struct RunList(VecDeque<Run>);

impl RunList {
    pub(crate) fn new(runs: &[Run]) -> RunList {
        RunList(runs.iter().cloned().collect())
    }
}

impl RunSource for RunList {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Run>, SourceError>> {
        Box::pin(async { Ok(self.0.pop_front()) })
    }
}

pub(crate) fn segment(base: i64, uuid: u128) -> SegmentUpload {
    SegmentUpload {
        topic: TopicSection {
            of: partition(),
            name: "orders".into(),
            config: vec![("retention.ms".into(), "-1".into())],
        },
        name: ObjectName { base_offset: Offset(base), leader_epoch: LeaderEpoch(5), uuid: Uuid::from_u128(uuid) },
        end_offset: None,
        raw_bytes_hint: 0,
        epochs: vec![EpochStart { epoch: LeaderEpoch(5), start_offset: Offset(0) }],
        aborted: vec![AbortedTransaction {
            producer_id: ProducerId(9),
            first_offset: Offset(base),
            last_offset: Offset(base + 1),
            last_stable_offset: Offset(base),
        }],
        producer_snapshot: Bytes::from_static(b"producers"),
        may_have_holes: false,
        previous_digest: Sha256([1; 32]),
        now_ms: 42,
    }
}

pub(crate) async fn upload(
    store: &Arc<dyn Store>,
    base: i64,
    uuid: u128,
    runs: &[Run],
) -> Result<Uploaded, UploadError> {
    let writer = ObjectWriter::new(store.clone(), pool(), Arc::new(ByteBudget::unlimited()));
    writer.upload(segment(base, uuid), &mut RunList::new(runs)).await
}

/// A manifest that is a list.
pub(crate) struct EntryList(pub(crate) Vec<Entry>);

impl SegmentIndex for EntryList {
    fn find(&self, offset: Offset) -> BoxFuture<'_, Result<Option<Entry>, IndexError>> {
        Box::pin(async move { Ok(self.0.iter().find(|entry| entry.end_offset > offset).cloned()) })
    }
}
