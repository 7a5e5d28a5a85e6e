//! The join phase: how it starts, when it is over, and the generation that comes of it.
//!
//! A phase costs each member one answer, so a rebalance of n members is O(n): whether all have joined is a comparison of
//! two counts.

use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::join_group::{JoinGroupResponse, JoinGroupResponseMember};

use super::planted::{Bug, planted};
use crate::machine::{GroupConfig, Ticket};

use super::group::ClassicGroup;
use super::member::MemberId;
use super::outcome::Outcome;
use super::replay::Appending;
use super::state::State;
use super::timers::{InitialDelay, JoinPhase, Timer};

impl ClassicGroup {
    /// Starts a rebalance for a reason outside the group: it was converted.
    pub fn rebalance(&mut self, now_ms: i64, config: &GroupConfig, reason: &str) -> Outcome {
        let mut out = Outcome::default();
        if self.state.can_rebalance() {
            self.prepare_rebalance(now_ms, config, reason, &mut out);
        }
        out
    }

    /// The JoinGroup of a member that is there already waits for the rebalance.
    pub fn wait_in_join(&mut self, member_id: &str, ticket: Ticket) -> Outcome {
        let mut out = Outcome::default();
        if let Some(before) = self.members.park_join(member_id, ticket) {
            out.refuse_join(before, member_id, ErrorCode::REBALANCE_IN_PROGRESS);
        }
        out
    }

    /// Something about the members has changed.
    pub(super) fn rebalance_or_complete(&mut self, now_ms: i64, config: &GroupConfig, reason: &str, out: &mut Outcome) {
        if self.state.can_rebalance() {
            self.prepare_rebalance(now_ms, config, reason, out);
        } else {
            self.complete_join_if_all(now_ms, out);
        }
    }

    /// Opens a join phase.
    pub(super) fn prepare_rebalance(&mut self, now_ms: i64, config: &GroupConfig, reason: &str, out: &mut Outcome) {
        if self.state == State::CompletingRebalance {
            self.cancel_syncs(now_ms, out);
        }
        self.members.forgive_syncs();
        self.deadlines.remove(&Timer::Sync);
        out.rebalance = Some(reason.to_owned());

        let first = self.state == State::Empty;
        self.become_state(State::PreparingRebalance, now_ms);
        if first {
            let delay_ms = i64::from(config.initial_rebalance_delay_ms);
            let remaining_ms = (i64::from(self.members.rebalance_timeout_ms()) - delay_ms).max(0);
            self.initial = InitialDelay { delay_ms, remaining_ms, newcomer: false };
            self.set_join_timer(JoinPhase::Initial, now_ms.saturating_add(delay_ms));
        } else if self.have_all_joined() {
            self.complete_join(now_ms, out);
        } else {
            self.wait_for_rejoins(now_ms);
        }
    }

    /// Ends the join phase if nobody is missing. The first phase of a group ends by its delay only.
    pub(super) fn complete_join_if_all(&mut self, now_ms: i64, out: &mut Outcome) {
        if self.state == State::PreparingRebalance && self.previous != State::Empty && self.have_all_joined() {
            self.complete_join(now_ms, out);
        }
    }

    pub(super) fn have_all_joined(&self) -> bool {
        self.members.joining() == self.members.len() && self.pending.is_empty()
    }

    /// The first phase's delay has passed.
    pub(super) fn end_initial_delay(&mut self, now_ms: i64, config: &GroupConfig, out: &mut Outcome) {
        let InitialDelay { delay_ms, remaining_ms, newcomer } = self.initial;
        if !newcomer || remaining_ms == 0 {
            return self.complete_join(now_ms, out);
        }
        let next_ms = i64::from(config.initial_rebalance_delay_ms).min(remaining_ms);
        let remaining_ms = (remaining_ms - delay_ms).max(0);
        self.initial = InitialDelay { delay_ms: next_ms, remaining_ms, newcomer: false };
        self.set_join_timer(JoinPhase::Initial, now_ms.saturating_add(next_ms));
    }

    /// Ends the join phase with those who are there: the next generation begins, or the group is empty.
    pub(super) fn complete_join(&mut self, now_ms: i64, out: &mut Outcome) {
        self.clear_join_timer();
        let missing: Vec<MemberId> = self
            .members
            .iter()
            .filter(|member| member.join.is_none() && !member.is_static())
            .map(|member| Arc::clone(&member.id))
            .collect();
        for id in missing.iter().filter(|_| !planted(Bug::MissingKept)) {
            self.remove(id, out);
        }
        if !self.lead_by_one_who_joined() && !self.members.is_empty() {
            // Only static members are left, and none has come: their sessions end this.
            self.wait_for_rejoins(now_ms);
            return;
        }
        if !planted(Bug::GenerationNotBumped) {
            self.generation = self.generation.checked_add(1).unwrap_or(1);
        }
        self.strategy = self.members.elect_strategy();
        self.subscribed_topics = self.read_subscriptions();
        if self.members.is_empty() {
            self.become_state(State::Empty, now_ms);
            out.record = Some(self.to_record());
            self.appending = Some(Appending::Emptied);
        } else {
            self.become_state(State::CompletingRebalance, now_ms);
            self.announce_generation(now_ms, out);
        }
    }

    fn wait_for_rejoins(&mut self, now_ms: i64) {
        let timeout_ms = i64::from(self.members.rebalance_timeout_ms());
        self.set_join_timer(JoinPhase::Rejoin, now_ms.saturating_add(timeout_ms));
    }

    /// A leader who has not come back leaves the lead to one who has. False if nobody has.
    fn lead_by_one_who_joined(&mut self) -> bool {
        let Some(leader) = &self.leader else { return false };
        if self.members.get(leader).is_some_and(|member| member.join.is_some()) {
            return true;
        }
        let joined = self.members.iter().find(|member| member.join.is_some()).map(|member| Arc::clone(&member.id));
        match joined {
            Some(id) => {
                self.leader = Some(id);
                true
            }
            None => false,
        }
    }

    fn announce_generation(&mut self, now_ms: i64, out: &mut Outcome) {
        for id in self.members.ids() {
            if let Some(ticket) = self.members.take_join(&id) {
                if planted(Bug::LostJoinAnswer) && !self.is_leader(&id) {
                    continue;
                }
                out.join(ticket, self.joined(&id));
            }
            self.renew_session(&id, now_ms);
            if let Some(member) = self.members.get_mut(&id) {
                member.is_new = false;
            }
            self.members.set_owes_sync(&id, true);
        }
        if planted(Bug::SyncOwedForEver) {
            return;
        }
        let timeout_ms = i64::from(self.members.rebalance_timeout_ms());
        self.deadlines.set(&Timer::Sync, now_ms.saturating_add(timeout_ms));
    }

    /// The current generation, told to one member; the leader also hears of the others.
    pub(super) fn joined(&self, id: &str) -> JoinGroupResponse {
        JoinGroupResponse {
            members: if self.is_leader(id) { self.told_to_leader() } else { Vec::new() },
            ..self.joined_as_follower(id)
        }
    }

    pub(super) fn joined_as_follower(&self, id: &str) -> JoinGroupResponse {
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: self.protocol_type.as_deref().map(str::to_owned),
            protocol_name: self.strategy.as_deref().map(str::to_owned),
            leader: self.leader().unwrap_or_default().to_owned(),
            member_id: id.to_owned(),
            ..JoinGroupResponse::default()
        }
    }

    pub(super) fn told_to_leader(&self) -> Vec<JoinGroupResponseMember> {
        let strategy = self.strategy.as_deref().unwrap_or_default();
        self.members
            .iter()
            .map(|member| JoinGroupResponseMember {
                member_id: member.id.to_string(),
                group_instance_id: member.instance_id.as_deref().map(str::to_owned),
                metadata: member.metadata(strategy),
            })
            .collect()
    }

    /// The assignment that these members wait for will not come.
    pub(super) fn cancel_syncs(&mut self, now_ms: i64, out: &mut Outcome) {
        for id in self.members.ids() {
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.assignment.clear();
            if let Some(ticket) = member.sync.take() {
                out.refuse_sync(ticket, ErrorCode::REBALANCE_IN_PROGRESS);
                self.renew_session(&id, now_ms);
            }
        }
    }
}
