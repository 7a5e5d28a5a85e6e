//! Groups that change over between the protocols while they live (KIP-848).
//!
//! A classic group becomes a consumer group with the first member of that protocol that joins it; it becomes a classic
//! one again when the last such member goes. Both are one batch of records: tombstones of what it was, then what it is.
//! Replaying them makes the change, so that a failed append leaves the group as it was.

use bytes::Bytes;
use stratalog_protocol::ErrorCode;
use stratalog_types::TopicId;

use super::consumer_protocol::{self, CONSUMER_PROTOCOL_TYPE};
use super::group::ConsumerGroup;
use super::member::Member;
use super::partitions::{Partitions, with_epoch};
use super::planted::{Bug, planted};
use super::reconcile::Holders;
use super::refusal::Refusal;
use super::subscribe::names_hash;
use super::turn::Turn;
use crate::group::classic::ClassicGroup;
use crate::machine::{GroupConfig, MigrationPolicy, Topics, View};
use crate::records::{ClassicMemberMetadata, ClassicProtocol, GroupMetadataValue, MemberMetadata, Record};

/// Whether a member of the consumer protocol may join this classic group, which is not empty.
pub fn check_upgrade(classic: &ClassicGroup, config: &GroupConfig) -> Result<(), Refusal> {
    let members = i32::try_from(classic.members().len()).unwrap_or(i32::MAX);
    let reason = if !matches!(config.migration_policy, MigrationPolicy::Upgrade | MigrationPolicy::Bidirectional) {
        "online upgrade is disabled"
    } else if classic.protocol_type() != Some(CONSUMER_PROTOCOL_TYPE) {
        "the group does not use the consumer embedded protocol"
    } else if members > config.consumer_max_size {
        "the group size exceeds the consumer group maximum size"
    } else {
        return Ok(());
    };
    Err(not_upgraded(classic.id(), reason))
}

fn not_upgraded(group_id: &str, reason: &str) -> Refusal {
    let message = format!("Cannot upgrade classic group {group_id} to consumer group because {reason}.");
    Refusal::new(ErrorCode::GROUP_ID_NOT_FOUND, message)
}

/// The consumer group that a classic group becomes, and the records that make it one: to go before those of the member
/// that joins. Requests that wait in the classic group are to be answered with REBALANCE_IN_PROGRESS; its members find
/// themselves in the epoch of their generation with what they had.
pub fn upgrade(classic: &ClassicGroup, view: View<'_>) -> Result<(ConsumerGroup, Vec<Record>), Refusal> {
    check_upgrade(classic, view.config)?;
    let mut group = ConsumerGroup::new(classic.id().into());
    let generation = if planted(Bug::UpgradeRestarts) { 0 } else { classic.generation() };
    group.epoch = generation;
    group.target_epoch = generation;
    let strategy = classic.strategy().unwrap_or("");
    for classic_member in classic.members().iter() {
        let malformed = |_| not_upgraded(classic.id(), "the embedded consumer protocol is malformed");
        let target = if classic_member.assignment.is_empty() || planted(Bug::UpgradeForgets) {
            Partitions::new()
        } else {
            let assignment =
                consumer_protocol::read_assignment(classic_member.assignment.clone()).map_err(malformed)?;
            if assignment.user_data.as_ref().is_some_and(|data| !data.is_empty()) {
                let reason = "an unsupported custom assignor is in use. Please refer to the documentation or switch \
                              to a default assignor before re-attempting the upgrade";
                return Err(not_upgraded(classic.id(), reason));
            }
            let mut target = Partitions::new();
            for named in assignment.assigned_partitions.iter().filter(|named| !named.partitions.is_empty()) {
                if let Some(topic) = view.topics.by_name(&named.topic) {
                    // A leader may have given a partition twice. Here it has one owner.
                    let topic_id = TopicId(topic.id);
                    let held = |partition: &i32| group.partition_epoch(&topic_id, *partition).is_some();
                    let free = named.partitions.iter().copied().filter(|partition| !held(partition));
                    target.entry(topic_id).or_default().extend(free);
                }
            }
            target.retain(|_, partitions| !partitions.is_empty());
            target
        };
        let subscription =
            consumer_protocol::read_subscription(classic_member.metadata(strategy)).map_err(malformed)?;
        let mut member = Member::new(classic_member.id.clone());
        member.member_epoch = generation;
        member.previous_member_epoch = generation;
        member.instance_id = classic_member.instance_id.as_deref().map(str::to_owned);
        member.rack_id = subscription.rack_id;
        member.rebalance_timeout_ms = classic_member.rebalance_timeout_ms;
        member.client_id = classic_member.client_id.as_str().into();
        member.client_host = classic_member.client_host.as_str().into();
        member.topic_names = std::sync::Arc::new(subscription.topics.into_iter().collect());
        member.assigned = std::sync::Arc::new(with_epoch(&target, generation));
        let strategies = classic_member.strategies.iter();
        member.classic = Some(std::sync::Arc::new(ClassicMemberMetadata {
            session_timeout_ms: classic_member.session_timeout_ms,
            supported_protocols: strategies
                .map(|strategy| ClassicProtocol {
                    name: strategy.name.to_string(),
                    metadata: strategy.metadata.clone(),
                })
                .collect(),
        }));
        group.targets.insert(member.member_id.clone(), std::sync::Arc::new(target));
        group.put_member(member);
    }
    group.metadata_hash = names_hash(&group.topics, view);
    let mut records = vec![Record::GroupMetadata { group: classic.id().to_owned(), value: None }];
    records.extend(group.snapshot());
    Ok((group, records))
}

/// The records that make a group a classic one without `leaving`, with `joining` in the place of one of them.
pub(super) fn downgrade(
    group: &ConsumerGroup,
    leaving: &[&Member],
    joining: Option<&Member>,
    turn: &Turn<'_>,
) -> Result<Vec<Record>, Refusal> {
    let replaced = leaving.first().filter(|_| joining.is_some());
    let renamed = joining.zip(replaced).map(|(joining, replaced)| (&*replaced.member_id, &*joining.member_id));
    let stays = |member: &&Member| leaving.iter().all(|leaving| leaving.member_id != member.member_id);
    let members: Vec<&Member> = group.members.values().filter(stays).chain(joining).collect();
    let strategy = elect(&members);
    let mut records = if planted(Bug::DowngradeLeavesRecords) { Vec::new() } else { group.tombstones(renamed) };
    let mut recorded = Vec::with_capacity(members.len());
    for member in &members {
        let Some(classic) = member.classic.as_deref() else { continue };
        let supported = classic.supported_protocols.iter().find(|protocol| Some(&protocol.name) == strategy.as_ref());
        let subscription = supported.map(|protocol| protocol.metadata.clone()).unwrap_or_default();
        recorded.push(MemberMetadata {
            member_id: member.member_id.to_string(),
            group_instance_id: member.instance_id.clone(),
            client_id: member.client_id.to_string(),
            client_host: member.client_host.to_string(),
            rebalance_timeout: member.rebalance_timeout_ms,
            session_timeout: classic.session_timeout_ms,
            assignment: classic_assignment(group, member, &subscription, turn.view.topics)?,
            subscription,
        });
    }
    let value = GroupMetadataValue {
        protocol_type: CONSUMER_PROTOCOL_TYPE.to_owned(),
        generation: group.epoch,
        protocol: strategy,
        leader: recorded.first().map(|member| member.member_id.clone()),
        current_state_timestamp: turn.now_ms,
        members: recorded,
    };
    records.push(Record::GroupMetadata { group: group.group_id.to_string(), value: Some(value) });
    Ok(records)
}

/// What the member should have, in the version of its subscription.
fn classic_assignment(
    group: &ConsumerGroup,
    member: &Member,
    subscription: &Bytes,
    topics: &dyn Topics,
) -> Result<Bytes, Refusal> {
    let failed = || {
        let message = format!("Cannot downgrade the consumer group {}: its protocol is malformed.", group.group_id);
        Refusal::new(ErrorCode::GROUP_ID_NOT_FOUND, message)
    };
    let version = consumer_protocol::version_of(subscription).map_err(|_| failed())?;
    let nothing = Partitions::new();
    let target = group.target_of(member).map_or(&nothing, |target| target);
    consumer_protocol::write_assignment(target, version, topics).map_err(|_| failed())
}

/// The protocol that all members support and most prefer.
fn elect(members: &[&Member]) -> Option<String> {
    let names = |member: &Member| -> Vec<String> {
        let protocols = member.classic.as_deref().map(|classic| classic.supported_protocols.as_slice());
        protocols.unwrap_or_default().iter().map(|protocol| protocol.name.clone()).collect()
    };
    let all: Vec<Vec<String>> = members.iter().map(|member| names(member)).collect();
    let common = |name: &String| all.iter().all(|names| names.contains(name));
    let votes: Vec<&String> = all.iter().filter_map(|names| names.iter().find(|name| common(name))).collect();
    let count = |name: &String| votes.iter().filter(|vote| **vote == name).count();
    votes.iter().max_by_key(|name| (count(name), std::cmp::Reverse(name.as_str()))).map(|name| (*name).clone())
}
