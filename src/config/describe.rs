//! What DescribeConfigs tells: every key with the value that holds, its source, and every layer that has a say.

use super::key::{Key, Kind};
use super::settings::{Settings, Source};
use super::topic::{self, TopicOverrides};
use super::{catalog, group};

/// One row of a DescribeConfigs answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedConfig {
    pub name: &'static str,
    /// `None` for null and for what is sensitive.
    pub value: Option<String>,
    pub kind: Kind,
    pub read_only: bool,
    pub source: Source,
    pub is_sensitive: bool,
    /// The strongest first.
    pub synonyms: Vec<DescribedSynonym>,
    pub documentation: &'static str,
}

impl DescribedConfig {
    /// DescribeConfigs v0 knows only this.
    pub fn is_default(&self) -> bool {
        self.source == Source::Default
    }
}

/// One layer that says something about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedSynonym {
    pub name: &'static str,
    pub value: Option<String>,
    pub source: Source,
}

/// The keys of the broker, ours included.
pub fn describe_broker(settings: &Settings) -> Vec<DescribedConfig> {
    let mut described: Vec<DescribedConfig> =
        catalog::broker_keys().map(|key| describe_broker_key(settings, key)).collect();
    described.sort_by_key(|config| config.name);
    described
}

/// What was set while running for every broker: the entity with an empty name.
pub fn describe_broker_defaults(settings: &Settings) -> Vec<DescribedConfig> {
    let dynamic = |config: &DescribedConfig| {
        config
            .synonyms
            .iter()
            .any(|synonym| synonym.name == config.name && synonym.source == Source::DynamicDefaultBroker)
    };
    describe_broker(settings)
        .into_iter()
        .filter(dynamic)
        .map(|mut config| {
            config.synonyms.retain(|synonym| synonym.source == Source::DynamicDefaultBroker);
            config.value = config.synonyms.first().and_then(|synonym| synonym.value.clone());
            config.source = Source::DynamicDefaultBroker;
            config
        })
        .collect()
}

fn describe_broker_key(settings: &Settings, key: &'static Key) -> DescribedConfig {
    let value = settings.text(key.name).map(|text| canonical(key, text));
    let source = settings.layers(key.name).next().map_or(Source::Default, |(_, source)| source);
    described(key, value, source, !key.dynamic, broker_layers(settings, &catalog::broker_synonyms(key.name)))
}

/// The keys of a topic that sets `overrides`.
pub fn describe_topic(settings: &Settings, overrides: &TopicOverrides) -> Vec<DescribedConfig> {
    let mut described: Vec<DescribedConfig> = Vec::with_capacity(catalog::TOPIC.len());
    for key in catalog::TOPIC {
        let mut synonyms = Vec::new();
        if let Some(text) = overrides.get(key.name) {
            let value = (!key.is_sensitive()).then(|| canonical(key, text));
            synonyms.push(DescribedSynonym { name: key.name, value, source: Source::Topic });
        }
        let names: Vec<&'static str> = catalog::topic_synonyms(key.name).iter().map(|synonym| synonym.name).collect();
        synonyms.extend(broker_layers(settings, &names));
        let (value, source) = match overrides.get(key.name) {
            Some(text) => (Some(canonical(key, text)), Source::Topic),
            None => inherited(settings, key),
        };
        described.push(self::described(key, value, source, false, synonyms));
    }
    described
}

/// The keys of a group that sets `overrides`; what it does not set follows the broker.
pub fn describe_group(settings: &Settings, overrides: &TopicOverrides) -> Vec<DescribedConfig> {
    let describe = |key: &'static Key| {
        let (value, source) = match overrides.get(key.name) {
            Some(text) => (Some(canonical(key, text)), Source::Group),
            None => {
                let inherited = group::broker_key(key.name).and_then(|name| settings.text(name));
                (inherited.or(key.default).map(str::to_owned), Source::Default)
            }
        };
        let synonym = DescribedSynonym { name: key.name, value: value.clone(), source };
        described(key, value, source, false, vec![synonym])
    };
    catalog::GROUP.iter().map(describe).collect()
}

fn inherited(settings: &Settings, key: &'static Key) -> (Option<String>, Source) {
    match topic::broker_default(settings, key.name) {
        Ok(Some((value, from))) => {
            let source =
                from.and_then(|name| settings.layers(name).next()).map_or(Source::Default, |(_, source)| source);
            (Some(value.to_string()), source)
        }
        _ => (None, Source::Default),
    }
}

/// Every layer of `names`, name by name.
fn broker_layers(settings: &Settings, names: &[&'static str]) -> Vec<DescribedSynonym> {
    let mut synonyms = Vec::new();
    for name in names {
        let sensitive = catalog::broker_key(name).is_none_or(Key::is_sensitive);
        for (text, source) in settings.layers(name) {
            synonyms.push(DescribedSynonym { name, value: (!sensitive).then(|| text.to_owned()), source });
        }
    }
    synonyms
}

fn described(
    key: &'static Key,
    value: Option<String>,
    source: Source,
    read_only: bool,
    synonyms: Vec<DescribedSynonym>,
) -> DescribedConfig {
    DescribedConfig {
        name: key.name,
        value: value.filter(|_| !key.is_sensitive()),
        kind: key.kind,
        read_only,
        source,
        is_sensitive: key.is_sensitive(),
        synonyms,
        documentation: key.doc,
    }
}

/// The text as Kafka prints the parsed value.
fn canonical(key: &Key, text: &str) -> String {
    key.parse(text).map_or_else(|_| text.to_owned(), |value| value.to_string())
}
