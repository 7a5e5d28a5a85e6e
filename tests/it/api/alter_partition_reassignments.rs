//! AlterPartitionReassignments and ListPartitionReassignments: nothing can move on one node.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use stratalog_protocol::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

use super::{Fixture, OK, Told, told};

async fn alter(fixture: &mut Fixture, topic: &str, partition: i32, replicas: Option<&[i32]>) -> Told {
    let partition = ReassignablePartition { partition_index: partition, replicas: replicas.map(<[i32]>::to_vec) };
    let topic = ReassignableTopic { name: topic.to_owned(), partitions: vec![partition] };
    let request = AlterPartitionReassignmentsRequest { topics: vec![topic], ..Default::default() };
    let mut response = fixture.ask(&request, 1).await;
    assert_eq!((response.error_code, response.error_message), OK);
    let answer = response.responses.remove(0).partitions.remove(0);
    (answer.error_code, answer.error_message)
}

#[tokio::test]
async fn replicas_stay_where_they_are() {
    let mut fixture = Fixture::start().await;
    fixture.create("t", 1, &[]).await;
    let unknown = |message| told(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message);
    let invalid = |message| told(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
    let cases: [(&str, i32, Option<&[i32]>, Told); 7] = [
        ("t", 0, Some(&[1]), OK),
        ("t", 0, None, (ErrorCode::NO_REASSIGNMENT_IN_PROGRESS, None)),
        ("t", 7, Some(&[1]), unknown("Unable to find partition t:7.")),
        ("nope", 0, None, unknown("Unable to find a topic named nope.")),
        ("t", 0, Some(&[]), invalid("The manual partition assignment includes an empty replica list.")),
        (
            "t",
            0,
            Some(&[1, 2]),
            invalid("The manual partition assignment includes broker 2, but no such broker is registered."),
        ),
        ("t", 0, Some(&[1, 1]), invalid("The manual partition assignment includes the broker 1 more than once.")),
    ];
    for (topic, partition, replicas, expected) in cases {
        assert_eq!(alter(&mut fixture, topic, partition, replicas).await, expected, "{topic} {replicas:?}");
    }
    let listed = fixture.ask(&ListPartitionReassignmentsRequest::default(), 0).await;
    assert_eq!(listed, ListPartitionReassignmentsResponse { error_message: None, ..Default::default() });
    fixture.stop().await;
}
