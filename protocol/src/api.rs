//! API keys, and what is known of each API: name and version bounds.

use std::fmt;

use crate::codec::{DecodeError, Decoder, EncodeError, Encoder, Field, Version, Wire};
use crate::messages::APIS;

/// The number of an API. A peer may send any, so unknown ones are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ApiKey(pub i16);

/// One row of [`APIS`]. Versions are those that the messages can be written in, included at both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    pub key: ApiKey,
    /// Kafka's name, such as `ListOffsets`.
    pub name: &'static str,
    pub min_version: i16,
    pub max_version: i16,
    /// The first flexible version (KIP-482); `i16::MAX` if there is none.
    pub flexible_since: i16,
}

impl Api {
    /// The row of an API; `None` if this crate has no messages of it.
    pub fn find(key: ApiKey) -> Option<&'static Api> {
        let index = APIS.binary_search_by_key(&key, |api| api.key).ok()?;
        APIS.get(index)
    }

    pub fn has_version(&self, version: i16) -> bool {
        (self.min_version..=self.max_version).contains(&version)
    }

    /// 2 for flexible versions, also for those later than we know, else 1.
    pub fn request_header_version(&self, version: i16) -> i16 {
        if version >= self.flexible_since { 2 } else { 1 }
    }

    /// 1 for flexible versions, else 0. ApiVersions stays at 0: its reader does not know what the broker speaks.
    pub fn response_header_version(&self, version: i16) -> i16 {
        i16::from(version >= self.flexible_since && self.key != ApiKey::API_VERSIONS)
    }
}

/// Kafka's APIs that are spoken between its own brokers and controllers, or were before 4.0: named, not served.
const OTHER_NAMES: &[(i16, &str)] = &[
    (4, "LeaderAndIsr"),
    (5, "StopReplica"),
    (6, "UpdateMetadata"),
    (7, "ControlledShutdown"),
    (52, "Vote"),
    (53, "BeginQuorumEpoch"),
    (54, "EndQuorumEpoch"),
    (56, "AlterPartition"),
    (58, "Envelope"),
    (59, "FetchSnapshot"),
    (62, "BrokerRegistration"),
    (63, "BrokerHeartbeat"),
    (67, "AllocateProducerIds"),
    (70, "ControllerRegistration"),
    (73, "AssignReplicasToDirs"),
    (80, "AddRaftVoter"),
    (81, "RemoveRaftVoter"),
    (82, "UpdateRaftVoter"),
    (83, "InitializeShareGroupState"),
    (84, "ReadShareGroupState"),
    (85, "WriteShareGroupState"),
    (86, "DeleteShareGroupState"),
    (87, "ReadShareGroupStateSummary"),
];

impl ApiKey {
    /// Kafka's name; `None` for a key that Kafka 4.3 has not either.
    pub fn name(self) -> Option<&'static str> {
        let other = || OTHER_NAMES.iter().find(|(key, _)| *key == self.0).map(|(_, name)| *name);
        Api::find(self).map(|api| api.name).or_else(other)
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "api {}", self.0),
        }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}({})", self.0)
    }
}

impl Field for ApiKey {
    const MIN_BYTES: usize = 2;
    const WIRE: Wire = Wire::I16;

    fn read(decoder: &mut Decoder, _: Version) -> Result<ApiKey, DecodeError> {
        decoder.read_i16().map(ApiKey)
    }

    fn write(&self, encoder: &mut Encoder, _: Version) -> Result<(), EncodeError> {
        encoder.write_i16(self.0);
        Ok(())
    }
}
