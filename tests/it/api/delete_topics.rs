//! DeleteTopics by name and by id; what is asked for twice is not deleted.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use uuid::Uuid;

use super::{Fixture, OK, Told, told};

type Row = (Option<String>, Uuid, Told);

async fn delete(fixture: &mut Fixture, topics: &[(Option<&str>, Uuid)]) -> Vec<Row> {
    let state = |(name, topic_id): &(Option<&str>, Uuid)| DeleteTopicState {
        name: name.map(str::to_owned),
        topic_id: *topic_id,
    };
    let topics = topics.iter().map(state).collect();
    let request = DeleteTopicsRequest { topics, timeout_ms: 5000, ..DeleteTopicsRequest::default() };
    let rows = fixture.ask(&request, 6).await.responses;
    rows.into_iter().map(|row| (row.name, row.topic_id, (row.error_code, row.error_message))).collect()
}

async fn delete_names(fixture: &mut Fixture, version: i16, names: &[&str]) -> Vec<(String, Told)> {
    let topic_names = names.iter().map(|name| (*name).to_owned()).collect();
    let request = DeleteTopicsRequest { topic_names, timeout_ms: 5000, ..DeleteTopicsRequest::default() };
    let rows = fixture.ask(&request, version).await.responses;
    rows.into_iter().map(|row| (row.name.unwrap(), (row.error_code, row.error_message))).collect()
}

const UNKNOWN: &str = "This server does not host this topic-partition.";

#[tokio::test]
async fn what_is_asked_for_twice_stays() {
    let mut fixture = Fixture::start().await;
    let id = fixture.create("a", 1, &[]).await;
    let nil = Uuid::nil();
    let invalid = |message| told(ErrorCode::INVALID_REQUEST, message);
    let named = || Some("a".to_owned());

    let both = invalid("You may not specify both topic name and topic id.");
    assert_eq!(delete(&mut fixture, &[(Some("a"), id)]).await, [(named(), id, both)]);
    let neither = invalid("Neither topic name nor id were specified.");
    assert_eq!(delete(&mut fixture, &[(None, nil)]).await, [(None, nil, neither)]);
    let mapped = invalid("The provided topic name maps to an ID that was already supplied.");
    for asked in [[(Some("a"), nil), (None, id)], [(None, id), (Some("a"), nil)]] {
        assert_eq!(delete(&mut fixture, &asked).await, [(named(), id, mapped.clone())]);
    }
    let twice = invalid("Duplicate topic id.");
    assert_eq!(delete(&mut fixture, &[(None, id), (None, id)]).await, [(None, id, twice)]);
    let twice = invalid("Duplicate topic name.");
    assert_eq!(delete_names(&mut fixture, 5, &["a", "a"]).await, [("a".to_owned(), twice)]);
    let other = Uuid::from_u128(3);
    let unknown = told(ErrorCode::UNKNOWN_TOPIC_ID, "This server does not host this topic ID.");
    assert_eq!(delete(&mut fixture, &[(None, other)]).await, [(None, other, unknown)]);

    // Still there after all that, and gone with this.
    assert_eq!(delete(&mut fixture, &[(None, id)]).await, [(named(), id, OK)]);
    let unknown = told(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN);
    assert_eq!(delete_names(&mut fixture, 5, &["a"]).await, [("a".to_owned(), unknown)]);
    fixture.stop().await;
}

#[tokio::test]
async fn a_name_is_free_again_and_its_directories_are_gone() {
    let mut fixture = Fixture::start().await;
    let first = fixture.create("a", 2, &[]).await;
    fixture.produce("a", 3, false).await;
    assert!(fixture.data_dir().join("a-1").is_dir());
    assert_eq!(delete(&mut fixture, &[(Some("a"), Uuid::nil())]).await, [(Some("a".to_owned()), first, OK)]);
    assert!(!fixture.data_dir().join("a-1").exists());
    let second = fixture.create("a", 1, &[]).await;
    assert_ne!(first, second);
    assert!(fixture.data_dir().join("a-0").is_dir() && !fixture.data_dir().join("a-1").exists());
    fixture.stop().await;
}

#[tokio::test]
async fn old_versions_have_no_message() {
    let mut fixture = Fixture::start().await;
    let unknown = (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, None);
    let rows = delete_names(&mut fixture, 1, &["nope", ".."]).await;
    assert_eq!(rows, [("nope".to_owned(), unknown.clone()), ("..".to_owned(), unknown)]);
    fixture.stop().await;
}

#[tokio::test]
async fn deletion_can_be_disabled() {
    let mut fixture = Fixture::start_with(&[("delete.topic.enable", "false")]).await;
    fixture.create("a", 1, &[]).await;
    assert_eq!(delete_names(&mut fixture, 5, &["a"]).await[0].1.0, ErrorCode::TOPIC_DELETION_DISABLED);
    assert_eq!(delete_names(&mut fixture, 1, &["a"]).await[0].1.0, ErrorCode::INVALID_REQUEST);
    assert!(fixture.data_dir().join("a-0").is_dir());
    fixture.stop().await;
}
