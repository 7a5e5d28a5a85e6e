//! The keys that hold for one group: its own where it has them, within the broker's bounds, else the broker's.

use super::member::Member;
use crate::machine::GroupConfig;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    pub session_timeout_ms: i32,
    pub heartbeat_interval_ms: i32,
    pub assignment_interval_ms: i32,
}

impl Settings {
    pub fn of(group_id: &str, config: &GroupConfig) -> Settings {
        let own = config.overrides.get(group_id).copied().unwrap_or_default();
        let bounded = |own: Option<i32>, min: i32, max: i32, default: i32| {
            own.map_or(default, |own| own.max(min).min(max.max(min)))
        };
        Settings {
            session_timeout_ms: bounded(
                own.session_timeout_ms,
                config.consumer_min_session_timeout_ms,
                config.consumer_max_session_timeout_ms,
                config.consumer_session_timeout_ms,
            ),
            heartbeat_interval_ms: bounded(
                own.heartbeat_interval_ms,
                config.consumer_min_heartbeat_interval_ms,
                config.consumer_max_heartbeat_interval_ms,
                config.consumer_heartbeat_interval_ms,
            ),
            assignment_interval_ms: bounded(
                own.assignment_interval_ms,
                config.consumer_min_assignment_interval_ms,
                config.consumer_max_assignment_interval_ms,
                config.consumer_assignment_interval_ms,
            ),
        }
    }

    /// A classic member brought its own session timeout.
    pub fn session_timeout_ms_of(self, member: &Member) -> i32 {
        member.classic.as_ref().map_or(self.session_timeout_ms, |classic| classic.session_timeout_ms)
    }
}
