//! The keys that coordinators of groups obey.

use std::collections::{BTreeMap, HashMap};

use stratalog_coordinator::machine::{GroupConfig, GroupOverrides, MigrationPolicy};

use crate::config::Settings;

/// What holds now: the broker's keys, and those of single groups.
pub fn group_config(settings: &Settings, groups: &BTreeMap<String, BTreeMap<String, String>>) -> GroupConfig {
    let defaults = GroupConfig::default();
    let int = |name: &str, default: i32| {
        settings.integer(name).and_then(|number| i32::try_from(number).ok()).unwrap_or(default)
    };
    let protocols = settings.list("group.coordinator.rebalance.protocols");
    let assignors = settings.list("group.consumer.assignors");
    let minutes = settings.integer("offsets.retention.minutes").unwrap_or(7 * 24 * 60);
    GroupConfig {
        classic_enabled: protocols.iter().any(|name| name == "classic"),
        consumer_enabled: protocols.iter().any(|name| name == "consumer"),
        min_session_timeout_ms: int("group.min.session.timeout.ms", defaults.min_session_timeout_ms),
        max_session_timeout_ms: int("group.max.session.timeout.ms", defaults.max_session_timeout_ms),
        initial_rebalance_delay_ms: int("group.initial.rebalance.delay.ms", defaults.initial_rebalance_delay_ms),
        max_size: int("group.max.size", defaults.max_size),
        consumer_session_timeout_ms: int("group.consumer.session.timeout.ms", defaults.consumer_session_timeout_ms),
        consumer_min_session_timeout_ms: int(
            "group.consumer.min.session.timeout.ms",
            defaults.consumer_min_session_timeout_ms,
        ),
        consumer_max_session_timeout_ms: int(
            "group.consumer.max.session.timeout.ms",
            defaults.consumer_max_session_timeout_ms,
        ),
        consumer_heartbeat_interval_ms: int(
            "group.consumer.heartbeat.interval.ms",
            defaults.consumer_heartbeat_interval_ms,
        ),
        consumer_min_heartbeat_interval_ms: int(
            "group.consumer.min.heartbeat.interval.ms",
            defaults.consumer_min_heartbeat_interval_ms,
        ),
        consumer_max_heartbeat_interval_ms: int(
            "group.consumer.max.heartbeat.interval.ms",
            defaults.consumer_max_heartbeat_interval_ms,
        ),
        consumer_assignment_interval_ms: int(
            "group.consumer.assignment.interval.ms",
            defaults.consumer_assignment_interval_ms,
        ),
        consumer_min_assignment_interval_ms: int(
            "group.consumer.min.assignment.interval.ms",
            defaults.consumer_min_assignment_interval_ms,
        ),
        consumer_max_assignment_interval_ms: int(
            "group.consumer.max.assignment.interval.ms",
            defaults.consumer_max_assignment_interval_ms,
        ),
        consumer_regex_refresh_interval_ms: int(
            "group.consumer.regex.refresh.interval.ms",
            defaults.consumer_regex_refresh_interval_ms,
        ),
        consumer_max_size: int("group.consumer.max.size", defaults.consumer_max_size),
        consumer_assignors: if assignors.is_empty() { defaults.consumer_assignors } else { assignors },
        migration_policy: match settings.text("group.consumer.migration.policy").unwrap_or_default() {
            policy if policy.eq_ignore_ascii_case("disabled") => MigrationPolicy::Disabled,
            policy if policy.eq_ignore_ascii_case("upgrade") => MigrationPolicy::Upgrade,
            policy if policy.eq_ignore_ascii_case("downgrade") => MigrationPolicy::Downgrade,
            _ => MigrationPolicy::Bidirectional,
        },
        offset_metadata_max_bytes: settings
            .unsigned("offset.metadata.max.bytes")
            .map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        offsets_retention_ms: minutes.saturating_mul(60_000),
        offsets_retention_check_interval_ms: settings
            .integer("offsets.retention.check.interval.ms")
            .unwrap_or(defaults.offsets_retention_check_interval_ms),
        overrides: groups.iter().map(|(group, keys)| (group.clone(), overrides(keys))).collect::<HashMap<_, _>>(),
    }
}

fn overrides(keys: &BTreeMap<String, String>) -> GroupOverrides {
    let int = |name: &str| keys.get(name).and_then(|text| text.trim().parse().ok());
    GroupOverrides {
        session_timeout_ms: int("consumer.session.timeout.ms"),
        heartbeat_interval_ms: int("consumer.heartbeat.interval.ms"),
        assignment_interval_ms: int("consumer.assignment.interval.ms"),
    }
}
