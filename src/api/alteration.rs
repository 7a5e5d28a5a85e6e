//! What a configuration becomes by a change: pure, the same for topics, brokers and groups but for Kafka's wording.

use std::collections::{BTreeMap, HashSet};

use stratalog_protocol::ErrorCode;

use super::refusal::Refusal;
use crate::config::{Key, Kind, Settings, Value, catalog, describe};

/// What is asked of the configs of one resource.
#[derive(Debug, Clone)]
pub enum Change {
    /// These and no others (AlterConfigs).
    Replace(Vec<(String, Option<String>)>),
    /// One by one (IncrementalAlterConfigs).
    Alter(Vec<Alteration>),
}

#[derive(Debug, Clone)]
pub struct Alteration {
    pub name: String,
    /// As on the wire: any number.
    pub operation: i8,
    pub value: Option<String>,
}

/// Whose configs they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Topic,
    Broker,
    Group,
}

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

impl Change {
    /// The keys that are named, in the order of the request.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let (replaced, altered) = match self {
            Change::Replace(configs) => (configs.as_slice(), &[][..]),
            Change::Alter(alterations) => (&[][..], alterations.as_slice()),
        };
        let replaced = replaced.iter().map(|(name, _)| name.as_str());
        replaced.chain(altered.iter().map(|alteration| alteration.name.as_str()))
    }

    /// No key twice, and a value where one is needed.
    pub fn check_keys(&self) -> Result<(), Refusal> {
        let mut seen = HashSet::new();
        if !self.names().all(|name| seen.insert(name)) {
            return Err(Refusal::new(ErrorCode::INVALID_REQUEST, "Error due to duplicate config keys"));
        }
        let missing: Vec<&str> = match self {
            Change::Replace(configs) => {
                configs.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name.as_str()).collect()
            }
            Change::Alter(alterations) => alterations
                .iter()
                .filter(|alteration| alteration.operation != DELETE && alteration.value.is_none())
                .map(|alteration| alteration.name.as_str())
                .collect(),
        };
        if missing.is_empty() {
            return Ok(());
        }
        let problem = format!("Null value not supported for : {}", missing.join(", "));
        Err(Refusal::new(ErrorCode::INVALID_REQUEST, problem))
    }

    /// `before` with the change. Names are checked as far as the change needs them, values are not.
    pub fn apply(
        &self,
        before: &BTreeMap<String, String>,
        scope: Scope,
        settings: &Settings,
    ) -> Result<BTreeMap<String, String>, Refusal> {
        let mut after = BTreeMap::new();
        match self {
            Change::Replace(configs) => {
                for (name, value) in configs {
                    scope.known(name)?;
                    after.insert(name.clone(), value.clone().unwrap_or_default());
                }
            }
            Change::Alter(alterations) => {
                after.clone_from(before);
                for alteration in alterations {
                    alteration.apply(&mut after, scope, settings)?;
                }
            }
        }
        Ok(after)
    }
}

impl Alteration {
    fn apply(&self, configs: &mut BTreeMap<String, String>, scope: Scope, settings: &Settings) -> Result<(), Refusal> {
        let value = self.value.as_deref().unwrap_or_default();
        match self.operation {
            SET => {
                scope.known(&self.name)?;
                configs.insert(self.name.clone(), value.to_owned());
            }
            // What is not set, or not known, is as deleted as can be.
            DELETE => drop(configs.remove(&self.name)),
            APPEND | SUBTRACT => {
                let key = scope.known(&self.name)?;
                if key.kind != Kind::List {
                    return Err(scope.no_list(&self.name, self.operation));
                }
                let held = match configs.get(&self.name) {
                    Some(text) => elements(text),
                    None => elements(&scope.inherited(key, settings)),
                };
                configs.insert(self.name.clone(), edited(held, elements(value), self.operation).join(","));
            }
            other => {
                return Err(Refusal::new(ErrorCode::INVALID_REQUEST, format!("Unknown operations type {other}")));
            }
        }
        Ok(())
    }
}

/// A list as Kafka splits it.
fn elements(text: &str) -> Vec<String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

fn edited(mut held: Vec<String>, given: Vec<String>, operation: i8) -> Vec<String> {
    for element in given {
        match operation {
            APPEND if held.contains(&element) => {}
            APPEND => held.push(element),
            _ => held.retain(|held| *held != element),
        }
    }
    held
}

impl Scope {
    fn known(self, name: &str) -> Result<&'static Key, Refusal> {
        let (key, what) = match self {
            Scope::Topic => (catalog::topic_key(name), "Unknown topic config name"),
            Scope::Broker => (catalog::broker_key(name), "Unknown config name"),
            Scope::Group => (catalog::group_key(name), "Unknown group config name"),
        };
        key.ok_or_else(|| Refusal::new(ErrorCode::INVALID_CONFIG, format!("{what}: {name}")))
    }

    fn no_list(self, name: &str, operation: i8) -> Refusal {
        let (topics_word, brokers_word) =
            if operation == APPEND { ("APPEND", "append") } else { ("SUBTRACT", "subtract") };
        let problem = match self {
            Scope::Topic => format!("Can't {topics_word} to key {name} because its type is not LIST."),
            Scope::Broker | Scope::Group => {
                format!("Config value {brokers_word} is not allowed for config key: {name}")
            }
        };
        Refusal::new(ErrorCode::INVALID_CONFIG, problem)
    }

    /// The value that holds where nothing is set here: what an APPEND begins with.
    fn inherited(self, key: &'static Key, settings: &Settings) -> String {
        let value = match self {
            Scope::Topic => describe::describe_topic(settings, &BTreeMap::new())
                .into_iter()
                .find(|config| config.name == key.name)
                .and_then(|config| config.value),
            Scope::Broker => settings.value(key.name).as_ref().map(Value::to_string),
            Scope::Group => key.default.map(str::to_owned),
        };
        value.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
