//! Requests of members: which group gets them, and what is answered where there is none, or one of the other protocol.

use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::{
    ConsumerGroupHeartbeatRequest, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, LeaveGroupRequest,
    SyncGroupRequest,
};

use super::classic::{self, ClassicGroup};
use super::consumer::{self, ConsumerGroup, JOIN_EPOCH, Refusal, Turn, classic_member, migration};
use super::machine::{Group, GroupMachine};
use crate::machine::{Caller, Reply, Step, Ticket, View};
use crate::records::Record;

impl GroupMachine {
    pub(super) fn join(
        &mut self,
        now_ms: i64,
        view: &View<'_>,
        ticket: Ticket,
        caller: &Caller,
        request: &JoinGroupRequest,
    ) -> Step {
        let refused = |error| {
            let member_id = request.member_id.as_str();
            Step::reply(ticket, Reply::JoinGroup(classic::refused_join(member_id, error)))
        };
        if let Err(error) = classic::check_join(request, view.config) {
            return refused(error);
        }
        let id = request.group_id.as_str();
        let mut step = Step::default();
        match self.groups.get(id) {
            Some(Group::Classic(_)) => {}
            Some(Group::Consumer(group)) if !group.is_empty() => {
                return self.in_turn(now_ms, view, id, |group, presence, turn| {
                    classic_member::join(group, presence, turn, ticket, caller, request)
                });
            }
            // A member that names itself was a member of something else.
            _ if !request.member_id.is_empty() => return refused(ErrorCode::UNKNOWN_MEMBER_ID),
            there => {
                if let Some(Group::Consumer(group)) = there {
                    step.records = group.deletion();
                }
                let made = Group::Classic(Box::new(ClassicGroup::for_join(id, now_ms)));
                if let Some(Group::Consumer(empty)) = self.groups.insert(id.into(), made) {
                    self.replaced.insert(id.into(), empty);
                }
            }
        }
        let Some(Group::Classic(group)) = self.groups.get_mut(id) else { return refused(ErrorCode::UNKNOWN_MEMBER_ID) };
        let outcome = group.join(now_ms, view.config, caller, ticket, request, &mut self.new_id);
        let joined = outcome.into_step(id);
        // A group that is new and has no record yet is void until the record is replayed.
        if joined.records.is_empty() || !group.is_void() {
            self.settle(id);
        }
        step.then(joined);
        step
    }

    pub(super) fn sync(
        &mut self,
        now_ms: i64,
        view: &View<'_>,
        ticket: Ticket,
        caller: &Caller,
        request: &SyncGroupRequest,
    ) -> Step {
        let refused = |error| Step::reply(ticket, Reply::SyncGroup(classic::refused_sync(error)));
        if let Err(error) = classic::check_sync(request, caller.api_version) {
            return refused(error);
        }
        let id = request.group_id.as_str();
        match self.groups.get_mut(id) {
            None => refused(ErrorCode::UNKNOWN_MEMBER_ID),
            Some(group) if group.is_empty() => refused(ErrorCode::UNKNOWN_MEMBER_ID),
            Some(Group::Classic(group)) => {
                let step = group.sync(now_ms, ticket, request).into_step(id);
                self.settle(id);
                step
            }
            Some(Group::Consumer(_)) => self.in_turn(now_ms, view, id, |group, presence, turn| {
                classic_member::sync(group, presence, turn, ticket, request);
                None
            }),
        }
    }

    pub(super) fn heartbeat(
        &mut self,
        now_ms: i64,
        view: &View<'_>,
        ticket: Ticket,
        request: &HeartbeatRequest,
    ) -> Step {
        let id = request.group_id.as_str();
        let error_code = match self.groups.get_mut(id) {
            _ if id.is_empty() => ErrorCode::INVALID_GROUP_ID,
            None => ErrorCode::UNKNOWN_MEMBER_ID,
            Some(Group::Classic(group)) => group.heartbeat(now_ms, request),
            Some(Group::Consumer(_)) => {
                return self.in_turn(now_ms, view, id, |group, presence, turn| {
                    classic_member::heartbeat(group, presence, turn, ticket, request);
                    None
                });
            }
        };
        self.settle(id);
        Step::reply(ticket, Reply::Heartbeat(HeartbeatResponse { error_code, ..HeartbeatResponse::default() }))
    }

    pub(super) fn leave(
        &mut self,
        now_ms: i64,
        view: &View<'_>,
        ticket: Ticket,
        caller: &Caller,
        request: &LeaveGroupRequest,
    ) -> Step {
        let id = request.group_id.as_str();
        let version = caller.api_version;
        match self.groups.get_mut(id) {
            _ if id.is_empty() => {
                let refused = classic::left(version, ErrorCode::INVALID_GROUP_ID, Vec::new());
                Step::reply(ticket, Reply::LeaveGroup(refused))
            }
            None => Step::reply(ticket, Reply::LeaveGroup(classic::left_without_group(request, version))),
            Some(Group::Classic(group)) => {
                let step = group.leave(now_ms, view.config, version, ticket, request).into_step(id);
                self.settle(id);
                step
            }
            Some(Group::Consumer(_)) => self.in_turn(now_ms, view, id, |group, presence, turn| {
                let members = classic::leaving(request, version);
                let (response, downgrade) = classic_member::leave(group, presence, turn, &members);
                let response = classic::left(version, response.error_code, response.members);
                turn.step.replies.push((ticket, Reply::LeaveGroup(response)));
                downgrade
            }),
        }
    }

    pub(super) fn consumer_heartbeat(
        &mut self,
        now_ms: i64,
        view: &View<'_>,
        ticket: Ticket,
        caller: &Caller,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Step {
        let refused = |refusal| Step::reply(ticket, consumer::refuse_heartbeat(refusal));
        if !view.config.consumer_enabled {
            return refused(Refusal::new(ErrorCode::UNSUPPORTED_VERSION, "The consumer protocol is not served."));
        }
        if let Err(refusal) = consumer::check_heartbeat(request, caller.api_version, view.config) {
            return refused(refusal);
        }
        let id = request.group_id.as_str();
        let (made, records) = match (self.groups.get(id), request.member_epoch) {
            (Some(Group::Consumer(_)), _) => {
                return self.in_turn(now_ms, view, id, |group, presence, turn| {
                    consumer::heartbeat(group, presence, turn, ticket, caller, request)
                });
            }
            (None, JOIN_EPOCH) => (ConsumerGroup::new(id.into()), Vec::new()),
            (Some(Group::Classic(classic)), JOIN_EPOCH) if classic.is_empty() => {
                let gone = Record::GroupMetadata { group: id.to_owned(), value: None };
                (ConsumerGroup::new(id.into()), vec![gone])
            }
            (Some(Group::Classic(classic)), JOIN_EPOCH) => match migration::upgrade(classic, *view) {
                Ok(upgraded) => upgraded,
                Err(refusal) => return refused(refusal),
            },
            (Some(Group::Classic(_)), _) => {
                let problem = format!("Group {id} is not a consumer group.");
                return refused(Refusal::new(ErrorCode::GROUP_ID_NOT_FOUND, problem));
            }
            (None, _) => {
                let problem = format!("Consumer group {id} not found.");
                return refused(Refusal::new(ErrorCode::GROUP_ID_NOT_FOUND, problem));
            }
        };
        self.first_heartbeat(now_ms, view, ticket, caller, request, (made, records))
    }

    /// The heartbeat that makes a consumer group: of nothing, or of a classic group. The group is there once the records
    /// are replayed.
    fn first_heartbeat(
        &mut self,
        now_ms: i64,
        view: &View<'_>,
        ticket: Ticket,
        caller: &Caller,
        request: &ConsumerGroupHeartbeatRequest,
        (made, records): (ConsumerGroup, Vec<Record>),
    ) -> Step {
        let id: Arc<str> = request.group_id.as_str().into();
        let mut step = Step::default();
        let presence = self.presences.entry(id.clone()).or_default();
        presence.start(&made, consumer::Settings::of(&id, view.config), now_ms);
        let mut turn = Turn { now_ms, view: *view, ids: &mut *self.new_id, step: &mut step };
        let downgrade = consumer::heartbeat(&made, presence, &mut turn, ticket, caller, request);
        if step.records.is_empty() {
            // Refused: the group that it would have made is not.
            self.presences.remove(&id);
        } else {
            step.records.splice(0..0, records);
        }
        self.note_downgrade(&id, downgrade, &mut step);
        step.after_appended = true;
        step
    }
}
