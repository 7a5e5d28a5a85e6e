//! The Kafka APIs: one file each, one line each in the table below.
//!
//! Owns the translation between messages and domain calls, and nothing else: a handler authorizes, validates, makes one
//! domain call and builds the response. ApiVersions, metric labels and `docs/PROTOCOL.md` derive from `TABLE`.

mod api_versions;
mod call;
mod create_topics;
mod error;
mod fetch;
mod find_coordinator;
mod init_producer_id;
mod list_offsets;
mod metadata;
mod node;
mod operations;
mod produce;

use std::ops::RangeInclusive;

use stratalog_protocol::ApiKey;

pub use call::dispatch;
pub use node::Node;

use call::{Handler, overlapping, serial};

/// One served API.
pub struct Api {
    pub key: ApiKey,
    /// The versions advertised; see `served` for the lowest that is answered.
    pub advertised: RangeInclusive<i16>,
    handler: Handler,
}

/// Every API that this broker answers. Produce advertises 0 to keep old librdkafka from dropping compression
/// (KAFKA-18659); below 3 it is refused.
pub static TABLE: &[Api] = &[
    Api { key: ApiKey::PRODUCE, advertised: 0..=13, handler: overlapping!(produce) },
    Api { key: ApiKey::FETCH, advertised: 4..=18, handler: overlapping!(fetch) },
    Api { key: ApiKey::LIST_OFFSETS, advertised: 1..=11, handler: serial!(list_offsets) },
    Api { key: ApiKey::METADATA, advertised: 0..=13, handler: serial!(metadata) },
    Api { key: ApiKey::FIND_COORDINATOR, advertised: 0..=6, handler: serial!(find_coordinator) },
    Api { key: ApiKey::API_VERSIONS, advertised: 0..=4, handler: serial!(api_versions) },
    Api { key: ApiKey::CREATE_TOPICS, advertised: 2..=7, handler: serial!(create_topics) },
    Api { key: ApiKey::INIT_PRODUCER_ID, advertised: 0..=5, handler: serial!(init_producer_id) },
];

impl Api {
    /// Whether a request of this version is answered: advertised, and known to the message.
    fn answers(&self, version: i16) -> bool {
        let known = stratalog_protocol::Api::find(self.key).is_some_and(|api| api.has_version(version));
        known && self.advertised.contains(&version)
    }
}

/// The table's row of an API.
pub fn find(key: ApiKey) -> Option<&'static Api> {
    TABLE.iter().find(|api| api.key == key)
}
