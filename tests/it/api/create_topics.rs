//! CreateTopics: names, counts, assignments and configs are refused in Kafka's words.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreatableTopicResult, CreateTopicsRequest,
};
use uuid::Uuid;

use super::{Fixture, OK, Told, told};

fn topic(name: &str, partitions: i32, replicas: i16) -> CreatableTopic {
    CreatableTopic {
        name: name.to_owned(),
        num_partitions: partitions,
        replication_factor: replicas,
        ..CreatableTopic::default()
    }
}

fn assigned(partitions: i32, replicas: i16, assignments: &[(i32, &[i32])]) -> CreatableTopic {
    let assignment = |(index, brokers): &(i32, &[i32])| CreatableReplicaAssignment {
        partition_index: *index,
        broker_ids: brokers.to_vec(),
    };
    CreatableTopic { assignments: assignments.iter().map(assignment).collect(), ..topic("t", partitions, replicas) }
}

fn configured(name: &str, value: Option<&str>) -> CreatableTopic {
    let config = CreatableTopicConfig { name: name.to_owned(), value: value.map(str::to_owned) };
    CreatableTopic { configs: vec![config], ..topic("t", 1, 1) }
}

async fn create(fixture: &mut Fixture, topics: Vec<CreatableTopic>, validate_only: bool) -> Vec<CreatableTopicResult> {
    let request = CreateTopicsRequest { topics, validate_only, ..CreateTopicsRequest::default() };
    fixture.ask(&request, 7).await.topics
}

#[tokio::test]
async fn refusals_are_kafkas() {
    let mut fixture = Fixture::start().await;
    let long = "x".repeat(250);
    let invalid = |message: &str| told(ErrorCode::INVALID_REQUEST, message);
    let assignment = |message: &str| told(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
    let config = |message: &str| told(ErrorCode::INVALID_CONFIG, message);
    let name = |message: &str| told(ErrorCode::INVALID_TOPIC_EXCEPTION, &format!("Topic name is invalid: {message}"));
    let partitions = "Number of partitions was set to an invalid non-positive value.";
    let replicas = "Replication factor must be larger than 0, or -1 to use the default value.";
    let cases: Vec<(CreatableTopic, Told)> = vec![
        (topic("t", 0, 1), told(ErrorCode::INVALID_PARTITIONS, partitions)),
        (topic("t", -2, 1), told(ErrorCode::INVALID_PARTITIONS, partitions)),
        (topic("t", 1, 0), told(ErrorCode::INVALID_REPLICATION_FACTOR, replicas)),
        (topic("t", 0, -2), told(ErrorCode::INVALID_REPLICATION_FACTOR, replicas)),
        (topic("", 1, 1), name("the empty string is not allowed")),
        (topic("..", 1, 1), name("'..' is not allowed")),
        (
            topic("a/b", 1, 1),
            name("'a/b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"),
        ),
        (topic(&long, 1, 1), name(&format!("the length of '{long}' is longer than the max allowed length 249"))),
        (topic("__cluster_metadata", 1, 1), invalid("Creation of internal topic __cluster_metadata is prohibited.")),
        (
            topic("t", 10_001, 1),
            told(ErrorCode::POLICY_VIOLATION, "Excessively large number of partitions per request."),
        ),
        (
            assigned(1, 1, &[(0, &[1])]),
            invalid("A manual partition assignment was specified, but replication factor was not set to -1."),
        ),
        (
            assigned(1, -1, &[(0, &[1])]),
            invalid("A manual partition assignment was specified, but numPartitions was not set to -1."),
        ),
        (assigned(-1, -1, &[(1, &[1])]), assignment("partitions should be a consecutive 0-based integer sequence")),
        (
            assigned(-1, -1, &[(0, &[1]), (0, &[1])]),
            assignment("Found multiple manual partition assignments for partition 0"),
        ),
        (assigned(-1, -1, &[(0, &[])]), assignment("The manual partition assignment includes an empty replica list.")),
        (
            assigned(-1, -1, &[(0, &[2])]),
            assignment("The manual partition assignment includes broker 2, but no such broker is registered."),
        ),
        (
            assigned(-1, -1, &[(0, &[1, 1])]),
            assignment("The manual partition assignment includes the broker 1 more than once."),
        ),
        (configured("retention.ms", None), config("Null value not supported for topic configs: retention.ms")),
        (
            configured("retention.ms", Some("-2")),
            config("Invalid value -2 for configuration retention.ms: Value must be at least -1"),
        ),
        (
            configured("retention.ms", Some("abc")),
            config("Invalid value abc for configuration retention.ms: Not a number of type LONG"),
        ),
        (
            configured("segment.bytes", Some("1")),
            config("Invalid value 1 for configuration segment.bytes: Value must be at least 1048576"),
        ),
        (
            configured("cleanup.policy", Some("foo")),
            config("Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete"),
        ),
    ];
    for (asked, expected) in cases {
        let result = create(&mut fixture, vec![asked.clone()], false).await.remove(0);
        assert_eq!((result.error_code, result.error_message), expected, "{asked:?}");
        assert_eq!((result.num_partitions, result.replication_factor, result.configs), (-1, -1, Some(Vec::new())));
    }
    // Kafka's sentence, and the nearest name behind it.
    let unknown = create(&mut fixture, vec![configured("retention.msx", Some("1"))], false).await.remove(0);
    assert_eq!(unknown.error_code, ErrorCode::INVALID_CONFIG);
    assert!(unknown.error_message.unwrap().starts_with("Unknown topic config name: retention.msx"));
    let replicas = create(&mut fixture, vec![topic("t", 1, 2)], false).await.remove(0);
    assert_eq!(replicas.error_code, ErrorCode::INVALID_REPLICATION_FACTOR);
    fixture.stop().await;
}

#[tokio::test]
async fn configs_are_checked_before_assignments() {
    let mut fixture = Fixture::start().await;
    let asked = CreatableTopic { num_partitions: 0, ..configured("retention.ms", Some("x")) };
    assert_eq!(create(&mut fixture, vec![asked], true).await[0].error_code, ErrorCode::INVALID_CONFIG);
    fixture.stop().await;
}

#[tokio::test]
async fn names_collide_and_repeat() {
    let mut fixture = Fixture::start().await;
    fixture.create("a.b", 1, &[]).await;
    let rows = create(&mut fixture, vec![topic("a.b", -5, 1), topic("a_b", 1, 1), topic("c", 1, 1)], true).await;
    let told_of: Vec<Told> = rows.into_iter().map(|row| (row.error_code, row.error_message)).collect();
    let exists = told(ErrorCode::TOPIC_ALREADY_EXISTS, "Topic 'a.b' already exists.");
    let collides = told(ErrorCode::INVALID_TOPIC_EXCEPTION, "Topic 'a_b' collides with existing topic: a.b");
    assert_eq!(told_of, [exists, collides, OK]);
    let rows = create(&mut fixture, vec![topic("d", 1, 1), topic("e", 1, 1), topic("d", 2, 1)], true).await;
    let told_of: Vec<_> = rows.into_iter().map(|row| (row.name, row.error_code)).collect();
    let expected = [("d".to_owned(), ErrorCode::INVALID_REQUEST), ("e".to_owned(), ErrorCode::NONE)];
    assert_eq!(told_of, expected);
    fixture.stop().await;
}

#[tokio::test]
async fn the_answer_tells_what_was_made() {
    let mut fixture = Fixture::start_with(&[("num.partitions", "3")]).await;
    let rehearsed = create(&mut fixture, vec![topic("t", -1, -1)], true).await.remove(0);
    assert_ne!(rehearsed.topic_id, Uuid::nil());
    assert!(!fixture.data_dir().join("t-0").exists());
    let made = create(&mut fixture, vec![configured("retention.ms", Some(" 7 "))], false).await.remove(0);
    let configs = made.configs.unwrap();
    let retention = configs.iter().find(|config| config.name == "retention.ms").unwrap();
    assert_eq!((retention.value.as_deref(), retention.config_source), (Some("7"), 1));
    assert_eq!(configs.len(), 33);
    let defaults = create(&mut fixture, vec![topic("u", -1, -1)], false).await.remove(0);
    assert_eq!((defaults.num_partitions, defaults.replication_factor), (3, 1));
    let manual = CreatableTopic { name: "v".to_owned(), ..assigned(-1, -1, &[(1, &[1]), (0, &[1])]) };
    assert_eq!(create(&mut fixture, vec![manual], false).await[0].num_partitions, 2);
    fixture.stop().await;
}
