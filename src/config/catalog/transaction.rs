//! Broker keys of transactions.

use crate::config::key::Stance::Pending;
use crate::config::key::{Key, Valid};

pub const KEYS: &[Key] = keys! {
    "transaction.abort.timed.out.transaction.cleanup.interval.ms" Int = Some("10000"),
        Valid::AtLeast(1), fixed, Pending("transactions"),
        "How often timed-out transactions are looked for.";
    "transaction.max.timeout.ms" Int = Some("900000"), Valid::AtLeast(1), fixed, Pending("transactions"),
        "Longest transaction timeout that a producer may ask for.";
    "transaction.partition.verification.enable" Boolean = Some("true"), Valid::Any, dynamic, Pending("transactions"),
        "Whether a partition checks that a transaction knows it.";
    "transaction.remove.expired.transaction.cleanup.interval.ms" Int = Some("3600000"),
        Valid::AtLeast(1), fixed, Pending("transactions"),
        "How often expired transactional ids are removed.";
    "transaction.state.log.load.buffer.size" Int = Some("5242880"), Valid::AtLeast(1), fixed, Pending("transactions"),
        "Batch size when transaction state is loaded.";
    "transaction.state.log.min.isr" Int = Some("2"), Valid::AtLeast(1), fixed, Pending("transactions"),
        "In-sync replicas that the transaction topic needs.";
    "transaction.state.log.num.partitions" Int = Some("50"), Valid::AtLeast(1), fixed, Pending("transactions"),
        "Partitions of the transaction topic.";
    "transaction.state.log.replication.factor" Short = Some("3"), Valid::AtLeast(1), fixed, Pending("transactions"),
        "Replicas of the transaction topic.";
    "transaction.state.log.segment.bytes" Int = Some("104857600"), Valid::AtLeast(1), fixed, Pending("transactions"),
        "Segment size of the transaction topic.";
    "transaction.two.phase.commit.enable" Boolean = Some("false"), Valid::Any, fixed, Pending("transactions"),
        "Whether a transaction may stay prepared without a timeout.";
    "transactional.id.expiration.ms" Int = Some("604800000"), Valid::AtLeast(1), fixed, Pending("transactions"),
        "Idle time after which a transactional id is forgotten.";
};
