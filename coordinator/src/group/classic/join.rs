//! JoinGroup: a member comes, comes back, or is replaced.

use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use uuid::Uuid;

use super::planted::{Bug, planted};
use crate::machine::{Caller, GroupConfig, Ticket};

use super::group::{ClassicGroup, PENDING_MEMBERS_MAX};
use super::member::{Member, MemberId, Strategy, strategies};
use super::outcome::Outcome;
use super::replay::{Appending, Replaced};
use super::state::State;
use super::timers::Timer;

/// A new member waits in its join for so long; it has no id yet to heartbeat with, and a client that has gone must not
/// hold up rebalances for ever.
const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 5 * 60 * 1_000;
/// Since this version a member gets its id before it joins (KIP-394).
const MEMBER_ID_FIRST_SINCE: i16 = 4;
/// Since this version a leader may be told to keep the assignment (KIP-814).
const SKIP_ASSIGNMENT_SINCE: i16 = 9;
/// Clients cut their reason there; others must not fill our log.
const REASON_CHARS_MAX: usize = 255;

/// What is checked before a group is looked up or made.
pub fn check_join(request: &JoinGroupRequest, config: &GroupConfig) -> Result<(), ErrorCode> {
    if request.group_id.is_empty() {
        return Err(ErrorCode::INVALID_GROUP_ID);
    }
    if request.session_timeout_ms < config.min_session_timeout_ms
        || request.session_timeout_ms > config.max_session_timeout_ms
    {
        return Err(ErrorCode::INVALID_SESSION_TIMEOUT);
    }
    Ok(())
}

/// A join on its way through the checks.
struct Joining<'a> {
    now_ms: i64,
    config: &'a GroupConfig,
    caller: &'a Caller,
    ticket: Ticket,
    request: &'a JoinGroupRequest,
    strategies: Vec<Strategy>,
}

impl Joining<'_> {
    fn rebalance_timeout_ms(&self) -> i32 {
        // Version 0 has one timeout for both.
        if self.caller.api_version == 0 { self.request.session_timeout_ms } else { self.request.rebalance_timeout_ms }
    }

    fn because(&self, what: String) -> String {
        let reason = match self.request.reason.as_deref() {
            None | Some("") => "not provided".to_owned(),
            Some(reason) => reason.chars().take(REASON_CHARS_MAX).collect(),
        };
        format!("{what}; client reason: {reason}")
    }
}

impl ClassicGroup {
    /// A join that [`check_join`] let pass. `new_id` gives the random part of member ids.
    pub fn join(
        &mut self,
        now_ms: i64,
        config: &GroupConfig,
        caller: &Caller,
        ticket: Ticket,
        request: &JoinGroupRequest,
        new_id: impl FnOnce() -> Uuid,
    ) -> Outcome {
        let mut out = Outcome::default();
        let joining = Joining { now_ms, config, caller, ticket, request, strategies: strategies(&request.protocols) };
        let id = request.member_id.as_str();
        if self.state == State::Dead {
            out.refuse_join(ticket, id, ErrorCode::COORDINATOR_NOT_AVAILABLE);
            return out;
        }
        if !self.has_room_for(id, config) {
            self.remove(id, &mut out);
            out.refuse_join(ticket, "", ErrorCode::GROUP_MAX_SIZE_REACHED);
            self.complete_join_if_all(now_ms, &mut out);
        } else if !self.supports(&request.protocol_type, joining.strategies.iter().map(|strategy| &strategy.name)) {
            out.refuse_join(ticket, id, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        } else if id.is_empty() {
            self.join_anew(joining, new_id(), &mut out);
        } else if self.pending.contains(id) {
            match request.group_instance_id {
                // Static members never get an id first; Kafka's coordinator fails on it as on a bug.
                Some(_) => out.refuse_join(ticket, "", ErrorCode::UNKNOWN_SERVER_ERROR),
                None => self.add(joining, id.into(), &mut out),
            }
        } else if let Err(error) = self.check_member(id, request.group_instance_id.as_deref()) {
            out.refuse_identity(ticket, id, error);
        } else {
            self.rejoin(joining, id, &mut out);
        }
        if self.unrecorded && out.record.is_none() {
            out.record = Some(self.to_created_record());
            self.appending = Some(Appending::Created);
        }
        out
    }

    /// `group.max.size` binds new members. In a join phase those who wait are counted, not the members: the group may be
    /// over the limit from before, and then whoever comes last has to go.
    fn has_room_for(&self, id: &str, config: &GroupConfig) -> bool {
        let size_max = usize::try_from(config.max_size).unwrap_or(0);
        match self.state {
            State::Empty | State::Dead => true,
            State::PreparingRebalance => {
                self.members.get(id).is_some_and(|member| member.join.is_some()) || self.members.joining() < size_max
            }
            State::CompletingRebalance | State::Stable => self.members.contains(id) || self.members.len() < size_max,
        }
    }

    fn join_anew(&mut self, joining: Joining<'_>, random: Uuid, out: &mut Outcome) {
        let instance_id = joining.request.group_instance_id.as_deref();
        let id: MemberId = format!("{}-{random}", instance_id.unwrap_or(&joining.caller.client_id)).into();
        match instance_id.and_then(|instance_id| self.members.id_of_instance(instance_id)).cloned() {
            Some(old) => self.replace(joining, &old, id, out),
            None if instance_id.is_none() && joining.caller.api_version >= MEMBER_ID_FIRST_SINCE => {
                self.give_id(joining, id, out);
            }
            None => self.add(joining, id, out),
        }
    }

    /// The client has to come back with this id, so that a client that retries does not leave a member behind each time.
    fn give_id(&mut self, joining: Joining<'_>, id: MemberId, out: &mut Outcome) {
        if self.pending.len() >= PENDING_MEMBERS_MAX {
            // A client backs off on this, and tries again.
            return out.refuse_join(joining.ticket, "", ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
        }
        let until_ms = joining.now_ms.saturating_add(i64::from(joining.request.session_timeout_ms));
        self.deadlines.set(&Timer::Session(Arc::clone(&id)), until_ms);
        out.refuse_join(joining.ticket, &id, ErrorCode::MEMBER_ID_REQUIRED);
        self.pending.insert(id);
    }

    fn add(&mut self, joining: Joining<'_>, id: MemberId, out: &mut Outcome) {
        let request = joining.request;
        if self.state == State::PreparingRebalance && self.previous == State::Empty {
            self.initial.newcomer = true;
        }
        let reason =
            joining.because(format!("adding new member {id} with group instance id {:?}", request.group_instance_id));
        let Caller { client_id, client_host, .. } = joining.caller;
        let member = Member {
            rebalance_timeout_ms: joining.rebalance_timeout_ms(),
            session_timeout_ms: request.session_timeout_ms,
            join: Some(joining.ticket),
            strategies: joining.strategies,
            is_new: true,
            ..Member::new(Arc::clone(&id), request.group_instance_id.as_deref().map(Arc::from), client_id, client_host)
        };
        self.insert(member, &request.protocol_type);
        self.expect_within(&id, joining.now_ms, NEW_MEMBER_JOIN_TIMEOUT_MS);
        self.rebalance_or_complete(joining.now_ms, joining.config, &reason, out);
    }

    /// A member comes back. Only what changes the assignment costs a rebalance.
    fn rejoin(&mut self, joining: Joining<'_>, id: &str, out: &mut Outcome) {
        let same = self.members.get(id).is_some_and(|member| member.matches(&joining.strategies));
        match self.state {
            // It may have missed the answer to its join.
            State::CompletingRebalance if same => out.join(joining.ticket, self.joined(id)),
            State::Stable if same && !self.is_leader(id) => out.join(joining.ticket, self.joined_as_follower(id)),
            // A leader that comes back in a stable group wants a rebalance: the topics have changed, say.
            State::PreparingRebalance | State::CompletingRebalance | State::Stable => {
                let what = if same { "rejoins" } else { "rejoins with other metadata" };
                let reason = joining.because(format!("member {id} {what} during {}", self.state));
                self.update(&joining, id, out);
                self.rebalance_or_complete(joining.now_ms, joining.config, &reason, out);
            }
            State::Empty | State::Dead => out.refuse_join(joining.ticket, id, ErrorCode::UNKNOWN_MEMBER_ID),
        }
    }

    /// Takes over what a member says of itself, and parks its join.
    fn update(&mut self, joining: &Joining<'_>, id: &str, out: &mut Outcome) {
        self.members.set_strategies(id, joining.strategies.clone());
        if let Some(member) = self.members.get_mut(id) {
            member.rebalance_timeout_ms = joining.rebalance_timeout_ms();
            member.session_timeout_ms = joining.request.session_timeout_ms;
        }
        if let Some(before) = self.members.park_join(id, joining.ticket) {
            // Whoever sent that has come again on another connection.
            out.refuse_join(before, id, ErrorCode::REBALANCE_IN_PROGRESS);
        }
    }

    /// A static member was restarted: it comes without an id, and takes the place of `old`, which is fenced.
    fn replace(&mut self, joining: Joining<'_>, old: &str, new: MemberId, out: &mut Outcome) {
        let leader_before = self.leader.clone();
        let (join, sync) = self.take_waiting(old);
        if let Some(ticket) = join {
            out.refuse_identity(ticket, old, ErrorCode::FENCED_INSTANCE_ID);
        }
        if let Some(ticket) = sync {
            out.refuse_sync(ticket, ErrorCode::FENCED_INSTANCE_ID);
        }
        let Some(before) = self.rename(old, Arc::clone(&new)) else { return };
        self.renew_session(&new, joining.now_ms);
        self.update(&joining, &new, out);
        match self.state {
            State::Stable if self.members.elect_strategy() == self.strategy => {
                // Nothing changes for the others: the member keeps the assignment of the one before it.
                if let Some(ticket) = self.members.take_join(&new) {
                    let response = self.replaced(&joining, &new, leader_before.as_deref());
                    out.join(ticket, response);
                }
                out.record = Some(self.to_record());
                self.appending = Some(Appending::Replaced(Box::new(Replaced { new, before })));
            }
            State::Stable | State::CompletingRebalance => {
                // The leader may have been told of the old id, or another strategy is elected now.
                let reason =
                    joining.because(format!("static member {new} takes the place of {old} during {}", self.state));
                self.prepare_rebalance(joining.now_ms, joining.config, &reason, out);
            }
            State::PreparingRebalance => self.complete_join_if_all(joining.now_ms, out),
            State::Empty | State::Dead => {}
        }
    }

    /// Old clients take a leader that is somebody else for a reason not to assign anew; since KIP-814 we can say it.
    fn replaced(&self, joining: &Joining<'_>, id: &str, leader_before: Option<&str>) -> JoinGroupResponse {
        if joining.caller.api_version >= SKIP_ASSIGNMENT_SINCE {
            return JoinGroupResponse { skip_assignment: self.is_leader(id), ..self.joined(id) };
        }
        JoinGroupResponse { leader: leader_before.unwrap_or_default().to_owned(), ..self.joined_as_follower(id) }
    }

    /// Gives a static member another id; returns it as it was.
    pub(super) fn rename(&mut self, old: &str, new: MemberId) -> Option<Member> {
        let before = self.members.remove(old)?;
        self.deadlines.remove(&Timer::Session(Arc::clone(&before.id)));
        let (join, sync) = (None, None);
        self.members.insert(Member { id: Arc::clone(&new), join, sync, is_new: false, ..before.clone() });
        if planted(Bug::LeadLostOnReplace) {
            return Some(before);
        }
        if self.is_leader(old) {
            self.leader = Some(new);
        }
        Some(before)
    }
}
