//! Broker keys of the log: topics, segments, retention, flush, the cleaner.

use crate::config::key::Stance::{Honoured, NoEffect, Pending, Refused};
use crate::config::key::{Key, Valid};

pub const KEYS: &[Key] = keys! {
    "alter.config.policy.class.name" Class = None,
        Valid::Any, fixed, Refused("a config policy that is not run would let forbidden settings in"),
        "Java class that judges changes of configs.";
    "auto.create.topics.enable" Boolean = Some("true"), Valid::Any, fixed, Honoured,
        "A metadata request for a topic that does not exist creates it.";
    "background.threads" Int = Some("10"), Valid::AtLeast(1), dynamic, NoEffect,
        "Threads of Kafka's housekeeping; work here is scheduled as tasks.";
    "compression.gzip.level" Int = Some("-1"), Valid::GzipLevel, dynamic, Honoured,
        "Level used when the broker itself compresses with gzip.";
    "compression.lz4.level" Int = Some("9"), Valid::Between(1, 17), dynamic, Honoured,
        "Level used when the broker itself compresses with lz4.";
    "compression.type" String = Some("producer"),
        Valid::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), dynamic, Honoured,
        "Codec that a topic's batches are kept in; `producer` keeps the one they were sent in.";
    "compression.zstd.level" Int = Some("3"), Valid::Between(-131_072, 22), dynamic, Honoured,
        "Level used when the broker itself compresses with zstd.";
    "cordoned.log.dirs" List = Some(""), Valid::Any, dynamic, Pending("multiple log directories"),
        "Log directories that take no new partitions.";
    "create.topic.policy.class.name" Class = None,
        Valid::Any, fixed, Refused("a topic policy that is not run would let forbidden topics in"),
        "Java class that judges the creation of topics.";
    "default.replication.factor" Int = Some("1"), Valid::Any, fixed, Honoured,
        "Replicas of a topic created without a number of its own.";
    "delete.topic.enable" Boolean = Some("true"), Valid::Any, fixed, Honoured,
        "Whether topics may be deleted at all.";
    "log.cleaner.backoff.ms" Long = Some("15000"), Valid::AtLeast(0), dynamic, Honoured,
        "Pause of the cleaner when nothing is dirty.";
    "log.cleaner.dedupe.buffer.size" Long = Some("134217728"), Valid::Any, dynamic, Honoured,
        "Memory of the cleaner's key map, over all its threads.";
    "log.cleaner.delete.retention.ms" Long = Some("86400000"), Valid::AtLeast(0), dynamic, Honoured,
        "How long a tombstone stays readable in a compacted topic.";
    "log.cleaner.enable" Boolean = Some("true"), Valid::Any, fixed, Honoured,
        "Whether the cleaner runs.";
    "log.cleaner.io.buffer.load.factor" Double = Some("0.9"), Valid::Any, dynamic, Honoured,
        "How full the cleaner's key map may become.";
    "log.cleaner.io.buffer.size" Int = Some("524288"), Valid::AtLeast(0), dynamic, Honoured,
        "Memory of the cleaner's read and write buffers.";
    "log.cleaner.io.max.bytes.per.second" Double = Some("1.7976931348623157E308"),
        Valid::Any, dynamic, Honoured,
        "Bytes a second the cleaner may read and write.";
    "log.cleaner.max.compaction.lag.ms" Long = Some("9223372036854775807"),
        Valid::AtLeast(1), dynamic, Honoured,
        "Age by which a record of a compacted topic must have met the cleaner.";
    "log.cleaner.min.cleanable.ratio" Double = Some("0.5"), Valid::Ratio, dynamic, Honoured,
        "Share of dirty bytes from which a log is worth cleaning.";
    "log.cleaner.min.compaction.lag.ms" Long = Some("0"), Valid::AtLeast(0), dynamic, Honoured,
        "Age below which the cleaner leaves a record alone.";
    "log.cleaner.threads" Int = Some("1"), Valid::AtLeast(0), dynamic, Honoured,
        "Threads that compact.";
    "log.cleanup.policy" List = Some("delete"), Valid::ListOf(&["compact", "delete"]), dynamic, Honoured,
        "What ends old data: `delete` by retention, `compact` by a later record of the same key.";
    "log.dir" List = Some("/tmp/kafka-logs"), Valid::Any, fixed, Honoured,
        "Data directory, used when log.dirs is not set.";
    "log.dir.failure.timeout.ms" Long = Some("30000"), Valid::AtLeast(1), fixed, Pending("clusters"),
        "How long a broker waits to report a failed directory before it stops.";
    "log.dirs" List = None, Valid::Any, fixed, Honoured,
        "Data directories, separated by commas.";
    "log.flush.interval.messages" Long = Some("1"), Valid::AtLeast(1), dynamic, Honoured,
        "Records after which a log is synced; at 1 every acknowledgement waits for its sync.";
    "log.flush.interval.ms" Long = None, Valid::Any, dynamic, Honoured,
        "Longest time that an appended record stays unsynced.";
    "log.flush.offset.checkpoint.interval.ms" Int = Some("60000"), Valid::AtLeast(0), fixed, Honoured,
        "How often the recovery points are checkpointed.";
    "log.flush.scheduler.interval.ms" Long = Some("9223372036854775807"), Valid::Any, fixed, Honoured,
        "Stands in for log.flush.interval.ms where that is not set; logs are looked at each second.";
    "log.flush.start.offset.checkpoint.interval.ms" Int = Some("60000"), Valid::AtLeast(0), fixed, NoEffect,
        "How often the log start offsets are checkpointed; here each move is durable at once.";
    "log.index.interval.bytes" Int = Some("4096"), Valid::AtLeast(0), dynamic, Honoured,
        "Log bytes between two entries of the offset index.";
    "log.index.size.max.bytes" Int = Some("10485760"), Valid::AtLeast(4), dynamic, Honoured,
        "Largest size of an index file; a full one rolls the segment.";
    "log.local.retention.bytes" Long = Some("-2"), Valid::AtLeast(-2), dynamic, Honoured,
        "Bytes of a tiered partition kept on local disk; -2 means as log.retention.bytes.";
    "log.local.retention.ms" Long = Some("-2"), Valid::AtLeast(-2), dynamic, Honoured,
        "Age to which a tiered partition is kept on local disk; -2 means as log.retention.ms.";
    "log.message.timestamp.after.max.ms" Long = Some("3600000"), Valid::AtLeast(0), dynamic, Honoured,
        "How far a record's timestamp may lie in the future.";
    "log.message.timestamp.before.max.ms" Long = Some("9223372036854775807"), Valid::AtLeast(0), dynamic, Honoured,
        "How far a record's timestamp may lie in the past.";
    "log.message.timestamp.type" String = Some("CreateTime"),
        Valid::OneOf(&["CreateTime", "LogAppendTime"]), dynamic, Honoured,
        "Whose clock stamps a record: the producer's or the broker's.";
    "log.preallocate" Boolean = Some("false"), Valid::Any, dynamic, NoEffect,
        "Whether a new segment's file is allocated at full size; here it grows as it is written.";
    "log.retention.bytes" Long = Some("-1"), Valid::Any, dynamic, Honoured,
        "Bytes to which a partition may grow, over both tiers, before its oldest segments go; -1 is no limit.";
    "log.retention.check.interval.ms" Long = Some("300000"), Valid::AtLeast(1), fixed, Honoured,
        "How often retention is applied.";
    "log.retention.hours" Int = Some("168"), Valid::Any, fixed, Honoured,
        "Hours that records are kept, when neither log.retention.ms nor .minutes is set.";
    "log.retention.minutes" Int = None, Valid::Any, fixed, Honoured,
        "Minutes that records are kept, when log.retention.ms is not set.";
    "log.retention.ms" Long = None, Valid::Any, dynamic, Honoured,
        "Milliseconds that records are kept, over both tiers; -1 is for ever.";
    "log.roll.hours" Int = Some("168"), Valid::AtLeast(1), fixed, Honoured,
        "Hours after which a segment is closed, when log.roll.ms is not set.";
    "log.roll.jitter.hours" Int = Some("0"), Valid::AtLeast(0), fixed, Honoured,
        "Hours of random spread taken off log.roll.hours.";
    "log.roll.jitter.ms" Long = None, Valid::Any, dynamic, Honoured,
        "Milliseconds of random spread taken off log.roll.ms.";
    "log.roll.ms" Long = None, Valid::Any, dynamic, Honoured,
        "Age at which a segment is closed although it is not full.";
    "log.segment.bytes" Int = Some("1073741824"), Valid::AtLeast(1_048_576), dynamic, Honoured,
        "Bytes at which a segment is closed and the next begun.";
    "log.segment.delete.delay.ms" Long = Some("60000"), Valid::AtLeast(0), dynamic, Honoured,
        "How long the files of deleted records keep their room, renamed to `.deleted`; shorter where the disk is short of room. What the tier has goes at once.";
    "message.max.bytes" Int = Some("1048588"), Valid::AtLeast(0), dynamic, Honoured,
        "Largest record batch that is accepted, after compression.";
    "min.insync.replicas" Int = Some("1"), Valid::AtLeast(1), dynamic, Honoured,
        "In-sync replicas without which acks=all is refused.";
    "num.partitions" Int = Some("1"), Valid::AtLeast(1), fixed, Honoured,
        "Partitions of a topic created without a number of its own.";
    "num.recovery.threads.per.data.dir" Int = Some("2"), Valid::AtLeast(1), dynamic, Honoured,
        "Logs recovered side by side at start, per data directory.";
    "num.replica.alter.log.dirs.threads" Int = None, Valid::Any, fixed, Pending("multiple log directories"),
        "Threads that move replicas between directories.";
    "producer.id.expiration.ms" Int = Some("86400000"), Valid::AtLeast(1), dynamic, Honoured,
        "How long an idle producer's sequence state is kept.";
    "unclean.leader.election.enable" Boolean = Some("false"), Valid::Any, dynamic, Pending("clusters"),
        "Whether a replica that lacks records may become leader.";
};
