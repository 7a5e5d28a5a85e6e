//! Whether a member may commit and fetch offsets of its group.

use stratalog_protocol::ErrorCode;
use stratalog_types::TopicId;

use super::group::ConsumerGroup;
use super::member::Member;
use super::refusal::Refusal;

/// Members of the consumer protocol commit with their epoch since this version of OffsetCommit.
const MEMBER_EPOCH_VERSION: i16 = 9;

/// Which partitions a commit may name.
#[derive(Debug, Clone, Copy)]
pub enum CommitScope<'a> {
    All,
    /// Its epoch is not the member's any more: partitions that it has had since before are still its own (KIP-1251).
    HeldSince {
        member: &'a Member,
        epoch: i32,
    },
}

impl CommitScope<'_> {
    pub fn check(&self, topic: TopicId, partition: i32) -> Result<(), ErrorCode> {
        match self {
            CommitScope::All => Ok(()),
            CommitScope::HeldSince { member, epoch } => match member.epoch_of(&topic, partition) {
                Some(given) if *epoch >= given => Ok(()),
                Some(_) | None => Err(stale(member)),
            },
        }
    }
}

impl ConsumerGroup {
    /// Whether a commit counts. `api_version` is of OffsetCommit; `None` for a transactional one.
    pub fn check_commit(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        member_epoch: i32,
        api_version: Option<i16>,
    ) -> Result<CommitScope<'_>, Refusal> {
        // From a tool, or a consumer that assigns itself.
        if member_epoch < 0 && self.members.is_empty() {
            return Ok(CommitScope::All);
        }
        if api_version.is_none() && member_epoch == -1 && member_id.is_empty() && instance_id.is_none() {
            return Ok(CommitScope::All);
        }
        let member = self.known_member(member_id)?;
        if !member.uses_classic_protocol() && api_version.is_some_and(|version| version < MEMBER_EPOCH_VERSION) {
            let message = "OffsetCommit version 9 or above must be used by members using the consumer group protocol";
            return Err(Refusal::new(ErrorCode::UNSUPPORTED_VERSION, message));
        }
        if member_epoch > member.member_epoch {
            let message = format!(
                "Received member epoch {member_epoch} is newer than current member epoch {}.",
                member.member_epoch
            );
            return Err(Refusal::new(stale(member), message));
        }
        if member_epoch == member.member_epoch {
            return Ok(CommitScope::All);
        }
        Ok(CommitScope::HeldSince { member, epoch: member_epoch })
    }

    /// Whether offsets may be fetched by this member, `None` and -1 standing for a tool.
    pub fn check_offset_fetch(&self, member_id: Option<&str>, member_epoch: i32) -> Result<(), Refusal> {
        let member_id = match member_id {
            None if member_epoch < 0 => return Ok(()),
            None => "",
            Some(member_id) => member_id,
        };
        let member = self.known_member(member_id)?;
        if member_epoch == member.member_epoch {
            return Ok(());
        }
        let message = format!(
            "The received member epoch {member_epoch} does not match the expected member epoch {}.",
            member.member_epoch
        );
        Err(Refusal::new(stale(member), message))
    }

    /// Whether the group may be deleted.
    pub fn check_delete(&self) -> Result<(), ErrorCode> {
        if self.members.is_empty() { Ok(()) } else { Err(ErrorCode::NON_EMPTY_GROUP) }
    }
}

/// What each protocol calls an epoch that is not the member's.
fn stale(member: &Member) -> ErrorCode {
    if member.uses_classic_protocol() { ErrorCode::ILLEGAL_GENERATION } else { ErrorCode::STALE_MEMBER_EPOCH }
}
