//! A classic group's record: how it is made, what its replay does, and what is left if it could not be appended.
//!
//! Order of effects: a handler hands out one record and notes in `appending` what it stands for; the runtime appends and
//! replays it, or says that it failed, before the group gets any other input. A crash before the record is committed
//! takes the group back to the record before it; nobody has seen the answers that waited for it. Generations that led to
//! no assignment are in no record: their number may be given out again, but an assignment never is under the same number.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use stratalog_protocol::ErrorCode;
use stratalog_protocol::codec::{Decoder, Structure, Version};
use stratalog_protocol::messages::consumer_protocol::ConsumerProtocolSubscription;

use super::planted::{Bug, planted};
use crate::machine::GroupConfig;
use crate::records::{GroupMetadataValue, MemberMetadata};

use super::group::ClassicGroup;
use super::member::{Member, MemberId, Strategy};
use super::outcome::Outcome;
use super::state::State;

/// What the record that is being appended stands for.
#[derive(Debug)]
pub(super) enum Appending {
    /// The group is new; its members, if any, are still joining.
    Created,
    /// The leader's assignment: the group becomes stable.
    Assigned,
    /// The last member has gone.
    Emptied,
    /// A static member got another id.
    Replaced(Box<Replaced>),
    /// The group was converted from the other protocol.
    Converted,
}

#[derive(Debug)]
pub(super) struct Replaced {
    pub new: MemberId,
    /// The member as it was.
    pub before: Member,
}

impl ClassicGroup {
    /// A group as its last record has it.
    pub fn from_record(id: &str, value: &GroupMetadataValue) -> ClassicGroup {
        let mut group = ClassicGroup::new(id, 0);
        group.rebuild(value);
        group
    }

    /// A stable group made of what a group of the other protocol was: its epoch is the generation, members bring their
    /// assignments. The first leads. Sessions begin now.
    pub fn converted(
        id: &str,
        now_ms: i64,
        generation: i32,
        protocol_type: &str,
        members: Vec<Member>,
    ) -> ClassicGroup {
        let mut group = ClassicGroup::new(id, now_ms);
        for member in members {
            let id = Arc::clone(&member.id);
            group.insert(member, protocol_type);
            group.renew_session(&id, now_ms);
        }
        if !group.members.is_empty() {
            group.state = State::Stable;
        }
        group.generation = generation;
        group.strategy = group.members.elect_strategy();
        group.subscribed_topics = group.read_subscriptions();
        group
    }

    /// The record of a converted group; its replay finds the group in place and leaves it alone.
    pub fn converted_record(&mut self) -> GroupMetadataValue {
        self.appending = Some(Appending::Converted);
        self.to_record()
    }

    /// An appended record comes in: the one that was just handed out, or one of an earlier life.
    pub fn replay(&mut self, value: &GroupMetadataValue) {
        self.unrecorded = false;
        match self.appending.take() {
            None => self.rebuild(value),
            Some(Appending::Assigned) => {
                for assigned in &value.members {
                    if let Some(member) = self.members.get_mut(&assigned.member_id) {
                        member.assignment = assigned.assignment.clone();
                    }
                }
                self.previous = self.state;
                self.state = State::Stable;
                self.state_since_ms = Some(value.current_state_timestamp);
            }
            // A static member may have come back with another subscription.
            Some(Appending::Replaced(_)) => self.subscribed_topics = self.read_subscriptions(),
            Some(Appending::Created | Appending::Emptied | Appending::Converted) => {}
        }
    }

    /// The record that was handed out is not in the log. Its replies were answered with `error` already; others follow.
    pub fn append_failed(&mut self, now_ms: i64, config: &GroupConfig, error: ErrorCode) -> Outcome {
        let mut out = Outcome::default();
        match self.appending.take() {
            // Nobody will know this group: whoever waits in it has to come again.
            Some(Appending::Created) => {
                out = self.close(error);
                self.unrecorded = true;
            }
            Some(Appending::Assigned) if planted(Bug::FailedAppendStands) => self.state = State::Stable,
            Some(Appending::Assigned) => {
                self.prepare_rebalance(now_ms, config, "the assignment could not be stored", &mut out);
            }
            Some(Appending::Replaced(replaced)) => {
                let Replaced { new, before } = *replaced;
                if let Some(mut after) = self.rename(&new, Arc::clone(&before.id)) {
                    self.members.set_strategies(&before.id, before.strategies);
                    if let Some(member) = self.members.get_mut(&before.id) {
                        member.session_timeout_ms = before.session_timeout_ms;
                        member.rebalance_timeout_ms = before.rebalance_timeout_ms;
                    }
                    if let Some(ticket) = after.join.take() {
                        out.refuse_join(ticket, "", error);
                    }
                }
                self.renew_session(&before.id, now_ms);
            }
            // Without the record a restart finds the generation before, whose members are gone and will expire.
            Some(Appending::Emptied | Appending::Converted) | None => {}
        }
        out
    }

    /// The shard is loaded: members get a fresh session.
    pub fn loaded(&mut self, now_ms: i64, config: &GroupConfig) -> Outcome {
        let mut out = Outcome::default();
        if !planted(Bug::NoSessionAfterLoad) {
            for id in self.members.ids() {
                self.renew_session(&id, now_ms);
            }
        }
        if self.members.len() > usize::try_from(config.max_size).unwrap_or(0) {
            self.prepare_rebalance(now_ms, config, "the loaded group is over its size limit", &mut out);
        }
        out
    }

    fn rebuild(&mut self, value: &GroupMetadataValue) {
        let id = std::mem::take(&mut self.id);
        *self = ClassicGroup::new(&id, 0);
        let strategy: Arc<str> = value.protocol.as_deref().unwrap_or_default().into();
        for stored in &value.members {
            self.insert(stored_member(stored, &strategy), &value.protocol_type);
        }
        if !value.members.is_empty() {
            self.state = State::Stable;
        }
        self.generation = value.generation;
        self.protocol_type = Some(value.protocol_type.as_str()).filter(|kind| !kind.is_empty()).map(Arc::from);
        self.strategy = value.protocol.as_deref().map(Arc::from);
        self.leader = value.leader.as_deref().map(Arc::from);
        self.state_since_ms = Some(value.current_state_timestamp).filter(|since_ms| *since_ms != -1);
        self.subscribed_topics = self.read_subscriptions();
    }

    pub(super) fn to_record(&self) -> GroupMetadataValue {
        self.to_record_with(|member| member.assignment.clone())
    }

    pub(super) fn to_record_with(&self, assignment: impl Fn(&Member) -> Bytes) -> GroupMetadataValue {
        let strategy = self.strategy.as_deref().unwrap_or_default();
        GroupMetadataValue {
            protocol_type: self.protocol_type().unwrap_or_default().to_owned(),
            generation: self.generation,
            protocol: self.strategy.as_deref().map(str::to_owned),
            leader: self.leader.as_deref().map(str::to_owned),
            current_state_timestamp: self.state_since_ms.unwrap_or(-1),
            members: self
                .members
                .iter()
                .map(|member| MemberMetadata {
                    member_id: member.id.to_string(),
                    group_instance_id: member.instance_id.as_deref().map(str::to_owned),
                    client_id: member.client_id.clone(),
                    client_host: member.client_host.clone(),
                    rebalance_timeout: member.rebalance_timeout_ms,
                    session_timeout: member.session_timeout_ms,
                    subscription: member.metadata(strategy),
                    assignment: assignment(member),
                })
                .collect(),
        }
    }

    /// The group exists, that is all: who joins is not for the log before there is an assignment.
    pub(super) fn to_created_record(&self) -> GroupMetadataValue {
        GroupMetadataValue {
            protocol_type: String::new(),
            generation: 0,
            protocol: None,
            leader: None,
            current_state_timestamp: self.state_since_ms.unwrap_or(-1),
            members: Vec::new(),
        }
    }

    /// What all members subscribe to, if they are consumers and say so in a form that we know.
    pub(super) fn read_subscriptions(&self) -> Option<HashSet<String>> {
        if !self.is_consumer_type() {
            return None;
        }
        let mut topics = HashSet::new();
        for member in self.members.iter() {
            topics.extend(subscription(&member.metadata(self.strategy.as_deref()?))?);
        }
        Some(topics)
    }
}

fn stored_member(stored: &MemberMetadata, strategy: &Arc<str>) -> Member {
    let instance_id = stored.group_instance_id.as_deref().map(Arc::from);
    let unset = stored.rebalance_timeout == -1;
    Member {
        rebalance_timeout_ms: if unset { stored.session_timeout } else { stored.rebalance_timeout },
        session_timeout_ms: stored.session_timeout,
        strategies: vec![Strategy { name: Arc::clone(strategy), metadata: stored.subscription.clone() }],
        assignment: stored.assignment.clone(),
        ..Member::new(stored.member_id.as_str().into(), instance_id, &stored.client_id, &stored.client_host)
    }
}

/// Topics of a consumer's subscription. Every version starts with the fields of version 0; what follows is not needed.
fn subscription(metadata: &Bytes) -> Option<Vec<String>> {
    let mut decoder = Decoder::new(metadata.clone());
    let version = decoder.read_i16().ok()?;
    if version < 0 {
        return None;
    }
    ConsumerProtocolSubscription::read_fields(&mut decoder, Version::classic(0)).ok().map(|read| read.topics)
}
