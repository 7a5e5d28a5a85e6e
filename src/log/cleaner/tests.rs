//! The parts of a cleaning that need no log.

use std::time::Duration;

use stratalog_protocol::records::{BatchBuilder, BatchHeader, NewRecord};

use super::cleaned_segment::CleanedSegment;
use super::groups::{Limits, Sized, lengths};
use super::keyed_hash::HashKey;
use super::offset_map::OffsetMap;
use super::pace::{Budget, Pace};
use crate::platform::disk::Disk;

fn hex(halves: (u64, u64)) -> String {
    [halves.0, halves.1].iter().flat_map(|half| half.to_le_bytes()).map(|byte| format!("{byte:02x}")).collect()
}

/// The first of the reference implementation's vectors.
#[test]
fn the_hash_is_siphash_2_4_128() {
    let key = HashKey::new(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
    assert_eq!(hex(key.hash(&[])), "a3817f04ba25a8e66df67214c7550293");
    assert_eq!(hex(key.hash(&[0])), "da87c1d86b99af44347659119b22fc45");
    assert_eq!(hex(key.hash(&[0, 1])), "8177228da4a45dc7fca38bdef60affe4");
    let other = HashKey::new(0x0706_0504_0302_0101, 0x0f0e_0d0c_0b0a_0908);
    assert_ne!(key.hash(b"a record's key"), other.hash(b"a record's key"));
    assert_ne!(HashKey::random().hash(b""), HashKey::random().hash(b""));
}

#[test]
fn the_map_holds_the_last_offset_of_each_key_until_it_is_full() {
    let mut map = OffsetMap::new(HashKey::random(), 1 << 20, 0.9);
    let key = |at: i64| at.to_be_bytes();
    let mut held = 0;
    while map.put(&key(held), held, held % 3 == 0) {
        held += 1;
    }
    assert!(held > 20_000, "{held} keys in 1 MiB");
    assert!(map.utilization() <= 0.9 && map.utilization() > 0.85, "{}", map.utilization());
    // A key that is known has room always.
    assert!(map.put(&key(7), 1_000_000, true));
    assert_eq!(map.get(&key(7)), Some(1_000_000));
    assert_eq!(map.get(&key(8)), Some(8));
    assert_eq!(map.get(b"never seen"), None);
    let survivors = map.survivors();
    assert_eq!(survivors.len() as i64, held);
    assert!(survivors.is_sorted_by(|a, b| a.offset() < b.offset()));
    let last = survivors.last().unwrap();
    assert_eq!((last.offset(), last.is_tombstone()), (1_000_000, true));
    assert!(survivors.iter().take(100).all(|s| s.is_tombstone() == (s.offset() % 3 == 0)));
}

#[test]
fn groups_keep_the_limits_of_a_segment() {
    let sized = |base_offset, log_bytes| Sized { base_offset, log_bytes, offset_index_bytes: 8, time_index_bytes: 12 };
    let limits = Limits { segment_bytes: 100, index_bytes: 1000 };
    let segments = [sized(0, 60), sized(10, 40), sized(20, 1), sized(30, 99), sized(40, 101), sized(50, 0)];
    assert_eq!(lengths(&segments, limits, 60), [2, 2, 1, 1]);
    assert_eq!(lengths(&segments[..3], Limits { index_bytes: 24, ..limits }, 30), [2, 1]);
    assert_eq!(lengths(&[], limits, 0), Vec::<usize>::new());
    // Offsets in a segment are 31 bits from its base: the end of the last one counts, an empty one does not.
    let far = i64::from(i32::MAX);
    let wide = [sized(0, 1), sized(10, 1)];
    assert_eq!(lengths(&wide, limits, far + 1), [2]);
    assert_eq!(lengths(&wide, limits, far + 2), [1, 1]);
    assert_eq!(lengths(&[sized(0, 1), sized(10, 0)], limits, far + 2), [2]);
}

/// The entries of a segment of 1 GiB are 6 MiB, and it stays in memory as long as the broker runs.
#[test]
fn a_cleaned_segment_writes_its_index_entries_as_they_come() {
    const BUFFER_BYTES: usize = 64 << 10;
    let directory = tempfile::tempdir().unwrap();
    let pace = Pace::unlimited();
    let mut segment = CleanedSegment::create(&Disk::default(), directory.path(), 0, 0, BUFFER_BYTES).unwrap();
    for offset in 0..20_000 {
        let mut builder = BatchBuilder::new(offset);
        builder.append(&NewRecord { timestamp: offset, value: Some(b"v"), ..NewRecord::default() }).unwrap();
        let batch = builder.build().unwrap();
        segment.buffer().extend_from_slice(&batch);
        segment.appended(&BatchHeader::decode(&batch).unwrap(), &pace).unwrap();
        // What one buffer of batches brings, at most doubled by growth.
        assert!(segment.indexes.memory_bytes() <= BUFFER_BYTES, "at {offset}: {}", segment.indexes.memory_bytes());
    }
    segment.finish(None, &pace).unwrap();
    assert_eq!(segment.indexes.memory_bytes(), 0);
    let index_bytes = |suffix: &str| {
        let name = format!("00000000000000000000.{suffix}.cleaned");
        directory.path().join(name).metadata().unwrap().len()
    };
    assert_eq!(index_bytes("index"), segment.indexes.offsets.entries() * 8);
    assert_eq!(index_bytes("timeindex"), segment.indexes.times.entries() * 12);
    assert_eq!(segment.indexes.offsets.entries(), 19_999);
}

/// By the budget's own time: what was spent never goes beyond what the rates of that time allow by more than one piece.
#[test]
fn a_rate_bounds_what_is_spent() {
    const PIECE_BYTES: u64 = 700;
    let mut budget = Budget::new(1000.0);
    let (mut now, mut spent, mut allowed) = (Duration::ZERO, 0, 0.0);
    for (rate, rounds) in [(1000.0, 100), (50_000.0, 1000), (10.0, 5), (1_000_000.0, 1000)] {
        // Slower in the middle of a debt: it is paid back at the new rate.
        budget.spend(PIECE_BYTES, now);
        spent += PIECE_BYTES;
        budget.set_rate(rate, now);
        let began = now;
        for _ in 0..rounds {
            let pause = budget.pause().expect("a piece was spent");
            // Half of it is not enough.
            budget.settle(now + pause / 2);
            assert!(budget.pause().is_some());
            now += pause;
            budget.settle(now);
            assert_eq!(budget.pause(), None, "a pause is as long as it has to be");
            budget.spend(PIECE_BYTES, now);
            spent += PIECE_BYTES;
            let so_far = allowed + (now - began).as_secs_f64() * rate;
            assert!(spent as f64 <= so_far + PIECE_BYTES as f64 + 1.0, "{spent} bytes, {so_far} are allowed");
            assert!(spent as f64 >= so_far * 0.99, "{spent} bytes, though {so_far} are allowed");
        }
        allowed += (now - began).as_secs_f64() * rate;
    }
    // Nothing is saved up for later.
    now += Duration::from_secs(1000);
    budget.set_rate(1000.0, now);
    budget.spend(5000, now);
    assert!(budget.pause().is_some_and(|pause| pause >= Duration::from_secs(5)));
    budget.set_rate(f64::MAX, now);
    assert_eq!(budget.pause(), None);
}
