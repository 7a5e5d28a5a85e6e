//! Heartbeat, and deadlines that have passed: who is alive.

use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::HeartbeatRequest;

use super::planted::{Bug, planted};
use crate::machine::GroupConfig;

use super::group::ClassicGroup;
use super::member::MemberId;
use super::outcome::Outcome;
use super::state::State;
use super::timers::{JoinPhase, Timer};

impl ClassicGroup {
    /// The answer to a heartbeat. Some look-ups by hash; nothing is allocated.
    pub fn heartbeat(&mut self, now_ms: i64, request: &HeartbeatRequest) -> ErrorCode {
        if self.state == State::Dead {
            return ErrorCode::COORDINATOR_NOT_AVAILABLE;
        }
        if let Err(error) = self.check_member(&request.member_id, request.group_instance_id.as_deref()) {
            return error;
        }
        if request.generation_id != self.generation && !planted(Bug::StaleHeartbeat) {
            return ErrorCode::ILLEGAL_GENERATION;
        }
        match self.state {
            State::Dead | State::Empty => ErrorCode::UNKNOWN_MEMBER_ID,
            State::PreparingRebalance => {
                self.renew_session(&request.member_id, now_ms);
                ErrorCode::REBALANCE_IN_PROGRESS
            }
            // Clients heartbeat as soon as they have joined, before they have synced.
            State::CompletingRebalance | State::Stable => {
                self.renew_session(&request.member_id, now_ms);
                ErrorCode::NONE
            }
        }
    }

    /// Acts on deadlines that have passed. A deadline that led to a record is the last of its tick: the next call comes
    /// when that is replayed, as `next_deadline_ms` says.
    pub fn tick(&mut self, now_ms: i64, config: &GroupConfig) -> Outcome {
        let mut out = Outcome::default();
        while out.record.is_none()
            && let Some(timer) = self.deadlines.pop_due(now_ms)
        {
            match timer {
                Timer::Join(JoinPhase::Initial) => self.end_initial_delay(now_ms, config, &mut out),
                Timer::Join(JoinPhase::Rejoin) => self.complete_join(now_ms, &mut out),
                Timer::Sync => self.remove_who_owe_syncs(now_ms, config, &mut out),
                Timer::Session(id) => self.end_session(&id, now_ms, config, &mut out),
            }
        }
        out
    }

    fn end_session(&mut self, id: &MemberId, now_ms: i64, config: &GroupConfig, out: &mut Outcome) {
        if planted(Bug::MemberNeverExpired) {
            return;
        }
        if self.pending.contains(id) {
            self.remove(id, out);
            if self.state == State::PreparingRebalance && self.have_all_joined() {
                self.complete_join(now_ms, out);
            }
            return;
        }
        if self.members.get(id).is_none_or(|member| member.wait_is_heartbeat() && !planted(Bug::WaitingMemberExpired)) {
            // Its session is given anew when its wait is answered.
            return;
        }
        self.remove(id, out);
        match self.state {
            State::Stable | State::CompletingRebalance => {
                let reason = format!("the session of member {id} expired");
                self.prepare_rebalance(now_ms, config, &reason, out);
            }
            State::PreparingRebalance if self.have_all_joined() => self.complete_join(now_ms, out),
            State::PreparingRebalance | State::Empty | State::Dead => {}
        }
    }

    /// Members that were told this generation and never asked for their part hold it up for the others.
    fn remove_who_owe_syncs(&mut self, now_ms: i64, config: &GroupConfig, out: &mut Outcome) {
        if !matches!(self.state, State::CompletingRebalance | State::Stable) || self.members.owing_sync() == 0 {
            return;
        }
        let owing: Vec<MemberId> =
            self.members.iter().filter(|member| member.owes_sync).map(|member| Arc::clone(&member.id)).collect();
        for id in &owing {
            self.remove(id, out);
        }
        let reason = format!("{} members did not sync in time", owing.len());
        self.prepare_rebalance(now_ms, config, &reason, out);
    }
}
