//! Commits per second: each connection commits for its share of the groups in turn, one request at a time, as a consumer
//! without membership does (what the coordinator writes is the same).

use std::time::{Duration, Instant};

use stratalog_protocol::messages::OffsetCommitRequest;
use stratalog_protocol::messages::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use tokio::task::JoinSet;

use super::broker::Broker;
use super::client::{Client, good};
use crate::Outcome;
use crate::arguments::Arguments;

pub async fn commits(arguments: &Arguments) -> Outcome<String> {
    let bootstrap = arguments.text("bootstrap")?;
    let topic = arguments.text("topic")?;
    let connections: usize = arguments.number("connections")?;
    let groups: usize = arguments.number("groups")?;
    let limit = Duration::from_secs_f64(arguments.number("seconds")?);
    let mut lanes = Vec::new();
    for lane in 0..connections {
        let mine = (lane..groups).step_by(connections).map(|group| format!("commits-{group}")).collect::<Vec<_>>();
        lanes.push((Client::open(bootstrap).await?, mine));
    }
    let broker = Broker::watch(arguments)?;
    let began = Instant::now();
    let mut running = JoinSet::new();
    for (client, groups) in lanes {
        running.spawn_local(commit_for(client, groups, topic.to_owned(), began, limit));
    }
    let mut latencies_us = Vec::new();
    while let Some(lane) = running.join_next().await {
        latencies_us.extend(lane??);
    }
    let seconds = began.elapsed().as_secs_f64();
    latencies_us.sort_unstable();
    let at = |share: f64| {
        let index = (latencies_us.len() as f64 * share) as usize;
        f64::from(latencies_us.get(index).copied().unwrap_or(0)) / 1000.0
    };
    let (commits, p50, p99) = (latencies_us.len(), at(0.5), at(0.99));
    let rate = commits as f64 / seconds;
    let cost = broker.report()?;
    Ok(format!(r#"{{"commits":{commits},"commits_s":{rate:.1},"p50_ms":{p50:.3},"p99_ms":{p99:.3},{cost}}}"#))
}

async fn commit_for(
    mut client: Client,
    groups: Vec<String>,
    topic: String,
    began: Instant,
    limit: Duration,
) -> Outcome<Vec<u32>> {
    let mut requests = groups.iter().map(|group| commit(group, &topic, 1)).collect::<Vec<_>>();
    let mut latencies_us = Vec::new();
    for offset in 1.. {
        for request in &mut requests {
            if began.elapsed() >= limit {
                return Ok(latencies_us);
            }
            for partition in request.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                partition.committed_offset = offset;
            }
            let asked_at = Instant::now();
            committed(&mut client, request).await?;
            latencies_us.push(asked_at.elapsed().as_micros() as u32);
        }
    }
    Ok(latencies_us)
}

/// A commit of offset 1 for the first `partitions` of a topic.
pub fn commit(group: &str, topic: &str, partitions: i32) -> OffsetCommitRequest {
    let partition = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: 1,
        committed_metadata: Some(String::new()),
        ..OffsetCommitRequestPartition::default()
    };
    OffsetCommitRequest {
        group_id: group.to_owned(),
        topics: vec![OffsetCommitRequestTopic {
            name: topic.to_owned(),
            partitions: (0..partitions).map(partition).collect(),
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    }
}

pub async fn committed(client: &mut Client, request: &OffsetCommitRequest) -> Outcome<()> {
    let response = client.ask(request, 9).await?;
    let mut answers = response.topics.iter().flat_map(|topic| &topic.partitions);
    answers.try_for_each(|partition| good("OffsetCommit", partition.error_code))
}
