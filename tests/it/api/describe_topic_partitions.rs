//! DescribeTopicPartitions: pages in name order, each cursor the beginning of the next.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicRequest,
};

use super::Fixture;

const ALL_OPERATIONS: i32 = 3576;

/// Three topics of 3, 2 and 4 partitions.
async fn start() -> Fixture {
    let mut fixture = Fixture::start().await;
    for (name, partitions) in [("t1", 3), ("t2", 2), ("t3", 4)] {
        fixture.create(name, partitions, &[]).await;
    }
    fixture
}

async fn ask(
    fixture: &mut Fixture,
    topics: &[&str],
    limit: i32,
    cursor: Option<(&str, i32)>,
) -> DescribeTopicPartitionsResponse {
    let request = DescribeTopicPartitionsRequest {
        topics: topics.iter().map(|name| TopicRequest { name: (*name).to_owned() }).collect(),
        response_partition_limit: limit,
        cursor: cursor
            .map(|(topic_name, partition_index)| Cursor { topic_name: topic_name.to_owned(), partition_index }),
    };
    fixture.ask(&request, 0).await
}

/// `t1:012 t2:0 > t2:1`: topics with their partitions, unknown ones with their error, and the next cursor.
async fn page(fixture: &mut Fixture, topics: &[&str], limit: i32, cursor: Option<(&str, i32)>) -> String {
    let response = ask(fixture, topics, limit, cursor).await;
    let mut words = Vec::new();
    for topic in response.topics {
        let name = topic.name.unwrap();
        if topic.error_code.is_error() {
            words.push(format!("{name}:{}", topic.error_code));
            continue;
        }
        let digits: String = topic.partitions.iter().map(|partition| partition.partition_index.to_string()).collect();
        words.push(format!("{name}:{digits}"));
    }
    if let Some(next) = response.next_cursor {
        words.push(format!("> {}:{}", next.topic_name, next.partition_index));
    }
    words.join(" ")
}

/// Topics asked for, limit, cursor, page.
type Case<'a> = (&'a [&'a str], i32, Option<(&'a str, i32)>, &'a str);

#[tokio::test]
async fn pages_are_kafkas() {
    let mut fixture = start().await;
    let cases: &[Case<'_>] = &[
        (&["t2", "t1"], 2000, None, "t1:012 t2:01"),
        (&["t1", "t1"], 2000, None, "t1:012"),
        (&["t1", "nope", "t2"], 4, None, "nope:UNKNOWN_TOPIC_OR_PARTITION t1:012 t2:0 > t2:1"),
        (&["a/b"], 4, None, "a/b:INVALID_TOPIC_EXCEPTION"),
        (&[], 4, None, "t1:012 t2:0 > t2:1"),
        (&[], 4, Some(("t1", 2)), "t1:2 t2:01 t3:0 > t3:1"),
        (&[], 2, Some(("t1", 3)), "t1: t2:01 > t3:0"),
        (&[], 5, Some(("x", -1)), ""),
        (&["t1"], 5, Some(("t1", 7)), "t1:"),
        (&["t1"], 0, None, "t1:0 > t1:1"),
        (&["t1"], -1, None, "t1:0 > t1:1"),
        (&["t1", "t2", "t3"], 3, None, "t1:012 > t2:0"),
        (&["t1", "t2", "t3"], 5, None, "t1:012 t2:01 > t3:0"),
        (&["t1"], 3, None, "t1:012"),
        (&["t1"], 2, Some(("t1", 1)), "t1:12"),
        (&["t1", "a"], 2, Some(("a", 1)), "a:UNKNOWN_TOPIC_OR_PARTITION t1:01 > t1:2"),
        (&["t1", "t3"], 2, Some(("t2", 0)), "t1:INVALID_REQUEST t3:INVALID_REQUEST"),
        (&["t1"], 5, Some(("t1", -1)), "t1:INVALID_REQUEST"),
        (&["t1"], 5, Some(("", 0)), "t1:INVALID_REQUEST"),
    ];
    for (topics, limit, cursor, expected) in cases {
        assert_eq!(page(&mut fixture, topics, *limit, *cursor).await, *expected, "{topics:?} {limit} {cursor:?}");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn the_broker_bounds_a_page() {
    let mut fixture = Fixture::start_with(&[("max.request.partition.size.limit", "2")]).await;
    fixture.create("t", 3, &[]).await;
    assert_eq!(page(&mut fixture, &["t"], 5000, None).await, "t:01 > t:2");
    fixture.stop().await;
}

#[tokio::test]
async fn partitions_and_operations_are_told() {
    let mut fixture = start().await;
    let response = ask(&mut fixture, &["t2", "nope"], 2000, None).await;
    let [unknown, known] = response.topics.as_slice() else { panic!("{response:?}") };
    assert_eq!((unknown.error_code, unknown.topic_authorized_operations), (ErrorCode(3), ALL_OPERATIONS));
    assert_eq!((known.error_code, known.topic_authorized_operations), (ErrorCode::NONE, ALL_OPERATIONS));
    assert!(!known.topic_id.is_nil() && !known.is_internal);
    let partition = &known.partitions[1];
    assert_eq!((partition.leader_id, partition.leader_epoch), (1, 0));
    assert_eq!((partition.replica_nodes.as_slice(), partition.isr_nodes.as_slice()), (&[1][..], &[1][..]));
    assert_eq!(partition.eligible_leader_replicas.as_deref(), Some(&[][..]));
    assert_eq!(partition.last_known_elr.as_deref(), Some(&[][..]));
    fixture.stop().await;
}
