//! The broker's keys with the values that hold, and where each came from.
//!
//! Owns the layers: what was set while running for this broker, then for all brokers, then what was given at start, then
//! the defaults of the mode, then those of the catalog. Every text in here has been parsed once, so that reading a key
//! by its right type cannot fail.

use std::collections::BTreeMap;
use std::fmt;

use super::catalog;
use super::error::ConfigError;
use super::key::Key;
use super::value::Value;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    File { path: String, line: usize },
    Variable(String),
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line } => write!(f, "{path} line {line}"),
            Origin::Variable(name) => write!(f, "environment variable {name}"),
            Origin::Flag => f.write_str("the command line"),
        }
    }
}

/// Which defaults hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// No file and no `KAFKA_*`: loopback, a directory beside you, history settling into files.
    Bare,
    /// Kafka's defaults, durability apart.
    Kafka,
}

/// DescribeConfigs' `config_source`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Topic = 1,
    DynamicBroker = 2,
    DynamicDefaultBroker = 3,
    StaticBroker = 4,
    Default = 5,
    Group = 8,
}

/// The defaults of the bare mode that differ from Kafka's.
const BARE_DEFAULTS: &[(&str, &str)] = &[
    ("group.initial.rebalance.delay.ms", "0"),
    ("listeners", "PLAINTEXT://127.0.0.1:9092"),
    ("log.dirs", "./stratalog-data"),
    ("log.local.retention.ms", "86400000"),
    ("log.roll.ms", "3600000"),
    ("log.segment.bytes", "67108864"),
    ("offsets.topic.replication.factor", "1"),
    ("remote.log.storage.system.enable", "true"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("stratalog.tier.default.enable", "true"),
    ("stratalog.tier.url", "embedded"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.replication.factor", "1"),
];

/// The layers of a broker's configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    mode: Mode,
    given: BTreeMap<&'static str, (String, Origin)>,
    dynamic_broker: BTreeMap<&'static str, String>,
    dynamic_default: BTreeMap<&'static str, String>,
}

impl Settings {
    /// Nothing set: the defaults of `mode`.
    pub fn defaults(mode: Mode) -> Settings {
        Settings { mode, given: BTreeMap::new(), dynamic_broker: BTreeMap::new(), dynamic_default: BTreeMap::new() }
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Sets `key` as the start's sources do. A later call wins.
    pub(super) fn give(&mut self, key: &'static Key, text: &str, origin: Origin) -> Result<(), ConfigError> {
        key.parse(text)?;
        self.given.insert(key.name, (text.trim().to_owned(), origin));
        Ok(())
    }

    /// Replaces what was set while running, for this broker and for all; called at load and after each change.
    pub fn set_dynamic(
        &mut self,
        broker: &BTreeMap<String, String>,
        default: &BTreeMap<String, String>,
    ) -> Result<(), ConfigError> {
        let checked = |layer: &BTreeMap<String, String>| {
            let mut kept = BTreeMap::new();
            for (name, text) in layer {
                let key = catalog::broker_key(name)
                    .filter(|key| key.dynamic)
                    .ok_or_else(|| ConfigError::conflict(format!("Cannot update these configs dynamically: {name}")))?;
                key.parse(text)?;
                kept.insert(key.name, text.trim().to_owned());
            }
            Ok(kept)
        };
        let (broker, default) = (checked(broker)?, checked(default)?);
        self.dynamic_broker = broker;
        self.dynamic_default = default;
        Ok(())
    }

    /// Whether somebody set `name`, at start or while running.
    pub fn is_set(&self, name: &str) -> bool {
        self.layers(name).any(|(_, source)| source != Source::Default)
    }

    /// Where `name` was written at start.
    pub fn origin(&self, name: &str) -> Option<&Origin> {
        self.given.get(name).map(|(_, origin)| origin)
    }

    /// The text that holds for `name` and its source, the strongest layer's.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.layers(name).next().map(|(text, _)| text)
    }

    pub fn value(&self, name: &str) -> Option<Value> {
        self.text(name).and_then(|text| catalog::broker_key(name)?.parse(text).ok())
    }

    pub fn boolean(&self, name: &str) -> Option<bool> {
        self.value(name)?.as_bool()
    }

    pub fn integer(&self, name: &str) -> Option<i64> {
        self.value(name)?.as_integer()
    }

    /// A number that is negative counts as unset.
    pub fn unsigned(&self, name: &str) -> Option<u64> {
        u64::try_from(self.integer(name)?).ok()
    }

    pub fn double(&self, name: &str) -> Option<f64> {
        self.value(name)?.as_double()
    }

    /// A text that is empty counts as unset.
    pub fn string(&self, name: &str) -> Option<String> {
        self.value(name)?.as_text().filter(|text| !text.is_empty()).map(str::to_owned)
    }

    pub fn list(&self, name: &str) -> Vec<String> {
        self.value(name).and_then(|value| value.as_list().map(<[String]>::to_vec)).unwrap_or_default()
    }

    /// The text of every layer that sets `name`, the strongest first.
    pub fn layers<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a str, Source)> + use<'a> {
        let bare = (self.mode == Mode::Bare)
            .then(|| BARE_DEFAULTS.iter().find(|(bare, _)| *bare == name).map(|(_, text)| *text))
            .flatten();
        let default = bare.or_else(|| catalog::broker_key(name).and_then(|key| key.default));
        [
            self.dynamic_broker.get(name).map(|text| (text.as_str(), Source::DynamicBroker)),
            self.dynamic_default.get(name).map(|text| (text.as_str(), Source::DynamicDefaultBroker)),
            self.given.get(name).map(|(text, _)| (text.as_str(), Source::StaticBroker)),
            default.map(|text| (text, Source::Default)),
        ]
        .into_iter()
        .flatten()
    }

    /// Keys given at start, with their origins.
    pub fn given(&self) -> impl Iterator<Item = (&'static str, &str, &Origin)> {
        self.given.iter().map(|(name, (text, origin))| (*name, text.as_str(), origin))
    }
}
