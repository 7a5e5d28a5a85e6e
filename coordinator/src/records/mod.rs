//! The records of `__consumer_offsets`, byte for byte as Apache Kafka 4.3.1 writes them.
//!
//! ```text
//! key    i16 type, then the key's fields, never flexible
//! value  i16 version, then the value's fields; no value is a tombstone
//! ```
//!
//! Owns encoding, decoding and which version is written. A type that is not read here (share and streams groups, and
//! whatever comes later) is [`NotRead::UnknownType`] and is passed over: it is somebody else's, not an error.

mod consumer;
mod group_metadata;
mod offset_commit;
#[cfg(test)]
mod tests;

use bytes::{Bytes, BytesMut};
use stratalog_protocol::codec::{DecodeError, Decoder, EncodeError, Encoder, Message};
use stratalog_protocol::part::Part;

use crate::machine::Durable;

pub use consumer::{
    AssignedPartitions, ClassicMemberMetadata, ClassicProtocol, ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataValue, ConsumerGroupPartitionMetadataValue,
    ConsumerGroupRegularExpressionValue, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataValue, PartitionMetadata, TargetPartitions, TopicMetadata,
};
pub use group_metadata::{GroupMetadataValue, MemberMetadata};
pub use offset_commit::OffsetCommitValue;

use consumer::{MemberKey, RegularExpressionKey};
use group_metadata::GroupKey;
use offset_commit::OffsetKey;

/// One record: its key's fields, and its value or none.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    OffsetCommit {
        group: String,
        topic: String,
        partition: i32,
        value: Option<OffsetCommitValue>,
    },
    GroupMetadata {
        group: String,
        value: Option<GroupMetadataValue>,
    },
    ConsumerGroupMetadata {
        group: String,
        value: Option<ConsumerGroupMetadataValue>,
    },
    /// Written by Kafka before 4.1 only; removed with a tombstone where it is met.
    ConsumerGroupPartitionMetadata {
        group: String,
        value: Option<ConsumerGroupPartitionMetadataValue>,
    },
    ConsumerGroupMemberMetadata {
        group: String,
        member: String,
        value: Option<ConsumerGroupMemberMetadataValue>,
    },
    ConsumerGroupTargetAssignmentMetadata {
        group: String,
        value: Option<ConsumerGroupTargetAssignmentMetadataValue>,
    },
    ConsumerGroupTargetAssignmentMember {
        group: String,
        member: String,
        value: Option<ConsumerGroupTargetAssignmentMemberValue>,
    },
    ConsumerGroupCurrentMemberAssignment {
        group: String,
        member: String,
        value: Option<ConsumerGroupCurrentMemberAssignmentValue>,
    },
    ConsumerGroupRegularExpression {
        group: String,
        regular_expression: String,
        value: Option<ConsumerGroupRegularExpressionValue>,
    },
}

/// Why a record of the topic was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotRead {
    /// Of a kind that this coordinator does not keep.
    #[error("records of type {0} are not kept here")]
    UnknownType(i16),
    #[error(transparent)]
    Malformed(#[from] DecodeError),
}

/// Types of keys.
mod key {
    /// Of Kafka before 0.9.
    pub const LEGACY_OFFSET_COMMIT: i16 = 0;
    pub const OFFSET_COMMIT: i16 = 1;
    pub const GROUP_METADATA: i16 = 2;
    pub const CONSUMER_GROUP_METADATA: i16 = 3;
    pub const CONSUMER_GROUP_PARTITION_METADATA: i16 = 4;
    pub const CONSUMER_GROUP_MEMBER_METADATA: i16 = 5;
    pub const CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA: i16 = 6;
    pub const CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER: i16 = 7;
    pub const CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT: i16 = 8;
    pub const CONSUMER_GROUP_REGULAR_EXPRESSION: i16 = 16;
}

impl Record {
    pub fn group(&self) -> &str {
        match self {
            Record::OffsetCommit { group, .. }
            | Record::GroupMetadata { group, .. }
            | Record::ConsumerGroupMetadata { group, .. }
            | Record::ConsumerGroupPartitionMetadata { group, .. }
            | Record::ConsumerGroupMemberMetadata { group, .. }
            | Record::ConsumerGroupTargetAssignmentMetadata { group, .. }
            | Record::ConsumerGroupTargetAssignmentMember { group, .. }
            | Record::ConsumerGroupCurrentMemberAssignment { group, .. }
            | Record::ConsumerGroupRegularExpression { group, .. } => group,
        }
    }

    pub fn is_tombstone(&self) -> bool {
        match self {
            Record::OffsetCommit { value, .. } => value.is_none(),
            Record::GroupMetadata { value, .. } => value.is_none(),
            Record::ConsumerGroupMetadata { value, .. } => value.is_none(),
            Record::ConsumerGroupPartitionMetadata { value, .. } => value.is_none(),
            Record::ConsumerGroupMemberMetadata { value, .. } => value.is_none(),
            Record::ConsumerGroupTargetAssignmentMetadata { value, .. } => value.is_none(),
            Record::ConsumerGroupTargetAssignmentMember { value, .. } => value.is_none(),
            Record::ConsumerGroupCurrentMemberAssignment { value, .. } => value.is_none(),
            Record::ConsumerGroupRegularExpression { value, .. } => value.is_none(),
        }
    }

    /// Key and value; no value for a tombstone.
    pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        Ok(match self {
            Record::OffsetCommit { group, topic, partition, value } => {
                let fields = OffsetKey { group: group.clone(), topic: topic.clone(), partition: *partition };
                let version = |value: &OffsetCommitValue| value.written_version();
                (prefixed(key::OFFSET_COMMIT, &fields, 0)?, value_bytes(value, version)?)
            }
            Record::GroupMetadata { group, value } => {
                let version = |_: &_| group_metadata::WRITTEN_VERSION;
                (group_key(key::GROUP_METADATA, group)?, value_bytes(value, version)?)
            }
            Record::ConsumerGroupMetadata { group, value } => {
                (group_key(key::CONSUMER_GROUP_METADATA, group)?, value_bytes(value, |_| 0)?)
            }
            Record::ConsumerGroupPartitionMetadata { group, value } => {
                (group_key(key::CONSUMER_GROUP_PARTITION_METADATA, group)?, value_bytes(value, |_| 0)?)
            }
            Record::ConsumerGroupMemberMetadata { group, member, value } => {
                (member_key(key::CONSUMER_GROUP_MEMBER_METADATA, group, member)?, value_bytes(value, |_| 0)?)
            }
            Record::ConsumerGroupTargetAssignmentMetadata { group, value } => {
                (group_key(key::CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA, group)?, value_bytes(value, |_| 0)?)
            }
            Record::ConsumerGroupTargetAssignmentMember { group, member, value } => {
                (member_key(key::CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER, group, member)?, value_bytes(value, |_| 0)?)
            }
            Record::ConsumerGroupCurrentMemberAssignment { group, member, value } => {
                (member_key(key::CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT, group, member)?, value_bytes(value, |_| 0)?)
            }
            Record::ConsumerGroupRegularExpression { group, regular_expression, value } => {
                let fields =
                    RegularExpressionKey { group: group.clone(), regular_expression: regular_expression.clone() };
                (prefixed(key::CONSUMER_GROUP_REGULAR_EXPRESSION, &fields, 0)?, value_bytes(value, |_| 0)?)
            }
        })
    }

    /// Reads a record of the topic.
    pub fn decode(key: Bytes, value: Option<Bytes>) -> Result<Record, NotRead> {
        let mut decoder = Decoder::new(key);
        let kind = decoder.read_i16()?;
        let decoder = &mut decoder;
        Ok(match kind {
            key::LEGACY_OFFSET_COMMIT | key::OFFSET_COMMIT => {
                let key = OffsetKey::decode(decoder, 0)?;
                let value = read_value(value)?;
                Record::OffsetCommit { group: key.group, topic: key.topic, partition: key.partition, value }
            }
            key::GROUP_METADATA => {
                Record::GroupMetadata { group: GroupKey::decode(decoder, 0)?.group, value: read_value(value)? }
            }
            key::CONSUMER_GROUP_METADATA => {
                Record::ConsumerGroupMetadata { group: GroupKey::decode(decoder, 0)?.group, value: read_value(value)? }
            }
            key::CONSUMER_GROUP_PARTITION_METADATA => Record::ConsumerGroupPartitionMetadata {
                group: GroupKey::decode(decoder, 0)?.group,
                value: read_value(value)?,
            },
            key::CONSUMER_GROUP_MEMBER_METADATA => {
                let MemberKey { group, member } = MemberKey::decode(decoder, 0)?;
                Record::ConsumerGroupMemberMetadata { group, member, value: read_value(value)? }
            }
            key::CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA => Record::ConsumerGroupTargetAssignmentMetadata {
                group: GroupKey::decode(decoder, 0)?.group,
                value: read_value(value)?,
            },
            key::CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER => {
                let MemberKey { group, member } = MemberKey::decode(decoder, 0)?;
                Record::ConsumerGroupTargetAssignmentMember { group, member, value: read_value(value)? }
            }
            key::CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT => {
                let MemberKey { group, member } = MemberKey::decode(decoder, 0)?;
                Record::ConsumerGroupCurrentMemberAssignment { group, member, value: read_value(value)? }
            }
            key::CONSUMER_GROUP_REGULAR_EXPRESSION => {
                let RegularExpressionKey { group, regular_expression } = RegularExpressionKey::decode(decoder, 0)?;
                Record::ConsumerGroupRegularExpression { group, regular_expression, value: read_value(value)? }
            }
            unknown => return Err(NotRead::UnknownType(unknown)),
        })
    }
}

impl Durable for Record {
    fn encode(&self) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        Record::encode(self)
    }

    fn decode(key: Bytes, value: Option<Bytes>) -> Result<Record, NotRead> {
        Record::decode(key, value)
    }

    /// Offsets are decoded into memory of their own; metadata and assignments of members stand on their value.
    fn keeps_value(key: &[u8]) -> bool {
        !matches!(key, [0, 0 | 1, ..])
    }
}

fn group_key(kind: i16, group: &str) -> Result<Bytes, EncodeError> {
    prefixed(kind, &GroupKey { group: group.to_owned() }, 0)
}

fn member_key(kind: i16, group: &str, member: &str) -> Result<Bytes, EncodeError> {
    prefixed(kind, &MemberKey { group: group.to_owned(), member: member.to_owned() }, 0)
}

fn value_bytes<V: Message>(value: &Option<V>, version: impl Fn(&V) -> i16) -> Result<Option<Bytes>, EncodeError> {
    value.as_ref().map(|value| prefixed(version(value), value, version(value))).transpose()
}

/// The type or version that goes in front, then the message.
fn prefixed<M: Message>(prefix: i16, message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let mut encoder = Encoder::new();
    encoder.write_i16(prefix);
    message.encode(&mut encoder, version)?;
    let mut parts = encoder.into_parts();
    if let (1, Some(Part::Bytes(_))) = (parts.len(), parts.first())
        && let Some(Part::Bytes(bytes)) = parts.pop()
    {
        return Ok(bytes);
    }
    let mut joined = BytesMut::with_capacity(parts.iter().map(Part::length).sum());
    for part in parts {
        if let Part::Bytes(bytes) = part {
            joined.extend_from_slice(&bytes);
        }
    }
    Ok(joined.freeze())
}

fn read_value<V: Message>(value: Option<Bytes>) -> Result<Option<V>, DecodeError> {
    let Some(value) = value else { return Ok(None) };
    let mut decoder = Decoder::new(value);
    let version = decoder.read_i16()?;
    V::decode(&mut decoder, version).map(Some)
}
