//! What a request or a deadline led to in one group.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::{JoinGroupResponse, SyncGroupResponse};

use crate::machine::{Reply, Step, Ticket};
use crate::records::{GroupMetadataValue, Record};

#[derive(Debug, Default)]
pub struct Outcome {
    /// To append. Until it is replayed, or its append has failed, the group must get no other input.
    pub record: Option<GroupMetadataValue>,
    /// Sent when the record is committed; at once if there is none.
    pub replies: Vec<(Ticket, Reply)>,
    /// There is no record, but the replies show what an earlier one says: they wait until everything is committed that
    /// the shard has appended. Without this a power cut could take back an assignment that a member has seen, and give
    /// the same generation out anew with another.
    pub after_appended: bool,
    /// Why a rebalance began, for the log.
    pub rebalance: Option<String>,
}

impl Outcome {
    /// For the runtime.
    pub fn into_step(self, group_id: &str) -> Step {
        let watching = if self.record.is_some() { vec![group_id.into()] } else { Vec::new() };
        let record = |value| Record::GroupMetadata { group: group_id.to_owned(), value: Some(value) };
        Step {
            records: self.record.map(record).into_iter().collect(),
            replies: self.replies,
            watching,
            after_appended: self.after_appended,
            rebalances: self.rebalance.map(|reason| (group_id.into(), reason)).into_iter().collect(),
            ..Step::default()
        }
    }

    pub(super) fn join(&mut self, ticket: Ticket, response: JoinGroupResponse) {
        self.replies.push((ticket, Reply::JoinGroup(response)));
    }

    pub(super) fn sync(&mut self, ticket: Ticket, response: SyncGroupResponse) {
        self.replies.push((ticket, Reply::SyncGroup(response)));
    }

    pub(super) fn refuse_join(&mut self, ticket: Ticket, member_id: &str, error: ErrorCode) {
        self.join(ticket, refused_join(member_id, error));
    }

    /// Refuses a member for who it is; Kafka's answer names no strategy then, where that can be said.
    pub(super) fn refuse_identity(&mut self, ticket: Ticket, member_id: &str, error: ErrorCode) {
        self.join(ticket, JoinGroupResponse { protocol_name: None, ..refused_join(member_id, error) });
    }

    pub(super) fn refuse_sync(&mut self, ticket: Ticket, error: ErrorCode) {
        self.sync(ticket, refused_sync(error));
    }
}

/// The answer to a JoinGroup that leads to nothing.
pub fn refused_join(member_id: &str, error: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse { error_code: error, member_id: member_id.to_owned(), ..JoinGroupResponse::default() }
}

/// The answer to a SyncGroup that leads to nothing.
pub fn refused_sync(error: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse { error_code: error, ..SyncGroupResponse::default() }
}
