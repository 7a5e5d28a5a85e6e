//! Broker keys of sockets, requests, threads and metrics.

use crate::config::key::Stance::{Honoured, NoEffect, Pending, Refused};
use crate::config::key::{Key, Valid};

pub const KEYS: &[Key] = keys! {
    "add.partitions.to.txn.retry.backoff.max.ms" Int = Some("100"), Valid::AtLeast(0), fixed, Pending("transactions"),
        "Longest pause between two checks of a transaction's partition.";
    "add.partitions.to.txn.retry.backoff.ms" Int = Some("20"), Valid::AtLeast(1), fixed, Pending("transactions"),
        "Pause between two checks of a transaction's partition.";
    "advertised.listeners" List = None, Valid::Any, fixed, Honoured,
        "Addresses that clients are told to use; unset means the address each client connected to.";
    "config.providers" List = Some(""),
        Valid::Any, dynamic, Refused("values would be taken literally where a provider should resolve them"),
        "Names of the classes that resolve ${...} in values.";
    "connection.failed.authentication.delay.ms" Int = Some("100"), Valid::AtLeast(0), fixed, Pending("authentication"),
        "Delay before a connection that failed to log in is closed.";
    "connections.max.idle.ms" Long = Some("600000"), Valid::Any, fixed, Honoured,
        "Idle time after which a connection is closed.";
    "delete.records.purgatory.purge.interval.requests" Int = Some("1"), Valid::Any, fixed, NoEffect,
        "Housekeeping of Kafka's waiting deletions.";
    "fetch.max.bytes" Int = Some("57671680"), Valid::AtLeast(1_024), fixed, Honoured,
        "Most bytes that one fetch may return.";
    "fetch.purgatory.purge.interval.requests" Int = Some("1000"), Valid::Any, fixed, NoEffect,
        "Housekeeping of Kafka's waiting fetches; waits here end by themselves.";
    "kafka.metrics.polling.interval.secs" Int = Some("10"), Valid::AtLeast(1), fixed, NoEffect,
        "Interval of Kafka's own metric reporters.";
    "kafka.metrics.reporters" List = Some(""), Valid::Any, fixed, NoEffect,
        "Java classes that report Kafka's own metrics.";
    "listener.security.protocol.map" String =
        Some("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"),
        Valid::Any, dynamic, Honoured,
        "Security protocol of each listener name.";
    "listeners" List = Some("PLAINTEXT://:9092"), Valid::Any, dynamic, Honoured,
        "Addresses that are served, as NAME://host:port; port 0 takes a free one.";
    "max.connection.creation.rate" Int = Some("2147483647"), Valid::AtLeast(0), dynamic, Pending("quotas"),
        "New connections a second.";
    "max.connections" Int = Some("2147483647"), Valid::AtLeast(0), dynamic, Honoured,
        "Connections at a time.";
    "max.connections.per.ip" Int = Some("2147483647"), Valid::AtLeast(0), dynamic, Honoured,
        "Connections at a time from one address.";
    "max.connections.per.ip.overrides" String = Some(""), Valid::Any, dynamic, Pending("quotas"),
        "Connections at a time for named addresses.";
    "max.incremental.fetch.session.cache.slots" Int = Some("1000"), Valid::AtLeast(0), fixed, Honoured,
        "Fetch sessions that are remembered.";
    "max.request.partition.size.limit" Int = Some("2000"), Valid::AtLeast(1), fixed, Honoured,
        "Partitions that one DescribeTopicPartitions answer may hold.";
    "metric.reporters" List = Some("org.apache.kafka.common.metrics.JmxReporter"), Valid::Any, dynamic, NoEffect,
        "Java classes that report metrics; here they are served over HTTP.";
    "metrics.num.samples" Int = Some("2"), Valid::AtLeast(1), fixed, NoEffect,
        "Samples over which Kafka computes a rate.";
    "metrics.recording.level" String = Some("INFO"), Valid::Any, fixed, NoEffect,
        "Lowest level of metrics that Kafka records.";
    "metrics.sample.window.ms" Long = Some("30000"), Valid::AtLeast(1), fixed, NoEffect,
        "Length of one sample of a rate.";
    "num.io.threads" Int = Some("8"), Valid::AtLeast(1), dynamic, NoEffect,
        "Threads that serve requests; here the runtime has one worker per core.";
    "num.network.threads" Int = Some("3"), Valid::AtLeast(1), dynamic, NoEffect,
        "Threads that read and write sockets; here the runtime has one worker per core.";
    "producer.purgatory.purge.interval.requests" Int = Some("1000"), Valid::Any, fixed, NoEffect,
        "Housekeeping of Kafka's waiting produce requests.";
    "queued.max.request.bytes" Long = Some("-1"), Valid::Any, fixed, Honoured,
        "Request bytes in memory, over all connections, before reading pauses; -1 takes a quarter of the memory.";
    "queued.max.requests" Int = Some("500"), Valid::AtLeast(1), fixed, Pending("a bound over all connections"),
        "Requests in memory before reading pauses.";
    "request.timeout.ms" Int = Some("30000"), Valid::Any, fixed, Pending("clusters"),
        "How long a request to another broker may take.";
    "share.fetch.purgatory.purge.interval.requests" Int = Some("1000"), Valid::Any, fixed, NoEffect,
        "Housekeeping of Kafka's waiting share fetches.";
    "socket.connection.setup.timeout.max.ms" Long = Some("30000"), Valid::Any, fixed, Pending("clusters"),
        "Longest wait for a connection to another broker.";
    "socket.connection.setup.timeout.ms" Long = Some("10000"), Valid::Any, fixed, Pending("clusters"),
        "First wait for a connection to another broker.";
    "socket.listen.backlog.size" Int = Some("50"), Valid::AtLeast(1), fixed, Honoured,
        "Connections that may wait to be accepted; unset means 1024.";
    "socket.receive.buffer.bytes" Int = Some("102400"), Valid::Any, fixed, Honoured,
        "Receive buffer of a socket; unset or -1 leaves it to the system, which sizes it by load.";
    "socket.request.max.bytes" Int = Some("104857600"), Valid::AtLeast(1), fixed, Honoured,
        "Largest request frame.";
    "socket.send.buffer.bytes" Int = Some("102400"), Valid::Any, fixed, Honoured,
        "Send buffer of a socket; unset or -1 leaves it to the system, which sizes it by load.";
    "telemetry.max.bytes" Int = Some("1048576"), Valid::AtLeast(1), fixed, Pending("client telemetry"),
        "Largest push of metrics that a client may send.";
};
