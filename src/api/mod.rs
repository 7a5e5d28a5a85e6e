//! The Kafka APIs: one file each, one line each in the table below.
//!
//! Owns the translation between messages and domain calls, and nothing else: a handler authorizes, validates, makes one
//! domain call and builds the response. ApiVersions, metric labels and `docs/PROTOCOL.md` derive from `TABLE`.

mod alter_configs;
mod alter_partition_reassignments;
mod alteration;
mod api_versions;
mod call;
mod config_change;
mod config_resource;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_acls;
mod create_partitions;
mod create_topics;
mod delete_acls;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_acls;
mod describe_client_quotas;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod describe_transactions;
mod describe_user_scram_credentials;
mod elect_leaders;
mod error;
mod fetch;
mod find_coordinator;
mod group;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod list_transactions;
mod metadata;
mod node;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod operations;
mod produce;
mod refusal;
mod sync_group;

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
    Api { key: ApiKey::OFFSET_COMMIT, advertised: 2..=10, handler: serial!(offset_commit) },
    Api { key: ApiKey::OFFSET_FETCH, advertised: 1..=10, handler: serial!(offset_fetch) },
    Api { key: ApiKey::FIND_COORDINATOR, advertised: 0..=6, handler: serial!(find_coordinator) },
    Api { key: ApiKey::JOIN_GROUP, advertised: 0..=9, handler: serial!(join_group) },
    Api { key: ApiKey::HEARTBEAT, advertised: 0..=4, handler: serial!(heartbeat) },
    Api { key: ApiKey::LEAVE_GROUP, advertised: 0..=5, handler: serial!(leave_group) },
    Api { key: ApiKey::SYNC_GROUP, advertised: 0..=5, handler: serial!(sync_group) },
    Api { key: ApiKey::DESCRIBE_GROUPS, advertised: 0..=6, handler: serial!(describe_groups) },
    Api { key: ApiKey::LIST_GROUPS, advertised: 0..=5, handler: serial!(list_groups) },
    Api { key: ApiKey::API_VERSIONS, advertised: 0..=4, handler: serial!(api_versions) },
    Api { key: ApiKey::CREATE_TOPICS, advertised: 2..=7, handler: serial!(create_topics) },
    Api { key: ApiKey::DELETE_TOPICS, advertised: 1..=6, handler: serial!(delete_topics) },
    Api { key: ApiKey::DELETE_RECORDS, advertised: 0..=2, handler: serial!(delete_records) },
    Api { key: ApiKey::INIT_PRODUCER_ID, advertised: 0..=5, handler: serial!(init_producer_id) },
    Api { key: ApiKey::OFFSET_FOR_LEADER_EPOCH, advertised: 2..=4, handler: serial!(offset_for_leader_epoch) },
    Api { key: ApiKey::DESCRIBE_ACLS, advertised: 1..=3, handler: serial!(describe_acls) },
    Api { key: ApiKey::CREATE_ACLS, advertised: 1..=3, handler: serial!(create_acls) },
    Api { key: ApiKey::DELETE_ACLS, advertised: 1..=3, handler: serial!(delete_acls) },
    Api { key: ApiKey::DESCRIBE_CONFIGS, advertised: 1..=4, handler: serial!(describe_configs) },
    Api { key: ApiKey::ALTER_CONFIGS, advertised: 0..=2, handler: serial!(alter_configs) },
    Api { key: ApiKey::DESCRIBE_LOG_DIRS, advertised: 1..=5, handler: serial!(describe_log_dirs) },
    Api { key: ApiKey::CREATE_PARTITIONS, advertised: 0..=3, handler: serial!(create_partitions) },
    Api { key: ApiKey::DELETE_GROUPS, advertised: 0..=2, handler: serial!(delete_groups) },
    Api { key: ApiKey::ELECT_LEADERS, advertised: 0..=2, handler: serial!(elect_leaders) },
    Api { key: ApiKey::INCREMENTAL_ALTER_CONFIGS, advertised: 0..=1, handler: serial!(incremental_alter_configs) },
    Api {
        key: ApiKey::ALTER_PARTITION_REASSIGNMENTS,
        advertised: 0..=1,
        handler: serial!(alter_partition_reassignments),
    },
    Api {
        key: ApiKey::LIST_PARTITION_REASSIGNMENTS,
        advertised: 0..=0,
        handler: serial!(list_partition_reassignments),
    },
    Api { key: ApiKey::OFFSET_DELETE, advertised: 0..=0, handler: serial!(offset_delete) },
    Api { key: ApiKey::DESCRIBE_CLIENT_QUOTAS, advertised: 0..=1, handler: serial!(describe_client_quotas) },
    Api {
        key: ApiKey::DESCRIBE_USER_SCRAM_CREDENTIALS,
        advertised: 0..=0,
        handler: serial!(describe_user_scram_credentials),
    },
    Api { key: ApiKey::DESCRIBE_QUORUM, advertised: 0..=2, handler: serial!(describe_quorum) },
    Api { key: ApiKey::DESCRIBE_CLUSTER, advertised: 0..=2, handler: serial!(describe_cluster) },
    Api { key: ApiKey::DESCRIBE_PRODUCERS, advertised: 0..=0, handler: serial!(describe_producers) },
    Api { key: ApiKey::DESCRIBE_TRANSACTIONS, advertised: 0..=0, handler: serial!(describe_transactions) },
    Api { key: ApiKey::LIST_TRANSACTIONS, advertised: 0..=2, handler: serial!(list_transactions) },
    Api { key: ApiKey::CONSUMER_GROUP_HEARTBEAT, advertised: 0..=1, handler: serial!(consumer_group_heartbeat) },
    Api { key: ApiKey::CONSUMER_GROUP_DESCRIBE, advertised: 0..=1, handler: serial!(consumer_group_describe) },
    Api { key: ApiKey::LIST_CONFIG_RESOURCES, advertised: 0..=1, handler: serial!(list_config_resources) },
    Api { key: ApiKey::DESCRIBE_TOPIC_PARTITIONS, advertised: 0..=0, handler: serial!(describe_topic_partitions) },
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
