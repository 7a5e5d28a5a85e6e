//! Where history settles: `stratalog.tier.url` and what belongs to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::ConfigError;
use super::settings::Settings;

/// The tier of a broker that has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierConfig {
    pub location: TierLocation,
    /// Topics with cleanup.policy=delete are tiered when they do not say.
    pub default_enable: bool,
    pub compression_level: i32,
    pub upload_part_bytes: u64,
    pub upload_concurrency: usize,
    /// `None` is no limit.
    pub upload_bytes_per_second: Option<u64>,
    pub fetch_concurrency: usize,
    pub expire_concurrency: usize,
    pub memory_bytes: u64,
    pub read_ahead_bytes: u64,
    pub cache_memory_bytes: u64,
    pub request_timeout: Duration,
    pub fetch_wait_max: Duration,
    pub lookup_wait_max: Duration,
    pub task_interval: Duration,
    pub delete_grace: Duration,
    /// The longest time after which a PUT that was given up may still land.
    pub late_put_max: Duration,
    /// Age at which a tiered topic's active segment closes; `None` leaves it to segment.ms.
    pub untiered_age_max: Option<Duration>,
}

/// The store of the tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TierLocation {
    Directory {
        path: PathBuf,
        /// Inside the data directory: on the same disk, so that it adds no durability.
        embedded: bool,
    },
    S3(S3Config),
}

/// A bucket of S3 or of a store that speaks it.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Config {
    pub bucket: String,
    /// Without slashes at its ends; may be empty.
    pub prefix: String,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub path_style: bool,
    pub allow_http: bool,
    pub ca_file: Option<PathBuf>,
    pub storage_class: Option<String>,
    /// `None` takes the usual `AWS_*` chain.
    pub credentials: Option<S3Credentials>,
}

/// Keys given in the configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
}

impl std::fmt::Debug for S3Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Config")
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("path_style", &self.path_style)
            .field("credentials", &self.credentials.as_ref().map(|keys| &keys.access_key_id))
            .finish_non_exhaustive()
    }
}

impl std::fmt::Display for TierLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TierLocation::Directory { path, .. } => write!(f, "file://{}", path.display()),
            TierLocation::S3(s3) => write!(f, "s3://{}/{}", s3.bucket, s3.prefix),
        }
    }
}

impl TierConfig {
    /// The tier, or `None` where none is configured or `remote.log.storage.system.enable=false` turns it off.
    pub(super) fn resolve(settings: &Settings, data_dir: &Path) -> Result<Option<TierConfig>, ConfigError> {
        const SWITCH: &str = "remote.log.storage.system.enable";
        let url = settings.string("stratalog.tier.url");
        let switched_on = settings.boolean(SWITCH) == Some(true);
        let Some(url) = url else {
            if switched_on {
                let problem = format!(
                    "{SWITCH}=true needs a store: set stratalog.tier.url to file:///directory or s3://bucket/prefix"
                );
                return Err(ConfigError::conflict(problem));
            }
            return Ok(None);
        };
        if settings.is_set(SWITCH) && !switched_on {
            return Ok(None);
        }
        let location = location(settings, &url, data_dir)?;
        let bytes = |name: &str| settings.unsigned(name).unwrap_or(0);
        let count = |name: &str| usize::try_from(bytes(name)).unwrap_or(1).max(1);
        let millis = |name: &str| Duration::from_millis(bytes(name));
        let rate = |name: &str| settings.unsigned(name).filter(|rate| *rate < i64::MAX as u64);
        Ok(Some(TierConfig {
            location,
            default_enable: settings.boolean("stratalog.tier.default.enable").unwrap_or(false),
            compression_level: settings.integer("stratalog.tier.compression.level").unwrap_or(3) as i32,
            upload_part_bytes: bytes("stratalog.tier.upload.part.bytes"),
            upload_concurrency: count("remote.log.manager.copier.thread.pool.size"),
            upload_bytes_per_second: rate("remote.log.manager.copy.max.bytes.per.second"),
            fetch_concurrency: count("remote.log.reader.threads"),
            expire_concurrency: count("remote.log.manager.expiration.thread.pool.size"),
            memory_bytes: bytes("stratalog.tier.memory.bytes"),
            read_ahead_bytes: bytes("stratalog.tier.read.ahead.bytes"),
            cache_memory_bytes: bytes("stratalog.tier.cache.memory.bytes"),
            request_timeout: millis("stratalog.tier.request.timeout.ms"),
            fetch_wait_max: millis("remote.fetch.max.wait.ms"),
            lookup_wait_max: millis("remote.list.offsets.request.timeout.ms"),
            task_interval: millis("remote.log.manager.task.interval.ms"),
            delete_grace: millis("stratalog.tier.delete.grace.ms"),
            late_put_max: millis("stratalog.tier.late.put.max.ms"),
            untiered_age_max: settings.unsigned("stratalog.tier.untiered.age.max.ms").map(Duration::from_millis),
        }))
    }
}

fn location(settings: &Settings, url: &str, data_dir: &Path) -> Result<TierLocation, ConfigError> {
    const KEY: &str = "stratalog.tier.url";
    const FORM: &str = "write file:///directory, s3://bucket/prefix, or embedded";
    if url == "embedded" {
        return Ok(TierLocation::Directory { path: data_dir.join("tier"), embedded: true });
    }
    if let Some(path) = url.strip_prefix("file://") {
        let path = PathBuf::from(path);
        if !path.is_absolute() {
            return Err(ConfigError::invalid(KEY, url, "the directory must be absolute: write file:///directory"));
        }
        let embedded = path.starts_with(data_dir);
        return Ok(TierLocation::Directory { path, embedded });
    }
    match url.strip_prefix("s3://") {
        Some(rest) => s3(settings, url, rest).map(TierLocation::S3),
        None => Err(ConfigError::invalid(KEY, url, FORM)),
    }
}

fn s3(settings: &Settings, url: &str, rest: &str) -> Result<S3Config, ConfigError> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(plain) {
        let problem = "a bucket's name has 3 to 63 lower-case letters, digits, dots and dashes: s3://bucket/prefix";
        return Err(ConfigError::invalid("stratalog.tier.url", url, problem));
    }
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"._=/-".contains(&byte);
    if !prefix.bytes().all(safe) {
        let problem = "a prefix may have letters, digits and . _ = / - only";
        return Err(ConfigError::invalid("stratalog.tier.url", url, problem));
    }
    let endpoint = settings.string("stratalog.tier.s3.endpoint");
    if let Some(endpoint) = &endpoint
        && !endpoint.starts_with("http://")
        && !endpoint.starts_with("https://")
    {
        let problem = "begin it with https:// or http://, for example http://127.0.0.1:9000";
        return Err(ConfigError::invalid("stratalog.tier.s3.endpoint", endpoint, problem));
    }
    let plain_http = endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let allow_http = settings.boolean("stratalog.tier.s3.allow.http").unwrap_or(plain_http);
    if plain_http && !allow_http {
        return Err(ConfigError::conflict(
            "stratalog.tier.s3.allow.http=false, but stratalog.tier.s3.endpoint begins with http://: begin it with https://",
        ));
    }
    Ok(S3Config {
        bucket: bucket.to_owned(),
        prefix: prefix.trim_matches('/').to_owned(),
        path_style: settings.boolean("stratalog.tier.s3.path.style.access").unwrap_or(endpoint.is_some()),
        allow_http,
        region: settings.string("stratalog.tier.s3.region"),
        ca_file: settings.string("stratalog.tier.s3.ca.file").map(PathBuf::from),
        storage_class: settings.string("stratalog.tier.s3.storage.class"),
        credentials: credentials(settings)?,
        endpoint,
    })
}

fn credentials(settings: &Settings) -> Result<Option<S3Credentials>, ConfigError> {
    let access = settings.string("stratalog.tier.s3.access.key.id");
    let secret = settings.string("stratalog.tier.s3.secret.access.key");
    match (access, secret) {
        (Some(access_key_id), Some(secret_access_key)) => Ok(Some(S3Credentials { access_key_id, secret_access_key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(ConfigError::conflict(
            "stratalog.tier.s3.access.key.id is set without its secret: set stratalog.tier.s3.secret.access.key too",
        )),
        (None, Some(_)) => Err(ConfigError::conflict(
            "stratalog.tier.s3.secret.access.key is set without its key: set stratalog.tier.s3.access.key.id too",
        )),
    }
}
