//! Broker keys of identity, KRaft and replication.

use crate::config::key::Stance::{Honoured, NoEffect, Pending};
use crate::config::key::{Key, Valid};

pub const KEYS: &[Key] = keys! {
    "auto.leader.rebalance.enable" Boolean = Some("true"), Valid::Any, fixed, Pending("clusters"),
        "Whether leadership goes back to preferred replicas by itself.";
    "broker.heartbeat.interval.ms" Int = Some("2000"), Valid::Any, fixed, Pending("clusters"),
        "How often a broker tells the cluster that it lives.";
    "broker.id" Int = Some("-1"), Valid::Any, fixed, Honoured,
        "Number of this broker; the older name of node.id.";
    "broker.rack" String = None, Valid::Any, fixed, Honoured,
        "Rack of this broker, told to clients.";
    "broker.session.timeout.ms" Int = Some("9000"), Valid::Any, fixed, Pending("clusters"),
        "Silence after which a broker is fenced.";
    "controlled.shutdown.enable" Boolean = Some("true"), Valid::Any, fixed, Pending("clusters"),
        "Whether leadership is handed over before a stop.";
    "controller.listener.names" List = None, Valid::Any, fixed, Honoured,
        "Names of listeners of KRaft controllers; they are not opened here.";
    "controller.quorum.append.linger.ms" Int = Some("25"), Valid::AtLeast(0), fixed, NoEffect,
        "KRaft: time that the quorum gathers writes.";
    "controller.quorum.auto.join.enable" Boolean = Some("false"), Valid::Any, fixed, NoEffect,
        "KRaft: whether a controller joins the quorum by itself.";
    "controller.quorum.bootstrap.servers" List = Some(""), Valid::Any, fixed, NoEffect,
        "KRaft: addresses where the quorum is found.";
    "controller.quorum.election.backoff.max.ms" Int = Some("1000"), Valid::AtLeast(0), fixed, NoEffect,
        "KRaft: longest pause before another election.";
    "controller.quorum.election.timeout.ms" Int = Some("1000"), Valid::AtLeast(0), fixed, NoEffect,
        "KRaft: wait for an election's end.";
    "controller.quorum.fetch.max.bytes" Int = Some("1048576"), Valid::AtLeast(1), fixed, NoEffect,
        "KRaft: bytes of one fetch of the metadata log.";
    "controller.quorum.fetch.snapshot.max.bytes" Int = Some("1048576"), Valid::AtLeast(1), fixed, NoEffect,
        "KRaft: bytes of one fetch of a snapshot.";
    "controller.quorum.fetch.timeout.ms" Int = Some("2000"), Valid::AtLeast(0), fixed, NoEffect,
        "KRaft: silence of the leader that starts an election.";
    "controller.quorum.request.timeout.ms" Int = Some("2000"), Valid::AtLeast(0), fixed, NoEffect,
        "KRaft: how long a request of the quorum may take.";
    "controller.quorum.retry.backoff.ms" Int = Some("20"), Valid::AtLeast(0), fixed, NoEffect,
        "KRaft: pause before a request of the quorum is tried again.";
    "controller.quorum.voters" List = Some(""), Valid::Any, fixed, Honoured,
        "KRaft: voters as id@host:port; a single one is accepted, more need a cluster.";
    "controller.socket.timeout.ms" Int = Some("30000"), Valid::Any, fixed, NoEffect,
        "KRaft: how long a request to the controller may take.";
    "early.start.listeners" List = None, Valid::Any, fixed, NoEffect,
        "Listeners opened before the authorizer is ready.";
    "initial.broker.registration.timeout.ms" Int = Some("60000"), Valid::Any, fixed, Pending("clusters"),
        "How long a broker tries to register before it stops.";
    "inter.broker.listener.name" String = None, Valid::Any, fixed, Honoured,
        "Listener by which brokers reach each other.";
    "leader.imbalance.check.interval.seconds" Long = Some("300"), Valid::AtLeast(1), fixed, Pending("clusters"),
        "How often the balance of leaders is looked at.";
    "metadata.log.dir" String = None, Valid::Any, fixed, Honoured,
        "Directory of the metadata file; the first of log.dirs if it is not set.";
    "metadata.log.max.record.bytes.between.snapshots" Long = Some("20971520"), Valid::AtLeast(1), fixed, NoEffect,
        "KRaft: log bytes between two snapshots.";
    "metadata.log.max.snapshot.interval.ms" Long = Some("3600000"), Valid::AtLeast(0), fixed, NoEffect,
        "KRaft: longest time between two snapshots.";
    "metadata.log.segment.bytes" Int = Some("1073741824"), Valid::AtLeast(8_388_608), fixed, NoEffect,
        "KRaft: segment size of the metadata log.";
    "metadata.log.segment.ms" Long = Some("604800000"), Valid::Any, fixed, NoEffect,
        "KRaft: segment age of the metadata log.";
    "metadata.max.idle.interval.ms" Int = Some("500"), Valid::AtLeast(0), fixed, NoEffect,
        "KRaft: interval of empty records in the metadata log.";
    "metadata.max.retention.bytes" Long = Some("104857600"), Valid::Any, fixed, NoEffect,
        "KRaft: bytes of metadata log and snapshots that are kept.";
    "metadata.max.retention.ms" Long = Some("604800000"), Valid::Any, fixed, NoEffect,
        "KRaft: age to which metadata log and snapshots are kept.";
    "node.id" Int = None, Valid::AtLeast(0), fixed, Honoured,
        "Number of this broker; unset means 1.";
    "num.replica.fetchers" Int = Some("1"), Valid::AtLeast(1), dynamic, Pending("clusters"),
        "Connections per source broker by which a follower fetches.";
    "process.roles" List = None, Valid::ListOf(&["broker", "controller"]), fixed, Honoured,
        "KRaft roles; `broker` must be among them when they are given.";
    "replica.fetch.backoff.ms" Int = Some("1000"), Valid::AtLeast(0), fixed, Pending("clusters"),
        "Pause of a follower after a failed fetch.";
    "replica.fetch.max.bytes" Int = Some("1048576"), Valid::AtLeast(0), fixed, Pending("clusters"),
        "Bytes per partition of a follower's fetch.";
    "replica.fetch.min.bytes" Int = Some("1"), Valid::Any, fixed, Pending("clusters"),
        "Bytes for which a follower's fetch waits.";
    "replica.fetch.response.max.bytes" Int = Some("10485760"), Valid::AtLeast(0), fixed, Pending("clusters"),
        "Bytes of one answer to a follower.";
    "replica.fetch.wait.max.ms" Int = Some("500"), Valid::Any, fixed, Pending("clusters"),
        "Longest wait of a follower's fetch.";
    "replica.high.watermark.checkpoint.interval.ms" Long = Some("5000"), Valid::Any, fixed, NoEffect,
        "How often high watermarks are checkpointed; here recovery finds them.";
    "replica.lag.time.max.ms" Long = Some("30000"), Valid::Any, fixed, Pending("clusters"),
        "Lag after which a follower leaves the in-sync set.";
    "replica.selector.class" String = None, Valid::Any, fixed, Pending("clusters"),
        "Java class that picks the replica a consumer reads from.";
    "replica.socket.receive.buffer.bytes" Int = Some("65536"), Valid::Any, fixed, Pending("clusters"),
        "Receive buffer of a follower's socket.";
    "replica.socket.timeout.ms" Int = Some("30000"), Valid::Any, fixed, Pending("clusters"),
        "How long a follower's request may take.";
};
