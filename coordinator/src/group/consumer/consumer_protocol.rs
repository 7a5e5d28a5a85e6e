//! What classic consumers put into JoinGroup and SyncGroup: a version as i16, then its fields. A version that is not
//! known is read as the last that is.

use bytes::{Bytes, BytesMut};
use stratalog_protocol::codec::{DecodeError, Decoder, EncodeError, Encoder, Message};
use stratalog_protocol::messages::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};
use stratalog_protocol::part::Part;

use super::partitions::Partitions;
use crate::machine::Topics;

pub(super) const CONSUMER_PROTOCOL_TYPE: &str = "consumer";
const LAST_VERSION: i16 = 3;

pub(super) fn version_of(bytes: &Bytes) -> Result<i16, DecodeError> {
    Decoder::new(bytes.clone()).read_i16()
}

pub(super) fn read_subscription(bytes: Bytes) -> Result<ConsumerProtocolSubscription, DecodeError> {
    read(bytes)
}

pub(super) fn read_assignment(bytes: Bytes) -> Result<ConsumerProtocolAssignment, DecodeError> {
    read(bytes)
}

fn read<M: Message>(bytes: Bytes) -> Result<M, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    let version = decoder.read_i16()?.min(LAST_VERSION);
    // Bytes that follow are of a later version.
    let fields = stratalog_protocol::codec::message_version::<M>(version);
    let fields = fields.unwrap_or(stratalog_protocol::codec::Version::classic(version.max(0)));
    M::read_fields(&mut decoder, fields)
}

/// An assignment in this version; topics that are gone are left out.
pub(super) fn write_assignment(
    partitions: &Partitions,
    version: i16,
    topics: &dyn Topics,
) -> Result<Bytes, EncodeError> {
    let version = version.clamp(0, LAST_VERSION);
    let assigned = partitions.iter().filter_map(|(topic, partitions)| {
        let topic = topics.by_id(topic.0)?;
        Some(TopicPartition { topic: topic.name.to_string(), partitions: partitions.iter().copied().collect() })
    });
    let assignment = ConsumerProtocolAssignment { assigned_partitions: assigned.collect(), user_data: None };
    let mut encoder = Encoder::new();
    encoder.write_i16(version);
    assignment.encode(&mut encoder, version)?;
    let mut joined = BytesMut::new();
    for part in encoder.into_parts() {
        if let Part::Bytes(bytes) = part {
            joined.extend_from_slice(&bytes);
        }
    }
    Ok(joined.freeze())
}
