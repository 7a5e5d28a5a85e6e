//! Cold sequential replay from the file store: unpacked bytes a second and CPU seconds a GB, for request sizes as
//! consumers make them. `cargo bench -p stratalog-tiering --bench cold_replay [-- <MiB raw>]`

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use futures::future::BoxFuture;
use stratalog_tiering::codec_pool::{CodecPool, CodecPoolConfig};
use stratalog_tiering::entry::Entry;
use stratalog_tiering::format::{Sha256, TopicSection};
use stratalog_tiering::object_key::{ObjectName, TierPartition};
use stratalog_tiering::reader::{IndexError, ReadAnswer, ReadRequest, Replay, ReplayConfig, SegmentIndex};
use stratalog_tiering::store::Store;
use stratalog_tiering::store::files::FilesStore;
use stratalog_tiering::upload::{ByteBudget, ObjectWriter, Run, RunSource, SegmentUpload, SourceError};
use stratalog_types::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use uuid::Uuid;

#[path = "events.rs"]
mod events;

const SEGMENT_BYTES: usize = 64 << 20;
const BATCH_BYTES: usize = 16 << 10;
const RECORDS: i64 = 80;

struct Runs {
    next: i64,
    left: usize,
    body: Vec<u8>,
}

impl RunSource for Runs {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Run>, SourceError>> {
        Box::pin(async {
            if self.left == 0 {
                return Ok(None);
            }
            self.left -= 1;
            let base = self.next;
            let mut run = BytesMut::new();
            for _ in 0..32 {
                let from = (self.next as usize * 7919) % (self.body.len() - BATCH_BYTES);
                run.put_i64(self.next);
                run.put_i32((BATCH_BYTES - 12) as i32);
                run.put_slice(&self.body[from..from + BATCH_BYTES - 12]);
                self.next += RECORDS;
            }
            Ok(Some(Run {
                bytes: run.freeze(),
                base_offset: Offset(base),
                last_offset: Offset(self.next - 1),
                min_timestamp: base,
                max_timestamp: self.next,
            }))
        })
    }
}

struct Entries(Vec<Entry>);

impl SegmentIndex for Entries {
    fn find(&self, offset: Offset) -> BoxFuture<'_, Result<Option<Entry>, IndexError>> {
        let index = self.0.partition_point(|entry| entry.end_offset <= offset);
        Box::pin(async move { Ok(self.0.get(index).cloned()) })
    }
}

fn pool(name: &'static str) -> CodecPool {
    CodecPool::new(CodecPoolConfig { name, threads: 2, zstd_level: 1, niceness: 0 }).expect("threads")
}

/// User and system time of this process, in seconds.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn main() {
    let mebibytes = std::env::args().filter_map(|arg| arg.parse::<usize>().ok()).next().unwrap_or(1024);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    runtime.block_on(run(mebibytes << 20));
}

async fn run(raw_bytes: usize) {
    let root = tempfile::tempdir().expect("tempdir");
    let store: Arc<dyn Store> = Arc::new(FilesStore::open(root.path()).expect("opened"));
    let of = TierPartition { topic_id: TopicId::from_bytes([1; 16]), partition: PartitionIndex(0) };
    let writer = ObjectWriter::new(store.clone(), pool("bench-pack"), Arc::new(ByteBudget::unlimited()));
    let body = events::events(32 << 20, 7);
    let (mut entries, mut next) = (Vec::new(), 0);
    let (began, cpu) = (Instant::now(), cpu_seconds());
    for number in 0..(raw_bytes / SEGMENT_BYTES).max(1) {
        let mut source = Runs { next, left: SEGMENT_BYTES / BATCH_BYTES / 32, body: body.clone() };
        let upload = SegmentUpload {
            topic: TopicSection { of, name: "bench".into(), config: Vec::new() },
            name: ObjectName {
                base_offset: Offset(next),
                leader_epoch: LeaderEpoch(0),
                uuid: Uuid::from_u128(number as u128),
            },
            end_offset: None,
            raw_bytes_hint: SEGMENT_BYTES as u64,
            epochs: Vec::new(),
            aborted: Vec::new(),
            producer_snapshot: Bytes::new(),
            may_have_holes: false,
            previous_digest: Sha256::default(),
            now_ms: 0,
        };
        entries.push(writer.upload(upload, &mut source).await.expect("uploaded").entry);
        next = source.next;
    }
    let raw: u64 = entries.iter().map(|entry| entry.raw_bytes).sum();
    let stored: u64 = entries.iter().map(|entry| entry.object_bytes).sum();
    let gigabytes = raw as f64 / 1e9;
    println!(
        "upload, verified: {:.0} MB/s, {:.2} CPU s/GB, ratio {:.2}, {} segments",
        raw as f64 / 1e6 / began.elapsed().as_secs_f64(),
        (cpu_seconds() - cpu) / gigabytes,
        raw as f64 / stored as f64,
        entries.len()
    );
    let index: Arc<dyn SegmentIndex> = Arc::new(Entries(entries));
    for request in [1usize << 20, 10 << 20] {
        for round in 0..3 {
            let replay = Replay::new(store.clone(), pool("bench-unpack"), &ReplayConfig::default());
            let (began, cpu) = (Instant::now(), cpu_seconds());
            let (mut offset, mut read, mut calls) = (Offset(0), 0u64, 0u64);
            loop {
                let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
                let answer = replay.read(&index, ReadRequest { of, offset, bytes_max: request, deadline }).await;
                match answer.expect("read") {
                    ReadAnswer::Data(data) => {
                        read += data.slices.iter().map(|slice| slice.bytes.len() as u64).sum::<u64>();
                        offset = data.next_offset;
                        calls += 1;
                    }
                    ReadAnswer::Pending => {}
                    ReadAnswer::End => break,
                }
            }
            assert_eq!(read, raw);
            println!(
                "replay, {} MiB requests, round {round}: {:.0} MB/s, {:.2} CPU s/GB, {calls} reads",
                request >> 20,
                read as f64 / 1e6 / began.elapsed().as_secs_f64(),
                (cpu_seconds() - cpu) / gigabytes,
            );
        }
    }
}
