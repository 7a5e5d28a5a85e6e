//! What `stratalog.tier.url` and `stratalog.tier.s3.*` say.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::super::StoreError;
use super::super::key::check_key;

/// S3's own bound on parts but the last.
pub const PART_BYTES_MIN: usize = 5 << 20;

#[derive(Clone)]
pub struct S3Settings {
    pub bucket: String,
    /// Elements of a path, without slashes around it; empty: the bucket's root.
    pub prefix: String,
    /// Unset: AWS, by region.
    pub endpoint: Option<String>,
    /// Unset: the AWS_* chain, else us-east-1.
    pub region: Option<String>,
    /// `http://host/bucket/key` instead of `http://bucket.host/key`.
    pub path_style: bool,
    /// Access key and secret key; unset: the AWS_* chain (environment, web identity, container, instance).
    pub keys: Option<(String, String)>,
    /// More certificate authorities, PEM.
    pub ca_file: Option<PathBuf>,
    /// Of segments; the manifest stays in the bucket's default class.
    pub storage_class: Option<String>,
    /// Sent with every body; off only for stores that refuse the header.
    pub checksums: bool,
    /// Of one HTTP request.
    pub deadline: Duration,
    /// Of one call that is safe to repeat.
    pub attempts_max: u32,
    /// Bodies above it go up in parts of this size.
    pub part_bytes: usize,
    pub parts_in_flight_max: usize,
}

impl S3Settings {
    pub fn new(bucket: impl Into<String>, prefix: impl Into<String>) -> S3Settings {
        S3Settings {
            bucket: bucket.into(),
            prefix: prefix.into(),
            endpoint: None,
            region: None,
            path_style: true,
            keys: None,
            ca_file: None,
            storage_class: None,
            checksums: true,
            deadline: Duration::from_secs(30),
            attempts_max: 4,
            part_bytes: 8 << 20,
            parts_in_flight_max: 3,
        }
    }

    pub(super) fn is_plain_http(&self) -> bool {
        self.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"))
    }

    pub(super) fn check(&self) -> Result<(), StoreError> {
        let refused = |reason: String| Err(StoreError::Refused { key: String::new(), reason });
        if self.bucket.len() < 3 || self.bucket.contains('/') {
            return refused(format!("the bucket name '{}' has fewer than 3 characters or a slash", self.bucket));
        }
        if !self.prefix.is_empty() && check_key(&self.prefix).is_err() {
            return refused(format!(
                "the prefix '{}' of stratalog.tier.url: use elements of A-Z a-z 0-9 . _ = - with single slashes",
                self.prefix
            ));
        }
        if let Some(endpoint) = &self.endpoint
            && !endpoint.starts_with("http://")
            && !endpoint.starts_with("https://")
        {
            return refused(format!("the endpoint '{endpoint}' must start with http:// or https://"));
        }
        if self.part_bytes < PART_BYTES_MIN {
            return refused(format!("a part size of {} is below S3's {PART_BYTES_MIN}", self.part_bytes));
        }
        Ok(())
    }

    pub(super) fn full_key(&self, key: &str) -> String {
        match (self.prefix.as_str(), key) {
            ("", key) => key.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, key) => format!("{prefix}/{key}"),
        }
    }

    /// The key below the prefix.
    pub(super) fn own_key<'a>(&self, full: &'a str) -> Option<&'a str> {
        if self.prefix.is_empty() { Some(full) } else { full.strip_prefix(&self.prefix)?.strip_prefix('/') }
    }
}

impl fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Settings")
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("keys", &self.keys.as_ref().map(|(access, _)| (access, "hidden")))
            .finish_non_exhaustive()
    }
}
