//! How far a group has read in one partition.

use stratalog_protocol::Message;
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=0)]
pub(super) struct OffsetKey {
    pub group: String,
    pub topic: String,
    pub partition: i32,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=4, flexible = 4)]
pub struct OffsetCommitValue {
    pub offset: i64,
    /// -1 if unknown.
    #[field(since = 3, default = -1, ignorable)]
    pub leader_epoch: i32,
    pub metadata: String,
    pub commit_timestamp: i64,
    /// Of a commit that named its own retention (OffsetCommit before version 5); -1 otherwise.
    #[field(since = 1, until = 1, default = -1, ignorable)]
    pub expire_timestamp: i64,
    /// Nil if the topic was only known by name.
    #[field(tag = 0, since = 4, default = Uuid::nil(), ignorable)]
    pub topic_id: Uuid,
}

impl OffsetCommitValue {
    /// Only version 1 has an expiry of its own.
    pub(super) fn written_version(&self) -> i16 {
        if self.expire_timestamp == -1 { 4 } else { 1 }
    }
}
