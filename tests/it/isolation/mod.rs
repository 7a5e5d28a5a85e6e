//! read_committed over a log as Apache Kafka leaves it, with transactions that were committed, aborted, interleaved and
//! left open, beside a plain list of which records may be seen: on disk, in the tier, and compacted.
//!
//! `ISOLATION_SEED` sets the seed, which is printed.

mod model;

use std::sync::Arc;
use std::time::Duration;

use stratalog::partition::Partition;
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use stratalog_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use stratalog_types::TopicId;
use tokio::time::timeout;

use crate::api::Fixture;
use crate::log::crash_disk::Dice;
use model::{Model, TIME_MS, consume};

const STEPS: usize = 400;
const HANG: Duration = Duration::from_secs(60);
const LATEST: i64 = -1;
/// The broker's own rounds never come.
const STILL: &[(&str, &str)] = &[
    ("log.cleaner.enable", "false"),
    ("log.retention.check.interval.ms", "3600000"),
    ("remote.log.manager.task.interval.ms", "3600000"),
];

struct World {
    fixture: Fixture,
    topic: TopicId,
    model: Model,
    dice: Dice,
}

impl World {
    async fn new(name: &str, configs: &[(&str, &str)]) -> World {
        let random = u64::from_le_bytes(uuid::Uuid::new_v4().as_bytes()[..8].try_into().unwrap());
        let seed = std::env::var("ISOLATION_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(random) | 1;
        println!("{name}: ISOLATION_SEED={seed}");
        let mut fixture = Fixture::start_with(STILL).await;
        let topic = TopicId(fixture.create("t", 1, configs).await);
        World { fixture, topic, model: Model::default(), dice: Dice(seed) }
    }

    fn partition(&self) -> Arc<Partition> {
        self.fixture.node().partitions.find(self.topic, 0).unwrap()
    }

    async fn step(&mut self) {
        let partition = self.partition();
        match self.dice.below(12) {
            0..6 => self.model.write(partition.log(), &mut self.dice),
            6..9 => self.model.end_one(partition.log(), &mut self.dice),
            9 | 10 => drop(partition.log().roll().unwrap()),
            _ => self.look(&partition).await,
        }
    }

    async fn settled(&self, partition: &Partition) {
        partition.log().flush();
        let settled = partition.high_watermark().wait_for(partition.log().log_end_offset());
        timeout(HANG, settled).await.unwrap().unwrap();
    }

    /// Reads all of it in steps of random size, and from somewhere; asks where it ends.
    async fn look(&mut self, partition: &Partition) {
        self.settled(partition).await;
        let stable = self.model.last_stable_offset();
        assert_eq!(self.latest(1).await, stable, "the end that read_committed is told of");
        assert_eq!(self.latest(0).await, self.model.end);
        let start = partition.log_start_offset().0;
        let mut seen = Vec::new();
        let mut at = start;
        while at < stable {
            let bytes_max = [1, 300, 1000, 1 << 20][usize::try_from(self.dice.below(4)).unwrap()];
            let row = self.fetch(at, bytes_max, 1).await;
            at = self.check(&row, at, &mut seen);
        }
        assert_eq!(at, stable, "what is behind the last stable offset is not shown");
        self.model.compare(start, &seen);
        for _ in 0..4 {
            let at = i64::try_from(self.dice.below(u64::try_from(stable).unwrap() + 1)).unwrap();
            let row = self.fetch(at, 500, 1).await;
            if at < stable {
                self.check(&row, at, &mut Vec::new());
            } else {
                assert_eq!(row.aborted_transactions, Some(Vec::new()), "at the end");
                assert!(row.records.is_empty());
            }
            let found = self.by_time(at).await;
            assert!(found.is_none_or(|found| found >= at && found < stable), "{found:?} from {at}, stable is {stable}");
            assert!(self.model.is_cleaned() || found == (at < stable).then_some(at), "{found:?} from {at} to {stable}");
            let all = self.fetch(at, 500, 0).await;
            assert_eq!((all.last_stable_offset, all.aborted_transactions), (stable, None), "read_uncommitted");
            assert!(at == self.model.end || !all.records.is_empty(), "read_uncommitted sees what is at {at}");
        }
    }

    fn check(&self, row: &PartitionData, at: i64, seen: &mut Vec<(i64, u64)>) -> i64 {
        let stable = self.model.last_stable_offset();
        assert_eq!((row.last_stable_offset, row.high_watermark), (stable, self.model.end));
        let (next, records) = consume(row, at);
        assert!(next > at && next <= stable, "{at} to {next}, stable is {stable}");
        seen.extend(records);
        let told: Vec<(i64, i64)> =
            row.aborted_transactions.iter().flatten().map(|one| (one.producer_id, one.first_offset)).collect();
        self.model.compare_aborted(&told, at, next);
        next
    }

    async fn fetch(&mut self, fetch_offset: i64, bytes_max: i32, isolation_level: i8) -> PartitionData {
        let partition = FetchPartition { fetch_offset, partition_max_bytes: bytes_max, ..FetchPartition::default() };
        let topic = FetchTopic { topic: "t".to_owned(), partitions: vec![partition], ..FetchTopic::default() };
        let visible = if isolation_level == 1 { self.model.last_stable_offset() } else { self.model.end };
        let request = FetchRequest {
            max_wait_ms: if fetch_offset < visible { 30_000 } else { 0 },
            min_bytes: 1,
            max_bytes: bytes_max,
            isolation_level,
            topics: vec![topic],
            ..FetchRequest::default()
        };
        let row = self.fixture.ask(&request, 12).await.responses.remove(0).partitions.remove(0);
        assert_eq!(row.error_code, ErrorCode::NONE);
        row
    }

    async fn listed(&mut self, timestamp: i64, isolation_level: i8) -> i64 {
        let row = ListOffsetsPartition { partition_index: 0, timestamp, current_leader_epoch: -1 };
        let topics = vec![ListOffsetsTopic { name: "t".to_owned(), partitions: vec![row] }];
        let request = ListOffsetsRequest { replica_id: -1, isolation_level, topics, ..ListOffsetsRequest::default() };
        let listed = self.fixture.ask(&request, 7).await.topics.remove(0).partitions.remove(0);
        assert_eq!(listed.error_code, ErrorCode::NONE);
        listed.offset
    }

    async fn latest(&mut self, isolation_level: i8) -> i64 {
        self.listed(LATEST, isolation_level).await
    }

    /// Timestamps rise with offsets.
    async fn by_time(&mut self, offset: i64) -> Option<i64> {
        let found = self.listed(TIME_MS + offset, 1).await;
        (found >= 0).then_some(found)
    }

    /// All that may be in the tier goes there, and most of it goes from here.
    async fn move_up(&mut self) {
        let partition = self.partition();
        partition.log().roll().unwrap();
        self.settled(&partition).await;
        while partition.upload_next().await.unwrap().is_some() {}
        let evicting = partition.clone();
        tokio::task::spawn_blocking(move || evicting.evict()).await.unwrap().unwrap();
    }

    async fn restart(mut self) -> World {
        self.fixture = self.fixture.restart_with(STILL).await;
        self
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_committed_sees_what_the_model_says() {
    let mut world = World::new("local", &[("retention.ms", "-1")]).await;
    for step in 1..=STEPS {
        world.step().await;
        if step % 60 == 0 {
            world = world.restart().await;
        }
    }
    let partition = world.partition();
    world.look(&partition).await;
    world.fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_committed_sees_the_same_in_the_tier() {
    let mut world = World::new("tiered", &[("remote.storage.enable", "true"), ("retention.ms", "-1")]).await;
    let mut tiered = Vec::new();
    for step in 1..=STEPS {
        world.step().await;
        if step % 40 == 0 {
            world.model.end_all_but(1, world.partition().log());
            world.move_up().await;
            let partition = world.partition();
            tiered.push((
                partition.log().local_log_start_offset().0,
                world.model.last_stable_offset(),
                world.model.end,
            ));
            world.look(&partition).await;
        }
        if step % 70 == 0 {
            world = world.restart().await;
        }
    }
    // With every transaction ended all of it goes up.
    world.model.end_all_but(0, world.partition().log());
    world.move_up().await;
    let partition = world.partition();
    assert_eq!(partition.log().local_log_start_offset().0, world.model.end);
    assert!(
        tiered.iter().any(|(local_start, stable, end)| (1..*stable).contains(local_start) && stable < end),
        "{tiered:?}"
    );
    world.look(&partition).await;
    world.fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_committed_sees_the_same_of_a_compacted_log() {
    let configs = [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0"), ("delete.retention.ms", "0")];
    let mut world = World::new("compacted", &configs).await;
    for step in 1..=STEPS {
        world.step().await;
        if step % 20 == 0 {
            let partition = world.partition();
            partition.log().roll().unwrap();
            world.settled(&partition).await;
            world.model.clean(partition.log(), partition.high_watermark().get());
            world.look(&partition).await;
        }
        if step % 70 == 0 {
            world = world.restart().await;
        }
    }
    world.fixture.stop().await;
}

/// An earlier release moved up all that was synced, undecided or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_committed_ends_at_the_last_stable_offset_in_the_tier_too() {
    let mut world = World::new("tiered too far", &[("remote.storage.enable", "true"), ("retention.ms", "-1")]).await;
    for round in 0..6 {
        for _ in 0..40 {
            world.step().await;
        }
        let partition = world.partition();
        world.model.write_transaction(partition.log(), 0, &mut world.dice);
        world.model.write(partition.log(), &mut world.dice);
        partition.log().roll().unwrap();
        world.settled(&partition).await;
        let (tiered, end) = (partition.tiered().unwrap(), partition.log().log_end_offset());
        while tiered.upload_next(partition.leader_epoch(), end).await.unwrap().is_some() {}
        let evicting = partition.clone();
        tokio::task::spawn_blocking(move || evicting.evict()).await.unwrap().unwrap();
        assert_eq!(partition.log().local_log_start_offset(), end, "round {round}");
        assert!(world.model.last_stable_offset() < end.0, "round {round}");
        world.look(&partition).await;
        world.model.end_all_but(0, partition.log());
    }
    world.fixture.stop().await;
}

/// What is behind the last stable offset does not end the wait of a fetch; what makes it stable does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_of_read_committed_ends_with_the_transaction() {
    let mut world = World::new("waiting", &[("retention.ms", "-1")]).await;
    let partition = world.partition();
    world.model.write_transaction(partition.log(), 0, &mut world.dice);
    let topic = FetchTopic {
        topic: "t".to_owned(),
        partitions: vec![FetchPartition { partition_max_bytes: 1 << 20, ..FetchPartition::default() }],
        ..FetchTopic::default()
    };
    let request = FetchRequest {
        max_wait_ms: i32::MAX,
        min_bytes: 1,
        max_bytes: 1 << 20,
        isolation_level: 1,
        topics: vec![topic],
        ..FetchRequest::default()
    };
    let waiting = world.fixture.another(&request, 12).await;
    world.fixture.until(|metrics| metrics.fetches_waiting.get() == 1).await;
    // Another's records, behind it.
    world.fixture.produce("t", 3, false).await;
    world.model.end = partition.log().log_end_offset().0;
    assert!(!waiting.is_finished());
    let empty = world.fetch(0, 1 << 20, 1).await;
    assert_eq!((empty.records.length(), empty.last_stable_offset, empty.high_watermark), (0, 0, world.model.end));
    world.model.end_transaction(partition.log(), 0, true);
    world.settled(&partition).await;
    let row = timeout(HANG, waiting).await.unwrap().unwrap().responses.remove(0).partitions.remove(0);
    assert!(!row.records.is_empty(), "{row:?}");
    // It was woken by the marker: all that was held back is there.
    assert_eq!(row.last_stable_offset, world.model.end);
    world.fixture.stop().await;
}
