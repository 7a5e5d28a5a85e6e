//! S3 and what speaks it.
//!
//! One logical call is at most a few HTTP requests, each with a deadline. What is retried here is only what cannot do
//! harm: reads, deletes, parts, and a PUT that was never sent. A conditional PUT whose answer is lost is `Ambiguous`, as
//! are 409 and 5xx to it: the protocol re-reads. Retries of the client library are off, because it repeats a conditional
//! PUT after a 5xx and then reports our own object as somebody else's.
//!
//! A stream goes up as one create-only PUT when it fits into one part, else as a multipart upload of equal parts under a
//! name that is unique by itself, with a bounded number of parts in flight. A crash leaves an unfinished upload, which
//! `abort_stale_uploads` ends. A lost answer to the completion is `Ambiguous`: look, never send it again.
//!
//! `ChecksumVerified` means that the answer to every body carried the checksum which was sent with it.

mod answer;
mod classify;
mod multipart;
mod settings;
mod uploads;

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::future::BoxFuture;
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::client::{HttpClient, HttpConnector, ReqwestConnector};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Certificate, ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, PutPayload, RetryConfig, UpdateVersion,
};
use tokio::time::Duration;

pub use settings::S3Settings;

use super::key::{check_key, check_prefix};
use super::{Etag, Key, ObjectInfo, PartSource, Purpose, Store, StoreError, Stored};
use answer::{Answer, Observed};
use classify::Kind;

const LIST_PAGE_OBJECTS: usize = 1000;
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Reserved at once for a body, whatever its header promises.
const READ_CAPACITY_MAX: usize = 64 << 20;
const BACKOFF_FIRST: Duration = Duration::from_millis(100);

/// A bucket, below a prefix; clones share the connections.
#[derive(Clone)]
pub struct S3Store {
    client: Arc<AmazonS3>,
    /// For requests that the client library does not know.
    http: HttpClient,
    settings: Arc<S3Settings>,
}

impl S3Store {
    /// Checks the settings; sends nothing.
    pub fn open(settings: S3Settings) -> Result<S3Store, StoreError> {
        S3Store::open_with(settings, ReqwestConnector::default())
    }

    fn open_with(settings: S3Settings, connector: impl HttpConnector) -> Result<S3Store, StoreError> {
        settings.check()?;
        let refused = |error: object_store::Error| StoreError::Refused {
            key: String::new(),
            reason: format!("the S3 settings are not usable: {error}; check stratalog.tier.s3.*"),
        };
        let options = client_options(&settings)?;
        let connector = Observed::new(connector);
        let http = connector.connect(&options).map_err(refused)?;
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&settings.bucket)
            .with_client_options(options)
            .with_virtual_hosted_style_request(!settings.path_style)
            .with_disable_bulk_delete(true)
            .with_disable_tagging(true)
            .with_unsigned_payload(!settings.is_plain_http())
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_http_connector(connector);
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
        }
        if let Some(region) = &settings.region {
            builder = builder.with_region(region);
        }
        if let Some((access_key, secret_key)) = &settings.keys {
            builder = builder.with_access_key_id(access_key).with_secret_access_key(secret_key);
        }
        if settings.checksums {
            // Over plain HTTP the signature needs SHA-256 anyway; over TLS the cheaper one does.
            let kind = if settings.is_plain_http() { Checksum::SHA256 } else { Checksum::CRC64NVME };
            builder = builder.with_checksum_algorithm(kind);
        }
        let client = Arc::new(builder.build().map_err(refused)?);
        Ok(S3Store { client, http, settings: Arc::new(settings) })
    }

    fn path(&self, key: &Key) -> Result<Path, StoreError> {
        check_key(key)?;
        let full = self.settings.full_key(key);
        Path::parse(&full).map_err(|error| StoreError::Refused { key: full, reason: error.to_string() })
    }

    /// One attempt under the deadline, its error named by what the HTTP layer saw.
    async fn attempt<T>(
        &self,
        key: &str,
        kind: Kind,
        call: impl Future<Output = object_store::Result<T>>,
    ) -> Result<(T, Answer), StoreError> {
        let (outcome, answer) = answer::observe(tokio::time::timeout(self.settings.deadline, call)).await;
        match outcome {
            Ok(Ok(value)) => Ok((value, answer)),
            Ok(Err(error)) => Err(classify::classify(kind, key, &self.settings, &answer, &error.to_string())),
            Err(_) => {
                let reason = format!("no answer within {:?}", self.settings.deadline);
                Err(classify::unanswered(kind, key, reason))
            }
        }
    }

    /// Attempts until one succeeds, fails for good, or `attempts_max` are spent. Only for what is safe to repeat.
    async fn repeat<T, F>(&self, key: &str, kind: Kind, call: impl Fn() -> F) -> Result<(T, Answer), StoreError>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.attempt(key, kind, call()).await {
                Err(StoreError::Unavailable { .. } | StoreError::WrongAnswer { .. })
                    if attempt < self.settings.attempts_max =>
                {
                    tokio::time::sleep(backoff(attempt)).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn put_conditional(&self, key: &Key, body: Bytes, mode: PutMode) -> Result<Etag, StoreError> {
        let path = self.path(key)?;
        let kind = if matches!(mode, PutMode::Create) { Kind::Create } else { Kind::Swap };
        // `Unavailable` here means that nothing was sent, so `repeat` is safe.
        let call = || {
            let options = PutOptions { mode: mode.clone(), ..PutOptions::default() };
            self.client.put_opts(&path, PutPayload::from(body.clone()), options)
        };
        let (result, _) = self.repeat(key, kind, call).await?;
        result.e_tag.map(Etag).ok_or_else(|| StoreError::Ambiguous {
            key: key.to_owned(),
            reason: "stored, but the answer has no ETag".into(),
        })
    }

    fn segment_attributes(&self) -> Attributes {
        let mut attributes = Attributes::new();
        if let Some(class) = &self.settings.storage_class {
            attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        attributes
    }

    /// The range, or all of the object, in one buffer.
    async fn read(&self, key: &Key, range: Option<Range<u64>>) -> Result<(Bytes, Option<String>), StoreError> {
        let path = self.path(key)?;
        let call = || async {
            let options = GetOptions { range: range.clone().map(GetRange::Bounded), ..GetOptions::default() };
            let answer = self.client.get_opts(&path, options).await?;
            let etag = answer.meta.e_tag.clone();
            let promised = usize::try_from(answer.range.end - answer.range.start).unwrap_or(usize::MAX);
            let mut body = BytesMut::with_capacity(promised.min(READ_CAPACITY_MAX));
            let mut pieces = answer.into_stream();
            while let Some(piece) = pieces.next().await {
                body.extend_from_slice(&piece?);
            }
            if body.len() != promised {
                let source = format!("{} bytes of {promised} arrived", body.len()).into();
                return Err(object_store::Error::Generic { store: "S3", source });
            }
            Ok((body.freeze(), etag))
        };
        self.repeat(key, Kind::Read, call).await.map(|(read, _)| read)
    }

    async fn page(&self, prefix: &Key, start_after: Option<&Key>) -> Result<Vec<ObjectInfo>, StoreError> {
        check_prefix(prefix)?;
        // The client lists whole directories: the rest of the prefix is compared here.
        let directory = prefix.rfind('/').map_or("", |slash| prefix.get(..slash).unwrap_or(""));
        let full = |key: &str| Path::parse(self.settings.full_key(key));
        let refused = |error: object_store::path::Error| StoreError::Refused {
            key: prefix.to_owned(),
            reason: error.to_string(),
        };
        let under = full(directory).map_err(refused)?;
        let after = start_after.map(full).transpose().map_err(refused)?;
        let call = || async {
            let mut objects = match &after {
                Some(after) => self.client.list_with_offset(Some(&under), after),
                None => self.client.list(Some(&under)),
            };
            let mut page = Vec::new();
            while let Some(object) = objects.next().await {
                let object = object?;
                let Some(key) = self.settings.own_key(object.location.as_ref()) else { continue };
                if !key.starts_with(prefix) {
                    if key > prefix {
                        break;
                    }
                    continue;
                }
                page.push(ObjectInfo {
                    key: key.to_owned(),
                    bytes: object.size,
                    etag: Etag(object.e_tag.unwrap_or_default()),
                    modified_at: object.last_modified.timestamp_millis(),
                });
                if page.len() >= LIST_PAGE_OBJECTS {
                    break;
                }
            }
            Ok(page)
        };
        self.repeat(prefix, Kind::Read, call).await.map(|(page, _)| page)
    }
}

fn client_options(settings: &S3Settings) -> Result<ClientOptions, StoreError> {
    let mut options = ClientOptions::new()
        .with_allow_http(settings.is_plain_http())
        .with_timeout(settings.deadline)
        .with_connect_timeout(CONNECT_DEADLINE.min(settings.deadline));
    if let Some(file) = &settings.ca_file {
        let refused = |error: String| StoreError::Refused {
            key: String::new(),
            reason: format!("stratalog.tier.s3.ca.file {}: {error}; give a file of PEM certificates", file.display()),
        };
        let pem = std::fs::read(file).map_err(|error| refused(error.to_string()))?;
        for certificate in Certificate::from_pem_bundle(&pem).map_err(|error| refused(error.to_string()))? {
            options = options.with_root_certificate(certificate);
        }
    }
    Ok(options)
}

/// Doubled each time, and anything between half and all of that, so that clients do not come back together.
fn backoff(attempt: u32) -> Duration {
    let full = BACKOFF_FIRST * 2u32.saturating_pow(attempt.min(8) - 1);
    let random = uuid::Uuid::new_v4().as_u128() as u32;
    full / 2 + full.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
}

impl Store for S3Store {
    fn put_create<'a>(
        &'a self,
        key: &'a Key,
        body: Bytes,
        _purpose: Purpose,
    ) -> BoxFuture<'a, Result<Etag, StoreError>> {
        Box::pin(self.put_conditional(key, body, PutMode::Create))
    }

    fn put_if_match<'a>(
        &'a self,
        key: &'a Key,
        body: Bytes,
        expected: &'a Etag,
        _purpose: Purpose,
    ) -> BoxFuture<'a, Result<Etag, StoreError>> {
        let expected = UpdateVersion { e_tag: Some(expected.0.clone()), version: None };
        Box::pin(self.put_conditional(key, body, PutMode::Update(expected)))
    }

    fn put_stream<'a>(
        &'a self,
        key: &'a Key,
        source: &'a mut dyn PartSource,
        _purpose: Purpose,
    ) -> BoxFuture<'a, Result<(u64, Stored), StoreError>> {
        Box::pin(multipart::put(self, key, source))
    }

    fn get<'a>(&'a self, key: &'a Key, _purpose: Purpose) -> BoxFuture<'a, Result<(Bytes, Etag), StoreError>> {
        Box::pin(async move {
            let (body, etag) = self.read(key, None).await?;
            let etag = etag.ok_or_else(|| StoreError::WrongAnswer {
                key: key.to_owned(),
                reason: "the answer has no ETag".into(),
            })?;
            Ok((body, Etag(etag)))
        })
    }

    fn get_range<'a>(
        &'a self,
        key: &'a Key,
        range: Range<u64>,
        _purpose: Purpose,
    ) -> BoxFuture<'a, Result<Bytes, StoreError>> {
        Box::pin(async move {
            let asked = range.end.saturating_sub(range.start);
            if asked == 0 {
                return Ok(Bytes::new());
            }
            let (body, _) = self.read(key, Some(range.clone())).await?;
            if body.len() as u64 == asked {
                return Ok(body);
            }
            let reason = format!("{} bytes for the range {}..{}", body.len(), range.start, range.end);
            Err(StoreError::WrongAnswer { key: key.to_owned(), reason })
        })
    }

    fn head<'a>(&'a self, key: &'a Key, _purpose: Purpose) -> BoxFuture<'a, Result<ObjectInfo, StoreError>> {
        Box::pin(async move {
            let path = self.path(key)?;
            let (meta, _) = self.repeat(key, Kind::Read, || self.client.head(&path)).await?;
            Ok(ObjectInfo {
                key: key.to_owned(),
                bytes: meta.size,
                etag: Etag(meta.e_tag.unwrap_or_default()),
                modified_at: meta.last_modified.timestamp_millis(),
            })
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a Key,
        start_after: Option<&'a Key>,
        _purpose: Purpose,
    ) -> BoxFuture<'a, Result<Vec<ObjectInfo>, StoreError>> {
        Box::pin(self.page(prefix, start_after))
    }

    fn delete<'a>(&'a self, key: &'a Key, _purpose: Purpose) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let path = self.path(key)?;
            match self.repeat(key, Kind::Delete, || self.client.delete(&path)).await {
                Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    fn abort_stale_uploads<'a>(
        &'a self,
        prefix: &'a Key,
        older_than_ms: i64,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(uploads::abort_stale(self, prefix, older_than_ms))
    }
}

#[cfg(test)]
pub(crate) mod tests;
