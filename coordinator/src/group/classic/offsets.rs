//! What the offsets of a classic group may undergo: who may commit, when they expire, when group and offsets may go.

use stratalog_protocol::ErrorCode;

use super::planted::{Bug, planted};

use super::group::ClassicGroup;
use super::state::State;

/// From when the retention of a group's committed offsets counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpireFrom {
    /// Each from its own commit; of a consumer group that is in use, topics that it subscribes to do not expire.
    Commit,
    /// All from when the group became empty.
    Empty { since_ms: i64 },
    /// They do not expire as long as the group is as it is.
    Never,
}

impl ClassicGroup {
    /// Whether a commit of this member in this generation counts. A commit without either (`generation` -1, no ids) is
    /// for groups without members.
    pub fn check_commit(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        transactional: bool,
    ) -> Result<(), ErrorCode> {
        if self.state == State::Dead {
            return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        if generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        if generation >= 0 || !member_id.is_empty() || instance_id.is_some() {
            self.check_member(member_id, instance_id)?;
            if generation != self.generation && !planted(Bug::StaleCommit) {
                return Err(ErrorCode::ILLEGAL_GENERATION);
            }
        } else if !transactional && self.state != State::Empty {
            // Transactions that do not know of generations (before KIP-447) are let in.
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        if !transactional && self.state == State::CompletingRebalance {
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        Ok(())
    }

    /// A member that commits is alive.
    pub fn committed(&mut self, member_id: &str, now_ms: i64) {
        if matches!(self.state, State::Stable | State::PreparingRebalance) {
            self.renew_session(member_id, now_ms);
        }
    }

    /// Whether offsets may be fetched.
    pub fn check_offset_fetch(&self) -> Result<(), ErrorCode> {
        if self.state == State::Dead { Err(ErrorCode::GROUP_ID_NOT_FOUND) } else { Ok(()) }
    }

    /// Whether offsets may be deleted: of a group in use only if it is known which topics are subscribed to, see
    /// `is_subscribed_to`.
    pub fn check_offset_delete(&self) -> Result<(), ErrorCode> {
        match self.state {
            State::Dead => Err(ErrorCode::GROUP_ID_NOT_FOUND),
            State::Empty => Ok(()),
            _ if self.is_consumer_type() => Ok(()),
            _ => Err(ErrorCode::NON_EMPTY_GROUP),
        }
    }

    /// Whether the group may be deleted.
    pub fn check_delete(&self) -> Result<(), ErrorCode> {
        match self.state {
            State::Dead => Err(ErrorCode::GROUP_ID_NOT_FOUND),
            State::Empty => Ok(()),
            _ => Err(ErrorCode::NON_EMPTY_GROUP),
        }
    }

    /// KIP-211.
    pub fn offsets_expire(&self) -> ExpireFrom {
        if self.protocol_type.is_none() {
            return ExpireFrom::Commit;
        }
        match self.state {
            State::Empty => match self.state_since_ms {
                Some(since_ms) => ExpireFrom::Empty { since_ms },
                None => ExpireFrom::Commit,
            },
            State::Stable if self.is_consumer_type() && self.subscribed_topics.is_some() => ExpireFrom::Commit,
            _ => ExpireFrom::Never,
        }
    }
}
