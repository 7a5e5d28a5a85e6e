//! Keys of a topic.

use crate::config::key::Stance::{Honoured, NoEffect, Pending};
use crate::config::key::{Key, Valid};

pub const KEYS: &[Key] = keys! {
    "cleanup.policy" List = Some("delete"), Valid::ListOf(&["compact", "delete"]), dynamic, Honoured,
        "What ends old data: `delete` by retention, `compact` by a later record of the same key.";
    "compression.gzip.level" Int = Some("-1"), Valid::GzipLevel, dynamic, Honoured,
        "Level used when the broker itself compresses with gzip.";
    "compression.lz4.level" Int = Some("9"), Valid::Between(1, 17), dynamic, Honoured,
        "Level used when the broker itself compresses with lz4.";
    "compression.type" String = Some("producer"),
        Valid::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), dynamic, Honoured,
        "Codec that the topic's batches are kept in; `producer` keeps the one they were sent in.";
    "compression.zstd.level" Int = Some("3"), Valid::Between(-131_072, 22), dynamic, Honoured,
        "Level used when the broker itself compresses with zstd.";
    "delete.retention.ms" Long = Some("86400000"), Valid::AtLeast(0), dynamic, Honoured,
        "How long a tombstone stays readable in a compacted topic.";
    "file.delete.delay.ms" Long = Some("60000"), Valid::AtLeast(0), dynamic, Honoured,
        "How long the files of deleted records keep their room, renamed to `.deleted`; shorter where the disk is short of room. What the tier has goes at once.";
    "flush.messages" Long = Some("1"), Valid::AtLeast(1), dynamic, Honoured,
        "Records after which the log is synced; at 1 every acknowledgement waits for its sync.";
    "flush.ms" Long = Some("9223372036854775807"), Valid::AtLeast(0), dynamic, Honoured,
        "Longest time that an appended record stays unsynced.";
    "follower.replication.throttled.replicas" List = Some(""), Valid::ThrottledReplicas, dynamic, Pending("quotas"),
        "Replicas whose follower side is throttled, as partition:broker pairs, or `*`.";
    "index.interval.bytes" Int = Some("4096"), Valid::AtLeast(0), dynamic, Honoured,
        "Log bytes between two entries of the offset index.";
    "leader.replication.throttled.replicas" List = Some(""), Valid::ThrottledReplicas, dynamic, Pending("quotas"),
        "Replicas whose leader side is throttled, as partition:broker pairs, or `*`.";
    "local.retention.bytes" Long = Some("-2"), Valid::AtLeast(-2), dynamic, Honoured,
        "Bytes kept on local disk when the topic is tiered; -2 means as retention.bytes.";
    "local.retention.ms" Long = Some("-2"), Valid::AtLeast(-2), dynamic, Honoured,
        "Age to which records stay on local disk when the topic is tiered; -2 means as retention.ms.";
    "max.compaction.lag.ms" Long = Some("9223372036854775807"), Valid::AtLeast(1), dynamic, Honoured,
        "Age by which a record of a compacted topic must have met the cleaner.";
    "max.message.bytes" Int = Some("1048588"), Valid::AtLeast(0), dynamic, Honoured,
        "Largest record batch that is accepted, after compression.";
    "message.timestamp.after.max.ms" Long = Some("3600000"), Valid::AtLeast(0), dynamic, Honoured,
        "How far a record's timestamp may lie in the future.";
    "message.timestamp.before.max.ms" Long = Some("9223372036854775807"), Valid::AtLeast(0), dynamic, Honoured,
        "How far a record's timestamp may lie in the past.";
    "message.timestamp.type" String = Some("CreateTime"),
        Valid::OneOf(&["CreateTime", "LogAppendTime"]), dynamic, Honoured,
        "Whose clock stamps a record: the producer's or the broker's.";
    "min.cleanable.dirty.ratio" Double = Some("0.5"), Valid::Ratio, dynamic, Honoured,
        "Share of dirty bytes from which the log is worth cleaning.";
    "min.compaction.lag.ms" Long = Some("0"), Valid::AtLeast(0), dynamic, Honoured,
        "Age below which the cleaner leaves a record alone.";
    "min.insync.replicas" Int = Some("1"), Valid::AtLeast(1), dynamic, Honoured,
        "In-sync replicas without which acks=all is refused.";
    "preallocate" Boolean = Some("false"), Valid::Any, dynamic, NoEffect,
        "Whether a new segment's file is allocated at full size; here it grows as it is written.";
    "remote.log.copy.disable" Boolean = Some("false"), Valid::Any, dynamic, Honoured,
        "Stops uploads of a tiered topic; what is tiered stays readable.";
    "remote.log.delete.on.disable" Boolean = Some("false"), Valid::Any, dynamic, Honoured,
        "Whether turning remote.storage.enable off deletes the tiered history.";
    "remote.storage.enable" Boolean = Some("false"), Valid::Any, dynamic, Honoured,
        "Whether closed segments settle into object storage.";
    "retention.bytes" Long = Some("-1"), Valid::Any, dynamic, Honoured,
        "Bytes to which a partition may grow, over both tiers, before its oldest segments go; -1 is no limit.";
    "retention.ms" Long = Some("604800000"), Valid::AtLeast(-1), dynamic, Honoured,
        "Milliseconds that records are kept, over both tiers; -1 is for ever.";
    "segment.bytes" Int = Some("1073741824"), Valid::AtLeast(1_048_576), dynamic, Honoured,
        "Bytes at which a segment is closed and the next begun.";
    "segment.index.bytes" Int = Some("10485760"), Valid::AtLeast(4), dynamic, Honoured,
        "Largest size of an index file; a full one rolls the segment.";
    "segment.jitter.ms" Long = Some("0"), Valid::AtLeast(0), dynamic, Honoured,
        "Milliseconds of random spread taken off segment.ms.";
    "segment.ms" Long = Some("604800000"), Valid::AtLeast(1), dynamic, Honoured,
        "Age at which a segment is closed although it is not full.";
    "unclean.leader.election.enable" Boolean = Some("false"), Valid::Any, dynamic, Pending("clusters"),
        "Whether a replica that lacks records may become leader.";
};
