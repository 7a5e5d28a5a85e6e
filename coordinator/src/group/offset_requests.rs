//! OffsetCommit, OffsetFetch, OffsetDelete, and the offsets of topics that are gone.

use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::offset_commit::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use stratalog_protocol::messages::offset_delete::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use stratalog_protocol::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use stratalog_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
};
use stratalog_types::TopicId;
use uuid::Uuid;

use super::expiry::tombstone;
use super::machine::{Group, GroupMachine, read};
use super::offsets::Committed;
use crate::machine::{Caller, Reply, Step, Ticket, View};
use crate::records::{OffsetCommitValue, Record};

/// Since this version a commit to a group that is not there says so.
const GROUP_NOT_FOUND_SINCE: i16 = 9;
/// "As the broker is configured" in a commit.
const DEFAULT_RETENTION_MS: i64 = -1;

impl GroupMachine {
    pub(super) fn commit(
        &mut self,
        now_ms: i64,
        view: &View<'_>,
        ticket: Ticket,
        caller: &Caller,
        request: OffsetCommitRequest,
    ) -> Step {
        if let Err(error) = self.check_commit(now_ms, view, caller, &request) {
            return read(ticket, Reply::OffsetCommit(refused_commit(request, error)));
        }
        let metadata_max = view.config.offset_metadata_max_bytes;
        let expire_timestamp = match request.retention_time_ms {
            DEFAULT_RETENTION_MS => -1,
            retention_ms => now_ms.saturating_add(retention_ms),
        };
        let mut records = Vec::new();
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.into_iter().map(|partition| {
                let metadata = partition.committed_metadata.unwrap_or_default();
                let error_code = if is_longer(&metadata, metadata_max) {
                    ErrorCode::OFFSET_METADATA_TOO_LARGE
                } else {
                    let value = OffsetCommitValue {
                        offset: partition.committed_offset,
                        leader_epoch: partition.committed_leader_epoch.max(-1),
                        metadata,
                        commit_timestamp: now_ms,
                        expire_timestamp,
                        topic_id: topic.topic_id,
                    };
                    records.push(Record::OffsetCommit {
                        group: request.group_id.clone(),
                        topic: topic.name.clone(),
                        partition: partition.partition_index,
                        value: Some(value),
                    });
                    ErrorCode::NONE
                };
                OffsetCommitResponsePartition { partition_index: partition.partition_index, error_code }
            });
            let partitions = partitions.collect();
            OffsetCommitResponseTopic { name: topic.name.clone(), topic_id: topic.topic_id, partitions }
        });
        let response = OffsetCommitResponse { topics: topics.collect(), ..OffsetCommitResponse::default() };
        Step { records, ..read(ticket, Reply::OffsetCommit(response)) }
    }

    fn check_commit(
        &mut self,
        now_ms: i64,
        view: &View<'_>,
        caller: &Caller,
        request: &OffsetCommitRequest,
    ) -> Result<(), ErrorCode> {
        let id = request.group_id.as_str();
        let epoch = request.generation_id_or_member_epoch;
        let instance_id = request.group_instance_id.as_deref();
        match self.groups.get_mut(id) {
            // An administrator, or a consumer that manages its partitions itself; the record's replay makes the group.
            None if epoch < 0 => Ok(()),
            None if caller.api_version >= GROUP_NOT_FOUND_SINCE => Err(ErrorCode::GROUP_ID_NOT_FOUND),
            None => Err(ErrorCode::ILLEGAL_GENERATION),
            Some(Group::Classic(group)) => {
                group.check_commit(&request.member_id, instance_id, epoch, false)?;
                group.committed(&request.member_id, now_ms);
                self.settle(id);
                Ok(())
            }
            Some(Group::Consumer(group)) => {
                let scope = group.check_commit(&request.member_id, instance_id, epoch, Some(caller.api_version));
                let scope = scope.map_err(|refusal| refusal.code)?;
                for topic in &request.topics {
                    let named = || view.topics.by_name(&topic.name).map_or(Uuid::nil(), |topic| topic.id);
                    let topic_id = TopicId(if topic.topic_id.is_nil() { named() } else { topic.topic_id });
                    let mut partitions = topic.partitions.iter();
                    partitions.try_for_each(|partition| scope.check(topic_id, partition.partition_index))?;
                }
                Ok(())
            }
        }
    }

    pub(super) fn fetch(&self, request: OffsetFetchRequestGroup, require_stable: bool) -> OffsetFetchResponseGroup {
        let id = request.group_id;
        let known = match self.groups.get(id.as_str()) {
            Some(Group::Classic(group)) => group.check_offset_fetch().is_ok(),
            Some(Group::Consumer(group)) => {
                if let Err(refusal) = group.check_offset_fetch(request.member_id.as_deref(), request.member_epoch) {
                    let error_code = refusal.code;
                    return OffsetFetchResponseGroup { group_id: id, topics: Vec::new(), error_code };
                }
                true
            }
            None => false,
        };
        let committed = self.offsets.of_group(&id).filter(|_| known);
        let pending = |topic: &str, partition| require_stable && self.offsets.is_pending(&id, topic, partition);
        let topics = match request.topics {
            Some(asked) => asked
                .into_iter()
                .map(|topic| {
                    let of_topic = committed.and_then(|topics| topics.get(topic.name.as_str()));
                    let partitions = topic.partition_indexes.iter().map(|index| {
                        let found = of_topic.and_then(|partitions| partitions.get(*index));
                        let found = found.filter(|found| found.is_of(topic.topic_id));
                        answer(*index, found, known && pending(&topic.name, *index))
                    });
                    let partitions = partitions.collect();
                    OffsetFetchResponseTopics { topic_id: topic.topic_id, name: topic.name, partitions }
                })
                .collect(),
            None => committed
                .into_iter()
                .flatten()
                .map(|(topic, partitions)| {
                    let each = partitions.iter();
                    let answers = each.map(|(index, found)| answer(index, Some(found), pending(topic, index)));
                    let partitions = answers.collect();
                    OffsetFetchResponseTopics { name: topic.to_string(), topic_id: Uuid::nil(), partitions }
                })
                .collect(),
        };
        OffsetFetchResponseGroup { group_id: id, topics, error_code: ErrorCode::NONE }
    }

    pub(super) fn delete_offsets(&mut self, ticket: Ticket, request: OffsetDeleteRequest) -> Step {
        let refused = |error_code| {
            read(ticket, Reply::OffsetDelete(OffsetDeleteResponse { error_code, ..OffsetDeleteResponse::default() }))
        };
        let id = request.group_id.as_str();
        if id.is_empty() {
            return refused(ErrorCode::INVALID_GROUP_ID);
        }
        let Some(group) = self.groups.get(id) else { return refused(ErrorCode::GROUP_ID_NOT_FOUND) };
        if let Group::Classic(classic) = group
            && let Err(error) = classic.check_offset_delete()
        {
            return refused(error);
        }
        let mut records = Vec::new();
        let topics = request.topics.iter().map(|topic| {
            let subscribed = group.is_subscribed_to(&topic.name);
            let partitions = topic.partitions.iter().map(|partition| {
                let index = partition.partition_index;
                let there = || {
                    self.offsets.get(id, &topic.name, index).is_some()
                        || self.offsets.is_pending(id, &topic.name, index)
                };
                let error_code = if subscribed {
                    ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC
                } else {
                    if there() {
                        records.push(tombstone(id, &topic.name, index));
                    }
                    ErrorCode::NONE
                };
                OffsetDeleteResponsePartition { partition_index: index, error_code }
            });
            OffsetDeleteResponseTopic { name: topic.name.clone(), partitions: partitions.collect() }
        });
        let response = OffsetDeleteResponse { topics: topics.collect(), ..OffsetDeleteResponse::default() };
        Step { records, ..read(ticket, Reply::OffsetDelete(response)) }
    }

    /// Tombstones for all that a group has committed, or is about to.
    pub(super) fn offset_tombstones(&self, id: &str) -> Vec<Record> {
        let mut records = Vec::new();
        for (topic, partitions) in self.offsets.of_group(id).into_iter().flatten() {
            records.extend(partitions.iter().map(|(partition, _)| tombstone(id, topic, partition)));
        }
        for (group, topic, partition, _) in self.offsets.pending() {
            if **group == *id && self.offsets.get(id, topic, partition).is_none() {
                records.push(tombstone(id, topic, partition));
            }
        }
        records
    }

    /// Tombstones for the offsets of deleted topics. An offset that was committed with another topic's id stays.
    pub(super) fn deleted_topics(&self, topics: &[(String, Uuid)]) -> Vec<Record> {
        let mut records = Vec::new();
        let mut bury = |group: &Arc<str>, topic: &str, id: Uuid, partition: i32, committed: Committed<'_>| {
            if committed.is_of(id) {
                records.push(tombstone(group, topic, partition));
            }
        };
        for (topic, id) in topics {
            for (group, by_topic) in self.offsets.groups() {
                for (partition, committed) in by_topic.get(topic.as_str()).iter().flat_map(|one| one.iter()) {
                    bury(group, topic, *id, partition, committed);
                }
            }
            for (group, pending, partition, committed) in self.offsets.pending() {
                if pending == topic && self.offsets.get(group, topic, partition).is_none() {
                    bury(group, topic, *id, partition, committed);
                }
            }
        }
        records
    }
}

/// Kafka counts UTF-16 units.
fn is_longer(metadata: &str, max: usize) -> bool {
    metadata.len() > max && metadata.encode_utf16().count() > max
}

fn answer(index: i32, found: Option<Committed<'_>>, unstable: bool) -> OffsetFetchResponsePartitions {
    let none = OffsetFetchResponsePartitions {
        partition_index: index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(String::new()),
        error_code: if unstable { ErrorCode::UNSTABLE_OFFSET_COMMIT } else { ErrorCode::NONE },
    };
    match found {
        Some(found) if !unstable => OffsetFetchResponsePartitions {
            committed_offset: found.offset,
            committed_leader_epoch: found.leader_epoch,
            metadata: Some(found.metadata.to_string()),
            ..none
        },
        _ => none,
    }
}

/// Every partition of the request with the same error.
pub(super) fn refused_commit(request: OffsetCommitRequest, error: ErrorCode) -> OffsetCommitResponse {
    let topics = request.topics.into_iter().map(|topic| OffsetCommitResponseTopic {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: error,
            })
            .collect(),
    });
    OffsetCommitResponse { topics: topics.collect(), ..OffsetCommitResponse::default() }
}
