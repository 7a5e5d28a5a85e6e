//! DeleteRecords: the log start moves forward, durably, and never past the high watermark.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use stratalog_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};

use super::Fixture;

/// The low watermark or the error.
async fn delete(fixture: &mut Fixture, topic: &str, partition_index: i32, offset: i64) -> Result<i64, ErrorCode> {
    let partitions = vec![DeleteRecordsPartition { partition_index, offset }];
    let topics = vec![DeleteRecordsTopic { name: topic.to_owned(), partitions }];
    // Kafka answers a timeout of 0 with success too: nobody has to be waited for.
    let request = DeleteRecordsRequest { topics, timeout_ms: 0 };
    let result = fixture.ask(&request, 2).await.topics.remove(0).partitions.remove(0);
    if result.error_code.is_none() {
        return Ok(result.low_watermark);
    }
    assert_eq!(result.low_watermark, -1);
    Err(result.error_code)
}

async fn earliest(fixture: &mut Fixture, topic: &str) -> i64 {
    let partitions =
        vec![ListOffsetsPartition { timestamp: -2, current_leader_epoch: -1, ..ListOffsetsPartition::default() }];
    let topics = vec![ListOffsetsTopic { name: topic.to_owned(), partitions }];
    let request = ListOffsetsRequest { replica_id: -1, topics, ..ListOffsetsRequest::default() };
    fixture.ask(&request, 7).await.topics[0].partitions[0].offset
}

#[tokio::test]
async fn the_start_moves_forward_only() {
    let mut fixture = Fixture::start().await;
    fixture.create("t", 1, &[]).await;
    fixture.produce("t", 10, false).await;
    let out_of_range = Err(ErrorCode::OFFSET_OUT_OF_RANGE);
    let unknown = Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(delete(&mut fixture, "t", 0, 3).await, Ok(3));
    assert_eq!(delete(&mut fixture, "t", 0, 2).await, Ok(3));
    assert_eq!(delete(&mut fixture, "t", 0, -2).await, out_of_range);
    assert_eq!(delete(&mut fixture, "t", 0, 11).await, out_of_range);
    assert_eq!(delete(&mut fixture, "t", 1, 1).await, unknown);
    assert_eq!(delete(&mut fixture, "t", -1, 1).await, unknown);
    assert_eq!(delete(&mut fixture, "nope", 0, 1).await, unknown);
    assert_eq!(earliest(&mut fixture, "t").await, 3);
    let mut fixture = fixture.restart().await;
    assert_eq!(earliest(&mut fixture, "t").await, 3);
    assert_eq!(delete(&mut fixture, "t", 0, -1).await, Ok(10));
    assert_eq!(delete(&mut fixture, "t", 0, -1).await, Ok(10));
    assert_eq!(earliest(&mut fixture, "t").await, 10);
    fixture.stop().await;
}

#[tokio::test]
async fn a_compacted_topic_keeps_its_records() {
    let mut fixture = Fixture::start().await;
    for (topic, policy, outcome) in [
        ("compact", "compact", Err(ErrorCode::POLICY_VIOLATION)),
        ("both", "compact,delete", Ok(0)),
        ("neither", "", Ok(0)),
    ] {
        fixture.create(topic, 1, &[("cleanup.policy", policy)]).await;
        assert_eq!(delete(&mut fixture, topic, 0, 0).await, outcome, "{policy}");
    }
    fixture.stop().await;
}
