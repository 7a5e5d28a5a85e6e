//! Broker keys of the group and share coordinators.

use crate::config::key::Stance::{Honoured, NoEffect, Pending};
use crate::config::key::{Key, Valid};

pub const KEYS: &[Key] = keys! {
    "group.consumer.assignment.interval.ms" Int = Some("1000"), Valid::AtLeast(0), dynamic, Honoured,
        "Shortest time between two assignments of a consumer group.";
    "group.consumer.assignors" List = Some("uniform,range"), Valid::Any, fixed, Honoured,
        "Server-side assignors that consumer groups may choose, the default first.";
    "group.consumer.heartbeat.interval.ms" Int = Some("5000"), Valid::AtLeast(1), fixed, Honoured,
        "Heartbeat interval given to members of consumer groups.";
    "group.consumer.max.assignment.interval.ms" Int = Some("15000"),
        Valid::AtLeast(0), fixed, Honoured,
        "Largest consumer.assignment.interval.ms that a group may set.";
    "group.consumer.max.heartbeat.interval.ms" Int = Some("15000"),
        Valid::AtLeast(1), fixed, Honoured,
        "Largest consumer.heartbeat.interval.ms that a group may set.";
    "group.consumer.max.session.timeout.ms" Int = Some("60000"), Valid::AtLeast(1), fixed, Honoured,
        "Largest consumer.session.timeout.ms that a group may set.";
    "group.consumer.max.size" Int = Some("2147483647"), Valid::AtLeast(1), fixed, Honoured,
        "Members that a consumer group may have.";
    "group.consumer.migration.policy" String = Some("bidirectional"),
        Valid::OneOfNoCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"]), fixed, Honoured,
        "Which way a group may change between the classic and the new protocol while it lives.";
    "group.consumer.min.assignment.interval.ms" Int = Some("0"), Valid::AtLeast(0), fixed, Honoured,
        "Smallest consumer.assignment.interval.ms that a group may set.";
    "group.consumer.min.heartbeat.interval.ms" Int = Some("5000"), Valid::AtLeast(1), fixed, Honoured,
        "Smallest consumer.heartbeat.interval.ms that a group may set.";
    "group.consumer.min.session.timeout.ms" Int = Some("45000"), Valid::AtLeast(1), fixed, Honoured,
        "Smallest consumer.session.timeout.ms that a group may set.";
    "group.consumer.session.timeout.ms" Int = Some("45000"), Valid::AtLeast(1), fixed, Honoured,
        "Silence after which a member of a consumer group is removed.";
    "group.coordinator.append.linger.ms" Int = Some("-1"), Valid::AtLeast(-1), fixed, NoEffect,
        "Time the coordinator gathers writes; -1 adapts to the load.";
    "group.coordinator.background.threads" Int = Some("2"), Valid::AtLeast(1), fixed, NoEffect,
        "Threads of the coordinator's slow work.";
    "group.coordinator.cached.buffer.max.bytes" Int = Some("1048588"),
        Valid::AtLeast(524_288), dynamic, NoEffect,
        "Largest write buffer that the coordinator keeps for reuse.";
    "group.coordinator.rebalance.protocols" List = Some("classic,consumer,streams"),
        Valid::ListOf(&["consumer", "classic", "share", "streams"]), fixed, Honoured,
        "Group protocols that are served.";
    "group.coordinator.threads" Int = Some("4"), Valid::AtLeast(1), fixed, NoEffect,
        "Threads of the group coordinator.";
    "group.initial.rebalance.delay.ms" Int = Some("3000"), Valid::Any, fixed, Honoured,
        "Wait of an empty group for more members before its first rebalance.";
    "group.max.session.timeout.ms" Int = Some("1800000"), Valid::Any, fixed, Honoured,
        "Largest session timeout that a classic member may ask for.";
    "group.max.size" Int = Some("2147483647"), Valid::AtLeast(1), fixed, Honoured,
        "Members that a classic group may have.";
    "group.min.session.timeout.ms" Int = Some("6000"), Valid::Any, fixed, Honoured,
        "Smallest session timeout that a classic member may ask for.";
    "group.share.assignment.interval.ms" Int = Some("1000"), Valid::AtLeast(0), dynamic, Pending("share groups"),
        "Shortest time between two assignments of a share group.";
    "group.share.assignors" List = Some("simple"), Valid::Any, fixed, Pending("share groups"),
        "Server-side assignor of share groups.";
    "group.share.delivery.count.limit" Int = Some("5"), Valid::Between(2, 10), fixed, Pending("share groups"),
        "Deliveries of a record before it is given up.";
    "group.share.heartbeat.interval.ms" Int = Some("5000"), Valid::AtLeast(1), fixed, Pending("share groups"),
        "Heartbeat interval given to members of share groups.";
    "group.share.max.assignment.interval.ms" Int = Some("15000"), Valid::AtLeast(0), fixed, Pending("share groups"),
        "Largest share.assignment.interval.ms that a group may set.";
    "group.share.max.delivery.count.limit" Int = Some("10"), Valid::Between(5, 25), fixed, Pending("share groups"),
        "Largest share.delivery.count.limit that a group may set.";
    "group.share.max.heartbeat.interval.ms" Int = Some("15000"), Valid::AtLeast(1), fixed, Pending("share groups"),
        "Largest share.heartbeat.interval.ms that a group may set.";
    "group.share.max.partition.max.record.locks" Int = Some("4000"),
        Valid::Between(2_000, 10_000), fixed, Pending("share groups"),
        "Largest share.partition.max.record.locks that a group may set.";
    "group.share.max.record.lock.duration.ms" Int = Some("60000"),
        Valid::Between(30_000, 3_600_000), fixed, Pending("share groups"),
        "Largest share.record.lock.duration.ms that a group may set.";
    "group.share.max.session.timeout.ms" Int = Some("60000"), Valid::AtLeast(1), fixed, Pending("share groups"),
        "Largest share.session.timeout.ms that a group may set.";
    "group.share.max.share.sessions" Int = Some("2000"), Valid::AtLeast(1), fixed, Pending("share groups"),
        "Share sessions that are remembered.";
    "group.share.max.size" Int = Some("200"), Valid::Between(1, 1_000), fixed, Pending("share groups"),
        "Members that a share group may have.";
    "group.share.min.assignment.interval.ms" Int = Some("0"), Valid::AtLeast(0), fixed, Pending("share groups"),
        "Smallest share.assignment.interval.ms that a group may set.";
    "group.share.min.delivery.count.limit" Int = Some("2"), Valid::Between(2, 5), fixed, Pending("share groups"),
        "Smallest share.delivery.count.limit that a group may set.";
    "group.share.min.heartbeat.interval.ms" Int = Some("5000"), Valid::AtLeast(1), fixed, Pending("share groups"),
        "Smallest share.heartbeat.interval.ms that a group may set.";
    "group.share.min.partition.max.record.locks" Int = Some("100"),
        Valid::Between(100, 2_000), fixed, Pending("share groups"),
        "Smallest share.partition.max.record.locks that a group may set.";
    "group.share.min.record.lock.duration.ms" Int = Some("15000"),
        Valid::Between(1_000, 30_000), fixed, Pending("share groups"),
        "Smallest share.record.lock.duration.ms that a group may set.";
    "group.share.min.session.timeout.ms" Int = Some("45000"), Valid::AtLeast(1), fixed, Pending("share groups"),
        "Smallest share.session.timeout.ms that a group may set.";
    "group.share.partition.max.record.locks" Int = Some("2000"),
        Valid::Between(100, 10_000), fixed, Pending("share groups"),
        "Records of a partition that may be locked at a time.";
    "group.share.record.lock.duration.ms" Int = Some("30000"),
        Valid::Between(1_000, 3_600_000), fixed, Pending("share groups"),
        "How long a record stays locked for the member that fetched it.";
    "group.share.session.timeout.ms" Int = Some("45000"), Valid::AtLeast(1), fixed, Pending("share groups"),
        "Silence after which a member of a share group is removed.";
    "group.streams.assignment.interval.ms" Int = Some("1000"), Valid::AtLeast(0), dynamic, Pending("streams groups"),
        "Shortest time between two assignments of a streams group.";
    "group.streams.heartbeat.interval.ms" Int = Some("5000"), Valid::AtLeast(1), fixed, Pending("streams groups"),
        "Heartbeat interval given to members of streams groups.";
    "group.streams.initial.rebalance.delay.ms" Int = Some("3000"), Valid::AtLeast(0), fixed, Pending("streams groups"),
        "Wait of an empty streams group for more members.";
    "group.streams.max.assignment.interval.ms" Int = Some("15000"), Valid::AtLeast(0), fixed, Pending("streams groups"),
        "Largest streams.assignment.interval.ms that a group may set.";
    "group.streams.max.heartbeat.interval.ms" Int = Some("15000"), Valid::AtLeast(1), fixed, Pending("streams groups"),
        "Largest streams.heartbeat.interval.ms that a group may set.";
    "group.streams.max.session.timeout.ms" Int = Some("60000"), Valid::AtLeast(1), fixed, Pending("streams groups"),
        "Largest streams.session.timeout.ms that a group may set.";
    "group.streams.max.size" Int = Some("2147483647"), Valid::AtLeast(1), fixed, Pending("streams groups"),
        "Members that a streams group may have.";
    "group.streams.max.standby.replicas" Int = Some("2"), Valid::AtLeast(0), fixed, Pending("streams groups"),
        "Largest streams.num.standby.replicas that a group may set.";
    "group.streams.min.assignment.interval.ms" Int = Some("0"), Valid::AtLeast(0), fixed, Pending("streams groups"),
        "Smallest streams.assignment.interval.ms that a group may set.";
    "group.streams.min.heartbeat.interval.ms" Int = Some("5000"), Valid::AtLeast(1), fixed, Pending("streams groups"),
        "Smallest streams.heartbeat.interval.ms that a group may set.";
    "group.streams.min.session.timeout.ms" Int = Some("45000"), Valid::AtLeast(1), fixed, Pending("streams groups"),
        "Smallest streams.session.timeout.ms that a group may set.";
    "group.streams.num.standby.replicas" Int = Some("0"), Valid::AtLeast(0), fixed, Pending("streams groups"),
        "Standby copies of each task's state.";
    "group.streams.session.timeout.ms" Int = Some("45000"), Valid::AtLeast(1), fixed, Pending("streams groups"),
        "Silence after which a member of a streams group is removed.";
    "offset.metadata.max.bytes" Int = Some("4096"), Valid::Any, fixed, Honoured,
        "Largest note that a client may store with an offset.";
    "offsets.commit.timeout.ms" Int = Some("5000"), Valid::AtLeast(1), fixed, Honoured,
        "Longest wait for an offset commit to be durable.";
    "offsets.load.buffer.size" Int = Some("5242880"), Valid::AtLeast(1), fixed, Honoured,
        "Batch size when committed offsets are loaded.";
    "offsets.retention.check.interval.ms" Long = Some("600000"), Valid::AtLeast(1), fixed, Honoured,
        "How often expired offsets are looked for.";
    "offsets.retention.minutes" Int = Some("10080"), Valid::AtLeast(1), fixed, Honoured,
        "How long the offsets of an empty group are kept.";
    "offsets.topic.compression.codec" Int = Some("0"), Valid::Any, fixed, Honoured,
        "Codec of the offsets topic; 0 is none.";
    "offsets.topic.num.partitions" Int = Some("50"), Valid::AtLeast(1), fixed, Honoured,
        "Partitions of the offsets topic.";
    "offsets.topic.replication.factor" Short = Some("3"), Valid::AtLeast(1), fixed, Pending("clusters"),
        "Replicas of the offsets topic.";
    "offsets.topic.segment.bytes" Int = Some("104857600"), Valid::AtLeast(1), fixed, Honoured,
        "Segment size of the offsets topic.";
    "share.coordinator.append.linger.ms" Int = Some("-1"), Valid::AtLeast(-1), fixed, Pending("share groups"),
        "Time the share coordinator gathers writes; -1 adapts to the load.";
    "share.coordinator.cached.buffer.max.bytes" Int = Some("1048588"),
        Valid::AtLeast(524_288), dynamic, Pending("share groups"),
        "Largest write buffer that the share coordinator keeps for reuse.";
    "share.coordinator.load.buffer.size" Int = Some("5242880"), Valid::AtLeast(1), fixed, Pending("share groups"),
        "Batch size when share state is loaded.";
    "share.coordinator.snapshot.update.records.per.snapshot" Int = Some("500"),
        Valid::Between(0, 500), fixed, Pending("share groups"),
        "Updates of share state between two snapshots.";
    "share.coordinator.state.topic.compression.codec" Int = Some("0"), Valid::Any, fixed, Pending("share groups"),
        "Codec of the share state topic; 0 is none.";
    "share.coordinator.state.topic.min.isr" Short = Some("2"), Valid::AtLeast(1), fixed, Pending("share groups"),
        "In-sync replicas that the share state topic needs.";
    "share.coordinator.state.topic.num.partitions" Int = Some("50"), Valid::AtLeast(1), fixed, Pending("share groups"),
        "Partitions of the share state topic.";
    "share.coordinator.state.topic.replication.factor" Short = Some("3"),
        Valid::AtLeast(1), fixed, Pending("share groups"),
        "Replicas of the share state topic.";
    "share.coordinator.state.topic.segment.bytes" Int = Some("104857600"),
        Valid::AtLeast(1), fixed, Pending("share groups"),
        "Segment size of the share state topic.";
    "share.coordinator.threads" Int = Some("1"), Valid::AtLeast(1), fixed, NoEffect,
        "Threads of the share coordinator.";
    "share.coordinator.write.timeout.ms" Int = Some("5000"), Valid::AtLeast(1), fixed, Pending("share groups"),
        "Longest wait for a write of share state.";
};
