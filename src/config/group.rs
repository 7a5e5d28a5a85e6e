//! Configs of one group: bounds that the broker's keys set.

use std::collections::BTreeMap;

use super::catalog;
use super::error::ConfigError;
use super::settings::Settings;

/// A key of a group, and the broker's keys of its default, its least and its largest value.
struct Bounded {
    key: &'static str,
    default: &'static str,
    min: &'static str,
    max: &'static str,
    /// Kafka does not hold a default against bounds here.
    only_if_set: bool,
}

const SESSION_TIMEOUT: &str = "consumer.session.timeout.ms";
const HEARTBEAT_INTERVAL: &str = "consumer.heartbeat.interval.ms";

const BOUNDED: &[Bounded] = &[
    Bounded {
        key: HEARTBEAT_INTERVAL,
        default: "group.consumer.heartbeat.interval.ms",
        min: "group.consumer.min.heartbeat.interval.ms",
        max: "group.consumer.max.heartbeat.interval.ms",
        only_if_set: false,
    },
    Bounded {
        key: SESSION_TIMEOUT,
        default: "group.consumer.session.timeout.ms",
        min: "group.consumer.min.session.timeout.ms",
        max: "group.consumer.max.session.timeout.ms",
        only_if_set: false,
    },
    Bounded {
        key: "consumer.assignment.interval.ms",
        default: "group.consumer.assignment.interval.ms",
        min: "group.consumer.min.assignment.interval.ms",
        max: "group.consumer.max.assignment.interval.ms",
        only_if_set: true,
    },
];

/// The broker's key that a group's key falls back to.
pub(super) fn broker_key(key: &str) -> Option<&'static str> {
    BOUNDED.iter().find(|bounded| bounded.key == key).map(|bounded| bounded.default)
}

/// Whether a group may have these configs, in Kafka's words where it may not.
pub fn check_group_configs(settings: &Settings, configs: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    let mut values = BTreeMap::new();
    for (name, text) in configs {
        let key = catalog::group_key(name)
            .ok_or_else(|| ConfigError::conflict(format!("Unknown group config name: {name}")))?;
        if let Some(value) = key.parse(text)?.as_integer() {
            values.insert(key.name, value);
        }
    }
    let of = |bounded: &Bounded| values.get(bounded.key).copied().or_else(|| settings.integer(bounded.default));
    for bounded in BOUNDED {
        if bounded.only_if_set && !values.contains_key(bounded.key) {
            continue;
        }
        let Some(value) = of(bounded) else { continue };
        if settings.integer(bounded.min).is_some_and(|min| value < min) {
            let problem = format!("{} must be greater than or equal to {}", bounded.key, bounded.min);
            return Err(ConfigError::conflict(problem));
        }
        if settings.integer(bounded.max).is_some_and(|max| value > max) {
            let problem = format!("{} must be less than or equal to {}", bounded.key, bounded.max);
            return Err(ConfigError::conflict(problem));
        }
    }
    let [heartbeat, session, ..] = BOUNDED else { return Ok(()) };
    match (of(session), of(heartbeat)) {
        (Some(timeout), Some(interval)) if timeout <= interval => {
            Err(ConfigError::conflict(format!("{SESSION_TIMEOUT} must be greater than {HEARTBEAT_INTERVAL}")))
        }
        _ => Ok(()),
    }
}
