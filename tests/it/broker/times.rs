//! Offsets by time over both tiers, with clocks that jump, against a list of records.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use stratalog::broker::Running;
use stratalog::net::client::{Client, OffsetSpec};
use stratalog::partition::{Isolation, ListedOffset, OffsetSpec as Sought, Partition};
use stratalog_protocol::records::{BatchBuilder, CodecId, NewRecord};
use stratalog_types::Offset;
use tokio::time::Instant;

use super::tier_lifecycle::partition;
use super::{client, start, topic};

const NOW: i64 = 1_700_000_000_000;
const CODECS: [CodecId; 5] = [CodecId::NONE, CodecId::GZIP, CodecId::SNAPPY, CodecId::LZ4, CodecId::ZSTD];

/// Numbers from a seed, for a history that can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn in_range(&mut self, range: Range<i64>) -> i64 {
        range.start + self.below((range.end - range.start).max(1) as u64) as i64
    }
}

/// The records of a log: their timestamps by offset.
struct History {
    partition: Arc<Partition>,
    times: Vec<i64>,
    clock: i64,
}

impl History {
    fn of(running: &Running) -> History {
        History { partition: partition(running), times: Vec::new(), clock: NOW }
    }

    async fn append(&mut self, times: &[i64], codec: CodecId) {
        let mut builder = BatchBuilder::new(0).codec(codec);
        for timestamp in times {
            // Long enough for several chunks in a segment.
            let value: Vec<u8> = (0..2000u32).map(|at| (at * 7919 + self.times.len() as u32) as u8).collect();
            builder.append(&NewRecord { timestamp: *timestamp, value: Some(&value), ..NewRecord::default() }).unwrap();
        }
        let batch: Bytes = builder.build().unwrap();
        let stratalog::partition::Handed::Placed(appended) = self.partition.hand_in(&batch, true).unwrap() else {
            panic!("a batch as it came waits for nothing")
        };
        assert_eq!(appended.base_offset.0, self.times.len() as i64);
        self.partition.high_watermark().wait_for(appended.visible_at).await.unwrap();
        self.times.extend_from_slice(times);
    }

    /// A batch by a clock that mostly goes on, and at times jumps far in either direction.
    async fn append_jumping(&mut self, random: &mut Random) {
        let mut times = Vec::new();
        for _ in 0..random.in_range(1..6) {
            self.clock += match random.below(12) {
                0 => random.in_range(-5_000_000..5_000_000),
                1 => -random.in_range(0..2000),
                2 => 0,
                _ => random.in_range(0..1000),
            };
            times.push(self.clock);
        }
        let codec = CODECS[random.below(5) as usize];
        self.append(&times, codec).await;
    }

    async fn list(&self, sought: Sought) -> Option<(i64, i64)> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let found = self.partition.list_offset(sought, Isolation::ReadCommitted, deadline).await.unwrap();
        (found != ListedOffset::NONE).then_some((found.offset, found.timestamp))
    }

    fn left(&self) -> impl DoubleEndedIterator<Item = (i64, i64)> + '_ {
        let start = self.partition.log_start_offset().0 as usize;
        self.times.iter().enumerate().skip(start).map(|(offset, timestamp)| (offset as i64, *timestamp))
    }

    async fn compare(&self, asked: &[i64], what: &str) {
        let newest = self.left().rev().max_by_key(|(_, timestamp)| *timestamp);
        assert_eq!(self.list(Sought::MaxTimestamp).await, newest, "MAX_TIMESTAMP {what}");
        for timestamp in asked {
            let wanted = self.left().find(|(_, found)| found >= timestamp);
            assert_eq!(self.list(Sought::Timestamp(*timestamp)).await, wanted, "{timestamp} {what}");
        }
        let start = self.partition.log_start_offset().0;
        assert_eq!(self.list(Sought::Earliest).await, Some((start, -1)), "{what}");
        assert_eq!(self.list(Sought::Latest).await, Some((self.times.len() as i64, -1)), "{what}");
        let local = self.partition.log().local_log_start_offset().0;
        assert_eq!(self.list(Sought::EarliestLocal).await, Some((local, -1)), "{what}");
        let tiered = self.partition.tiered_end_offset().map(|end| end.0);
        let latest_tiered = tiered.filter(|end| *end > 0).map(|end| (end - 1, -1));
        assert_eq!(self.list(Sought::LatestTiered).await, latest_tiered, "{what}");
        let pending = tiered.unwrap_or(start).max(start);
        assert_eq!(self.list(Sought::EarliestPendingUpload).await, Some((pending, -1)), "{what}");
    }
}

async fn flush(running: &Running) {
    let flushed = running.control.flush("t".to_owned(), true).await.unwrap();
    assert!(flushed.complete, "{flushed:?}");
}

fn delete_below(history: &History, offset: i64) {
    history.partition.log().set_log_start_offset(Offset(offset)).unwrap();
}

async fn began(dir: &tempfile::TempDir) -> (Running, Client) {
    let running = start(dir.path(), &[]).await;
    let mut one = client(&running);
    one.create_topic(&topic("t", &[("retention.ms", "-1")]), false).await.unwrap();
    (running, one)
}

/// What lies below the log start promised the largest timestamp of the segment, and of the whole tier.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_log_start_cut_hides_no_newest_record() {
    let dir = tempfile::tempdir().unwrap();
    let (running, mut one) = began(&dir).await;
    let mut history = History::of(&running);
    // A clock that was an hour fast when the log began, in a segment whose later records are the newest of what is left.
    history.append(&[NOW + 3_600_000, NOW + 3_600_001], CodecId::NONE).await;
    history.append(&[NOW + 10, NOW + 900, NOW + 30], CodecId::ZSTD).await;
    flush(&running).await;
    history.append(&[NOW + 40, NOW + 50], CodecId::NONE).await;
    flush(&running).await;
    running.control.evict("t".to_owned()).await.unwrap();
    history.append(&[NOW + 60], CodecId::NONE).await;
    history.compare(&[NOW + 3_600_001, NOW + 51], "with all of it").await;
    delete_below(&history, 2);
    history.compare(&[NOW + 900, NOW + 901, NOW + 51], "without the fast clock").await;
    assert_eq!(history.list(Sought::MaxTimestamp).await, Some((3, NOW + 900)));
    // The cut goes through a batch.
    delete_below(&history, 4);
    history.compare(&[NOW + 900, NOW + 51], "without the newest").await;
    assert_eq!(one.list_offsets("t", &[(0, OffsetSpec::MaxTimestamp)]).await.unwrap()[0].offset, 7);
    running.stop().await.unwrap();
}

/// The same in the local log alone, where the index tells of what was deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_record_is_not_the_newest_of_the_local_log() {
    let dir = tempfile::tempdir().unwrap();
    let (running, _one) = began(&dir).await;
    let mut history = History::of(&running);
    history.append(&[NOW + 3_600_000], CodecId::NONE).await;
    history.append(&[NOW + 10, NOW + 20, NOW + 15], CodecId::LZ4).await;
    history.append(&[NOW + 20], CodecId::NONE).await;
    for start in 0..=5 {
        delete_below(&history, start);
        history.compare(&[NOW, NOW + 16, NOW + 3_600_000], &format!("from {start}")).await;
    }
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_jump_find_what_a_list_finds() {
    for seed in [1, 2, 20261121] {
        println!("seed {seed}");
        let mut random = Random(seed);
        let dir = tempfile::tempdir().unwrap();
        let (running, _one) = began(&dir).await;
        let mut history = History::of(&running);
        for round in 0..40 {
            for _ in 0..random.in_range(1..40) {
                history.append_jumping(&mut random).await;
            }
            match random.below(5) {
                0 | 1 => flush(&running).await,
                2 => drop(running.control.evict("t".to_owned()).await.unwrap()),
                3 => {
                    let start = history.partition.log_start_offset().0;
                    let end = history.times.len() as i64;
                    let to = random.in_range(start..start + (end - start) / 3 + 1);
                    delete_below(&history, to);
                }
                _ => {}
            }
            let mut asked: Vec<i64> = (0..6)
                .map(|_| {
                    let at = random.below(history.times.len() as u64) as usize;
                    history.times[at] + random.in_range(-1..2)
                })
                .collect();
            asked.extend([0, i64::MAX, history.clock + 1, NOW]);
            history.compare(&asked, &format!("in round {round} of seed {seed}")).await;
        }
        running.stop().await.unwrap();
    }
}

/// What the segment says of its first batch counts what was deleted before the upload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_that_begins_within_a_batch_hides_no_newest_record() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path(), &[]).await;
    client(&running).create_topic(&topic("t", &[]), false).await.unwrap();
    let mut history = History::of(&running);
    history.append(&[NOW + 900, NOW + 800, NOW + 50], CodecId::NONE).await;
    history.append(&[NOW + 300], CodecId::ZSTD).await;
    history.partition.log().set_log_start_offset(Offset(2)).unwrap();
    flush(&running).await;
    running.control.evict("t".to_owned()).await.unwrap();
    for last in [NOW + 100, NOW + 301] {
        history.append(&[last], CodecId::NONE).await;
        history.compare(&[NOW, NOW + 51, NOW + 301], "behind a cut batch").await;
    }
    running.stop().await.unwrap();
}
