//! Broker keys of the tier that Kafka has: `remote.*`.

use crate::config::key::Stance::{Honoured, NoEffect, Pending, Refused};
use crate::config::key::{Key, Valid};

pub const KEYS: &[Key] = keys! {
    "follower.fetch.last.tiered.offset.enable" Boolean = Some("false"), Valid::Any, dynamic, Pending("clusters"),
        "Whether a new replica starts from the end of the tier.";
    "remote.fetch.max.wait.ms" Int = Some("500"), Valid::AtLeast(1), dynamic, Honoured,
        "Longest wait of a fetch for data of the tier before it answers without.";
    "remote.list.offsets.request.timeout.ms" Long = Some("30000"), Valid::AtLeast(1), dynamic, Honoured,
        "Longest wait of a timestamp look-up in the tier.";
    "remote.log.index.file.cache.total.size.bytes" Long = Some("1073741824"), Valid::AtLeast(1), dynamic, NoEffect,
        "Disk for index files fetched from the tier; a footer replaces them here.";
    "remote.log.manager.copier.thread.pool.size" Int = Some("10"), Valid::AtLeast(1), dynamic, Honoured,
        "Segments that are uploaded side by side.";
    "remote.log.manager.copy.max.bytes.per.second" Long = Some("9223372036854775807"),
        Valid::AtLeast(1), dynamic, Honoured,
        "Bytes a second that uploads may take.";
    "remote.log.manager.copy.quota.window.num" Int = Some("11"), Valid::AtLeast(1), fixed, NoEffect,
        "Windows over which Kafka measures the copy rate.";
    "remote.log.manager.copy.quota.window.size.seconds" Int = Some("1"), Valid::AtLeast(1), fixed, NoEffect,
        "Length of one window of the copy rate.";
    "remote.log.manager.expiration.thread.pool.size" Int = Some("10"), Valid::AtLeast(1), dynamic, Honoured,
        "Partitions whose tiered history is expired side by side.";
    "remote.log.manager.fetch.max.bytes.per.second" Long = Some("9223372036854775807"),
        Valid::AtLeast(1), dynamic, Pending("a bound on reads of the tier"),
        "Bytes a second that reads from the tier may take.";
    "remote.log.manager.fetch.quota.window.num" Int = Some("11"), Valid::AtLeast(1), fixed, NoEffect,
        "Windows over which Kafka measures the fetch rate.";
    "remote.log.manager.fetch.quota.window.size.seconds" Int = Some("1"), Valid::AtLeast(1), fixed, NoEffect,
        "Length of one window of the fetch rate.";
    "remote.log.manager.follower.thread.pool.size" Int = Some("2"), Valid::AtLeast(1), dynamic, NoEffect,
        "Threads that follow the tier on replicas.";
    "remote.log.manager.task.interval.ms" Long = Some("30000"), Valid::AtLeast(1), fixed, Honoured,
        "How often a partition is looked at for segments to upload or expire.";
    "remote.log.manager.thread.pool.size" Int = Some("2"), Valid::AtLeast(1), fixed, NoEffect,
        "Threads of Kafka's tier tasks; work here is scheduled as tasks.";
    "remote.log.metadata.custom.metadata.max.bytes" Int = Some("128"), Valid::AtLeast(0), fixed, NoEffect,
        "Bytes of plugin metadata kept per segment; the manifest has none.";
    "remote.log.metadata.manager.class.name" String =
        Some("org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager"),
        Valid::NonEmpty, fixed, NoEffect,
        "Java class that keeps the list of remote segments; here the manifest in the bucket does.";
    "remote.log.metadata.manager.class.path" String = None, Valid::Any, fixed, NoEffect,
        "Class path of the metadata plugin.";
    "remote.log.metadata.manager.impl.prefix" String = Some("rlmm.config."), Valid::NonEmpty, fixed, NoEffect,
        "Prefix of the metadata plugin's own keys.";
    "remote.log.metadata.manager.listener.name" String = None, Valid::NonEmpty, fixed, NoEffect,
        "Listener by which the metadata plugin reaches its topic.";
    "remote.log.reader.max.pending.tasks" Int = Some("100"), Valid::AtLeast(1), fixed, NoEffect,
        "Reads of the tier that may wait; here the memory of loads bounds them.";
    "remote.log.reader.threads" Int = Some("10"), Valid::AtLeast(1), dynamic, Honoured,
        "Reads of the tier in flight at a time.";
    "remote.log.storage.manager.class.name" String = None, Valid::NonEmpty, fixed, NoEffect,
        "Java class that stores remote segments; here stratalog.tier.url names the store.";
    "remote.log.storage.manager.class.path" String = None, Valid::Any, fixed, NoEffect,
        "Class path of the storage plugin.";
    "remote.log.storage.manager.impl.prefix" String = Some("rsm.config."),
        Valid::NonEmpty, fixed, Refused("only names below rsm.config. are read; rename the others"),
        "Prefix of the storage plugin's own keys; Aiven's names below it are read.";
    "remote.log.storage.system.enable" Boolean = Some("false"), Valid::Any, fixed, Honoured,
        "Whether topics may be tiered; needs stratalog.tier.url.";
};
