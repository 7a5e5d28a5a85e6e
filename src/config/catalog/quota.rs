//! Broker keys of quotas.

use crate::config::key::Stance::{Pending, Refused};
use crate::config::key::{Key, Valid};

pub const KEYS: &[Key] = keys! {
    "alter.log.dirs.replication.quota.window.num" Int = Some("11"), Valid::AtLeast(1), fixed, Pending("quotas"),
        "Windows of the quota on moves between directories.";
    "alter.log.dirs.replication.quota.window.size.seconds" Int = Some("1"), Valid::AtLeast(1), fixed, Pending("quotas"),
        "Length of one window of the quota on moves between directories.";
    "client.quota.callback.class" Class = None,
        Valid::Any, fixed, Refused("quotas that are not enforced would let clients starve each other"),
        "Java class that decides quotas.";
    "controller.quota.window.num" Int = Some("11"), Valid::AtLeast(1), fixed, Pending("quotas"),
        "Windows of the quota on changes of metadata.";
    "controller.quota.window.size.seconds" Int = Some("1"), Valid::AtLeast(1), fixed, Pending("quotas"),
        "Length of one window of the quota on changes of metadata.";
    "quota.window.num" Int = Some("11"), Valid::AtLeast(1), fixed, Pending("quotas"),
        "Windows of client quotas.";
    "quota.window.size.seconds" Int = Some("1"), Valid::AtLeast(1), fixed, Pending("quotas"),
        "Length of one window of client quotas.";
    "replication.quota.window.num" Int = Some("11"), Valid::AtLeast(1), fixed, Pending("quotas"),
        "Windows of the replication quota.";
    "replication.quota.window.size.seconds" Int = Some("1"), Valid::AtLeast(1), fixed, Pending("quotas"),
        "Length of one window of the replication quota.";
};
