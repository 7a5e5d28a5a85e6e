//! Brokers that do what the protocol asks of a leader's log, over the real manifest.
//!
//! A broker's disk survives its process. Acknowledged records are on every in-sync replica. A segment of broker i ends at
//! multiples of `i + 2`: borders differ from replica to replica.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use stratalog_types::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use uuid::Uuid;

use super::bucket::{Bucket, Connection};
use super::truth::{self, Reader, Record, SharedTruth};
use crate::entry::Entry;
use crate::gc::topic::TopicLife;
use crate::manifest::head::Head;
use crate::manifest::plan::{Limits, Refusal, RetentionPolicy};
use crate::manifest::session::{Grace, ManifestConfig, PartitionManifest, PendingUpload, Retry, lock};
use crate::manifest::{Ambient, Committed, Identity, ManifestError, PageCache};
use crate::object_key::TierPartition;
use crate::planted::{Bug, planted};
use crate::recovery::{Leadership, ReconcileCause, Started};
use crate::store::{PartSource, Purpose, Store, StoreError};

pub const G_MS: u64 = 10_000;
pub const H_MS: u64 = 4_000;
pub const L_MS: u64 = 50_000;

/// Small enough that a dozen segments make two levels of pages.
pub const LIMITS: Limits =
    Limits { entries_max: 3, spill_entries: 2, pages_max: 3, spill_pages: 2, marks_max: 6, marks_soft: 4 };

pub const OF: TierPartition =
    TierPartition { topic_id: TopicId(Uuid::from_u128(0x0707)), partition: PartitionIndex(0) };

pub struct Disk {
    pub base: i64,
    pub records: Vec<Record>,
    pub log_start_checkpoint: i64,
    pub directory: tempfile::TempDir,
}

impl Disk {
    pub fn end(&self) -> i64 {
        self.base + self.records.len() as i64
    }
}

pub struct Broker {
    pub store: Arc<Connection>,
    pub manifest: PartitionManifest,
    pub disk: Arc<Mutex<Disk>>,
    pub leader_epoch: i32,
}

pub struct World {
    pub bucket: Arc<Bucket>,
    pub truth: SharedTruth,
    pub ambient: Arc<Ambient>,
    clock_ms: Arc<AtomicU64>,
    pub brokers: Vec<Broker>,
    pub attempts_max: u32,
    pub owner_epoch: u64,
    pub leader: usize,
    pub epoch: i32,
    next_value: u64,
}

struct OnePart(Option<Bytes>);

impl PartSource for OnePart {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        let part = self.0.take();
        Box::pin(async move { Ok(part) })
    }
}

/// A stored object that waits for its commit.
pub struct Stored {
    pub upload: PendingUpload,
    pub entry: Entry,
}

impl World {
    pub fn new(brokers: usize) -> World {
        let bucket = Arc::new(Bucket::default());
        let truth = truth::watching(&bucket);
        let clock_ms = Arc::new(AtomicU64::new(1_000_000));
        let (monotonic, wall, counter) = (Arc::clone(&clock_ms), Arc::clone(&clock_ms), AtomicU64::new(1));
        let ambient = Arc::new(Ambient {
            monotonic: Box::new(move || Duration::from_millis(monotonic.load(Ordering::SeqCst))),
            wall_ms: Box::new(move || wall.load(Ordering::SeqCst) as i64),
            uuid: Box::new(move || {
                Uuid::from_u128(u128::from(counter.fetch_add(1, Ordering::SeqCst)).wrapping_mul(0x9E37_79B9_7F4A_7C15))
            }),
        });
        let mut world = World {
            bucket,
            truth,
            ambient,
            clock_ms,
            brokers: Vec::new(),
            attempts_max: 4,
            owner_epoch: 1,
            leader: 0,
            epoch: 0,
            next_value: 0,
        };
        for _ in 0..brokers {
            let directory = super::directory();
            let disk = Disk { base: 0, records: Vec::new(), log_start_checkpoint: 0, directory };
            let broker = world.boot(Arc::new(Mutex::new(disk)));
            world.brokers.push(broker);
        }
        world
    }

    pub fn boot(&self, disk: Arc<Mutex<Disk>>) -> Broker {
        let store = self.bucket.connect();
        let config = ManifestConfig {
            identity: Identity { cluster_id: "one".to_owned(), of: OF, topic_name: "orders".to_owned() },
            directory: lock(&disk).directory.path().to_owned(),
            grace: self.grace(),
            retry: self.retry(),
            limits: LIMITS,
        };
        let (hook_disk, hook_store) = (Arc::clone(&disk), Arc::clone(&store));
        let checkpoint = move |offset: Offset| {
            if hook_store.is_dead() {
                return Err(std::io::Error::other("the process is dead"));
            }
            let mut disk = lock(&hook_disk);
            disk.log_start_checkpoint = disk.log_start_checkpoint.max(offset.get());
            Ok(())
        };
        let manifest = PartitionManifest::open(
            store.clone(),
            config,
            Arc::clone(&self.ambient),
            PageCache::new(1 << 20),
            Arc::new(checkpoint),
        )
        .unwrap();
        Broker { store, manifest, disk, leader_epoch: -1 }
    }

    pub fn grace(&self) -> Grace {
        Grace {
            mark: Duration::from_millis(G_MS),
            head_use: Duration::from_millis(H_MS),
            sweep_age: Duration::ZERO,
            late_put: Duration::from_millis(L_MS),
        }
    }

    pub fn retry(&self) -> Retry {
        Retry { attempts_max: self.attempts_max, backoff: Duration::ZERO }
    }

    pub fn life(&self, store: &Arc<Connection>) -> TopicLife {
        let (ambient, owner) = (Arc::clone(&self.ambient), self.owner_epoch);
        TopicLife::new(store.clone(), ambient, "one".to_owned(), owner, self.grace(), self.retry())
    }

    pub fn pass(&self, ms: u64) {
        let now = self.clock_ms.fetch_add(ms, Ordering::SeqCst) + ms;
        self.bucket.advance_ms(ms);
        let mut truth = lock(&self.truth);
        truth.now_ms = now;
        truth.readers.retain(|reader| reader.until_ms > now);
    }

    /// The process ends and starts again on the same disk.
    pub fn restart(&mut self, index: usize) {
        self.brokers[index].store.kill();
        let disk = Arc::clone(&self.brokers[index].disk);
        self.brokers[index] = self.boot(disk);
        self.check_start(index);
    }

    pub async fn lead(&mut self, index: usize, clean: bool) -> Result<Started, ManifestError> {
        self.epoch += 1;
        self.leader = index;
        self.lead_again(index, clean).await
    }

    pub async fn lead_again(&mut self, index: usize, clean: bool) -> Result<Started, ManifestError> {
        let epoch = self.epoch;
        self.brokers[index].leader_epoch = epoch;
        let leadership = Leadership {
            owner_epoch: self.owner_epoch,
            leader_epoch: LeaderEpoch(epoch),
            clean,
            log_end_offset: Offset(lock(&self.brokers[index].disk).end()),
            topic_is_new: true,
        };
        let started = self.brokers[index].manifest.start(&leadership).await?;
        if let Started::ReconcileNeeded(reconcile) = &started {
            let aside = match reconcile.cause {
                ReconcileCause::LogEndsBelowTier => true,
                ReconcileCause::CompareEpochs => !self.agrees(index),
            };
            if aside {
                let mut disk = lock(&self.brokers[index].disk);
                disk.base = reconcile.next_offset.get();
                disk.records.clear();
            }
            self.brokers[index].manifest.reconciled().await?;
        }
        self.expose(index);
        Ok(started)
    }

    /// Whether the local records are the tier's, where both have them.
    fn agrees(&self, index: usize) -> bool {
        let objects = self.bucket.objects();
        let Some(head) = truth::head_of(&objects, OF) else { return true };
        let disk = lock(&self.brokers[index].disk);
        truth::live_entries(&objects, OF, &head).unwrap_or_default().iter().all(|entry| {
            let body = &objects[&OF.segment_of(entry)].0;
            let text = std::str::from_utf8(body).unwrap();
            text.split_terminator(';').all(|record| {
                let mut fields = record.split(':').map(|field| field.parse::<i64>().unwrap());
                let (offset, epoch) = (fields.next().unwrap(), fields.next().unwrap());
                let local = usize::try_from(offset - disk.base).ok().and_then(|at| disk.records.get(at));
                local.is_none_or(|local| i64::from(local.leader_epoch) == epoch)
            })
        })
    }

    /// Appends to the leader and the in-sync replicas, acknowledged.
    pub fn append(&mut self, count: usize, in_sync: &[usize]) {
        self.append_as(self.leader, count, in_sync);
        let at = lock(&self.brokers[self.leader].disk).end() - count as i64;
        for (offset, record) in self.local(self.leader, at, at + count as i64) {
            let clash = lock(&self.truth).acked.insert(offset, record);
            if clash.is_some_and(|clash| clash != record) {
                lock(&self.truth).violate("I1 an acknowledged record was overwritten");
            }
        }
    }

    /// Appends without any acknowledgement.
    pub fn append_as(&mut self, index: usize, count: usize, in_sync: &[usize]) {
        for _ in 0..count {
            self.next_value += 1;
            let leader_epoch = self.brokers[index].leader_epoch;
            let record = Record { leader_epoch, value: self.next_value };
            for replica in in_sync.iter().copied().chain([index]).collect::<std::collections::BTreeSet<_>>() {
                lock(&self.brokers[replica].disk).records.push(record);
            }
        }
    }

    fn local(&self, index: usize, from: i64, to: i64) -> Vec<(i64, Record)> {
        let disk = lock(&self.brokers[index].disk);
        (from..to).filter_map(|at| Some((at, *disk.records.get(usize::try_from(at - disk.base).ok()?)?))).collect()
    }

    pub fn committed_end(&self) -> i64 {
        lock(&self.truth).acked.last_key_value().map_or(0, |(offset, _)| offset + 1)
    }

    pub fn log_start(&self, index: usize) -> i64 {
        let broker = &self.brokers[index];
        let disk = lock(&broker.disk);
        if planted(Bug::LogStartFromFiles) {
            return disk.base;
        }
        disk.log_start_checkpoint.max(broker.manifest.snapshot().log_start_offset().get())
    }

    /// What a client of this broker is shown now.
    pub fn expose(&self, index: usize) {
        let start = self.log_start(index);
        let mut truth = lock(&self.truth);
        let exposed = truth.exposed_start.entry(index).or_default();
        *exposed = start.max(*exposed);
    }

    fn check_start(&self, index: usize) {
        let start = self.log_start(index);
        let mut truth = lock(&self.truth);
        if truth.exposed_start.get(&index).is_some_and(|exposed| start < *exposed) {
            truth.violate("I10 an exposed log start went back over a restart");
        }
    }

    /// 3.2 steps 1 to 3: a range of whole closed segments, stored and read back. `None` when there is none.
    pub async fn store_segment(&self, index: usize) -> Result<Option<Stored>, ManifestError> {
        let broker = &self.brokers[index];
        let (local_base, local_end) = {
            let disk = lock(&broker.disk);
            (disk.base, disk.end())
        };
        let next = broker.manifest.snapshot().next_offset().get();
        let mut base = next.max(self.log_start(index));
        if planted(Bug::BaseIsFirstLocal) {
            base = local_base;
        }
        let stride = index as i64 + 2;
        let end = (base / stride + 1) * stride;
        let until = if planted(Bug::TierAboveCommitted) { local_end } else { self.committed_end().min(local_end) };
        if base < local_base || end > until {
            return Ok(None);
        }
        self.store_range(index, base, end).await
    }

    pub async fn store_range(&self, index: usize, base: i64, end: i64) -> Result<Option<Stored>, ManifestError> {
        let broker = &self.brokers[index];
        let upload = broker.manifest.begin_upload(Offset(base)).await?;
        let body = Bytes::from(truth::body_of(&self.local(index, base, end)));
        let bytes = body.len() as u64;
        if !self.put(index, &upload.key(), body).await {
            return Ok(None);
        }
        let name = upload.name();
        let entry = Entry {
            base_offset: Offset(base),
            end_offset: Offset(end),
            leader_epoch: name.leader_epoch,
            uuid: name.uuid,
            object_bytes: bytes,
            raw_bytes: 100 * (end - base) as u64,
            footer_position: 0,
            footer_bytes: 0,
            footer_crc: 0,
            min_timestamp: base * 1000,
            max_timestamp: end * 1000 - 1,
            committed_at: 0,
            generation: 0,
        };
        if planted(Bug::UnlinkBeforeCommit) {
            self.unlink_below(index, end);
        }
        Ok(Some(Stored { upload, entry }))
    }

    /// Stored and verified: after a doubt as well as after an answer it is what a read says.
    pub async fn put(&self, index: usize, key: &str, body: Bytes) -> bool {
        let store = &self.brokers[index].store;
        let put = store.put_stream(key, &mut OnePart(Some(body.clone())), Purpose::Upload).await;
        if let Err(StoreError::Unavailable { .. }) = put {
            return false;
        }
        let verified = store.get(key, Purpose::Verify).await.is_ok_and(|(stored, _)| stored == body);
        verified || planted(Bug::CommitUnverified)
    }

    pub async fn commit(&self, index: usize, stored: &Stored) -> Result<Committed, ManifestError> {
        let start = Offset(self.log_start(index));
        let manifest = &self.brokers[index].manifest;
        let committed = manifest.commit_segment(&stored.upload, stored.entry.clone(), start).await;
        self.expose(index);
        committed
    }

    /// The whole of 3.2; errors are the next try's business.
    pub async fn upload(&self, index: usize) -> Result<bool, ManifestError> {
        let Some(stored) = self.store_segment(index).await? else { return Ok(false) };
        match self.commit(index, &stored).await {
            Ok(_) => Ok(true),
            // Committed or not is unknown: the same entry again.
            Err(error) if error.is_retriable() => self.commit(index, &stored).await.map(|_| true),
            Err(error) => Err(error),
        }
    }

    pub async fn upload_all(&self, index: usize) {
        while self.upload(index).await.unwrap() {}
    }

    fn unlink_below(&self, index: usize, offset: i64) {
        let mut disk = lock(&self.brokers[index].disk);
        let drop = usize::try_from(offset.min(disk.end()) - disk.base).unwrap_or(0);
        disk.records.drain(..drop);
        disk.base += drop as i64;
    }

    /// Local segments behind the durable copy go.
    pub fn evict(&self, index: usize) {
        self.unlink_below(index, self.brokers[index].manifest.durable_next_offset().get());
    }

    /// Retention or an order to delete, at a committed offset: manifest first.
    pub async fn expire(&self, index: usize, target: i64) -> Result<Committed, ManifestError> {
        {
            let mut truth = lock(&self.truth);
            truth.ordered_start = truth.ordered_start.max(target);
        }
        let committed = self.brokers[index].manifest.advance_log_start(Offset(target)).await;
        self.expose(index);
        committed
    }

    /// Retention by size, ordered as far as a plain list says.
    pub async fn retain(&self, index: usize, retention_bytes: u64) -> Result<Committed, ManifestError> {
        let objects = self.bucket.objects();
        let live = truth::head_of(&objects, OF).and_then(|head| truth::live_entries(&objects, OF, &head).ok());
        let live = live.unwrap_or_default();
        let mut bytes: u64 = live.iter().map(|entry| entry.raw_bytes).sum();
        for entry in &live {
            if bytes < retention_bytes + entry.raw_bytes {
                break;
            }
            bytes -= entry.raw_bytes;
            let mut truth = lock(&self.truth);
            truth.ordered_start = truth.ordered_start.max(entry.end_offset.get());
        }
        let policy = RetentionPolicy {
            retention_ms: None,
            retention_bytes: Some(retention_bytes),
            now_ms: 0,
            bytes_beyond_tier: 0,
        };
        let end = Offset(self.committed_end());
        let kept = self.brokers[index].manifest.retention(&policy, end).await;
        self.expose(index);
        kept
    }

    /// DeleteRecords: durable locally (and on the in-sync replicas), answered, carried by the next commit.
    pub fn delete_records(&self, index: usize, target: i64, in_sync: &[usize]) {
        {
            let mut truth = lock(&self.truth);
            truth.ordered_start = truth.ordered_start.max(target);
        }
        for replica in in_sync.iter().copied().chain([index]) {
            let mut disk = lock(&self.brokers[replica].disk);
            disk.log_start_checkpoint = disk.log_start_checkpoint.max(target);
        }
        self.expose(index);
    }

    /// Somebody begins to read with what this broker's view names.
    pub fn begin_reading(&self, index: usize) {
        let view = self.brokers[index].manifest.snapshot();
        let Some(head) = view.head() else { return };
        let objects = self.bucket.objects();
        let unmarked = Head { marks: Vec::new(), ..head.clone() };
        let mut keys: std::collections::HashSet<String> = match truth::live_entries(&objects, OF, head) {
            Ok(live) => live.iter().map(|entry| OF.segment_of(entry)).collect(),
            Err(violation) => return lock(&self.truth).violate(violation),
        };
        keys.extend(unmarked.pages.iter().map(|page| OF.page(&page.name())));
        let until_ms = self.clock_ms.load(Ordering::SeqCst) + H_MS;
        lock(&self.truth).readers.push(Reader { keys, until_ms });
    }

    /// I1, I2, I4 and I11 as they stand.
    pub fn check(&self) {
        let objects = self.bucket.objects();
        let head = truth::head_of(&objects, OF);
        let mut truth = lock(&self.truth);
        let mut live = Vec::new();
        if let Some(head) = &head {
            truth.audit(&objects, OF, head);
            live = truth::live_entries(&objects, OF, head).unwrap_or_default();
        }
        let disk = lock(&self.brokers[self.leader].disk);
        let lost = truth.acked.range(truth.ordered_start..).any(|(offset, record)| {
            let local = usize::try_from(offset - disk.base).ok().and_then(|at| disk.records.get(at));
            let tiered = live.iter().any(|entry| (entry.base_offset.get()..entry.end_offset.get()).contains(offset));
            local != Some(record) && !tiered
        });
        if lost {
            truth.violate("I1 an acknowledged record is neither in the leader's log nor in the tier");
        }
        drop(disk);
        drop(truth);
        let start = self.log_start(self.leader);
        let mut truth = lock(&self.truth);
        if start > truth.ordered_start {
            truth.violate("I11 the log start moved without an order");
        }
    }

    /// Faults stop: a healthy leader tiers everything, reaps and sweeps. Then nothing unreferenced may be left.
    pub async fn settle(&mut self) {
        for broker in &self.brokers {
            broker.store.clear_faults();
        }
        self.bucket.land_all();
        self.attempts_max = 8;
        let leader = self.leader;
        self.restart(leader);
        let started = self.lead(leader, true).await;
        if let Err(error) = started {
            return lock(&self.truth).violate(format!("no leader can start: {error}"));
        }
        self.check();
        for _ in 0..200 {
            let start = self.log_start(leader);
            let manifest = &self.brokers[leader].manifest;
            let uploaded = match self.upload(leader).await {
                Ok(uploaded) => uploaded,
                Err(ManifestError::Refused(Refusal::DoesNotFit { .. })) => {
                    // The head's log start lags behind the local one until marks are reaped.
                    false
                }
                Err(error) => return lock(&self.truth).violate(format!("upload stuck: {error}")),
            };
            let advanced = match manifest.advance_log_start(Offset(start)).await {
                Ok(committed) => committed.log_start_offset.get() >= start,
                Err(ManifestError::Refused(Refusal::MarksFull { .. })) => false,
                Err(error) => return lock(&self.truth).violate(format!("log start stuck: {error}")),
            };
            self.pass(G_MS + 1);
            let reaped = match manifest.reap(1000).await {
                Ok(reaped) => reaped,
                Err(error) => return lock(&self.truth).violate(format!("reap stuck: {error}")),
            };
            if !uploaded && advanced && reaped.marks_left == 0 {
                break;
            }
        }
        let manifest = &self.brokers[leader].manifest;
        if let Err(error) = manifest.sweep(false).await {
            return lock(&self.truth).violate(format!("sweep stuck: {error}"));
        }
        self.check();
        let objects = self.bucket.objects();
        let head = truth::head_of(&objects, OF).expect("a leader has started");
        let stride = leader as i64 + 2;
        let mut truth = lock(&self.truth);
        let committed = truth.acked.last_key_value().map_or(0, |(offset, _)| offset + 1);
        if head.next_offset.get() + stride <= committed {
            truth.violate("the tier does not go on to the committed end");
        }
        let reachable = truth::reachable(&objects, OF, &head);
        let mut keys = objects.keys().filter(|key| key.ends_with(".seg") || key.ends_with(".page"));
        if keys.any(|key| !reachable.contains(key)) {
            truth.violate("I9 an unreferenced object is left");
        }
    }

    pub fn violations(&self) -> Vec<String> {
        lock(&self.truth).violations.iter().cloned().collect()
    }
}
