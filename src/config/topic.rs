//! A topic's configuration: its own values over the broker's, typed, with Kafka's rules about values that depend on each
//! other.
//!
//! Defaults clamp, explicit values are refused: a broker-wide hot set larger than a topic's retention is cut to it, a
//! topic's own `local.retention.ms` above its `retention.ms` is an error.

use std::collections::BTreeMap;

use super::catalog;
use super::error::ConfigError;
use super::key::Stance;
use super::settings::Settings;
use super::suggest;
use super::value::Value;

/// What a topic sets itself, by key.
pub type TopicOverrides = BTreeMap<String, String>;

/// What becomes of a batch's codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionType {
    Producer,
    Uncompressed,
    Gzip { level: i32 },
    Snappy,
    Lz4 { level: i32 },
    Zstd { level: i32 },
}

/// Whose clock stamps records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageTimestampType {
    CreateTime,
    LogAppendTime,
}

/// A topic's configuration as it holds. `None` is "no limit".
#[derive(Debug, Clone, PartialEq)]
pub struct TopicConfig {
    pub cleanup_compact: bool,
    pub cleanup_delete: bool,
    pub compression: CompressionType,
    pub delete_retention_ms: u64,
    /// 1: acknowledgements wait for the sync.
    pub file_delete_delay_ms: u64,
    pub flush_messages: u64,
    pub flush_ms: Option<u64>,
    pub index_interval_bytes: u32,
    /// Never above `retention_bytes`.
    pub local_retention_bytes: Option<u64>,
    /// Never above `retention_ms`.
    pub local_retention_ms: Option<u64>,
    pub max_compaction_lag_ms: Option<u64>,
    pub max_message_bytes: u32,
    pub message_timestamp_after_max_ms: u64,
    pub message_timestamp_before_max_ms: u64,
    pub message_timestamp_type: MessageTimestampType,
    pub min_cleanable_dirty_ratio: f64,
    pub min_compaction_lag_ms: u64,
    pub min_insync_replicas: u32,
    /// The broker's `producer.id.expiration.ms`: no topic sets it.
    pub producer_id_expiration_ms: u64,
    pub remote_log_copy_disable: bool,
    pub remote_log_delete_on_disable: bool,
    pub remote_storage_enable: bool,
    pub retention_bytes: Option<u64>,
    pub retention_ms: Option<u64>,
    pub segment_bytes: u32,
    pub segment_index_bytes: u32,
    pub segment_jitter_ms: u64,
    pub segment_ms: u64,
    pub unclean_leader_election_enable: bool,
}

impl TopicConfig {
    /// The tier was turned off, and what lies only there goes from it.
    pub fn forgets_tier(&self) -> bool {
        !self.remote_storage_enable && self.remote_log_delete_on_disable
    }

    /// The overrides over the broker's settings. What is stored was checked by `validate` when it was set; a value that
    /// the broker's defaults have since moved under is clamped, not refused.
    pub fn resolve(settings: &Settings, overrides: &TopicOverrides) -> Result<TopicConfig, ConfigError> {
        let values = Values::of(settings, overrides)?;
        Ok(values.typed(settings))
    }

    /// Checks `overrides` as CreateTopics and the alterations do. `before` is what the topic set until now, empty for a
    /// new one; `tier` says whether this broker has one.
    pub fn validate(
        settings: &Settings,
        before: &TopicOverrides,
        overrides: &TopicOverrides,
        tier: bool,
    ) -> Result<TopicConfig, ConfigError> {
        let values = Values::of(settings, overrides)?;
        let config = values.typed(settings);
        values.check_compaction_lag()?;
        if config.remote_storage_enable {
            let by_default = settings.boolean("stratalog.tier.default.enable") == Some(true);
            values.check_tiered(&config, overrides, tier, by_default && before.contains_key(REMOTE))?;
        } else {
            let was_tiered = before.get(REMOTE).is_some_and(|text| text.trim().eq_ignore_ascii_case("true"));
            if was_tiered && !config.remote_log_delete_on_disable {
                return Err(ConfigError::conflict(
                    "turning remote.storage.enable off would leave tiered history behind: set \
                     remote.log.delete.on.disable=true with it to delete that history, or keep \
                     remote.storage.enable=true with remote.log.copy.disable=true to stop uploads and go on reading",
                ));
            }
        }
        Ok(config)
    }

    /// The overrides that a new topic is stored with: where the broker tiers by default, a topic that may be tiered and
    /// does not say is told so once and for all, so that another start with other defaults cannot untier it.
    pub fn creation_overrides(settings: &Settings, asked: &TopicOverrides, tier: bool) -> TopicOverrides {
        let mut overrides = asked.clone();
        let by_default = tier && settings.boolean("stratalog.tier.default.enable") == Some(true);
        let policy =
            asked.get("cleanup.policy").map_or(settings.text("log.cleanup.policy"), |text| Some(text.as_str()));
        if by_default && !asked.contains_key(REMOTE) && policy.is_some_and(|policy| policy.trim() == "delete") {
            overrides.insert(REMOTE.to_owned(), "true".to_owned());
        }
        overrides
    }

    /// What an alteration is stored as: a topic that the broker tiers by default, and that becomes compacted, copies no
    /// more; what is tiered stays readable. Kafka, which tiers nothing by default, refuses it.
    pub fn altered_overrides(settings: &Settings, before: &TopicOverrides, after: TopicOverrides) -> TopicOverrides {
        let by_default = settings.boolean("stratalog.tier.default.enable") == Some(true);
        let compacts = |overrides: &TopicOverrides| {
            overrides.get("cleanup.policy").is_some_and(|policy| policy.contains("compact"))
        };
        let mut stored = after;
        if by_default && compacts(&stored) && !compacts(before) && before.get(REMOTE) == stored.get(REMOTE) {
            stored.entry(COPY_DISABLE.to_owned()).or_insert_with(|| "true".to_owned());
        }
        stored
    }

    /// Whether an acknowledgement waits for its sync.
    pub fn acks_wait_for_sync(&self) -> bool {
        self.flush_messages <= 1
    }
}

const REMOTE: &str = "remote.storage.enable";
const COPY_DISABLE: &str = "remote.log.copy.disable";

/// The broker's defaults for topics must hold together too.
pub(super) fn check_broker_defaults(settings: &Settings) -> Result<(), ConfigError> {
    let values = Values::of(settings, &TopicOverrides::new())?;
    values.check_compaction_lag()
}

/// What of `overrides` is kept and told, but changes nothing: one line each.
pub fn without_effect(overrides: &TopicOverrides) -> Vec<String> {
    let tell = |(name, text): (&String, &String)| {
        let key = catalog::topic_key(name)?;
        match key.stance {
            Stance::NoEffect if !key.is_default(text) => Some(format!("{name}={text} has no effect here")),
            Stance::Pending(feature) if !key.is_default(text) => {
                Some(format!("{name}={text} has no effect yet: {feature} will read it"))
            }
            Stance::Honoured | Stance::NoEffect | Stance::Pending(_) | Stance::Refused(_) => None,
        }
    };
    overrides.iter().filter_map(tell).collect()
}

/// One operation of IncrementalAlterConfigs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alteration {
    Set(String),
    Delete,
    Append(String),
    Subtract(String),
}

/// `current` after the alterations of IncrementalAlterConfigs, names and values checked one by one.
pub fn alter(
    settings: &Settings,
    current: &TopicOverrides,
    alterations: &[(String, Alteration)],
) -> Result<TopicOverrides, ConfigError> {
    let mut altered = current.clone();
    for (name, alteration) in alterations {
        let key = known(name)?;
        match alteration {
            Alteration::Delete => {
                altered.remove(name);
            }
            Alteration::Set(text) => {
                key.parse(text)?;
                altered.insert(name.clone(), text.clone());
            }
            Alteration::Append(text) | Alteration::Subtract(text) => {
                if key.kind != super::key::Kind::List {
                    let problem = format!("{name} is no list: set it instead of appending or subtracting");
                    return Err(ConfigError::conflict(problem));
                }
                let held = match altered.get(name) {
                    Some(text) => key.parse(text)?,
                    None => broker_default(settings, name)?.map_or(Value::List(Vec::new()), |(value, _)| value),
                };
                let mut list = held.as_list().unwrap_or_default().to_vec();
                let given = key.parse(text)?;
                for element in given.as_list().unwrap_or_default() {
                    list.retain(|held| held != element);
                    if matches!(alteration, Alteration::Append(_)) {
                        list.push(element.clone());
                    }
                }
                let text = list.join(",");
                key.parse(&text)?;
                altered.insert(name.clone(), text);
            }
        }
    }
    Ok(altered)
}

fn known(name: &str) -> Result<&'static super::key::Key, ConfigError> {
    catalog::topic_key(name)
        .ok_or_else(|| ConfigError::UnknownTopicKey { key: name.to_owned(), hint: suggest::topic_hint(name) })
}

/// What the broker gives a topic key that the topic does not set, and the broker key that said so.
pub(super) fn broker_default(
    settings: &Settings,
    name: &str,
) -> Result<Option<(Value, Option<&'static str>)>, ConfigError> {
    let key = known(name)?;
    for synonym in catalog::topic_synonyms(name) {
        let Some(text) = settings.text(synonym.name) else { continue };
        if synonym.factor == 1 {
            return Ok(Some((key.parse(text)?, Some(synonym.name))));
        }
        if let Some(number) = settings.integer(synonym.name) {
            // Kafka: a negative retention in hours or minutes means "for ever".
            let scaled = if number < 0 { -1 } else { number.saturating_mul(synonym.factor) };
            return Ok(Some((Value::Integer(scaled), Some(synonym.name))));
        }
    }
    Ok(key.default_value().map(|value| (value, None)))
}

/// Every topic key with the value that holds.
struct Values(BTreeMap<&'static str, Value>);

impl Values {
    fn of(settings: &Settings, overrides: &TopicOverrides) -> Result<Values, ConfigError> {
        for name in overrides.keys() {
            known(name)?;
        }
        let mut values = BTreeMap::new();
        for key in catalog::TOPIC {
            let value = match overrides.get(key.name) {
                Some(text) => Some(key.parse(text)?),
                None => broker_default(settings, key.name)?.map(|(value, _)| value),
            };
            if let Some(value) = value {
                values.insert(key.name, value);
            }
        }
        Ok(Values(values))
    }

    fn integer(&self, name: &str) -> i64 {
        self.0.get(name).and_then(Value::as_integer).unwrap_or(0)
    }

    fn unsigned(&self, name: &str) -> u64 {
        u64::try_from(self.integer(name)).unwrap_or(0)
    }

    fn bytes(&self, name: &str) -> u32 {
        u32::try_from(self.integer(name)).unwrap_or(0)
    }

    fn boolean(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_text).unwrap_or("")
    }

    /// Negative and `i64::MAX` are "no limit".
    fn limit(&self, name: &str) -> Option<u64> {
        let number = self.integer(name);
        if number == i64::MAX { None } else { u64::try_from(number).ok() }
    }

    fn local(&self, local: &str, total: Option<u64>) -> Option<u64> {
        match self.integer(local) {
            -2 => total,
            number => match (u64::try_from(number).ok(), total) {
                (Some(local), Some(total)) => Some(local.min(total)),
                (Some(local), None) => Some(local),
                (None, total) => total,
            },
        }
    }

    fn typed(&self, settings: &Settings) -> TopicConfig {
        let policies = self.0.get("cleanup.policy").and_then(Value::as_list).unwrap_or_default();
        let retention_ms = self.limit("retention.ms");
        let retention_bytes = self.limit("retention.bytes");
        TopicConfig {
            cleanup_compact: policies.iter().any(|policy| policy == "compact"),
            cleanup_delete: policies.iter().any(|policy| policy == "delete"),
            compression: self.compression(),
            delete_retention_ms: self.unsigned("delete.retention.ms"),
            file_delete_delay_ms: self.unsigned("file.delete.delay.ms"),
            flush_messages: self.unsigned("flush.messages").max(1),
            flush_ms: self.limit("flush.ms"),
            index_interval_bytes: self.bytes("index.interval.bytes"),
            local_retention_bytes: self.local("local.retention.bytes", retention_bytes),
            local_retention_ms: self.local("local.retention.ms", retention_ms),
            max_compaction_lag_ms: self.limit("max.compaction.lag.ms"),
            max_message_bytes: self.bytes("max.message.bytes"),
            message_timestamp_after_max_ms: self.unsigned("message.timestamp.after.max.ms"),
            message_timestamp_before_max_ms: self.unsigned("message.timestamp.before.max.ms"),
            message_timestamp_type: match self.text("message.timestamp.type") {
                "LogAppendTime" => MessageTimestampType::LogAppendTime,
                _ => MessageTimestampType::CreateTime,
            },
            min_cleanable_dirty_ratio: self
                .0
                .get("min.cleanable.dirty.ratio")
                .and_then(Value::as_double)
                .unwrap_or(0.5),
            min_compaction_lag_ms: self.unsigned("min.compaction.lag.ms"),
            min_insync_replicas: self.bytes("min.insync.replicas"),
            producer_id_expiration_ms: settings.unsigned("producer.id.expiration.ms").unwrap_or(u64::MAX),
            remote_log_copy_disable: self.boolean("remote.log.copy.disable"),
            remote_log_delete_on_disable: self.boolean("remote.log.delete.on.disable"),
            remote_storage_enable: self.boolean(REMOTE),
            retention_bytes,
            retention_ms,
            segment_bytes: self.bytes("segment.bytes"),
            segment_index_bytes: self.bytes("segment.index.bytes"),
            segment_jitter_ms: self.unsigned("segment.jitter.ms"),
            segment_ms: self.unsigned("segment.ms"),
            unclean_leader_election_enable: self.boolean("unclean.leader.election.enable"),
        }
    }

    fn compression(&self) -> CompressionType {
        let level = |name: &str| i32::try_from(self.integer(name)).unwrap_or(0);
        match self.text("compression.type") {
            "uncompressed" => CompressionType::Uncompressed,
            "gzip" => CompressionType::Gzip { level: level("compression.gzip.level") },
            "snappy" => CompressionType::Snappy,
            "lz4" => CompressionType::Lz4 { level: level("compression.lz4.level") },
            "zstd" => CompressionType::Zstd { level: level("compression.zstd.level") },
            _ => CompressionType::Producer,
        }
    }

    fn check_compaction_lag(&self) -> Result<(), ConfigError> {
        let (min, max) = (self.integer("min.compaction.lag.ms"), self.integer("max.compaction.lag.ms"));
        if min > max {
            let problem =
                format!("conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})");
            return Err(ConfigError::conflict(problem));
        }
        Ok(())
    }

    /// What holds for a topic with remote.storage.enable=true.
    /// `by_default`: it is so because this broker tiers what may be tiered.
    fn check_tiered(
        &self,
        config: &TopicConfig,
        overrides: &TopicOverrides,
        tier: bool,
        by_default: bool,
    ) -> Result<(), ConfigError> {
        if !tier {
            return Err(ConfigError::conflict(
                "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log \
                 storage: start the broker with stratalog.tier.url to have it",
            ));
        }
        if config.cleanup_compact && !(by_default && config.remote_log_copy_disable) {
            return Err(ConfigError::conflict(
                "Remote log storage only supports topics with cleanup.policy=delete or an empty one",
            ));
        }
        for (local, total) in [("local.retention.ms", "retention.ms"), ("local.retention.bytes", "retention.bytes")] {
            if overrides.contains_key(local) {
                self.check_local(local, total, config.remote_log_copy_disable)?;
            }
        }
        Ok(())
    }

    /// An explicit local retention may not outlive the total one; with copying off the two must be the same.
    fn check_local(&self, local: &str, total: &str, copy_disabled: bool) -> Result<(), ConfigError> {
        let (local_value, total_value) = (self.integer(local), self.integer(total));
        let refuse = |problem: String| Err(ConfigError::invalid(local, &local_value.to_string(), problem));
        if local_value == -2 {
            return Ok(());
        }
        if total_value >= 0 && local_value == -1 {
            return refuse(format!("Value must not be -1 as {total} value is set as {total_value}."));
        }
        if total_value >= 0 && local_value > total_value {
            return refuse(format!("Value must not be more than {total} property value: {total_value}"));
        }
        if copy_disabled && local_value != total_value {
            return refuse(format!(
                "with remote.log.copy.disable=true nothing more is tiered, so it must equal {total} ({total_value})"
            ));
        }
        Ok(())
    }
}
