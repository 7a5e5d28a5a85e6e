//! Every key, declared once: Kafka 4.3's broker, topic and group keys, our `stratalog.*` ones, and names of the past.
//!
//! A row reads: name, type, default, valid values, whether a running broker takes a change, our stance, meaning.

macro_rules! keys {
    ($( $name:literal $kind:ident = $default:expr, $valid:expr, $update:ident, $stance:expr, $doc:literal; )*) => {
        &[ $( $crate::config::key::Key {
            name: $name,
            kind: $crate::config::key::Kind::$kind,
            default: $default,
            valid: $valid,
            dynamic: keys!(@ $update),
            stance: $stance,
            doc: $doc,
        } ),* ]
    };
    (@ dynamic) => { true };
    (@ fixed) => { false };
}

mod aiven;
mod cluster;
mod group;
mod group_config;
mod log;
mod network;
mod past;
mod quota;
mod remote;
mod sasl;
mod security;
mod stratalog;
mod tls;
mod topic;
mod transaction;

pub use aiven::{AIVEN_PREFIX, AivenStance, aiven_stance};
pub use past::past;

use super::key::Key;

/// Kafka's broker keys and ours, by area.
pub const BROKER: &[&[Key]] = &[
    cluster::KEYS,
    group::KEYS,
    log::KEYS,
    network::KEYS,
    quota::KEYS,
    remote::KEYS,
    sasl::KEYS,
    security::KEYS,
    stratalog::KEYS,
    tls::KEYS,
    transaction::KEYS,
];

/// Topic keys, in the order of their names.
pub const TOPIC: &[Key] = topic::KEYS;

/// Group keys, in the order of their names.
pub const GROUP: &[Key] = group_config::KEYS;

/// The broker keys, ours included.
pub fn broker_keys() -> impl Iterator<Item = &'static Key> {
    BROKER.iter().flat_map(|area| area.iter())
}

pub fn broker_key(name: &str) -> Option<&'static Key> {
    broker_keys().find(|key| key.name == name)
}

pub fn topic_key(name: &str) -> Option<&'static Key> {
    TOPIC.iter().find(|key| key.name == name)
}

pub fn group_key(name: &str) -> Option<&'static Key> {
    GROUP.iter().find(|key| key.name == name)
}

/// A broker key that stands in for a topic key, and the factor from its unit to the topic key's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Synonym {
    pub name: &'static str,
    pub factor: i64,
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;

/// The broker keys from which a topic key takes its default, the strongest first (Kafka's ServerTopicConfigSynonyms).
pub fn topic_synonyms(topic_key: &str) -> &'static [Synonym] {
    const fn same(name: &'static str) -> Synonym {
        Synonym { name, factor: 1 }
    }
    const fn of(name: &'static str, factor: i64) -> Synonym {
        Synonym { name, factor }
    }
    match topic_key {
        "cleanup.policy" => const { &[same("log.cleanup.policy")] },
        "compression.gzip.level" => const { &[same("compression.gzip.level")] },
        "compression.lz4.level" => const { &[same("compression.lz4.level")] },
        "compression.type" => const { &[same("compression.type")] },
        "compression.zstd.level" => const { &[same("compression.zstd.level")] },
        "delete.retention.ms" => const { &[same("log.cleaner.delete.retention.ms")] },
        "file.delete.delay.ms" => const { &[same("log.segment.delete.delay.ms")] },
        "flush.messages" => const { &[same("log.flush.interval.messages")] },
        "flush.ms" => const { &[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")] },
        "index.interval.bytes" => const { &[same("log.index.interval.bytes")] },
        "local.retention.bytes" => const { &[same("log.local.retention.bytes")] },
        "local.retention.ms" => const { &[same("log.local.retention.ms")] },
        "max.compaction.lag.ms" => const { &[same("log.cleaner.max.compaction.lag.ms")] },
        "max.message.bytes" => const { &[same("message.max.bytes")] },
        "message.timestamp.after.max.ms" => const { &[same("log.message.timestamp.after.max.ms")] },
        "message.timestamp.before.max.ms" => const { &[same("log.message.timestamp.before.max.ms")] },
        "message.timestamp.type" => const { &[same("log.message.timestamp.type")] },
        "min.cleanable.dirty.ratio" => const { &[same("log.cleaner.min.cleanable.ratio")] },
        "min.compaction.lag.ms" => const { &[same("log.cleaner.min.compaction.lag.ms")] },
        "min.insync.replicas" => const { &[same("min.insync.replicas")] },
        "preallocate" => const { &[same("log.preallocate")] },
        "retention.bytes" => const { &[same("log.retention.bytes")] },
        "retention.ms" => {
            const { &[same("log.retention.ms"), of("log.retention.minutes", MINUTE_MS), of("log.retention.hours", HOUR_MS)] }
        }
        "segment.bytes" => const { &[same("log.segment.bytes")] },
        "segment.index.bytes" => const { &[same("log.index.size.max.bytes")] },
        "segment.jitter.ms" => const { &[same("log.roll.jitter.ms"), of("log.roll.jitter.hours", HOUR_MS)] },
        "segment.ms" => const { &[same("log.roll.ms"), of("log.roll.hours", HOUR_MS)] },
        "unclean.leader.election.enable" => const { &[same("unclean.leader.election.enable")] },
        _ => &[],
    }
}

/// The broker keys that a broker key stands for, itself first: `log.retention.ms` is also said in minutes and hours.
pub fn broker_synonyms(broker_key: &'static str) -> Vec<&'static str> {
    let family: &[&str] = match broker_key {
        "log.roll.ms" | "log.roll.hours" => &["log.roll.ms", "log.roll.hours"],
        "log.roll.jitter.ms" | "log.roll.jitter.hours" => &["log.roll.jitter.ms", "log.roll.jitter.hours"],
        "log.flush.interval.ms" => &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
        "log.retention.ms" | "log.retention.minutes" | "log.retention.hours" => {
            &["log.retention.ms", "log.retention.minutes", "log.retention.hours"]
        }
        _ => &[],
    };
    if family.is_empty() { vec![broker_key] } else { family.to_vec() }
}
