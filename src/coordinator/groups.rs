//! The coordinator of groups: which shard a group is in, requests in, answers out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use stratalog_coordinator::group::GroupMachine;
use stratalog_coordinator::group::consumer::AssignmentJob;
use stratalog_coordinator::machine::{Caller, GroupConfig, Reply, Request, Step, View};
use stratalog_protocol::messages::list_groups::ListedGroup;
use stratalog_protocol::records::CodecId;
use stratalog_types::{Offset, TopicId};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Error;
use super::load;
use super::shard::{self, After, Appending, Submitted};
use super::topics::ImageTopics;
use crate::clock::Clock;
use crate::config::Settings;
use crate::metadata::{Metadata, Topic};
use crate::metrics::Metrics;
use crate::partition::{Partition, Partitions};
use crate::platform::{lock, read_lock, write_lock};

/// The topic of groups.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The longest sleep of the timers' task: a clock that was set forward is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(10);

/// Between two counts of groups and offsets.
const MEASURE_INTERVAL: Duration = Duration::from_secs(5);

/// What the broker's keys say of the runtime itself.
#[derive(Debug, Clone, Copy)]
struct Limits {
    commit_timeout: Duration,
    load_piece_bytes: u32,
    codec: CodecId,
}

impl Limits {
    fn of(settings: &Settings) -> Limits {
        let millis = settings.unsigned("offsets.commit.timeout.ms").unwrap_or(5_000);
        let piece = settings.unsigned("offsets.load.buffer.size").unwrap_or(5 << 20);
        Limits {
            commit_timeout: Duration::from_millis(millis),
            load_piece_bytes: u32::try_from(piece).unwrap_or(u32::MAX).clamp(64 << 10, 64 << 20),
            codec: settings
                .integer("offsets.topic.compression.codec")
                .and_then(|codec| u8::try_from(codec).ok())
                .map_or(CodecId::NONE, CodecId),
        }
    }
}

/// Partitions that a new offsets topic gets.
pub fn offsets_topic_partitions(settings: &Settings) -> i32 {
    settings.integer("offsets.topic.num.partitions").and_then(|count| i32::try_from(count).ok()).unwrap_or(50)
}

/// The configs of the offsets topic, as Kafka sets them when it makes it.
pub fn offsets_topic_configs(settings: &Settings) -> BTreeMap<String, String> {
    let segment_bytes = settings.integer("offsets.topic.segment.bytes").unwrap_or(100 << 20);
    BTreeMap::from([
        ("cleanup.policy".to_owned(), "compact".to_owned()),
        ("compression.type".to_owned(), "producer".to_owned()),
        ("segment.bytes".to_owned(), segment_bytes.to_string()),
    ])
}

type Shard = shard::Shard<GroupMachine>;
type Delivery = shard::Delivery<Reply>;

/// The shards that are there.
#[derive(Default)]
struct Shards {
    topic: Option<TopicId>,
    /// By partition index; `None`: the partition is offline, and its groups are nobody's.
    list: Vec<Option<Arc<Shard>>>,
}

impl Shards {
    fn served(&self) -> impl Iterator<Item = &Arc<Shard>> {
        self.list.iter().flatten()
    }
}

fn new_machine() -> GroupMachine {
    GroupMachine::new(Box::new(Uuid::new_v4))
}

/// The coordinator of groups of this broker.
pub struct Groups {
    metadata: Arc<Metadata>,
    partitions: Arc<Partitions>,
    metrics: Arc<Metrics>,
    clock: Clock,
    config: RwLock<Arc<GroupConfig>>,
    limits: Limits,
    shards: RwLock<Arc<Shards>>,
    /// When the timers' task will look again; an earlier deadline wakes it.
    looking_at_ms: AtomicI64,
    wake: Notify,
}

impl Groups {
    pub fn new(
        metadata: Arc<Metadata>,
        partitions: Arc<Partitions>,
        metrics: Arc<Metrics>,
        clock: Clock,
        settings: &Settings,
        config: GroupConfig,
    ) -> Arc<Groups> {
        Arc::new(Groups {
            metadata,
            partitions,
            metrics,
            clock,
            config: RwLock::new(Arc::new(config)),
            limits: Limits::of(settings),
            shards: RwLock::default(),
            looking_at_ms: AtomicI64::new(i64::MAX),
            wake: Notify::new(),
        })
    }

    pub fn config(&self) -> Arc<GroupConfig> {
        read_lock(&self.config).clone()
    }

    pub fn replace_config(&self, config: GroupConfig) {
        *write_lock(&self.config) = Arc::new(config);
    }

    /// Shards for the partitions of the offsets topic, if it is there: from now on those that are to be loaded say so. The
    /// future loads them.
    pub fn open(self: &Arc<Self>) -> impl Future<Output = ()> + Send + use<> {
        let image = self.metadata.image();
        let added = image.topic(OFFSETS_TOPIC).map(|topic| self.add_shards(topic)).unwrap_or_default();
        self.clone().load_all(added)
    }

    async fn load_all(self: Arc<Self>, added: Vec<Arc<Shard>>) {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let queue = Arc::new(Mutex::new(added.into_iter()));
        let mut loading = JoinSet::new();
        for _ in 0..threads {
            let (groups, queue) = (self.clone(), queue.clone());
            loading.spawn_blocking(move || {
                while let Some(shard) = { lock(&queue).next() } {
                    groups.load(&shard);
                }
            });
        }
        while let Some(loaded) = loading.join_next().await {
            if loaded.is_err() {
                tracing::error!("loading the groups was cut off");
            }
        }
    }

    /// Answers the new shards that have something to load. One of an empty log serves at once: whoever made the topic for
    /// a client goes on to tell it that the coordinator is here.
    fn add_shards(self: &Arc<Self>, topic: &Topic) -> Vec<Arc<Shard>> {
        let mut shards = write_lock(&self.shards);
        let slots = self.partitions.slots(topic.id);
        let known: &[Option<Arc<Shard>>] = if shards.topic == Some(topic.id) { &shards.list } else { &[] };
        let mut list = known.to_vec();
        list.resize(slots.len().max(known.len()), None);
        let mut added = Vec::new();
        for (place, slot) in list.iter_mut().zip(slots.iter()).filter(|(place, _)| place.is_none()) {
            let Some(partition) = slot.served() else { continue };
            let shard = Arc::new(Shard::new(partition.clone(), new_machine()));
            let end = partition.log().log_end_offset();
            if partition.log().local_log_start_offset() == end {
                shard.lock().activate(new_machine(), end);
                self.input(&shard, |machine, now_ms, view| machine.loaded(now_ms, view));
            }
            added.push(shard.clone());
            *place = Some(shard);
        }
        if list.len() > known.len() || !added.is_empty() {
            *shards = Arc::new(Shards { topic: Some(topic.id), list });
        }
        added.retain(|shard| shard.lock().check() == Err(Error::Loading));
        added
    }

    /// Reads a shard's log. Requests are answered from then on.
    fn load(self: &Arc<Self>, shard: &Arc<Shard>) {
        let started = Instant::now();
        let partition = shard.partition.topic_partition();
        let mut machine = new_machine();
        let loaded = match load::load(&shard.partition, &mut machine, self.limits.load_piece_bytes) {
            Ok(loaded) => loaded,
            Err(error) => {
                tracing::error!(%partition, "the groups of this partition cannot be served: {error}");
                shard.close();
                return;
            }
        };
        self.metrics.group_records_loaded.inc_by(loaded.records);
        if loaded.records > 0 {
            let (groups, offsets) = (machine.group_count(), machine.offset_count());
            let took = started.elapsed();
            tracing::info!(%partition, records = loaded.records, groups, offsets, "groups loaded in {took:?}");
        }
        shard.lock().activate(machine, loaded.end_offset);
        self.input(shard, |machine, now_ms, view| machine.loaded(now_ms, view));
    }

    /// Stops: everybody who waits is told to look for the coordinator elsewhere.
    pub fn close(&self) {
        let shards = std::mem::take(&mut *write_lock(&self.shards));
        shards.served().for_each(|shard| shard.close());
    }

    /// Whether the offsets topic is there and served.
    pub fn is_open(&self) -> bool {
        !read_lock(&self.shards).list.is_empty()
    }

    fn shards(&self) -> Arc<Shards> {
        read_lock(&self.shards).clone()
    }

    fn shard_of(&self, group: &str) -> Result<Arc<Shard>, Error> {
        let shards = self.shards();
        let index = partition_of(group, shards.list.len());
        index.and_then(|index| shards.list.get(index)?.clone()).ok_or(Error::NotCoordinator)
    }

    /// Whether the partition that a group is kept in can be led: a client need not look for its coordinator elsewhere.
    pub fn has_leader(&self, group: &str) -> bool {
        self.shard_of(group).is_ok_and(|shard| !shard.partition.log().is_offline())
    }

    /// Asks the shard of `group`, and waits for the answer and for its durability.
    pub async fn ask(self: &Arc<Self>, group: &str, caller: &Caller, request: Request) -> Result<Reply, Error> {
        let shard = self.shard_of(group)?;
        self.ask_shard(&shard, caller, request).await
    }

    async fn ask_shard(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        caller: &Caller,
        request: Request,
    ) -> Result<Reply, Error> {
        let delivery = match self.submit(shard, caller, request)? {
            Submitted::Answered(delivery) => delivery,
            // The sender is dropped when the shard closes.
            Submitted::Waiting(receiver) => receiver.await.unwrap_or(Err(Error::NotCoordinator)),
        };
        self.durable(&shard.partition, delivery).await
    }

    /// Waits until what the answer says is committed.
    async fn durable(&self, partition: &Partition, delivery: Delivery) -> Result<Reply, Error> {
        let (reply, at) = delivery?;
        if at == Offset::ZERO || partition.high_watermark().get() >= at {
            return Ok(reply);
        }
        let waited = tokio::time::timeout(self.limits.commit_timeout, partition.high_watermark().wait_for(at)).await;
        match waited {
            Ok(Ok(())) => Ok(reply),
            Ok(Err(_closed)) => Err(Error::NotCoordinator),
            Err(_elapsed) => Err(Error::NotAvailable),
        }
    }

    fn submit(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        caller: &Caller,
        request: Request,
    ) -> Result<Submitted<Reply>, Error> {
        let mut jobs = Vec::new();
        // Nothing can be stored any more: members look for another coordinator, and find this one after a restart.
        if shard.partition.log().is_offline() {
            return Err(Error::NotCoordinator);
        }
        let submitted = {
            let mut state = shard.lock();
            state.check()?;
            let (image, config) = (ImageTopics(self.metadata.image()), self.config());
            let view = View { config: &config, topics: &image };
            let now_ms = self.clock.now_ms();
            let own = state.next_ticket();
            let mut step = state.machine.handle(now_ms, &view, own, caller, request);
            jobs.append(&mut step.jobs);
            state.carry_out(shard, step, own, self.appending(now_ms), |machine, after| {
                let mut step = match after {
                    After::Replayed => machine.replayed(now_ms, &view),
                    After::Failed(watching, error) => machine.append_failed(now_ms, &view, watching, error),
                };
                jobs.append(&mut step.jobs);
                step
            })
        };
        self.after(shard, jobs);
        Ok(submitted)
    }

    /// An input that no request led to: `None` if the shard is not serving.
    fn input(self: &Arc<Self>, shard: &Arc<Shard>, input: impl FnOnce(&mut GroupMachine, i64, &View<'_>) -> Step) {
        let mut jobs = Vec::new();
        {
            let mut state = shard.lock();
            if state.check().is_err() {
                return;
            }
            let (image, config) = (ImageTopics(self.metadata.image()), self.config());
            let view = View { config: &config, topics: &image };
            let now_ms = self.clock.now_ms();
            let mut step = input(&mut state.machine, now_ms, &view);
            jobs.append(&mut step.jobs);
            state.carry_out_own(shard, step, self.appending(now_ms), |machine, after| {
                let mut step = match after {
                    After::Replayed => machine.replayed(now_ms, &view),
                    After::Failed(watching, error) => machine.append_failed(now_ms, &view, watching, error),
                };
                jobs.append(&mut step.jobs);
                step
            });
        }
        self.after(shard, jobs);
    }

    fn appending(&self, now_ms: i64) -> Appending {
        Appending { now_ms, codec: self.limits.codec }
    }

    /// Starts what a step asked for, and wakes the timers' task if this shard is to be looked at earlier than it would.
    fn after(self: &Arc<Self>, shard: &Arc<Shard>, jobs: Vec<AssignmentJob>) {
        for job in jobs {
            let (groups, shard) = (self.clone(), shard.clone());
            tokio::task::spawn_blocking(move || {
                let assigned = job.run();
                groups.input(&shard, |machine, now_ms, view| machine.assigned(now_ms, view, assigned));
            });
        }
        if shard.deadline_ms() < self.looking_at_ms.load(Ordering::SeqCst) {
            self.wake.notify_one();
        }
    }

    /// Every group of every shard; empty filters let all pass. A shard that loads makes the whole answer fail.
    pub async fn list(
        self: &Arc<Self>,
        caller: &Caller,
        states: Vec<String>,
        types: Vec<String>,
    ) -> Result<Vec<ListedGroup>, Error> {
        let mut listed = Vec::new();
        for shard in self.shards().served() {
            let request = Request::ListGroups { states: states.clone(), types: types.clone() };
            match self.ask_shard(shard, caller, request).await {
                Ok(Reply::ListGroups(groups)) => listed.extend(groups),
                Ok(_) | Err(Error::NotCoordinator) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(listed)
    }

    /// The offsets of these topics are no more. Shards of the offsets topic itself stop.
    pub fn topics_deleted(self: &Arc<Self>, topics: &[(String, Uuid)]) {
        let shards = self.shards();
        if topics.iter().any(|(_, id)| shards.topic.is_some_and(|topic| topic.0 == *id)) {
            self.close();
            return;
        }
        for shard in shards.served() {
            self.input(shard, |machine, _, _| machine.topics_deleted(topics));
        }
    }

    /// Keeps the time of all shards, until the broker drains; then everybody who waits is told.
    pub async fn run(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let mut measured = None;
        loop {
            let next_ms = self.tick();
            if measured.is_none_or(|at: Instant| at.elapsed() >= MEASURE_INTERVAL) {
                self.measure();
                measured = Some(Instant::now());
            }
            self.looking_at_ms.store(next_ms, Ordering::SeqCst);
            // One that came while the time was not stored yet. Both sides store first and look then, in one order for all:
            // one of the two sees the other.
            let next_ms = next_ms.min(self.next_deadline_ms());
            let sleep_ms = u64::try_from(next_ms.saturating_sub(self.clock.now_ms())).unwrap_or(0);
            let sleep = Duration::from_millis(sleep_ms).min(SLEEP_MAX);
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => break,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
        self.close();
    }

    /// Acts on all deadlines that have passed; answers when the next one is.
    fn tick(self: &Arc<Self>) -> i64 {
        for shard in self.shards().served() {
            if shard.deadline_ms() <= self.clock.now_ms() {
                self.input(shard, |machine, now_ms, view| machine.tick(now_ms, view));
            }
        }
        self.next_deadline_ms()
    }

    fn measure(&self) {
        let (mut groups, mut offsets, mut waiting) = (0, 0, 0);
        for shard in self.shards().served() {
            let state = shard.lock();
            groups += state.machine.group_count();
            offsets += state.machine.offset_count();
            waiting += state.waiting();
        }
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.groups.set(gauge(groups));
        self.metrics.group_offsets.set(gauge(offsets));
        self.metrics.group_requests_waiting.set(gauge(waiting));
    }

    fn next_deadline_ms(&self) -> i64 {
        self.shards().served().map(|shard| shard.deadline_ms()).min().unwrap_or(i64::MAX)
    }
}

/// The shard of a group, as Kafka's clients and tools expect it: by Java's hash of the text.
fn partition_of(group: &str, partitions: usize) -> Option<usize> {
    let hash = group.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Java has no positive of its least number; Kafka takes 0 there.
    let positive = usize::try_from(hash.checked_abs().unwrap_or(0)).unwrap_or(0);
    positive.checked_rem(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_kafkas() {
        // What Utils.abs(groupId.hashCode()) % 50 is in Java.
        for (group, partition) in [("", 0), ("a", 47), ("my-group", 12), ("console-consumer-1", 24)] {
            assert_eq!(partition_of(group, 50), Some(partition), "{group}");
        }
        assert_eq!(partition_of("gr\u{fc}n", 50), Some(49));
        assert_eq!(partition_of("\u{1f600}", 50), Some(49));
        // Its hash is Java's least int.
        assert_eq!(partition_of("polygenelubricants", 50), Some(0));
        assert_eq!(partition_of("a", 0), None);
    }
}
