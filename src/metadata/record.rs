//! The persisted records: keys, and values as JSON with a format number. One declaration per record, here.
//!
//! ```text
//! /cluster/producer-ids        {"v":1,"next":N}                      the first producer id of the next block
//! /configs/brokers             {"v":1,"configs":{...}}               dynamic configs of all brokers
//! /configs/brokers/<id>        {"v":1,"configs":{...}}               dynamic configs of one broker
//! /configs/groups/<group>       {"v":1,"configs":{...}}               configs of one group
//! /topics/<name>               {"v":1,"id":"..","created_at_ms":N,"configs":{..},"partitions":[..]}
//! /cluster/tier-owner          {"v":1,"owner_epoch":N}               our claim on the bucket
//! /deleting/<topic id>         {"v":1,"name":"..","partitions":N,"tiered":B}   metadata gone, bytes not yet
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stratalog_types::LeaderEpoch;

use super::image::{Partition, Topic};
use super::store::StoreError;

pub const PRODUCER_IDS: &str = "/cluster/producer-ids";
pub const TIER_OWNER: &str = "/cluster/tier-owner";
pub const BROKER_CONFIGS: &str = "/configs/brokers";
/// Followed by the id of a broker.
pub const NODE_CONFIGS: &str = "/configs/brokers/";
/// Followed by the id of a group.
pub const GROUP_CONFIGS: &str = "/configs/groups/";
pub const TOPICS: &str = "/topics/";
pub const DELETING: &str = "/deleting/";

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
pub struct ProducerIds {
    v: u32,
    pub next: i64,
}

#[derive(Serialize, Deserialize)]
pub struct Configs {
    v: u32,
    pub configs: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
pub struct Deleting {
    v: u32,
    pub name: String,
    pub partitions: i32,
    pub tiered: bool,
}

#[derive(Serialize, Deserialize)]
pub struct TierOwner {
    v: u32,
    pub owner_epoch: u64,
}

impl TierOwner {
    pub fn new(owner_epoch: u64) -> TierOwner {
        TierOwner { v: VERSION, owner_epoch }
    }
}

#[derive(Serialize, Deserialize)]
struct TopicRecord {
    v: u32,
    id: String,
    created_at_ms: i64,
    configs: BTreeMap<String, String>,
    partitions: Vec<PartitionRecord>,
}

#[derive(Serialize, Deserialize)]
struct PartitionRecord {
    leader: i32,
    leader_epoch: i32,
    replicas: Vec<i32>,
    isr: Vec<i32>,
    partition_epoch: i32,
}

impl ProducerIds {
    pub fn new(next: i64) -> ProducerIds {
        ProducerIds { v: VERSION, next }
    }
}

impl Configs {
    pub fn new(configs: BTreeMap<String, String>) -> Configs {
        Configs { v: VERSION, configs }
    }
}

impl Deleting {
    pub fn new(name: &str, partitions: i32, tiered: bool) -> Deleting {
        Deleting { v: VERSION, name: name.to_owned(), partitions, tiered }
    }
}

pub fn topic_key(name: &str) -> String {
    format!("{TOPICS}{name}")
}

pub fn encode<T: Serialize>(key: &str, record: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(record).map_err(|error| StoreError::Corrupt { key: key.to_owned(), reason: error.to_string() })
}

/// Decodes a record of this format number; a later one names the binary that wrote it as newer.
pub fn decode<T: for<'a> Deserialize<'a>>(key: &str, bytes: &[u8]) -> Result<T, StoreError> {
    #[derive(Deserialize)]
    struct Format {
        v: u32,
    }
    let corrupt = |error: serde_json::Error| StoreError::Corrupt { key: key.to_owned(), reason: error.to_string() };
    let format: Format = serde_json::from_slice(bytes).map_err(corrupt)?;
    if format.v != VERSION {
        return Err(StoreError::Corrupt {
            key: key.to_owned(),
            reason: format!("format {} is not known here: start the newer stratalog that wrote it", format.v),
        });
    }
    serde_json::from_slice(bytes).map_err(corrupt)
}

pub fn encode_topic(topic: &Topic) -> Result<Vec<u8>, StoreError> {
    let partitions = topic.partitions.iter().map(|p| PartitionRecord {
        leader: p.leader,
        leader_epoch: p.leader_epoch.0,
        replicas: p.replicas.clone(),
        isr: p.isr.clone(),
        partition_epoch: p.partition_epoch,
    });
    let record = TopicRecord {
        v: VERSION,
        id: topic.id.to_string(),
        created_at_ms: topic.created_at_ms,
        configs: topic.configs.clone(),
        partitions: partitions.collect(),
    };
    encode(&topic.name, &record)
}

pub fn decode_topic(key: &str, bytes: &[u8]) -> Result<Topic, StoreError> {
    let record: TopicRecord = decode(key, bytes)?;
    let id = record.id.parse().map_err(|error| StoreError::Corrupt {
        key: key.to_owned(),
        reason: format!("topic id {}: {error}", record.id),
    })?;
    let partitions = record.partitions.into_iter().map(|p| Partition {
        leader: p.leader,
        leader_epoch: LeaderEpoch(p.leader_epoch),
        replicas: p.replicas,
        isr: p.isr,
        partition_epoch: p.partition_epoch,
    });
    Ok(Topic {
        name: key.strip_prefix(TOPICS).unwrap_or(key).into(),
        id,
        partitions: partitions.collect(),
        configs: record.configs,
        created_at_ms: record.created_at_ms,
    })
}
