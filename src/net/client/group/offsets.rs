//! A group's offsets: what it committed, set from outside or by a member, removed.

use std::collections::BTreeMap;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use stratalog_protocol::messages::offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use stratalog_protocol::messages::offset_fetch::OffsetFetchRequestTopic;
use stratalog_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
    OffsetFetchResponse,
};
use tokio::time::Instant;

use super::{Client, Error, TopicPartitions};
use crate::net::client::RETRY_PAUSE;

/// OffsetFetch of one group; several come with version 8.
const OFFSET_FETCH_VERSION_MAX: i16 = 7;

/// OffsetCommit by name; topic ids come with version 10.
const OFFSET_COMMIT_VERSION_MAX: i16 = 9;

/// What a group stored for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// -1: unknown.
    pub leader_epoch: i32,
    pub metadata: String,
}

/// An offset to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOffset {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// -1: unknown.
    pub leader_epoch: i32,
}

/// In whose name offsets are stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Committer<'a> {
    pub group: &'a str,
    pub generation: i32,
    pub member_id: &'a str,
}

impl Client {
    /// What `group` committed, in the order of topics and partitions; of these partitions, or of all. A group that never
    /// was has committed nothing. Waits, within the deadline, for transactions that hold offsets.
    pub async fn committed_offsets(
        &mut self,
        group: &str,
        partitions: Option<&TopicPartitions>,
    ) -> Result<Vec<CommittedOffset>, Error> {
        let topics = partitions.map(|topics| {
            let topic = |(name, partitions): (&String, &Vec<i32>)| OffsetFetchRequestTopic {
                name: name.clone(),
                partition_indexes: partitions.clone(),
            };
            topics.iter().map(topic).collect()
        });
        let request = OffsetFetchRequest { group_id: group.to_owned(), topics, ..Default::default() };
        let deadline = Instant::now() + self.config.request_timeout;
        loop {
            let code = |response: &OffsetFetchResponse| response.error_code;
            let response = self.ask_coordinator(group, &request, OFFSET_FETCH_VERSION_MAX, code).await?;
            Error::group(response.error_code, group, "offsets of")?;
            match stored_offsets(group, response) {
                Err(Error::Broker { code, .. }) if code.is_retriable() && Instant::now() < deadline => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                answered => return answered,
            }
        }
    }

    /// Stores offsets for a group that has no members. The group comes into being with its first offset.
    pub async fn set_offsets(&mut self, group: &str, offsets: &[NewOffset]) -> Result<(), Error> {
        self.commit_as(Committer { group, generation: -1, member_id: "" }, offsets).await
    }

    /// All are stored or the first refusal is answered; Kafka stores each partition on its own, so that some may be.
    pub(super) async fn commit_as(&mut self, from: Committer<'_>, offsets: &[NewOffset]) -> Result<(), Error> {
        let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for offset in offsets {
            topics.entry(&offset.topic).or_default().push(OffsetCommitRequestPartition {
                partition_index: offset.partition,
                committed_offset: offset.offset,
                committed_leader_epoch: offset.leader_epoch,
                committed_metadata: Some(String::new()),
            });
        }
        let topic = |(name, partitions): (&str, Vec<OffsetCommitRequestPartition>)| OffsetCommitRequestTopic {
            name: name.to_owned(),
            partitions,
            ..Default::default()
        };
        let request = OffsetCommitRequest {
            group_id: from.group.to_owned(),
            generation_id_or_member_epoch: from.generation,
            member_id: from.member_id.to_owned(),
            topics: topics.into_iter().map(topic).collect(),
            ..Default::default()
        };
        let code = |response: &OffsetCommitResponse| {
            let mut partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            partitions
                .find(|partition| partition.error_code.is_error())
                .map_or(ErrorCode::NONE, |first| first.error_code)
        };
        let response = self.ask_coordinator(from.group, &request, OFFSET_COMMIT_VERSION_MAX, code).await?;
        for topic in &response.topics {
            for partition in &topic.partitions {
                let doing = format!("committing {}-{} for", topic.name, partition.partition_index);
                Error::group(partition.error_code, from.group, &doing)?;
            }
        }
        Ok(())
    }

    /// Removes offsets of partitions that no member of the group is subscribed to.
    pub async fn delete_offsets(&mut self, group: &str, partitions: &TopicPartitions) -> Result<(), Error> {
        let partition = |index: &i32| OffsetDeleteRequestPartition { partition_index: *index };
        let topic = |(name, partitions): (&String, &Vec<i32>)| OffsetDeleteRequestTopic {
            name: name.clone(),
            partitions: partitions.iter().map(partition).collect(),
        };
        let topics = partitions.iter().map(topic).collect();
        let request = OffsetDeleteRequest { group_id: group.to_owned(), topics };
        let code = |response: &OffsetDeleteResponse| response.error_code;
        let response = self.ask_coordinator(group, &request, i16::MAX, code).await?;
        Error::group(response.error_code, group, "deleting offsets of")?;
        for topic in &response.topics {
            for partition in &topic.partitions {
                let doing = format!("deleting the offset of {}-{} of", topic.name, partition.partition_index);
                Error::group(partition.error_code, group, &doing)?;
            }
        }
        Ok(())
    }
}

fn stored_offsets(group: &str, response: OffsetFetchResponse) -> Result<Vec<CommittedOffset>, Error> {
    let mut stored = Vec::new();
    for topic in response.topics {
        for partition in topic.partitions {
            let doing = format!("offset of {}-{} of", topic.name, partition.partition_index);
            Error::group(partition.error_code, group, &doing)?;
            // -1: nothing is stored.
            if partition.committed_offset >= 0 {
                stored.push(CommittedOffset {
                    topic: topic.name.clone(),
                    partition: partition.partition_index,
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.metadata.unwrap_or_default(),
                });
            }
        }
    }
    stored.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    Ok(stored)
}
