//! DescribeLogDirs: sizes are those of the files; what is not here is left out.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsRequest, DescribeLogDirsResult,
};

use super::Fixture;

async fn describe(fixture: &mut Fixture, topics: Option<&[(&str, &[i32])]>, version: i16) -> DescribeLogDirsResult {
    let topic = |(topic, partitions): &(&str, &[i32])| DescribableLogDirTopic {
        topic: (*topic).to_owned(),
        partitions: partitions.to_vec(),
    };
    let request = DescribeLogDirsRequest { topics: topics.map(|topics| topics.iter().map(topic).collect()) };
    let mut response = fixture.ask(&request, version).await;
    assert_eq!((response.error_code, response.results.len()), (ErrorCode::NONE, 1));
    response.results.remove(0)
}

/// `(topic, partition, bytes)`.
fn sizes(result: &DescribeLogDirsResult) -> Vec<(String, i32, i64)> {
    let of_topic = result.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| {
            assert!(!partition.is_future_key && partition.offset_lag == 0);
            (topic.name.clone(), partition.partition_index, partition.partition_size)
        })
    });
    of_topic.collect()
}

#[tokio::test]
async fn sizes_are_of_the_files() {
    let mut fixture = Fixture::start().await;
    fixture.create("a", 2, &[]).await;
    fixture.create("b", 1, &[]).await;
    fixture.produce("a", 5, false).await;
    let log = fixture.data_dir().join("a-0/00000000000000000000.log");
    let bytes = i64::try_from(log.metadata().unwrap().len()).unwrap();
    assert!(bytes > 0);
    let row = |topic: &str, partition, bytes| (topic.to_owned(), partition, bytes);

    let all = describe(&mut fixture, None, 5).await;
    assert_eq!(sizes(&all), [row("a", 0, bytes), row("a", 1, 0), row("b", 0, 0)]);
    assert_eq!(all.error_code, ErrorCode::NONE);
    assert_eq!(all.log_dir, fixture.data_dir().canonicalize().unwrap().display().to_string());
    assert!(all.total_bytes >= all.usable_bytes && all.usable_bytes > 0 && !all.is_cordoned);

    let some = describe(&mut fixture, Some(&[("a", &[0, 0, 9]), ("nope", &[0])]), 1).await;
    assert_eq!(sizes(&some), [row("a", 0, bytes)]);
    // Not in this version.
    assert_eq!((some.total_bytes, some.usable_bytes), (-1, -1));
    assert!(describe(&mut fixture, Some(&[]), 4).await.topics.is_empty());
    assert!(describe(&mut fixture, Some(&[("a", &[])]), 4).await.topics.is_empty());
    fixture.stop().await;
}
