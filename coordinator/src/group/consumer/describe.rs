//! A group as ConsumerGroupDescribe and ListGroups show it.

use std::collections::BTreeMap;

use stratalog_protocol::messages::consumer_group_describe as wire;
use stratalog_types::TopicId;

use super::group::ConsumerGroup;
use super::member::Member;
use super::partitions::{Partitions, without_epochs};
use crate::group::consumer::assignor::Assignor;
use crate::machine::{GroupConfig, Topics, View};

impl ConsumerGroup {
    pub fn describe(&self, view: View<'_>) -> wire::DescribedGroup {
        wire::DescribedGroup {
            group_id: self.group_id.to_string(),
            group_state: self.state().name().to_owned(),
            group_epoch: self.epoch,
            assignment_epoch: self.target_epoch,
            assignor_name: self.assignor_name(view.config),
            members: self.members.values().map(|member| self.describe_member(member, view.topics)).collect(),
            ..wire::DescribedGroup::default()
        }
    }

    /// What members ask for, whether it is known here or not; else the broker's default.
    fn assignor_name(&self, config: &GroupConfig) -> String {
        match self.preferred_assignor() {
            Some(name) => name.to_owned(),
            None => config.consumer_assignors.first().map_or(Assignor::Uniform.name(), String::as_str).to_owned(),
        }
    }

    fn describe_member(&self, member: &Member, topics: &dyn Topics) -> wire::Member {
        // What it has to give up it still has.
        let mut held = without_epochs(&member.assigned);
        for (topic, partitions) in member.pending_revocation.iter() {
            held.entry(*topic).or_default().extend(partitions.keys());
        }
        let nothing = Partitions::new();
        let target = self.targets.get(&member.member_id).map_or(&nothing, |target| target);
        wire::Member {
            member_id: member.member_id.to_string(),
            instance_id: member.instance_id.clone(),
            rack_id: member.rack_id.clone(),
            member_epoch: member.member_epoch,
            client_id: member.client_id.to_string(),
            client_host: member.client_host.to_string(),
            subscribed_topic_names: member.topic_names.iter().cloned().collect(),
            subscribed_topic_regex: member.topic_regex.clone(),
            assignment: to_wire(&held, topics),
            target_assignment: to_wire(target, topics),
            member_type: i8::from(!member.uses_classic_protocol()),
        }
    }
}

/// With names; topics that are gone are left out.
fn to_wire(partitions: &Partitions, topics: &dyn Topics) -> wire::Assignment {
    let mut named: BTreeMap<TopicId, wire::TopicPartitions> = BTreeMap::new();
    for (topic, partitions) in partitions {
        if let Some(info) = topics.by_id(topic.0) {
            let shown = wire::TopicPartitions {
                topic_id: topic.0,
                topic_name: info.name.to_string(),
                partitions: partitions.iter().copied().collect(),
            };
            named.insert(*topic, shown);
        }
    }
    wire::Assignment { topic_partitions: named.into_values().collect() }
}
