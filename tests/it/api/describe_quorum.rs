//! DescribeQuorum: one voter, whose log end is the metadata's revision.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, RequestPartitionData, RequestTopicData,
};

use super::Fixture;

async fn ask(fixture: &mut Fixture, topic: &str, partition_index: i32, version: i16) -> DescribeQuorumResponse {
    let partitions = vec![RequestPartitionData { partition_index }];
    let topics = vec![RequestTopicData { topic_name: topic.to_owned(), partitions }];
    fixture.ask(&DescribeQuorumRequest { topics }, version).await
}

#[tokio::test]
async fn this_node_is_the_only_voter() {
    let mut fixture = Fixture::start().await;
    let before = ask(&mut fixture, "__cluster_metadata", 0, 2).await.topics[0].partitions[0].high_watermark;
    fixture.create("t", 1, &[]).await;
    let response = ask(&mut fixture, "__cluster_metadata", 0, 2).await;
    let partition = &response.topics[0].partitions[0];
    assert_eq!((partition.error_code, partition.leader_id), (ErrorCode::NONE, 1));
    assert!(partition.high_watermark > before);
    let [voter] = partition.current_voters.as_slice() else { panic!("{response:?}") };
    assert_eq!((voter.replica_id, voter.log_end_offset), (1, partition.high_watermark));
    assert_eq!(i32::from(response.nodes[0].listeners[0].port), fixture.port());
    // Older versions have no place for the nodes.
    let old = ask(&mut fixture, "__cluster_metadata", 0, 0).await;
    assert_eq!(old.topics[0].partitions[0].leader_id, 1);
    for (topic, partition) in [("__cluster_metadata", 1), ("x", 0)] {
        let unknown = ask(&mut fixture, topic, partition, 2).await;
        assert_eq!(unknown.topics[0].partitions[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert!(unknown.nodes.is_empty());
    }
    fixture.stop().await;
}
