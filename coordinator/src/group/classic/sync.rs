//! SyncGroup: the leader brings the assignment, everybody gets its own.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use super::planted::{Bug, planted};
use crate::machine::Ticket;

use super::group::ClassicGroup;
use super::outcome::Outcome;
use super::replay::Appending;
use super::state::State;
use super::timers::Timer;

/// Since this version a request must say the protocol type and strategy that it is about.
const PROTOCOL_SINCE: i16 = 5;

/// What is checked before a group is looked up.
pub fn check_sync(request: &SyncGroupRequest, api_version: i16) -> Result<(), ErrorCode> {
    if api_version >= PROTOCOL_SINCE && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
        return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    }
    if request.group_id.is_empty() {
        return Err(ErrorCode::INVALID_GROUP_ID);
    }
    Ok(())
}

impl ClassicGroup {
    /// A sync that [`check_sync`] let pass.
    pub fn sync(&mut self, now_ms: i64, ticket: Ticket, request: &SyncGroupRequest) -> Outcome {
        let mut out = Outcome::default();
        if let Err(error) = self.check_sync(request) {
            out.refuse_sync(ticket, error);
            return out;
        }
        let id = request.member_id.as_str();
        match self.state {
            State::PreparingRebalance => out.refuse_sync(ticket, ErrorCode::REBALANCE_IN_PROGRESS),
            State::CompletingRebalance => {
                if let Some(before) = self.members.get_mut(id).and_then(|member| member.sync.replace(ticket)) {
                    out.refuse_sync(before, ErrorCode::REBALANCE_IN_PROGRESS);
                }
                self.has_synced(id);
                if self.is_leader(id) {
                    self.assign(now_ms, request, &mut out);
                }
            }
            State::Stable => {
                self.has_synced(id);
                let assignment = self.members.get(id).map(|member| member.assignment.clone()).unwrap_or_default();
                let response = self.synced(assignment);
                out.sync(ticket, response);
                // The assignment is in a record that may not be committed yet.
                out.after_appended = !planted(Bug::AssignmentBeforeCommit);
            }
            State::Empty => out.refuse_sync(ticket, ErrorCode::UNKNOWN_MEMBER_ID),
            State::Dead => out.refuse_sync(ticket, ErrorCode::COORDINATOR_NOT_AVAILABLE),
        }
        out
    }

    fn check_sync(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        if self.state == State::Dead {
            return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        self.check_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation && !planted(Bug::StaleSync) {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        let differs = |asked: &Option<String>, ours: Option<&str>| matches!((asked.as_deref(), ours), (Some(asked), Some(ours)) if asked != ours);
        if differs(&request.protocol_type, self.protocol_type()) || differs(&request.protocol_name, self.strategy()) {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        Ok(())
    }

    /// The leader's assignment goes to the record; members get theirs when that is committed. The group becomes stable
    /// as the record is replayed. A member that the leader left out gets an empty assignment.
    fn assign(&mut self, now_ms: i64, request: &SyncGroupRequest, out: &mut Outcome) {
        let given: HashMap<&str, &Bytes> =
            request.assignments.iter().map(|given| (given.member_id.as_str(), &given.assignment)).collect();
        let record = self.to_record_with(|member| {
            given.get(&*member.id).map(|bytes| Bytes::copy_from_slice(bytes)).unwrap_or_default()
        });
        for id in self.members.ids() {
            let Some(ticket) = self.members.get_mut(&id).and_then(|member| member.sync.take()) else { continue };
            // While it waited its session may have come up and been passed over.
            if !planted(Bug::SessionLostOnSync) {
                self.renew_session(&id, now_ms);
            }
            let assignment = given.get(&*id).map(|bytes| Bytes::copy_from_slice(bytes)).unwrap_or_default();
            let response = self.synced(assignment);
            out.sync(ticket, response);
        }
        out.record = Some(record);
        self.appending = Some(Appending::Assigned);
    }

    fn has_synced(&mut self, id: &str) {
        self.members.set_owes_sync(id, false);
        if self.members.owing_sync() == 0 {
            self.deadlines.remove(&Timer::Sync);
        }
    }

    fn synced(&self, assignment: Bytes) -> SyncGroupResponse {
        SyncGroupResponse {
            protocol_type: self.protocol_type.as_ref().map(|kind| Arc::clone(kind).to_string()),
            protocol_name: self.strategy.as_ref().map(|name| name.to_string()),
            assignment,
            ..SyncGroupResponse::default()
        }
    }
}
