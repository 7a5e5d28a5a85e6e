//! ElectLeaders: the preferred leader leads already.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::elect_leaders::{ElectLeadersRequest, TopicPartitions};

use super::{Fixture, Told, told};

async fn elect(
    fixture: &mut Fixture,
    election_type: i8,
    asked: Option<(&str, &[i32])>,
) -> (ErrorCode, Vec<(String, Vec<Told>)>) {
    let topic = |(topic, partitions): (&str, &[i32])| {
        vec![TopicPartitions { topic: topic.to_owned(), partitions: partitions.to_vec() }]
    };
    let request = ElectLeadersRequest { election_type, topic_partitions: asked.map(topic), timeout_ms: 1000 };
    let response = fixture.ask(&request, 2).await;
    let results = response.replica_election_results.into_iter().map(|result| {
        let partitions = result.partition_result.into_iter();
        (result.topic, partitions.map(|partition| (partition.error_code, partition.error_message)).collect())
    });
    (response.error_code, results.collect())
}

#[tokio::test]
async fn no_election_is_needed() {
    let mut fixture = Fixture::start().await;
    fixture.create("t", 1, &[]).await;
    let t = |told_of: Vec<Told>| vec![("t".to_owned(), told_of)];
    let not_needed = told(ErrorCode::ELECTION_NOT_NEEDED, "Leader election not needed for topic partition.");
    let unknown = told(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "No such partition as t-1");
    let none = ErrorCode::NONE;
    for election in [0, 1] {
        let answer = elect(&mut fixture, election, Some(("t", &[0, 1]))).await;
        assert_eq!(answer, (none, t(vec![not_needed.clone(), unknown.clone()])));
    }
    assert_eq!(elect(&mut fixture, 0, None).await, (none, t(Vec::new())));
    let no_topic = told(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "No such topic as nope");
    let nope = vec![("nope".to_owned(), vec![no_topic])];
    assert_eq!(elect(&mut fixture, 0, Some(("nope", &[0]))).await, (none, nope));
    let invalid = ErrorCode::INVALID_REQUEST;
    assert_eq!(elect(&mut fixture, 2, None).await, (invalid, Vec::new()));
    let unknown_type = t(vec![told(invalid, "Unknown election type 5")]);
    assert_eq!(elect(&mut fixture, 5, Some(("t", &[0]))).await, (invalid, unknown_type));
    fixture.stop().await;
}
