//! Reads against a model of the segments; loads counted in the store's call log.

use std::time::Duration;

use super::*;
use crate::fixtures::{EntryList, Noise, joined, partition, pool, runs, upload};
use crate::store::memory::{Call, Fault, MemoryStore, Method};
use crate::upload::Run;

struct Bench {
    memory: MemoryStore,
    index: Arc<dyn SegmentIndex>,
    entries: Vec<Entry>,
    replay: Replay,
    all: Vec<Run>,
}

/// `segments` segments of about 1.2 MB raw in three chunks each.
async fn bench(segments: usize, config: &ReplayConfig) -> Bench {
    let memory = MemoryStore::new();
    let store: Arc<dyn Store> = Arc::new(memory.clone());
    let (mut entries, mut all) = (Vec::new(), Vec::new());
    for number in 0..segments {
        let base = number as i64 * 4000;
        let given = runs(base, 40, 3000, true, 21 + number as u64);
        entries.push(upload(&store, base, 1 + number as u128, &given).await.expect("uploaded").entry);
        all.extend(given);
    }
    let index: Arc<dyn SegmentIndex> = Arc::new(EntryList(entries.clone()));
    Bench { memory, index, entries, replay: Replay::new(store, pool(), config), all }
}

impl Bench {
    async fn read(&self, offset: i64, bytes_max: usize) -> Result<ReadAnswer, ReplayError> {
        self.read_within(offset, bytes_max, Duration::from_secs(60)).await
    }

    async fn read_within(&self, offset: i64, bytes_max: usize, time: Duration) -> Result<ReadAnswer, ReplayError> {
        let deadline = Instant::now() + time;
        let request = ReadRequest { of: partition(), offset: Offset(offset), bytes_max, deadline };
        self.replay.read(&self.index, request).await
    }

    async fn data(&self, offset: i64, bytes_max: usize) -> ColdRead {
        match self.read(offset, bytes_max).await.expect("read") {
            ReadAnswer::Data(read) => read,
            other => panic!("offset {offset}: {other:?}"),
        }
    }

    fn ranged(&self, purpose: Purpose) -> Vec<Call> {
        let of_purpose = |call: &Call| call.method == Method::GetRange && call.purpose == purpose;
        self.memory.calls().into_iter().filter(of_purpose).collect()
    }
}

fn bytes(read: &ColdRead) -> Vec<u8> {
    read.slices.iter().flat_map(|slice| slice.bytes.iter().copied()).collect()
}

/// All bytes from the batch that holds `offset`: every batch has ten offsets.
fn expected_from(all: &[Run], offset: i64) -> Vec<u8> {
    let bytes = joined(all);
    let from = batches::start_of(&bytes, Offset(offset));
    bytes[from..].to_vec()
}

#[tokio::test]
async fn a_read_starts_at_the_batch_that_holds_its_offset() {
    let bench = bench(2, &ReplayConfig::default()).await;
    for offset in [0, 1, 9, 10, 3999, 4000, 4005, 7999] {
        let read = bench.data(offset, 100_000).await;
        let expected = expected_from(&bench.all, offset);
        let got = bytes(&read);
        assert!(got.len() <= 100_000 && !got.is_empty());
        assert_eq!(got, expected[..got.len()], "offset {offset}");
        assert_eq!(read.slices[0].base_offset, Offset(offset / 10 * 10));
    }
    assert!(matches!(bench.read(8000, 100).await, Ok(ReadAnswer::End)));
    // One batch is always given, however little is asked for.
    let read = bench.data(15, 1).await;
    assert_eq!((bytes(&read).len(), read.next_offset), (3061, Offset(20)));
}

#[tokio::test]
async fn random_walks_see_every_byte_once() {
    let seed = 0x5eed_0001;
    println!("seed {seed:#x}");
    let bench = bench(4, &ReplayConfig::default()).await;
    let mut noise = Noise(seed);
    for _ in 0..8 {
        let start = (noise.next() % 16_000) as i64;
        let (mut offset, mut got) = (start, Vec::new());
        while let ReadAnswer::Data(read) =
            bench.read(offset, 1 + (noise.next() % 900_000) as usize).await.expect("read")
        {
            got.extend(bytes(&read));
            assert!(read.next_offset > Offset(offset));
            offset = read.next_offset.get();
        }
        assert!(got == expected_from(&bench.all, start), "from {start}");
    }
}

#[tokio::test]
async fn one_load_serves_all_who_wait() {
    let bench = bench(1, &ReplayConfig::default()).await;
    bench.memory.set_rule(|call| (call.method == Method::GetRange).then_some(Fault::Slow(Duration::from_millis(5))));
    let reads = (0..20).map(|_| bench.read(5, 10_000));
    for answer in futures::future::join_all(reads).await {
        assert!(matches!(answer, Ok(ReadAnswer::Data(_))));
    }
    assert_eq!(bench.ranged(Purpose::Footer).len(), 1);
    assert_eq!(bench.ranged(Purpose::Replay).len(), 1, "neighbours in one GET, one GET for all");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_leaves_the_load_running() {
    let bench = bench(1, &ReplayConfig::default()).await;
    bench.memory.set_rule(|call| (call.method == Method::GetRange).then_some(Fault::Slow(Duration::from_secs(2))));
    let mut polls = 0;
    let read = loop {
        polls += 1;
        match bench.read_within(0, 10_000, Duration::from_millis(500)).await.expect("read") {
            ReadAnswer::Data(read) => break read,
            ReadAnswer::Pending => {}
            ReadAnswer::End => panic!("end"),
        }
    };
    assert!(polls > 4, "two loads of two seconds, polled twice a second: {polls}");
    assert!(!bytes(&read).is_empty());
    assert_eq!(bench.ranged(Purpose::Footer).len() + bench.ranged(Purpose::Replay).len(), 2);
}

#[tokio::test]
async fn a_dropped_reader_does_not_stop_its_load() {
    let bench = bench(1, &ReplayConfig::default()).await;
    let release = Arc::new(tokio::sync::Notify::new());
    bench.memory.set_rule(|call| (call.purpose == Purpose::Footer).then_some(Fault::Slow(Duration::from_millis(1))));
    {
        let read = bench.read(0, 10_000);
        tokio::select! {
            biased;
            _ = read => panic!("answered at once"),
            () = async { tokio::task::yield_now().await; release.notify_one() } => {}
        }
    }
    release.notified().await;
    // The next reader finds the footer loaded or loading: one GET in all.
    bench.data(0, 10_000).await;
    assert_eq!(bench.ranged(Purpose::Footer).len(), 1);
}

#[tokio::test]
async fn a_bit_flip_on_the_way_is_healed_and_damage_is_named() {
    let bench = bench(1, &ReplayConfig::default()).await;
    let mut flipped = false;
    bench.memory.set_rule(move |call| {
        let first =
            call.purpose == Purpose::Replay && !std::mem::replace(&mut flipped, call.purpose == Purpose::Replay);
        first.then_some(Fault::BitFlip)
    });
    assert_eq!(bytes(&bench.data(0, 10_000_000).await), joined(&bench.all));
    assert_eq!(bench.ranged(Purpose::Replay).len(), 2);
    bench.memory.clear_rule();

    let damaged = self::bench(1, &ReplayConfig::default()).await;
    let key = partition().segment_of(&damaged.entries[0]);
    let mut body = damaged.memory.peek(&key).expect("stored").to_vec();
    body[100] ^= 1;
    damaged.memory.plant(&key, body.into());
    let error = damaged.read(0, 10_000).await.expect_err("damaged");
    assert!(matches!(error, ReplayError::CorruptChunk { chunk: 0, .. }), "{error:?}");
    // The chunks behind it are sound and can be read.
    assert!(matches!(damaged.read(3990, 10_000).await, Ok(ReadAnswer::Data(_))));
}

#[tokio::test]
async fn a_missing_object_and_a_store_that_is_away_are_told_apart() {
    let bench = bench(2, &ReplayConfig::default()).await;
    bench.memory.set_rule(|call| (call.purpose == Purpose::Footer).then_some(Fault::Unavailable));
    let away = bench.read(0, 1000).await.expect_err("away");
    assert!(matches!(away, ReplayError::Store(StoreError::Unavailable { .. })), "{away:?}");
    bench.memory.clear_rule();
    bench.data(0, 1000).await;
    bench.memory.remove(&partition().segment_of(&bench.entries[1]));
    let missing = bench.read(4000, 1000).await.expect_err("missing");
    assert!(matches!(missing, ReplayError::ObjectMissing { .. }), "{missing:?}");
    // Behind good data the error waits for the read that starts there.
    assert_eq!(bench.data(3990, 1_000_000).await.next_offset, Offset(4000));
}

#[tokio::test]
async fn a_sequential_reader_is_loaded_ahead_of_over_segment_borders() {
    let bench = bench(6, &ReplayConfig::default()).await;
    let mut offset = 0;
    for _ in 0..3 {
        offset = bench.data(offset, 400_000).await.next_offset.get();
    }
    // Ahead by the window: the next segments are loaded though nobody asked for them.
    while bench.ranged(Purpose::Prefetch).len() < 3 {
        tokio::task::yield_now().await;
    }
    let keys: std::collections::BTreeSet<_> =
        bench.ranged(Purpose::Prefetch).into_iter().map(|call| call.key).collect();
    assert!(keys.contains(&partition().segment_of(&bench.entries[1])), "{keys:?}");

    let random = self::bench(6, &ReplayConfig::default()).await;
    for offset in [0, 20_000, 8_000] {
        random.data(offset, 1000).await;
    }
    assert!(random.ranged(Purpose::Prefetch).is_empty());
}

#[tokio::test]
async fn memory_stays_in_its_bound() {
    let config = ReplayConfig { cache_bytes: 1_500_000, loading_bytes_max: 1_000_000, ..ReplayConfig::default() };
    let bench = bench(6, &config).await;
    let mut offset = 0;
    while let ReadAnswer::Data(read) = bench.read(offset, 300_000).await.expect("read") {
        offset = read.next_offset.get();
        assert!(bench.replay.cached_bytes() <= 1_500_000);
    }
    assert_eq!(offset, 24_000);
}

#[tokio::test]
async fn times_find_their_chunk() {
    let bench = bench(1, &ReplayConfig::default()).await;
    let deadline = Instant::now() + Duration::from_secs(60);
    let of = partition();
    for offset in [0, 1000, 3999] {
        let found = bench.replay.chunk_at_timestamp(of, &bench.entries[0], 1000 + offset, Offset::ZERO, deadline).await;
        let Ok(ReadAnswer::Data(read)) = found else { panic!("{found:?}") };
        assert!(read.slices[0].base_offset <= Offset(offset) && read.next_offset > Offset(offset));
        assert!(batches::are_whole(&read.slices[0].bytes, read.slices[0].base_offset, Offset(3999)));
    }
    let past = bench.replay.chunk_at_timestamp(of, &bench.entries[0], 99_999, Offset::ZERO, deadline).await;
    assert!(matches!(past, Ok(ReadAnswer::End)));
}
