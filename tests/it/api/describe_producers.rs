//! DescribeProducers: idempotent producers with what the log remembers of them.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::describe_producers::{DescribeProducersRequest, PartitionResponse, TopicRequest};

use super::Fixture;

async fn describe(fixture: &mut Fixture, topic: &str, partition: i32) -> PartitionResponse {
    let topics = vec![TopicRequest { name: topic.to_owned(), partition_indexes: vec![partition] }];
    let mut response = fixture.ask(&DescribeProducersRequest { topics }, 0).await;
    let answer = response.topics.remove(0).partitions.remove(0);
    assert_eq!(answer.partition_index, partition);
    answer
}

#[tokio::test]
async fn producers_are_told_with_their_last_sequence() {
    let mut fixture = Fixture::start().await;
    fixture.create("t", 1, &[]).await;
    assert!(describe(&mut fixture, "t", 0).await.active_producers.is_empty());
    fixture.produce("t", 3, true).await;
    let described = describe(&mut fixture, "t", 0).await;
    assert_eq!((described.error_code, described.error_message), (ErrorCode::NONE, None));
    let [producer] = described.active_producers.as_slice() else { panic!("{:?}", described.active_producers) };
    assert!(producer.producer_id >= 0);
    assert_eq!((producer.producer_epoch, producer.last_sequence), (0, 2));
    assert_eq!(producer.last_timestamp, 1_700_000_000_000);
    assert_eq!((producer.coordinator_epoch, producer.current_txn_start_offset), (-1, -1));
    fixture.stop().await;
}

#[tokio::test]
async fn unknown_partitions_are_told_apart_as_in_kafka() {
    let mut fixture = Fixture::start().await;
    fixture.create("t", 1, &[]).await;
    let of_topic = describe(&mut fixture, "nope", 0).await;
    assert_eq!(of_topic.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(of_topic.error_message.as_deref(), Some("This server does not host this topic-partition."));
    let of_partition = describe(&mut fixture, "t", 1).await;
    assert_eq!(of_partition.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(of_partition.error_message, None);
    assert_eq!(describe(&mut fixture, "a/b", 0).await.error_code, ErrorCode::INVALID_TOPIC_EXCEPTION);
    fixture.stop().await;
}
