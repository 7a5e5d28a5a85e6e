//! The state of one classic group and what others may ask of it.
//!
//! What is replayed: state Empty or Stable, generation, protocol type and strategy, leader, members with their assignment.
//! What is soft: a rebalance under way, waiting requests, members that have only got their id, deadlines, strategies of a
//! member other than the elected one. After a restart the soft part is gone; members find out by their next request.

use std::collections::HashSet;
use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::describe_groups::{DescribedGroup, DescribedGroupMember};
use stratalog_protocol::messages::list_groups::ListedGroup;

use super::planted::{Bug, planted};
use crate::group::timers::Deadlines;
use crate::machine::Ticket;

use super::member::{Member, MemberId};
use super::members::Members;
use super::outcome::Outcome;
use super::replay::Appending;
use super::state::State;
use super::timers::{InitialDelay, JoinPhase, Timer};

/// The protocol type of consumers; their subscriptions can be read.
pub const CONSUMER_PROTOCOL_TYPE: &str = "consumer";
/// Members of one group that have got an id and not come back with it.
pub(super) const PENDING_MEMBERS_MAX: usize = 10_000;

#[derive(Debug)]
pub struct ClassicGroup {
    pub(super) id: String,
    pub(super) state: State,
    /// The state before; tells the first rebalance of an empty group from others.
    pub(super) previous: State,
    /// Since when; none if no record said so.
    pub(super) state_since_ms: Option<i64>,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<Arc<str>>,
    /// The elected strategy, Kafka's `protocol name`.
    pub(super) strategy: Option<Arc<str>>,
    pub(super) leader: Option<MemberId>,
    pub(super) members: Members,
    /// Have got an id (KIP-394), and not come back with it.
    pub(super) pending: HashSet<MemberId>,
    /// Of all members; `None` if nobody can know.
    pub(super) subscribed_topics: Option<HashSet<String>>,
    pub(super) deadlines: Deadlines<Timer>,
    pub(super) initial: InitialDelay,
    /// The record that was handed out to be appended.
    pub(super) appending: Option<Appending>,
    /// Made for a join, and no record tells of it.
    pub(super) unrecorded: bool,
}

impl ClassicGroup {
    /// A group without members, as offsets committed by nobody's member make it.
    pub fn new(id: &str, now_ms: i64) -> ClassicGroup {
        ClassicGroup {
            id: id.to_owned(),
            state: State::Empty,
            previous: State::Dead,
            state_since_ms: Some(now_ms),
            generation: 0,
            protocol_type: None,
            strategy: None,
            leader: None,
            members: Members::default(),
            pending: HashSet::new(),
            subscribed_topics: None,
            deadlines: Deadlines::default(),
            initial: InitialDelay::default(),
            appending: None,
            unrecorded: false,
        }
    }

    /// A group made for the join that comes next; that join writes a record, so that the group is known from then on.
    pub fn for_join(id: &str, now_ms: i64) -> ClassicGroup {
        ClassicGroup { unrecorded: true, ..ClassicGroup::new(id, now_ms) }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn state(&self) -> State {
        self.state
    }

    pub fn generation(&self) -> i32 {
        self.generation
    }

    pub fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    /// Kafka's `protocol name`.
    pub fn strategy(&self) -> Option<&str> {
        self.strategy.as_deref()
    }

    pub fn leader(&self) -> Option<&str> {
        self.leader.as_deref()
    }

    pub fn members(&self) -> &Members {
        &self.members
    }

    /// Kafka's `isEmpty`: no member and none on its way, except such as have only got an id.
    pub fn is_empty(&self) -> bool {
        self.state == State::Empty
    }

    /// Only offsets were ever committed here.
    pub fn is_simple(&self) -> bool {
        self.is_empty() && self.protocol_type.is_none() && self.pending.is_empty()
    }

    pub fn is_consumer_type(&self) -> bool {
        self.protocol_type() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    /// The group exists through a join whose record could not be written: forget it.
    pub fn is_void(&self) -> bool {
        self.unrecorded && self.appending.is_none()
    }

    /// The earliest time at which `tick` may have something to do.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.deadlines.next()
    }

    /// The topics that members subscribe to; `None` if unknown (other protocol types, a subscription nobody can read).
    pub fn subscribed_topics(&self) -> Option<&HashSet<String>> {
        self.subscribed_topics.as_ref()
    }

    /// Whether offsets of a topic may not be deleted. Consumers whose subscription cannot be read count as subscribed.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.is_consumer_type(),
        }
    }

    pub fn listed(&self) -> ListedGroup {
        ListedGroup {
            group_id: self.id.clone(),
            protocol_type: self.protocol_type().unwrap_or_default().to_owned(),
            group_state: self.state.name().to_owned(),
            group_type: "classic".to_owned(),
        }
    }

    /// Subscriptions and the strategy are shown in a stable group only.
    pub fn described(&self) -> DescribedGroup {
        let strategy = self.strategy.as_ref().filter(|_| self.state == State::Stable);
        DescribedGroup {
            group_id: self.id.clone(),
            group_state: self.state.name().to_owned(),
            protocol_type: self.protocol_type().unwrap_or_default().to_owned(),
            protocol_data: strategy.map(|name| name.to_string()).unwrap_or_default(),
            members: self
                .members
                .iter()
                .map(|member| DescribedGroupMember {
                    member_id: member.id.to_string(),
                    group_instance_id: member.instance_id.as_deref().map(str::to_owned),
                    client_id: member.client_id.clone(),
                    client_host: member.client_host.clone(),
                    member_metadata: strategy.map(|name| member.metadata(name)).unwrap_or_default(),
                    member_assignment: member.assignment.clone(),
                })
                .collect(),
            ..DescribedGroup::default()
        }
    }

    /// Gives up: the shard is unloaded, or the group is replaced by one of the other protocol. Every waiting request is
    /// answered with `error`.
    pub fn close(&mut self, error: ErrorCode) -> Outcome {
        let mut out = Outcome::default();
        for id in self.members.ids() {
            let (join, sync) = self.take_waiting(&id);
            if let Some(ticket) = join {
                out.refuse_join(ticket, &id, error);
            }
            if let Some(ticket) = sync {
                out.refuse_sync(ticket, error);
            }
        }
        self.previous = self.state;
        self.state = State::Dead;
        out
    }

    pub(super) fn become_state(&mut self, state: State, now_ms: i64) {
        debug_assert!(self.state.may_become(state), "{} cannot become {state}", self.state);
        self.previous = self.state;
        self.state = state;
        self.state_since_ms = Some(now_ms);
    }

    pub(super) fn is_leader(&self, id: &str) -> bool {
        self.leader() == Some(id)
    }

    /// Whether a group in this state can take a member of this type with these strategies.
    pub(super) fn supports(&self, protocol_type: &str, mut strategies: impl Iterator<Item = impl AsRef<str>>) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && strategies.next().is_some();
        }
        self.protocol_type() == Some(protocol_type) && strategies.any(|name| self.members.all_know(name.as_ref()))
    }

    /// The one place that knows which error a wrong identity earns. Static members are fenced by their instance id.
    pub(super) fn check_member(&self, id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.members.id_of_instance(instance_id) {
                None => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
                Some(holder) if **holder != *id && !planted(Bug::StaticNotFenced) => {
                    return Err(ErrorCode::FENCED_INSTANCE_ID);
                }
                Some(_) => {}
            }
        }
        if self.members.contains(id) { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) }
    }

    /// Adds a member; the first gives the group its protocol type and leads it.
    pub(super) fn insert(&mut self, member: Member, protocol_type: &str) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.into());
        }
        if self.leader.is_none() {
            self.leader = Some(Arc::clone(&member.id));
        }
        self.pending.remove(&member.id);
        self.members.insert(member);
    }

    /// Takes a member out, answers what it waits for, and passes the lead on.
    pub(super) fn remove(&mut self, id: &str, out: &mut Outcome) {
        if let Some(member) = self.members.remove(id) {
            // The client that waits here resets itself and joins anew, if it is alive.
            if let Some(ticket) = member.join {
                out.refuse_join(ticket, "", ErrorCode::UNKNOWN_MEMBER_ID);
            }
            if let Some(ticket) = member.sync {
                out.refuse_sync(ticket, ErrorCode::UNKNOWN_MEMBER_ID);
            }
        }
        if self.is_leader(id) {
            self.leader = self.members.iter().next().map(|member| Arc::clone(&member.id));
        }
        self.pending.remove(id);
        self.deadlines.remove(&Timer::Session(id.into()));
    }

    pub(super) fn take_waiting(&mut self, id: &str) -> (Option<Ticket>, Option<Ticket>) {
        (self.members.take_join(id), self.members.get_mut(id).and_then(|member| member.sync.take()))
    }

    /// Gives a member its session anew.
    pub(super) fn renew_session(&mut self, id: &str, now_ms: i64) {
        let timeout_ms = self.members.get(id).map_or(0, |member| i64::from(member.session_timeout_ms));
        self.expect_within(id, now_ms, timeout_ms);
    }

    /// A member counts as gone `timeout_ms` from now.
    pub(super) fn expect_within(&mut self, id: &str, now_ms: i64, timeout_ms: i64) {
        if let Some(member) = self.members.get(id) {
            let timer = Timer::Session(Arc::clone(&member.id));
            self.deadlines.set(&timer, now_ms.saturating_add(timeout_ms));
        }
    }

    pub(super) fn set_join_timer(&mut self, phase: JoinPhase, at_ms: i64) {
        self.clear_join_timer();
        self.deadlines.set(&Timer::Join(phase), at_ms);
    }

    pub(super) fn clear_join_timer(&mut self) {
        self.deadlines.remove(&Timer::Join(JoinPhase::Initial));
        self.deadlines.remove(&Timer::Join(JoinPhase::Rejoin));
    }
}
