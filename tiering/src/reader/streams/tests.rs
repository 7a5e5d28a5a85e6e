use stratalog_types::{PartitionIndex, TopicId};

use super::*;

const MIB: u64 = 1 << 20;

fn of(partition: i32) -> TierPartition {
    TierPartition { topic_id: TopicId::ZERO, partition: PartitionIndex(partition) }
}

fn read(streams: &Streams, partition: i32, from: i64, to: i64) -> Option<StreamId> {
    streams.on_read(of(partition), Offset(from), Offset(to), true)
}

#[tokio::test(start_paused = true)]
async fn the_window_opens_with_the_second_read_and_doubles() {
    let streams = Streams::new(64 * MIB, 16 * MIB);
    assert_eq!(read(&streams, 0, 0, 10), None);
    let id = read(&streams, 0, 10, 20).expect("sequential");
    assert_eq!(streams.want(id), Some(Want { from: Offset(20), bytes: 4 * MIB }));
    assert_eq!(read(&streams, 0, 10, 20), None, "a repeat, and it is being filled");
    let reserved = streams.reserve(4 * MIB).expect("room");
    streams.started(id, Offset(60), 4 * MIB, reserved);
    assert_eq!(streams.want(id), None, "full");
    assert_eq!(read(&streams, 0, 20, 30), Some(id));
    assert_eq!(streams.want(id), Some(Want { from: Offset(60), bytes: 4 * MIB }));
    streams.stop(id);
    for start in [30, 40, 50] {
        read(&streams, 0, start, start + 10);
        streams.stop(id);
    }
    // Its bound is reached and what was passed is released.
    assert_eq!(streams.want(id), Some(Want { from: Offset(60), bytes: 16 * MIB }));
}

#[tokio::test(start_paused = true)]
async fn readers_share_the_budget_and_the_dead_give_theirs_back() {
    let streams = Streams::new(16 * MIB, 16 * MIB);
    for partition in 0..4 {
        read(&streams, partition, 0, 10);
        let id = read(&streams, partition, 10, 20).expect("sequential");
        let want = streams.want(id).expect("empty");
        assert!(want.bytes <= 16 * MIB / (partition as u64 + 1));
        let reserved = streams.reserve(4 * MIB).expect("a share for each");
        streams.started(id, Offset(60), 4 * MIB, reserved);
    }
    assert!(streams.reserve(MIB).is_none());
    tokio::time::advance(IDLE_MAX + Duration::from_secs(1)).await;
    assert!(streams.reserve(MIB).is_some());
    assert_eq!(streams.lock().streams.len(), 0);
    assert_eq!(streams.lock().sequential, 0);
}

#[tokio::test(start_paused = true)]
async fn the_number_of_streams_is_bounded() {
    let streams = Streams::new(16 * MIB, 16 * MIB);
    for partition in 0..3 * STREAMS_MAX as i32 {
        read(&streams, partition, 0, 10);
    }
    let state = streams.lock();
    assert_eq!((state.streams.len(), state.by_partition.len()), (STREAMS_MAX, STREAMS_MAX));
}
