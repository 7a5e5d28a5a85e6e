//! OffsetForLeaderEpoch: where an epoch ended; an unclean stop begins a new one, a clean stop does not.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};

use super::Fixture;

/// `(code, epoch, end offset)` for `(partition, current epoch, epoch)`.
async fn ask(fixture: &mut Fixture, topic: &str, asked: (i32, i32, i32), version: i16) -> (ErrorCode, i32, i64) {
    let (partition, current_leader_epoch, leader_epoch) = asked;
    let partitions = vec![OffsetForLeaderPartition { partition, current_leader_epoch, leader_epoch }];
    let topics = vec![OffsetForLeaderTopic { topic: topic.to_owned(), partitions }];
    let request = OffsetForLeaderEpochRequest { replica_id: -1, topics };
    let mut answer = fixture.ask(&request, version).await.topics.remove(0);
    assert_eq!(answer.topic, topic);
    let end = answer.partitions.remove(0);
    assert_eq!(end.partition, partition);
    (end.error_code, end.leader_epoch, end.end_offset)
}

#[tokio::test]
async fn epochs_end_where_kafka_says() {
    let mut fixture = Fixture::start().await;
    fixture.create("t", 1, &[]).await;
    fixture.create("empty", 1, &[]).await;
    fixture.produce("t", 10, false).await;
    let none = ErrorCode::NONE;
    let cases = [
        ("t", (0, -1, 0), (none, 0, 10)),
        ("t", (0, 0, 0), (none, 0, 10)),
        ("t", (0, 1, 0), (ErrorCode::UNKNOWN_LEADER_EPOCH, -1, -1)),
        ("t", (0, -2, 0), (ErrorCode::FENCED_LEADER_EPOCH, -1, -1)),
        ("t", (0, -1, 1), (none, -1, -1)),
        ("t", (0, -1, -1), (none, -1, -1)),
        ("t", (1, -1, 0), (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1, -1)),
        ("nope", (0, -1, 0), (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1, -1)),
        ("empty", (0, -1, 0), (none, 0, 0)),
        ("empty", (0, 0, 5), (none, -1, -1)),
    ];
    for (topic, asked, expected) in cases {
        assert_eq!(ask(&mut fixture, topic, asked, 4).await, expected, "{topic} {asked:?}");
    }
    assert_eq!(ask(&mut fixture, "t", (0, -1, 0), 2).await, (none, 0, 10));
    let mut fixture = fixture.restart().await;
    assert_eq!(ask(&mut fixture, "t", (0, 0, 0), 4).await, (none, 0, 10));
    fixture.stop().await;
}
