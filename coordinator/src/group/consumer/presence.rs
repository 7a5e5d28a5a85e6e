//! What is known of a group beyond its records: who is alive, who waits for an answer, what is being computed.
//!
//! Soft state: gone with a restart, after which [`Presence::start`] gives every member a whole session again. Handlers
//! change it at once; when an append fails, [`append_failed`](super::append_failed) puts right what was ahead of the
//! records.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use stratalog_protocol::messages::consumer_group_heartbeat::TopicPartitions;
use stratalog_protocol::{ErrorCode, messages};

use super::group::ConsumerGroup;
use super::member::{Member, MemberState};
use super::planted::{Bug, planted};
use super::settings::Settings;
use crate::group::timers::Deadlines;
use crate::machine::{Reply, Ticket};

/// Why a member's time may run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// It has not been heard of.
    Session,
    /// It does not give up partitions.
    Rebalance,
    /// A classic member was told to join again and did not.
    Join,
    /// A classic member joined and did not sync.
    Sync,
    /// Its request has waited long enough for an assignment: not the end of the member, only of the wait.
    Answer,
}

/// A request that is answered when the target of its epoch is there.
#[derive(Debug)]
pub(super) struct Waiting {
    pub ticket: Ticket,
    /// The target's epoch that it waits for.
    pub target_epoch: i32,
    pub request: WaitingRequest,
}

#[derive(Debug)]
pub(super) enum WaitingRequest {
    /// A member that joins, and so owns nothing.
    Heartbeat,
    Join {
        session_timeout_ms: i32,
        rebalance_timeout_ms: i32,
        owned: Vec<TopicPartitions>,
    },
}

/// A job that was given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Underway {
    pub job_id: u64,
    pub since_ms: i64,
}

/// A job that has not come back after this is given up; its result is ignored should it come still.
const JOB_MS_MAX: i64 = 60_000;

/// The soft state of one group.
#[derive(Debug, Default)]
pub struct Presence {
    pub(super) deadlines: Deadlines<(Arc<str>, Timer)>,
    /// The member epoch that a rebalance timeout was started in.
    pub(super) rebalancing: HashMap<Arc<str>, i32>,
    pub(super) waiting: BTreeMap<Arc<str>, Waiting>,
    /// When a target is to be computed.
    pub(super) assign_at: Option<i64>,
    pub(super) assigning: Option<Underway>,
    pub(super) resolving: Option<Underway>,
    jobs: u64,
    /// The revision of topics that the group's hash was last compared with.
    pub(super) topics_revision: Option<u64>,
}

impl Presence {
    /// After a load, and after an upgrade: every member has a session from now on.
    pub fn start(&mut self, group: &ConsumerGroup, settings: Settings, now_ms: i64) {
        for member in group.members().filter(|_| !planted(Bug::NoSessions)) {
            let session_timeout_ms = settings.session_timeout_ms_of(member);
            self.keep_alive(member, session_timeout_ms, now_ms);
            if member.state == MemberState::UnrevokedPartitions && !member.uses_classic_protocol() {
                self.expect_revocation(member, now_ms);
            }
        }
        if group.epoch > group.target_epoch && !group.is_empty() {
            self.assign_at = Some(now_ms);
        }
    }

    /// When [`tick`](super::tick) is due.
    pub fn next_deadline(&self) -> Option<i64> {
        let assign_at = self.assign_at.map(|at| match self.assigning {
            Some(underway) => at.max(underway.since_ms.saturating_add(JOB_MS_MAX)),
            None => at,
        });
        [assign_at, self.deadlines.next()].into_iter().flatten().min()
    }

    /// Whether there is nothing to remember: it may be dropped.
    pub fn is_idle(&self) -> bool {
        self.deadlines.is_empty() && self.waiting.is_empty() && self.assign_at.is_none() && self.assigning.is_none()
    }

    pub(super) fn keep_alive(&mut self, member: &Member, session_timeout_ms: i32, now_ms: i64) {
        self.set(&member.member_id, Timer::Session, now_ms, session_timeout_ms);
    }

    pub(super) fn set(&mut self, member_id: &Arc<str>, timer: Timer, now_ms: i64, after_ms: i32) {
        self.deadlines.set(&(member_id.clone(), timer), now_ms.saturating_add(i64::from(after_ms)));
    }

    pub(super) fn set_if_absent(&mut self, member_id: &Arc<str>, timer: Timer, now_ms: i64, after_ms: i32) {
        if self.deadlines.get(&(member_id.clone(), timer)).is_none() {
            self.set(member_id, timer, now_ms, after_ms);
        }
    }

    pub(super) fn cancel(&mut self, member_id: &Arc<str>, timer: Timer) {
        self.deadlines.remove(&(member_id.clone(), timer));
    }

    pub(super) fn expect_revocation(&mut self, member: &Member, now_ms: i64) {
        self.rebalancing.insert(member.member_id.clone(), member.member_epoch);
        self.set(&member.member_id, Timer::Rebalance, now_ms, member.rebalance_timeout_ms);
    }

    pub(super) fn revocation_done(&mut self, member: &Member) {
        if self.rebalancing.remove(&member.member_id).is_some() {
            self.cancel(&member.member_id, Timer::Rebalance);
        }
    }

    /// The member is going: nothing is expected of it any more, and what it asked is answered.
    pub(super) fn dismiss(&mut self, member_id: &Arc<str>) -> Option<(Ticket, Reply)> {
        for timer in [Timer::Session, Timer::Rebalance, Timer::Join, Timer::Sync, Timer::Answer] {
            self.cancel(member_id, timer);
        }
        self.rebalancing.remove(member_id);
        self.waiting.remove(member_id).map(|waiting| waiting.refused(member_id, ErrorCode::UNKNOWN_MEMBER_ID))
    }

    /// Lets a request wait; one of the same member that waits already is sent back to try again.
    pub(super) fn wait(
        &mut self,
        member_id: &Arc<str>,
        waiting: Waiting,
        now_ms: i64,
        at_most_ms: i32,
    ) -> Option<(Ticket, Reply)> {
        self.set(member_id, Timer::Answer, now_ms, at_most_ms);
        let before = self.waiting.insert(member_id.clone(), waiting);
        before.map(|before| before.refused(member_id, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS))
    }

    pub(super) fn begin_job(&mut self, now_ms: i64) -> Underway {
        self.jobs += 1;
        Underway { job_id: self.jobs, since_ms: now_ms }
    }

    pub(super) fn may_assign(&self, now_ms: i64) -> bool {
        self.assigning.is_none_or(|underway| underway.is_lost(now_ms))
    }

    pub(super) fn may_resolve(&self, now_ms: i64) -> bool {
        self.resolving.is_none_or(|underway| underway.is_lost(now_ms))
    }
}

impl Underway {
    fn is_lost(self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.since_ms) >= JOB_MS_MAX
    }
}

impl Waiting {
    /// The answer with an error.
    pub(super) fn refused(self, member_id: &Arc<str>, code: ErrorCode) -> (Ticket, Reply) {
        let reply = match self.request {
            WaitingRequest::Heartbeat => Reply::ConsumerGroupHeartbeat(messages::ConsumerGroupHeartbeatResponse {
                error_code: code,
                ..Default::default()
            }),
            WaitingRequest::Join { .. } => Reply::JoinGroup(messages::JoinGroupResponse {
                error_code: code,
                member_id: member_id.to_string(),
                ..Default::default()
            }),
        };
        (self.ticket, reply)
    }
}
