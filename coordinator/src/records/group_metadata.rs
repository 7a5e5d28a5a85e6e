//! A classic group's generation: its members, their subscriptions and assignments.

use bytes::Bytes;
use stratalog_protocol::Message;

pub(super) const WRITTEN_VERSION: i16 = 3;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=0)]
pub(super) struct GroupKey {
    pub group: String,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=4, flexible = 4)]
pub struct GroupMetadataValue {
    /// Empty for a group without one.
    pub protocol_type: String,
    pub generation: i32,
    pub protocol: Option<String>,
    pub leader: Option<String>,
    /// When the group last became empty; -1 if it was not kept.
    #[field(since = 2, default = -1, ignorable)]
    pub current_state_timestamp: i64,
    pub members: Vec<MemberMetadata>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct MemberMetadata {
    pub member_id: String,
    #[field(since = 3, default = None, ignorable)]
    pub group_instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    #[field(since = 1, default = -1, ignorable)]
    pub rebalance_timeout: i32,
    pub session_timeout: i32,
    pub subscription: Bytes,
    pub assignment: Bytes,
}
