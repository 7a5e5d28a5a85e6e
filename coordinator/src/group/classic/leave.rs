//! LeaveGroup: members go, several at a time, by member id or, for an administrator, by group instance id.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::leave_group::{
    LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse,
};

use crate::machine::{GroupConfig, Reply, Ticket};

use super::group::ClassicGroup;
use super::outcome::Outcome;
use super::state::State;

/// Since this version a request names several members and each has an error of its own.
const BATCHED_SINCE: i16 = 3;

/// Who is to leave, whatever the version.
pub fn leaving(request: &LeaveGroupRequest, api_version: i16) -> Vec<MemberIdentity> {
    if api_version >= BATCHED_SINCE {
        return request.members.clone();
    }
    vec![MemberIdentity { member_id: request.member_id.clone(), ..MemberIdentity::default() }]
}

/// The answer in the form of the version: before batches the one member's error is the request's.
pub fn left(api_version: i16, error: ErrorCode, members: Vec<MemberResponse>) -> LeaveGroupResponse {
    if api_version >= BATCHED_SINCE {
        return LeaveGroupResponse { error_code: error, members, ..LeaveGroupResponse::default() };
    }
    let member_error = members.first().map_or(ErrorCode::NONE, |member| member.error_code);
    let error_code = if error == ErrorCode::NONE { member_error } else { error };
    LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() }
}

/// The answer if there is no such group: nobody of these is known.
pub fn left_without_group(request: &LeaveGroupRequest, api_version: i16) -> LeaveGroupResponse {
    let members = leaving(request, api_version);
    let responses = members.iter().map(|member| response(member, Err(ErrorCode::UNKNOWN_MEMBER_ID))).collect();
    left(api_version, ErrorCode::NONE, responses)
}

impl ClassicGroup {
    pub fn leave(
        &mut self,
        now_ms: i64,
        config: &GroupConfig,
        api_version: i16,
        ticket: Ticket,
        request: &LeaveGroupRequest,
    ) -> Outcome {
        let mut out = Outcome::default();
        if self.state == State::Dead {
            let answer = left(api_version, ErrorCode::COORDINATOR_NOT_AVAILABLE, Vec::new());
            out.replies.push((ticket, Reply::LeaveGroup(answer)));
            return out;
        }
        let mut gone = 0;
        let mut responses = Vec::new();
        for member in leaving(request, api_version) {
            let result = self.leave_one(&member, &mut out);
            gone += usize::from(result.is_ok());
            responses.push(response(&member, result));
        }
        out.replies.push((ticket, Reply::LeaveGroup(left(api_version, ErrorCode::NONE, responses))));
        if gone > 0 {
            match self.state {
                State::Stable | State::CompletingRebalance => {
                    self.prepare_rebalance(now_ms, config, &format!("{gone} members left"), &mut out);
                }
                State::PreparingRebalance => self.complete_join_if_all(now_ms, &mut out),
                State::Empty | State::Dead => {}
            }
        }
        out
    }

    fn leave_one(&mut self, member: &MemberIdentity, out: &mut Outcome) -> Result<(), ErrorCode> {
        let instance_id = member.group_instance_id.as_deref();
        if member.member_id.is_empty() {
            let holder = instance_id.and_then(|instance_id| self.members.id_of_instance(instance_id)).cloned();
            let holder = holder.ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
            self.remove(&holder, out);
        } else if self.pending.contains(member.member_id.as_str()) {
            self.remove(&member.member_id, out);
        } else {
            self.check_member(&member.member_id, instance_id)?;
            self.remove(&member.member_id, out);
        }
        Ok(())
    }
}

fn response(member: &MemberIdentity, result: Result<(), ErrorCode>) -> MemberResponse {
    MemberResponse {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        error_code: result.err().unwrap_or(ErrorCode::NONE),
    }
}
