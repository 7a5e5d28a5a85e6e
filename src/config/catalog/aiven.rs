//! The keys of Aiven's tiered storage plugin, read as aliases of ours so that a working `server.properties` moves over.

/// Aiven's names stand below the storage plugin's prefix, by default this one.
pub const AIVEN_PREFIX: &str = "rsm.config.";

/// What one of Aiven's keys, prefix taken off, means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AivenStance {
    /// The same as this key of ours.
    Alias(&'static str),
    /// Part of `stratalog.tier.url`.
    Bucket,
    Prefix,
    /// The back end's class: S3 and the file system are served.
    Backend,
    /// A root directory: the file-system back end.
    Directory,
    NoEffect,
    Refused(&'static str),
}

/// `name` is without the prefix.
pub fn aiven_stance(name: &str) -> AivenStance {
    match name {
        "storage.backend.class" => AivenStance::Backend,
        "storage.root" => AivenStance::Directory,
        "storage.s3.bucket.name" => AivenStance::Bucket,
        "key.prefix" => AivenStance::Prefix,
        "storage.s3.endpoint.url" => AivenStance::Alias("stratalog.tier.s3.endpoint"),
        "storage.s3.region" => AivenStance::Alias("stratalog.tier.s3.region"),
        "storage.s3.path.style.access.enabled" => AivenStance::Alias("stratalog.tier.s3.path.style.access"),
        "storage.s3.storage.class" => AivenStance::Alias("stratalog.tier.s3.storage.class"),
        "storage.s3.multipart.upload.part.size" => AivenStance::Alias("stratalog.tier.upload.part.bytes"),
        "storage.s3.api.call.attempt.timeout" => AivenStance::Alias("stratalog.tier.request.timeout.ms"),
        "storage.aws.access.key.id" => AivenStance::Alias("stratalog.tier.s3.access.key.id"),
        "storage.aws.secret.access.key" => AivenStance::Alias("stratalog.tier.s3.secret.access.key"),
        "encryption.enabled" => AivenStance::Refused("objects are not encrypted by the broker yet"),
        "storage.aws.certificate.check.enabled" => {
            AivenStance::Refused("certificates are always checked; name your authority with stratalog.tier.s3.ca.file")
        }
        _ => AivenStance::NoEffect,
    }
}
