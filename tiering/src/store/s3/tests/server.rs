//! An S3 server in this process: `s3s` speaks the protocol and checks signatures, the objects are a map here. No
//! socket: requests go straight from the client's HTTP layer into the service.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;
use bytes::Bytes;
use futures::TryStreamExt;
use futures::future::BoxFuture;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use s3s::auth::SimpleAuth;
use s3s::dto::*;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

use super::super::{S3Settings, S3Store};

const BUCKET: &str = "history";
const KEYS: (&str, &str) = ("access", "secret");

/// What happens to the next request that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The service acts, its answer is lost.
    LoseAnswer,
    /// No connection.
    Unreachable,
    /// 503 and no action.
    SlowDown,
    /// The service acts, a proxy answers 500.
    ActAnd500,
    /// The answer is cut to half a body.
    HalfBody,
}

#[derive(Default)]
pub(super) struct Upload {
    key: String,
    parts: BTreeMap<i32, Vec<u8>>,
}

#[derive(Default)]
pub(super) struct Shared {
    pub(super) objects: BTreeMap<String, Vec<u8>>,
    pub(super) uploads: BTreeMap<String, Upload>,
    next_upload: u64,
    /// Method and a part of the URI, and what befalls the request.
    troubles: VecDeque<(&'static str, &'static str, Trouble)>,
    requests: Vec<String>,
    pub(super) storage_classes: Vec<Option<String>>,
}

#[derive(Clone, Default)]
pub(super) struct Objects(Arc<Mutex<Shared>>);

impl Objects {
    pub(super) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
pub(crate) struct Bucket {
    pub(super) objects: Objects,
    service: S3Service,
}

pub(crate) fn bucket() -> Bucket {
    let objects = Objects::default();
    let mut builder = S3ServiceBuilder::new(objects.clone());
    builder.set_auth(SimpleAuth::from_single(KEYS.0, KEYS.1));
    Bucket { objects, service: builder.build() }
}

impl Bucket {
    pub(crate) fn settings(&self) -> S3Settings {
        S3Settings {
            endpoint: Some("http://s3.test:9000".into()),
            region: Some("eu-test-1".into()),
            keys: Some((KEYS.0.into(), KEYS.1.into())),
            part_bytes: 5 << 20,
            ..S3Settings::new(BUCKET, "deep/prefix=1")
        }
    }

    pub(crate) fn store(&self) -> S3Store {
        self.open(self.settings())
    }

    pub(crate) fn open(&self, settings: S3Settings) -> S3Store {
        S3Store::open_with(settings, Connector(self.clone())).expect("settings")
    }

    pub(super) fn trouble(&self, method: &'static str, uri: &'static str, trouble: Trouble) {
        self.objects.lock().troubles.push_back((method, uri, trouble));
    }

    pub(super) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.objects.lock().requests)
    }
}

#[derive(Clone)]
struct Connector(Bucket);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("in-process S3")
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

impl HttpService for Connector {
    fn call<'life0, 'async_trait>(
        &'life0 self,
        request: HttpRequest,
    ) -> BoxFuture<'async_trait, Result<HttpResponse, HttpError>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let name = format!("{} {}", request.method(), request.uri());
            let trouble = {
                let mut shared = self.0.objects.lock();
                shared.requests.push(name.clone());
                let hit = shared
                    .troubles
                    .front()
                    .is_some_and(|(method, uri, _)| name.starts_with(&format!("{method} ")) && name.contains(uri));
                if hit { shared.troubles.pop_front().map(|(.., trouble)| trouble) } else { None }
            };
            let fail = |kind| HttpError::new(kind, std::io::Error::other("planted"));
            match trouble {
                Some(Trouble::Unreachable) => return Err(fail(HttpErrorKind::Connect)),
                Some(Trouble::SlowDown) => return Ok(answer(503, Bytes::from_static(b"<Code>SlowDown</Code>"))),
                _ => {}
            }
            let (mut parts, body) = request.into_parts();
            let host = parts.uri.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
            if !parts.headers.contains_key("content-length") {
                parts.headers.insert("content-length", body.content_length().into());
            }
            parts.headers.insert("host", host.parse().expect("a host"));
            let body = s3s::Body::http_body(body);
            let answered = self.0.service.call(s3s::HttpRequest::from_parts(parts, body)).await;
            let (parts, body) = answered
                .map_err(|error| HttpError::new(HttpErrorKind::Unknown, std::io::Error::other(format!("{error:?}"))))?
                .into_parts();
            let body: Vec<Bytes> = body.try_collect().await.map_err(|_| fail(HttpErrorKind::Interrupted))?;
            match trouble {
                Some(Trouble::LoseAnswer) => Err(fail(HttpErrorKind::Timeout)),
                Some(Trouble::ActAnd500) => Ok(answer(500, Bytes::from_static(b"<Code>InternalError</Code>"))),
                Some(Trouble::HalfBody) => {
                    let whole = body.concat();
                    Ok(HttpResponse::from_parts(parts, Bytes::from(whole[..whole.len() / 2].to_vec()).into()))
                }
                _ => Ok(HttpResponse::from_parts(parts, Bytes::from(body.concat()).into())),
            }
        })
    }
}

fn answer(status: u16, body: Bytes) -> HttpResponse {
    let mut response = HttpResponse::new(body.into());
    *response.status_mut() = status.try_into().expect("a status");
    response
}

/// A handler in the form that the trait's `async fn` takes after its macro.
macro_rules! handler {
    ($name:ident, $input:ty, $output:ty, |$this:ident, $request:ident| $body:expr) => {
        fn $name<'life0, 'async_trait>(
            &'life0 self,
            request: S3Request<$input>,
        ) -> BoxFuture<'async_trait, S3Result<S3Response<$output>>>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            Box::pin(async move {
                let ($this, $request) = (self, request.input);
                if $request.bucket != BUCKET {
                    return Err(s3_error!(NoSuchBucket));
                }
                Ok(S3Response::new($body))
            })
        }
    };
}

async fn collect(body: Option<StreamingBlob>) -> S3Result<Vec<u8>> {
    let Some(body) = body else { return Ok(Vec::new()) };
    let pieces: Vec<Bytes> = body.try_collect().await.map_err(|_| s3_error!(IncompleteBody))?;
    Ok(pieces.concat())
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for letter in 0..=group.len() {
            out.push(char::from(LETTERS[(word >> (18 - 6 * letter) & 63) as usize]));
        }
    }
    while !out.len().is_multiple_of(4) {
        out.push('=');
    }
    out
}

/// The store's own SHA-256, compared with the one sent.
fn confirm(sent: Option<String>, body: &[u8]) -> S3Result<Option<String>> {
    let own = base64(digest::digest(&digest::SHA256, body).as_ref());
    match sent {
        Some(sent) if sent != own => Err(s3_error!(BadDigest)),
        sent => Ok(sent),
    }
}

fn etag(body: &[u8]) -> ETag {
    ETag::Strong(format!("{:08x}{:x}", crc32c::crc32c(body), body.len()))
}

fn modified() -> Timestamp {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(1_600_000_000)).expect("a time").into()
}

impl S3 for Objects {
    handler!(put_object, PutObjectInput, PutObjectOutput, |this, input| {
        let body = collect(input.body).await?;
        let checksum_sha256 = confirm(input.checksum_sha256, &body)?;
        let mut shared = this.lock();
        let current = shared.objects.get(&input.key).map(|body| etag(body));
        match (input.if_none_match, input.if_match, current) {
            (Some(_), _, Some(_)) => return Err(s3_error!(PreconditionFailed)),
            (_, Some(_), None) => return Err(s3_error!(NoSuchKey)),
            (_, Some(ETagCondition::ETag(expected)), Some(current)) if !expected.strong_cmp(&current) => {
                return Err(s3_error!(PreconditionFailed));
            }
            _ => {}
        }
        shared.storage_classes.push(input.storage_class.map(|class| class.as_str().to_owned()));
        let e_tag = Some(etag(&body));
        shared.objects.insert(input.key, body);
        PutObjectOutput { e_tag, checksum_sha256, ..Default::default() }
    });

    handler!(get_object, GetObjectInput, GetObjectOutput, |this, input| {
        let shared = this.lock();
        let body = shared.objects.get(&input.key).ok_or_else(|| s3_error!(NoSuchKey))?;
        let whole = body.len() as u64;
        let (range, content_range) = match input.range {
            None => (0..whole, None),
            Some(range) => {
                let range = range.check(whole)?;
                let shown = format!("bytes {}-{}/{whole}", range.start, range.end - 1);
                (range, Some(shown))
            }
        };
        let part = Bytes::copy_from_slice(&body[range.start as usize..range.end as usize]);
        GetObjectOutput {
            content_length: Some(part.len() as i64),
            body: Some(StreamingBlob::from(s3s::Body::from(part))),
            content_range,
            e_tag: Some(etag(body)),
            last_modified: Some(modified()),
            ..Default::default()
        }
    });

    handler!(head_object, HeadObjectInput, HeadObjectOutput, |this, input| {
        let shared = this.lock();
        let body = shared.objects.get(&input.key).ok_or_else(|| s3_error!(NoSuchKey))?;
        HeadObjectOutput {
            content_length: Some(body.len() as i64),
            e_tag: Some(etag(body)),
            last_modified: Some(modified()),
            ..Default::default()
        }
    });

    handler!(delete_object, DeleteObjectInput, DeleteObjectOutput, |this, input| {
        this.lock().objects.remove(&input.key);
        DeleteObjectOutput::default()
    });

    handler!(list_objects_v2, ListObjectsV2Input, ListObjectsV2Output, |this, input| {
        let shared = this.lock();
        let prefix = input.prefix.unwrap_or_default();
        let after = input.continuation_token.or(input.start_after).unwrap_or_default();
        // Small pages, so that paging happens.
        let limit = input.max_keys.unwrap_or(1000).min(300) as usize;
        let matching: Vec<_> = shared
            .objects
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix) && key.as_str() > after.as_str())
            .take(limit + 1)
            .collect();
        let truncated = matching.len() > limit;
        let contents: Vec<Object> = matching
            .iter()
            .take(limit)
            .map(|(key, body)| Object {
                key: Some((*key).clone()),
                size: Some(body.len() as i64),
                e_tag: Some(etag(body)),
                last_modified: Some(modified()),
                ..Default::default()
            })
            .collect();
        let last = contents.last().and_then(|object| object.key.clone());
        ListObjectsV2Output {
            is_truncated: Some(truncated),
            next_continuation_token: last.filter(|_| truncated),
            contents: Some(contents),
            ..Default::default()
        }
    });

    handler!(create_multipart_upload, CreateMultipartUploadInput, CreateMultipartUploadOutput, |this, input| {
        let mut shared = this.lock();
        shared.next_upload += 1;
        let id = format!("upload+{}", shared.next_upload);
        shared.storage_classes.push(input.storage_class.map(|class| class.as_str().to_owned()));
        shared.uploads.insert(id.clone(), Upload { key: input.key, parts: BTreeMap::new() });
        CreateMultipartUploadOutput { upload_id: Some(id), ..Default::default() }
    });

    handler!(upload_part, UploadPartInput, UploadPartOutput, |this, input| {
        let body = collect(input.body).await?;
        let checksum_sha256 = confirm(input.checksum_sha256, &body)?;
        let e_tag = Some(etag(&body));
        let mut shared = this.lock();
        let upload = shared.uploads.get_mut(&input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        upload.parts.insert(input.part_number, body);
        UploadPartOutput { e_tag, checksum_sha256, ..Default::default() }
    });

    handler!(complete_multipart_upload, CompleteMultipartUploadInput, CompleteMultipartUploadOutput, |this, input| {
        let mut shared = this.lock();
        let upload = shared.uploads.remove(&input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        let named = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let sizes: Vec<_> = upload.parts.values().map(Vec::len).collect();
        let (_, but_last) = sizes.split_last().ok_or_else(|| s3_error!(InvalidPart))?;
        if named.len() != sizes.len() || but_last.iter().any(|size| *size < 5 << 20 || *size != but_last[0]) {
            return Err(s3_error!(EntityTooSmall));
        }
        let body = upload.parts.into_values().collect::<Vec<_>>().concat();
        let e_tag = Some(etag(&body));
        shared.objects.insert(upload.key, body);
        CompleteMultipartUploadOutput { e_tag, ..Default::default() }
    });

    handler!(abort_multipart_upload, AbortMultipartUploadInput, AbortMultipartUploadOutput, |this, input| {
        this.lock().uploads.remove(&input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        AbortMultipartUploadOutput::default()
    });

    handler!(list_multipart_uploads, ListMultipartUploadsInput, ListMultipartUploadsOutput, |this, input| {
        let shared = this.lock();
        let prefix = input.prefix.unwrap_or_default();
        let after = input.upload_id_marker.unwrap_or_default();
        // One to a page.
        let mut left = shared
            .uploads
            .iter()
            .filter(|(id, upload)| upload.key.starts_with(&prefix) && id.as_str() > after.as_str());
        let (next, more) = (left.next(), left.next().is_some());
        ListMultipartUploadsOutput {
            is_truncated: Some(more),
            next_key_marker: next.filter(|_| more).map(|(_, upload)| upload.key.clone()),
            next_upload_id_marker: next.filter(|_| more).map(|(id, _)| id.clone()),
            uploads: Some(
                next.into_iter()
                    .map(|(id, upload)| MultipartUpload {
                        key: Some(upload.key.clone()),
                        upload_id: Some(id.clone()),
                        initiated: Some(modified()),
                        ..Default::default()
                    })
                    .collect(),
            ),
            ..Default::default()
        }
    });
}
