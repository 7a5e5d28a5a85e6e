//! Our own broker keys: `stratalog.*`.

use crate::config::key::Stance::{Honoured, Pending, Refused};
use crate::config::key::{Key, Valid};

pub const KEYS: &[Key] = keys! {
    "stratalog.admin.listener" String = Some("127.0.0.1:9644"), Valid::Any, fixed, Honoured,
        "Address of HTTP for metrics, health and the tier's control; empty turns it off.";
    "stratalog.cluster.id" String = None, Valid::Any, fixed, Honoured,
        "Cluster id for a new data directory; unset makes one.";
    "stratalog.fetch.memory.bytes" Long = Some("-1"), Valid::Any, fixed, Honoured,
        "Memory for fetched records until they are sent, over all connections; -1 takes an eighth of the memory.";
    "stratalog.log.dir.reserve.bytes" Long = Some("268435456"), Valid::AtLeast(0), fixed, Honoured,
        "Free bytes of the data directory's disk below which produce is refused; producers are slowed down from twice as many on.";
    "stratalog.log.filter" String = Some("info"), Valid::Any, fixed, Honoured,
        "Which log lines are written, as level or target=level, separated by commas.";
    "stratalog.log.format" String = Some("text"), Valid::OneOf(&["text", "json"]), fixed, Honoured,
        "Form of the log lines.";
    "stratalog.log.scrub.bytes.per.second" Long = Some("0"), Valid::AtLeast(0), dynamic, Honoured,
        "Rate at which closed local segments are read and checked over and over; 0 turns it off.";
    "stratalog.record.validation" String = Some("fast"), Valid::OneOf(&["fast", "full"]), fixed, Honoured,
        "`full` also walks the records of compressed batches.";
    "stratalog.shutdown.timeout.ms" Long = Some("30000"), Valid::AtLeast(0), fixed, Honoured,
        "How long a stop may drain before it ends without.";
    "stratalog.tier.cache.dir" String = None, Valid::Any, fixed, Pending("a cache on disk"),
        "Directory of the chunk cache; unset means inside the first data directory.";
    "stratalog.tier.cache.disk.bytes" Long = Some("10737418240"), Valid::AtLeast(0), fixed, Pending("a cache on disk"),
        "Disk for chunks read from the tier; 0 keeps none.";
    "stratalog.tier.cache.memory.bytes" Long = Some("268435456"), Valid::AtLeast(0), fixed, Honoured,
        "Memory for decompressed chunks read from the tier.";
    "stratalog.tier.chunk.bytes" Int = Some("524288"), Valid::Between(16_384, 16_777_216), fixed, Pending("chunks of a size of choice"),
        "Log bytes that are compressed and read as one chunk; 512 KiB, and more in large segments.";
    "stratalog.tier.compression.level" Int = Some("3"), Valid::Between(-7, 19), fixed, Honoured,
        "zstd level of tiered chunks.";
    "stratalog.tier.default.enable" Boolean = Some("false"), Valid::Any, fixed, Honoured,
        "Whether topics with cleanup.policy=delete are tiered when they do not say.";
    "stratalog.tier.delete.grace.ms" Long = Some("60000"), Valid::AtLeast(0), fixed, Honoured,
        "Time between an object's leaving the manifest and its deletion.";
    "stratalog.tier.late.put.max.ms" Long = Some("3600000"), Valid::AtLeast(0), fixed, Honoured,
        "Longest time after which a PUT that was given up may still land: the heads of a deleted topic stay so long.";
    "stratalog.tier.memory.bytes" Long = Some("134217728"), Valid::AtLeast(8_388_608), fixed, Honoured,
        "Memory for chunks under way from the tier, and as much again for chunks loaded ahead.";
    "stratalog.tier.read.ahead.bytes" Long = Some("67108864"), Valid::AtLeast(0), fixed, Honoured,
        "Bytes that a sequential reader of the tier is kept ahead.";
    "stratalog.tier.request.timeout.ms" Long = Some("30000"), Valid::AtLeast(100), fixed, Honoured,
        "Deadline of one request to the object store, before it is tried again.";
    "stratalog.tier.s3.access.key.id" String = None, Valid::Any, fixed, Honoured,
        "Access key; unset takes AWS_ACCESS_KEY_ID and the rest of the usual chain.";
    "stratalog.tier.s3.allow.http" Boolean = None, Valid::Any, fixed, Honoured,
        "Whether plain HTTP may be spoken; unset allows it for an endpoint that begins with http://.";
    "stratalog.tier.s3.ca.file" String = None, Valid::Any, fixed, Honoured,
        "PEM file of certificate authorities to trust for the endpoint.";
    "stratalog.tier.s3.endpoint" String = None, Valid::Any, fixed, Honoured,
        "Address of an S3 compatible store; unset means AWS.";
    "stratalog.tier.s3.path.style.access" Boolean = None, Valid::Any, fixed, Honoured,
        "Bucket in the path instead of the host name; unset means yes when an endpoint is set.";
    "stratalog.tier.s3.region" String = None, Valid::Any, fixed, Honoured,
        "Region of the bucket; unset takes AWS_REGION, else us-east-1.";
    "stratalog.tier.s3.secret.access.key" Password = None, Valid::Any, fixed, Honoured,
        "Secret of the access key.";
    "stratalog.tier.s3.session.token" Password = None, Valid::Any, fixed, Refused("it is not sent yet; give temporary credentials by the AWS_* variables instead"),
        "Session token of temporary credentials.";
    "stratalog.tier.s3.storage.class" String = None, Valid::Any, fixed, Honoured,
        "Storage class of segment objects; unset takes the bucket's.";
    "stratalog.tier.untiered.age.max.ms" Long = None, Valid::AtLeast(1), fixed, Honoured,
        "Age at which a tiered topic's active segment closes; unset leaves it to segment.ms.";
    "stratalog.tier.upload.part.bytes" Long = Some("16777216"),
        Valid::Between(5_242_880, 536_870_912), fixed, Honoured,
        "Size of one part of a multipart upload; smaller objects go in one request.";
    "stratalog.tier.url" String = None, Valid::Any, fixed, Honoured,
        "Where history settles: file:///directory or s3://bucket/prefix; `embedded` is inside the data directory.";
};
