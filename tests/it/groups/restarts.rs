//! What a restart, a deleted topic and the configuration of a group lead to. Ours alone.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use stratalog::coordinator::OFFSETS_TOPIC;
use stratalog::log::{CleanOptions, Pace};
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use stratalog_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use stratalog_protocol::messages::list_groups::ListGroupsRequest;
use stratalog_protocol::messages::metadata::MetadataRequest;

use super::members::join_of;
use super::offsets::{commit, commit_of, fetch};
use super::wire::Wire;
use crate::api::{Fixture, GROUP, TOPIC};
use crate::cli::stratalog;

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
        assert_eq!(fetched(&mut wire, group, &topic).await, -1);
        assert_eq!(fetch(&mut wire, group, &topic, &[1]).await[0].0, number);
    }
    drop(wire);
    fixture.stop().await;
}

/// A process of its own, to be killed.
struct Killable {
    child: Child,
    port: i32,
}

impl Killable {
    fn start(data: &Path) -> Killable {
        let data = data.to_str().expect("text");
        let arguments =
            ["--data-dir", data, "--listeners", "PLAINTEXT://127.0.0.1:0", "--set", "stratalog.admin.listener="];
        let mut child = stratalog(&[&arguments[..], &["--log-format", "json"]].concat())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the broker starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut said = Vec::new();
        let ready = loop {
            let Some(line) = lines.next() else { panic!("the broker ended before it was ready: {said:#?}") };
            let line = line.expect("text");
            said.push(line.clone());
            let line: serde_json::Value = serde_json::from_str(&line).expect("JSON lines");
            if line["message"] == "ready" && line["address"].is_string() {
                break line;
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        let address = ready["address"].as_str().expect("an address").to_owned();
        let port = address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        Killable { child, port }
    }

    fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What compaction leaves of the offsets topic is what a coordinator has to know.
#[tokio::test]
async fn offsets_outlive_the_compaction_of_their_topic() {
    let fixture = Fixture::start().await;
    let mut wire = Wire::connect(fixture.port()).await;
    let (topic, _) = wire.topic("t", 1).await;
    let mut groups = Vec::new();
    for number in 0..8 {
        let group = wire.group(&format!("g{number}")).await;
        for offset in 0..=20 + number {
            assert_eq!(commit(&mut wire, &commit_of(&group, &topic, &[(0, offset)]), 9).await, [(0, ErrorCode::NONE)]);
        }
        groups.push(group);
    }
    let node = fixture.node();
    let id = node.image().topic(OFFSETS_TOPIC).unwrap().id;
    let (mut before, mut after) = (0, 0);
    for partition in node.partitions.of_topic(id) {
        let log = partition.log();
        log.roll().unwrap();
        before += log.size_bytes();
        let dirt = log.dirt(partition.high_watermark().get()).unwrap();
        log.clean(&dirt, &CleanOptions::default(), &Pace::unlimited()).unwrap();
        after += log.size_bytes();
    }
    assert!(after * 5 < before, "{before} bytes became {after}");
    drop((wire, node));
    let fixture = fixture.restart().await;
    let mut wire = Wire::connect(fixture.port()).await;
    for (group, number) in groups.iter().zip(0..) {
        assert_eq!(fetched(&mut wire, group, &topic).await, 20 + number);
        assert_eq!(commit(&mut wire, &commit_of(group, &topic, &[(0, 99)]), 9).await, [(0, ErrorCode::NONE)]);
    }
    drop(wire);
    drop(fixture);
}

#[tokio::test]
async fn acknowledged_commits_outlive_kills() {
    let dir = tempfile::tempdir().unwrap();
    let mut topic = None;
    let mut groups = Vec::new();
    let mut next = 0;
    for life in 0..3u64 {
        let broker = Killable::start(dir.path());
        let mut wire = Wire::connect(broker.port).await;
        if topic.is_none() {
            topic = Some(wire.topic("t", 1).await.0);
            for name in ["a", "b", "c"] {
                groups.push((wire.group(name).await, -1));
            }
        }
        let topic = topic.as_deref().unwrap();
        for (group, acknowledged) in &groups {
            let found = fetched(&mut wire, group, topic).await;
            assert!(found >= *acknowledged, "{group}: {found} after {acknowledged} was acknowledged, life {life}");
            assert!(found < next.max(1), "{group}: {found} was never sent");
        }
        // Commits flow on one connection for each group; the broker dies in the middle of them.
        let (killed, _) = tokio::sync::watch::channel(false);
        let mut committers = Vec::new();
        for (group, _) in &groups {
            let mut wire = wire.another().await;
            let (group, topic, killed) = (group.clone(), topic.to_owned(), killed.subscribe());
            committers.push(tokio::spawn(async move {
                let mut acknowledged = -1;
                for offset in next.. {
                    if !wire.try_commit(&commit_of(&group, &topic, &[(0, offset)])).await {
                        assert!(*killed.borrow(), "the broker closed a connection");
                        return (acknowledged, offset + 1);
                    }
                    acknowledged = offset;
                    tokio::task::yield_now().await;
                }
                unreachable!("it is killed")
            }));
        }
        while fetched(&mut wire, &groups[0].0, topic).await < next + 20 {
            tokio::task::yield_now().await;
        }
        killed.send_replace(true);
        broker.kill();
        let mut sent = next;
        for (group, committer) in groups.iter_mut().zip(committers) {
            let (acknowledged, end) = committer.await.unwrap();
            group.1 = acknowledged.max(group.1);
            sent = sent.max(end);
        }
        next = sent;
    }
}

/// The offset of partition 0, once the coordinator has loaded.
pub async fn fetched(wire: &mut Wire, group: &str, topic: &str) -> i64 {
    loop {
        let answer = wire.ask(&ListGroupsRequest::default(), 5).await;
        if answer.error_code.is_none() {
            return fetch(wire, group, topic, &[0]).await[0].0;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stop_answers_members_that_wait() {
    // The first member of a group waits for others.
    let fixture = Fixture::start_with(&[("group.initial.rebalance.delay.ms", "600000")]).await;
    let mut wire = Wire::connect(fixture.port()).await;
    let (topic, _) = wire.topic("t", 1).await;
    let group = wire.group("g").await;
    let mut other = wire.another().await;
    let first = other.ask(&join_of(&group, "", &topic), 9).await;
    let request = join_of(&group, &first.member_id, &topic);
    let waiting = tokio::spawn(async move { other.ask(&request, 9).await });
    let preparing = || ListGroupsRequest { states_filter: vec!["PreparingRebalance".to_owned()], ..Default::default() };
    while wire.ask(&preparing(), 5).await.groups.is_empty() {
        tokio::task::yield_now().await;
    }
    drop(wire);
    fixture.stop().await;
    assert_eq!(waiting.await.unwrap().error_code, ErrorCode::NOT_COORDINATOR);
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
async fn groups_begin_anew_when_their_topic_is_deleted() {
    let fixture = Fixture::start_with(&[("offsets.topic.num.partitions", "3")]).await;
    let mut wire = Wire::connect(fixture.port()).await;
    let (topic, _) = wire.topic("t", 1).await;
    let group = wire.group("g").await;
    commit(&mut wire, &commit_of(&group, &topic, &[(0, 1)]), 9).await;
    let topics = vec![DeleteTopicState { name: Some("__consumer_offsets".to_owned()), ..DeleteTopicState::default() }];
    let request = DeleteTopicsRequest { topics, timeout_ms: 1_000, ..DeleteTopicsRequest::default() };
    assert_eq!(wire.ask(&request, 6).await.responses[0].error_code, ErrorCode::NONE);
    let refused = commit(&mut wire, &commit_of(&group, &topic, &[(0, 2)]), 9).await;
    assert_eq!(refused, [(0, ErrorCode::NOT_COORDINATOR)]);
    // The next who looks for a coordinator makes it again.
    let group = wire.group("g").await;
    assert_eq!(fetch(&mut wire, &group, &topic, &[0]).await[0].0, -1);
    assert_eq!(commit(&mut wire, &commit_of(&group, &topic, &[(0, 3)]), 9).await, [(0, ErrorCode::NONE)]);
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
    let configs = fixture.configs(TOPIC, "__consumer_offsets", &[1]).await;
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
