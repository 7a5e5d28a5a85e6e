//! What a restart, a deleted topic and the configuration of a group lead to. Ours alone.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use stratalog_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use stratalog_protocol::messages::metadata::MetadataRequest;

use super::offsets::{commit, commit_of, fetch};
use super::wire::Wire;
use crate::api::{Fixture, GROUP};

#[tokio::test]
async fn offsets_and_generations_outlive_a_restart() {
    let fixture = Fixture::start().await;
    let mut wire = Wire::connect(fixture.port()).await;
    let (topic, _) = wire.topic("t", 2).await;
    let mut groups = Vec::new();
    for number in 0..60 {
        let group = wire.group(&format!("g{number}")).await;
        assert_eq!(commit(&mut wire, &commit_of(&group, &topic, &[(1, number)]), 9).await, [(1, ErrorCode::NONE)]);
        groups.push(group);
    }
    drop(wire);
    let fixture = fixture.restart().await;
    let mut wire = Wire::connect(fixture.port()).await;
    for (group, number) in groups.iter().zip(0..) {
        // A shard may still load.
        let found = loop {
            let request = stratalog_protocol::messages::list_groups::ListGroupsRequest::default();
            if wire.ask(&request, 5).await.error_code.is_none() {
                break fetch(&mut wire, group, &topic, &[0, 1]).await;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!((found[0].0, found[1].0), (-1, number));
    }
    drop(wire);
    fixture.stop().await;
}

#[tokio::test]
async fn offsets_go_with_their_topic() {
    let fixture = Fixture::start().await;
    let mut wire = Wire::connect(fixture.port()).await;
    let (gone, _) = wire.topic("gone", 1).await;
    let (kept, _) = wire.topic("kept", 1).await;
    let group = wire.group("g").await;
    commit(&mut wire, &commit_of(&group, &gone, &[(0, 1)]), 9).await;
    commit(&mut wire, &commit_of(&group, &kept, &[(0, 2)]), 9).await;
    let topics = vec![DeleteTopicState { name: Some(gone.clone()), ..DeleteTopicState::default() }];
    let request = DeleteTopicsRequest { topics, timeout_ms: 1_000, ..DeleteTopicsRequest::default() };
    assert_eq!(wire.ask(&request, 6).await.responses[0].error_code, ErrorCode::NONE);
    assert_eq!(fetch(&mut wire, &group, &gone, &[0]).await[0].0, -1);
    assert_eq!(fetch(&mut wire, &group, &kept, &[0]).await[0].0, 2);
    drop(wire);
    fixture.stop().await;
}

#[tokio::test]
async fn the_topic_of_groups_is_kafkas() {
    let fixture = Fixture::start_with(&[("offsets.topic.num.partitions", "7")]).await;
    let mut wire = Wire::connect(fixture.port()).await;
    wire.group("g").await;
    let described = wire.ask(&MetadataRequest { topics: None, ..MetadataRequest::default() }, 12).await;
    let offsets = described.topics.iter().find(|topic| topic.name.as_deref() == Some("__consumer_offsets")).unwrap();
    assert_eq!((offsets.partitions.len(), offsets.is_internal), (7, true));
    drop(wire);
    let mut fixture = fixture;
    let configs = fixture.configs(super::super::api::TOPIC, "__consumer_offsets", &[1]).await;
    let shown: Vec<(&str, &str)> = configs.iter().map(|(name, value, _)| (name.as_str(), value.as_str())).collect();
    assert!(shown.contains(&("cleanup.policy", "compact")), "{shown:?}");
    assert!(shown.contains(&("segment.bytes", "104857600")), "{shown:?}");
    fixture.stop().await;
}

#[tokio::test]
async fn a_group_has_configs_within_the_brokers_bounds() {
    let mut fixture = Fixture::start().await;
    let mut set = async |value: &str| {
        let config = AlterableConfig {
            name: "consumer.session.timeout.ms".to_owned(),
            config_operation: 0,
            value: Some(value.to_owned()),
        };
        let resources =
            vec![AlterConfigsResource { resource_type: GROUP, resource_name: "g".to_owned(), configs: vec![config] }];
        let request = IncrementalAlterConfigsRequest { resources, validate_only: false };
        let answer = fixture.ask(&request, 1).await.responses.remove(0);
        (answer.error_code, answer.error_message)
    };
    assert_eq!(set("50000").await, (ErrorCode::NONE, None));
    let (code, message) = set("1000").await;
    assert_eq!(code, ErrorCode::INVALID_CONFIG);
    let words = "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms";
    assert_eq!(message.as_deref(), Some(words));
    let mut fixture = fixture.restart().await;
    let own = fixture.configs(GROUP, "g", &[8]).await;
    assert_eq!(own, [("consumer.session.timeout.ms".to_owned(), "50000".to_owned(), 8)]);
    fixture.stop().await;
}
