//! Committed against end offset, per partition.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::cli::CliError;
use crate::net::client::{Client, ClusterView, DescribedGroup, OffsetSpec};

/// A partition that a group committed, or that one of its members owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionLag {
    pub topic: String,
    pub partition: i32,
    /// `None`: nothing is committed.
    pub committed: Option<i64>,
    /// One past the last record; `None` where the topic or the partition is gone.
    pub end: Option<i64>,
    /// Below zero where the log ends before what was committed.
    pub lag: Option<i64>,
    pub member_id: Option<String>,
    pub client_id: Option<String>,
    pub client_host: Option<String>,
}

/// Every partition of a group, in the order of topics and numbers. `described` is absent for a group that exists by its
/// offsets alone.
pub async fn of_group(
    client: &mut Client,
    group: &str,
    described: Option<&DescribedGroup>,
) -> Result<Vec<PartitionLag>, CliError> {
    let mut found: BTreeMap<(String, i32), PartitionLag> = BTreeMap::new();
    let empty = |topic: &str, partition| PartitionLag {
        topic: topic.to_owned(),
        partition,
        committed: None,
        end: None,
        lag: None,
        member_id: None,
        client_id: None,
        client_host: None,
    };
    for stored in client.committed_offsets(group, None).await? {
        let lag = found.entry((stored.topic.clone(), stored.partition));
        lag.or_insert_with(|| empty(&stored.topic, stored.partition)).committed = Some(stored.offset);
    }
    for member in described.iter().flat_map(|group| &group.members) {
        for (topic, partitions) in &member.assigned {
            for partition in partitions {
                let lag = found.entry((topic.clone(), *partition)).or_insert_with(|| empty(topic, *partition));
                lag.member_id = Some(member.member_id.clone());
                lag.client_id = Some(member.client_id.clone());
                lag.client_host = Some(member.client_host.clone());
            }
        }
    }
    let ends = ends(client, found.keys()).await?;
    for (key, lag) in &mut found {
        lag.end = ends.get(key).copied();
        lag.lag = lag.end.zip(lag.committed).map(|(end, committed)| end.saturating_sub(committed));
    }
    Ok(found.into_values().collect())
}

/// The end of each of these partitions that exists.
async fn ends(
    client: &mut Client,
    wanted: impl Iterator<Item = &(String, i32)>,
) -> Result<BTreeMap<(String, i32), i64>, CliError> {
    let mut by_topic: BTreeMap<&String, BTreeSet<i32>> = BTreeMap::new();
    for (topic, partition) in wanted {
        by_topic.entry(topic).or_default().insert(*partition);
    }
    if by_topic.is_empty() {
        return Ok(BTreeMap::new());
    }
    let cluster = client.metadata(None).await?;
    let mut ends = BTreeMap::new();
    for (topic, wanted) in by_topic {
        let existing = partitions_of(&cluster, topic);
        let asked: Vec<(i32, OffsetSpec)> =
            existing.iter().filter(|at| wanted.contains(at)).map(|at| (*at, OffsetSpec::Latest)).collect();
        if !asked.is_empty() {
            let found = client.list_offsets(topic, &asked).await?;
            ends.extend(found.iter().map(|found| ((topic.clone(), found.partition), found.offset)));
        }
    }
    Ok(ends)
}

/// The partitions of a topic; none where it does not exist.
pub fn partitions_of(cluster: &ClusterView, topic: &str) -> Vec<i32> {
    let view = cluster.topics.iter().find(|view| view.name == topic);
    view.map_or_else(Vec::new, |view| view.partitions.iter().map(|partition| partition.partition).collect())
}

/// A number, or a dash.
pub fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
