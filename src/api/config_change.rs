//! Changes of configuration, as AlterConfigs and IncrementalAlterConfigs ask for them.
//!
//! Order of effects: the metadata (durable), then the running partitions. A crash between is healed by the next start,
//! which reads the metadata. Changes are made one at a time, so that two of one topic do not undo each other.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use stratalog_protocol::ErrorCode;

use super::alteration::{Change, Scope};
use super::config_resource::{BROKER, BROKER_LOGGER, GROUP, TOPIC, can_change, check_broker_id};
use super::node::Node;
use super::refusal::{Refusal, blocking};
use crate::config::{Settings, Stance, TopicConfig, catalog, check_group_configs, without_effect};
use crate::metadata::topic_name;

/// What is asked of one resource.
#[derive(Debug, Clone)]
pub struct Asked {
    pub resource_type: i8,
    pub name: String,
    pub change: Change,
}

/// Makes the changes, each by itself: one that is refused does not hold the others back.
pub async fn make(node: &Arc<Node>, asked: &[Asked], validate_only: bool) -> Vec<Result<(), Refusal>> {
    let mut seen = HashSet::new();
    let repeated: HashSet<(i8, &str)> = asked
        .iter()
        .map(|asked| (asked.resource_type, asked.name.as_str()))
        .filter(|resource| !seen.insert(*resource))
        .collect();
    let mut outcomes = Vec::new();
    for one in asked {
        let outcome = if repeated.contains(&(one.resource_type, one.name.as_str())) {
            Err(Refusal::new(ErrorCode::INVALID_REQUEST, "Each resource must appear at most once."))
        } else {
            let (node, one) = (node.clone(), one.clone());
            blocking(move || change(&node, &one, validate_only)).await
        };
        outcomes.push(outcome);
    }
    outcomes
}

fn change(node: &Node, asked: &Asked, validate_only: bool) -> Result<(), Refusal> {
    asked.change.check_keys()?;
    let _changing = node.lock_changes();
    match (asked.resource_type, &asked.change) {
        (TOPIC, _) => change_topic(node, asked, validate_only),
        (BROKER, _) => change_broker(node, asked, validate_only),
        (BROKER_LOGGER, Change::Alter(_)) => refuse_logger(node, asked),
        (GROUP, _) => change_group(node, asked, validate_only),
        // Client metrics are configured when telemetry is served.
        (other, _) => Err(Refusal::new(ErrorCode::INVALID_REQUEST, format!("Unknown resource type {other}"))),
    }
}

fn change_topic(node: &Node, asked: &Asked, validate_only: bool) -> Result<(), Refusal> {
    let (image, settings) = (node.image(), node.settings());
    let topic = image.topic(&asked.name);
    let none = BTreeMap::new();
    let before = topic.map_or(&none, |topic| &topic.configs);
    let after = asked.change.apply(before, Scope::Topic, &settings)?;
    if asked.name.is_empty() {
        return Err(Refusal::new(ErrorCode::INVALID_REQUEST, "Default topic resources are not allowed."));
    }
    topic_name::validate(&asked.name)
        .map_err(|illegal| Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, illegal.to_string()))?;
    let Some(topic) = topic else {
        let problem = format!("The topic '{}' does not exist.", asked.name);
        return Err(Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, problem));
    };
    let after = TopicConfig::altered_overrides(&settings, before, after);
    TopicConfig::validate(&settings, before, &after, node.config.tier.is_some())
        .map_err(|error| Refusal::invalid_config(&error))?;
    if !validate_only {
        let topic = node.metadata.set_topic_configs(topic.id, after)?;
        node.partitions.update_config(&topic, &settings);
        tracing::info!(topic = %topic.name, "topic configuration changed");
        for line in without_effect(&topic.configs) {
            tracing::info!(topic = %topic.name, "{line}");
        }
    }
    Ok(())
}

/// A group need not be there to be configured.
fn change_group(node: &Node, asked: &Asked, validate_only: bool) -> Result<(), Refusal> {
    let (image, settings) = (node.image(), node.settings());
    let none = BTreeMap::new();
    let before = image.group_configs.get(&asked.name).unwrap_or(&none);
    let after = asked.change.apply(before, Scope::Group, &settings)?;
    if asked.name.is_empty() {
        return Err(Refusal::new(ErrorCode::INVALID_REQUEST, "Default group resources are not allowed."));
    }
    check_group_configs(&settings, &after).map_err(|error| Refusal::invalid_config(&error))?;
    if !validate_only {
        node.metadata.set_group_configs(&asked.name, after)?;
        node.refresh_groups();
        tracing::info!(group = asked.name, "group configuration changed");
    }
    Ok(())
}

/// An empty name is the default of all brokers.
fn change_broker(node: &Node, asked: &Asked, validate_only: bool) -> Result<(), Refusal> {
    let settings = node.settings();
    let of_all = asked.name.is_empty();
    let image = node.image();
    let default = image.broker_configs.clone();
    let own = image.node_configs.get(&node.node_id()).cloned().unwrap_or_default();
    if !of_all {
        let expected = format!("Unexpected broker id, expected {}, but", node.node_id());
        check_broker_id(&asked.name, node.node_id(), "Node", &expected)?;
    }
    let before = if of_all { &default } else { &own };
    let after = asked.change.apply(before, Scope::Broker, &settings)?;
    check_broker_keys(&after)?;
    let changed = if of_all { layered(&settings, &own, &after)? } else { layered(&settings, &after, &default)? };
    if validate_only {
        return Ok(());
    }
    if of_all {
        node.metadata.set_broker_configs(after)?;
    } else {
        node.metadata.set_node_configs(node.node_id(), after)?;
    }
    node.replace_settings(changed);
    let settings = node.settings();
    image.topics().for_each(|topic| node.partitions.update_config(topic, &settings));
    tracing::info!(broker = asked.name, "dynamic broker configuration changed");
    Ok(())
}

/// Only what a running broker can take over is stored.
fn check_broker_keys(configs: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let mut fixed = Vec::new();
    for (name, text) in configs {
        let Some(key) = catalog::broker_key(name) else {
            return Err(Refusal::new(ErrorCode::INVALID_CONFIG, format!("Unknown config name: {name}")));
        };
        if let Stance::Refused(why) = key.stance
            && !key.is_default(text)
        {
            return Err(Refusal::new(ErrorCode::INVALID_REQUEST, format!("{name} is refused: {why}")));
        }
        if !can_change(key) {
            fixed.push(name.as_str());
        }
    }
    if fixed.is_empty() {
        return Ok(());
    }
    let problem = format!("Cannot update these configs dynamically: [{}]", fixed.join(", "));
    Err(Refusal::new(ErrorCode::INVALID_REQUEST, problem))
}

/// The settings with these dynamic layers, if they hold together.
fn layered(
    settings: &Settings,
    own: &BTreeMap<String, String>,
    default: &BTreeMap<String, String>,
) -> Result<Settings, Refusal> {
    let invalid = |error: crate::config::ConfigError| Refusal::new(ErrorCode::INVALID_REQUEST, error.to_string());
    let mut changed = settings.clone();
    changed.set_dynamic(own, default).map_err(invalid)?;
    // What topics inherit has to make sense for a topic that sets nothing itself.
    TopicConfig::validate(&changed, &BTreeMap::new(), &BTreeMap::new(), true).map_err(invalid)?;
    Ok(changed)
}

/// Loggers are set by one filter (`stratalog.log.filter`): none can be named here.
fn refuse_logger(node: &Node, asked: &Asked) -> Result<(), Refusal> {
    let expected = format!("Unexpected node id. Expected {}, but", node.node_id());
    check_broker_id(&asked.name, node.node_id(), "Node", &expected)?;
    match asked.change.names().next() {
        Some(logger) => Err(Refusal::new(ErrorCode::INVALID_CONFIG, format!("Logger {logger} does not exist!"))),
        None => Ok(()),
    }
}
