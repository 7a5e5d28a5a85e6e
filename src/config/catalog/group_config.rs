//! Keys of a group.

use crate::config::key::Stance::{Honoured, Pending};
use crate::config::key::{Key, Valid};

pub const KEYS: &[Key] = keys! {
    "consumer.assignment.interval.ms" Int = Some("1000"), Valid::AtLeast(0), dynamic, Honoured,
        "Shortest time between two assignments of this consumer group.";
    "consumer.heartbeat.interval.ms" Int = Some("5000"), Valid::AtLeast(1), dynamic, Honoured,
        "Heartbeat interval given to this group's members.";
    "consumer.session.timeout.ms" Int = Some("45000"), Valid::AtLeast(1), dynamic, Honoured,
        "Silence after which a member of this group is removed.";
    "share.assignment.interval.ms" Int = Some("1000"), Valid::AtLeast(0), dynamic, Pending("share groups"),
        "Shortest time between two assignments of this share group.";
    "share.auto.offset.reset" String = Some("latest"), Valid::ShareOffsetReset, dynamic, Pending("share groups"),
        "Where this share group begins on a new partition.";
    "share.delivery.count.limit" Int = Some("5"), Valid::AtLeast(2), dynamic, Pending("share groups"),
        "Deliveries of a record before it is given up.";
    "share.heartbeat.interval.ms" Int = Some("5000"), Valid::AtLeast(1), dynamic, Pending("share groups"),
        "Heartbeat interval given to this group's members.";
    "share.isolation.level" String = Some("read_uncommitted"),
        Valid::OneOf(&["read_committed", "read_uncommitted"]), dynamic, Pending("share groups"),
        "Whether this share group sees records of open or aborted transactions.";
    "share.partition.max.record.locks" Int = Some("2000"), Valid::AtLeast(100), dynamic, Pending("share groups"),
        "Records of a partition that may be locked at a time.";
    "share.record.lock.duration.ms" Int = Some("30000"), Valid::AtLeast(1_000), dynamic, Pending("share groups"),
        "How long a record stays locked for the member that fetched it.";
    "share.renew.acknowledge.enable" Boolean = Some("true"), Valid::Any, dynamic, Pending("share groups"),
        "Whether members may renew the lock of a record.";
    "share.session.timeout.ms" Int = Some("45000"), Valid::AtLeast(1), dynamic, Pending("share groups"),
        "Silence after which a member of this group is removed.";
    "streams.assignment.interval.ms" Int = Some("1000"), Valid::AtLeast(0), dynamic, Pending("streams groups"),
        "Shortest time between two assignments of this streams group.";
    "streams.heartbeat.interval.ms" Int = Some("5000"), Valid::AtLeast(1), dynamic, Pending("streams groups"),
        "Heartbeat interval given to this group's members.";
    "streams.initial.rebalance.delay.ms" Int = Some("3000"), Valid::AtLeast(0), dynamic, Pending("streams groups"),
        "Wait of this group, when empty, for more members.";
    "streams.num.standby.replicas" Int = Some("0"), Valid::AtLeast(0), dynamic, Pending("streams groups"),
        "Standby copies of each task's state.";
    "streams.session.timeout.ms" Int = Some("45000"), Valid::AtLeast(1), dynamic, Pending("streams groups"),
        "Silence after which a member of this group is removed.";
};
