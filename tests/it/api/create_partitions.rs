//! CreatePartitions: the order of checks, Kafka's sentences, and partitions that serve.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
};
use stratalog_protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest};

use super::{Fixture, OK, Told, told};

fn topic(name: &str, count: i32, assignments: Option<&[&[i32]]>) -> CreatePartitionsTopic {
    let assignment = |brokers: &&[i32]| CreatePartitionsAssignment { broker_ids: brokers.to_vec() };
    let assignments = assignments.map(|all| all.iter().map(assignment).collect());
    CreatePartitionsTopic { name: name.to_owned(), count, assignments }
}

async fn create(fixture: &mut Fixture, topics: Vec<CreatePartitionsTopic>, validate_only: bool) -> Vec<(String, Told)> {
    let request = CreatePartitionsRequest { topics, timeout_ms: 5000, validate_only };
    let results = fixture.ask(&request, 3).await.results;
    results.into_iter().map(|result| (result.name, (result.error_code, result.error_message))).collect()
}

#[tokio::test]
async fn refusals_are_kafkas() {
    let mut fixture = Fixture::start().await;
    fixture.create("cp", 2, &[]).await;
    let partitions = |message| told(ErrorCode::INVALID_PARTITIONS, message);
    let assignment = |message| told(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
    let cases: Vec<(CreatePartitionsTopic, Told)> = vec![
        (topic("cp", 2, None), partitions("Topic already has 2 partition(s).")),
        (topic("cp", 1, None), partitions("The topic cp currently has 2 partition(s); 1 would not be an increase.")),
        (topic("cp", -1, None), partitions("The topic cp currently has 2 partition(s); -1 would not be an increase.")),
        (topic("nope", 3, None), (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, None)),
        (
            topic("cp", 4, Some(&[&[1]])),
            assignment("Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified."),
        ),
        (
            topic("cp", 3, Some(&[])),
            assignment("Attempted to add 1 additional partition(s), but only 0 assignment(s) were specified."),
        ),
        (topic("cp", 3, Some(&[&[]])), assignment("The manual partition assignment includes an empty replica list.")),
        (
            topic("cp", 3, Some(&[&[2]])),
            assignment("The manual partition assignment includes broker 2, but no such broker is registered."),
        ),
        (
            topic("cp", 3, Some(&[&[1, 1]])),
            assignment("The manual partition assignment includes the broker 1 more than once."),
        ),
    ];
    for (asked, expected) in cases {
        let name = asked.name.clone();
        assert_eq!(create(&mut fixture, vec![asked.clone()], false).await, [(name, expected)], "{asked:?}");
    }
    // Kafka 4.3.1 has UNKNOWN_SERVER_ERROR and no word for this; the code of CreateTopics says what is wrong.
    let many = create(&mut fixture, vec![topic("cp", 10_003, None)], true).await;
    assert_eq!(many[0].1.0, ErrorCode::POLICY_VIOLATION);
    fixture.stop().await;
}

#[tokio::test]
async fn a_name_given_twice_is_answered_once() {
    let mut fixture = Fixture::start().await;
    fixture.create("cp", 2, &[]).await;
    fixture.create("cp2", 1, &[]).await;
    let asked = vec![topic("cp", 3, None), topic("cp", 4, None), topic("cp2", 2, None)];
    let duplicate = told(ErrorCode::INVALID_REQUEST, "Duplicate topic name.");
    let expected = [("cp".to_owned(), duplicate), ("cp2".to_owned(), OK)];
    assert_eq!(create(&mut fixture, asked, true).await, expected);
    fixture.stop().await;
}

#[tokio::test]
async fn added_partitions_serve_and_stay() {
    let mut fixture = Fixture::start().await;
    fixture.create("cp", 1, &[]).await;
    assert_eq!(create(&mut fixture, vec![topic("cp", 2, None)], true).await, [("cp".to_owned(), OK)]);
    assert!(!fixture.data_dir().join("cp-1").exists(), "a rehearsal changes nothing");
    assert_eq!(create(&mut fixture, vec![topic("cp", 2, Some(&[&[1]]))], false).await, [("cp".to_owned(), OK)]);
    assert_eq!(create(&mut fixture, vec![topic("cp", 3, None)], false).await, [("cp".to_owned(), OK)]);
    assert!(fixture.data_dir().join("cp-2").is_dir());
    fixture.produce("cp", 3, false).await;
    let mut fixture = fixture.restart().await;
    let again = create(&mut fixture, vec![topic("cp", 3, None)], false).await;
    assert_eq!(again[0].1, told(ErrorCode::INVALID_PARTITIONS, "Topic already has 3 partition(s)."));
    fixture.stop().await;
}

/// A file that stands where a partition's directory belongs: the directory cannot be made.
fn in_the_way(fixture: &Fixture, partition: &str) -> std::path::PathBuf {
    let path = fixture.data_dir().join(partition);
    std::fs::write(&path, b"").unwrap();
    path
}

#[tokio::test]
async fn a_creation_that_fails_half_way_leaves_nothing() {
    let mut fixture = Fixture::start().await;
    let obstacle = in_the_way(&fixture, "t-1");
    let asked =
        CreatableTopic { name: "t".to_owned(), num_partitions: 3, replication_factor: 1, ..CreatableTopic::default() };
    let request = CreateTopicsRequest { topics: vec![asked], ..CreateTopicsRequest::default() };
    let refused = fixture.ask(&request, 7).await.topics.remove(0);
    assert_eq!(refused.error_code, ErrorCode::KAFKA_STORAGE_ERROR);
    assert!(fixture.running.node.image().topic("t").is_none());
    assert!(!fixture.data_dir().join("t-0").exists());
    std::fs::remove_file(obstacle).unwrap();
    fixture.create("t", 3, &[]).await;
    for partition in 0..3 {
        assert_eq!(fixture.produce_batch("t", partition, b"v", 30_000).await, Ok(0));
    }
    let mut fixture = fixture.restart().await;
    assert_eq!(fixture.produce_batch("t", 2, b"v", 30_000).await, Ok(1));
    fixture.stop().await;
}

#[tokio::test]
async fn partitions_that_cannot_be_made_are_not_added() {
    let mut fixture = Fixture::start().await;
    fixture.create("t", 1, &[]).await;
    let obstacle = in_the_way(&fixture, "t-2");
    let refused = create(&mut fixture, vec![topic("t", 4, None)], false).await;
    assert_eq!(refused[0].1.0, ErrorCode::KAFKA_STORAGE_ERROR);
    assert_eq!(fixture.running.node.image().topic("t").unwrap().partitions.len(), 1);
    assert!(!fixture.data_dir().join("t-1").exists());
    assert_eq!(fixture.produce_batch("t", 0, b"v", 30_000).await, Ok(0));
    std::fs::remove_file(obstacle).unwrap();
    assert_eq!(create(&mut fixture, vec![topic("t", 4, None)], false).await[0].1, OK);
    for partition in 1..4 {
        assert_eq!(fixture.produce_batch("t", partition, b"v", 30_000).await, Ok(0));
    }
    fixture.stop().await;
}
