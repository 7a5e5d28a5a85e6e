//! Unfinished multipart uploads, listed and ended. The client library has no such request, so it is made here.

use bytes::Bytes;
use object_store::aws::AwsAuthorizer;
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::Signer;

use super::super::key::check_prefix;
use super::super::{Key, StoreError};
use super::classify::Kind;
use super::{S3Store, answer, classify};

/// Answers read in one sweep: the next sweep goes on.
const PAGES_MAX: usize = 100;
/// Bytes of an answer that are looked at: a full page is below 1 MiB.
const PAGE_BYTES_MAX: usize = 8 << 20;
/// The URL is only taken apart, never used.
const SIGN_SECONDS: u64 = 60;

#[derive(Debug, PartialEq, Eq)]
struct Unfinished {
    key: String,
    upload_id: String,
    /// Milliseconds since the epoch.
    begun_at: i64,
}

pub(super) async fn abort_stale(store: &S3Store, prefix: &Key, older_than_ms: i64) -> Result<u64, StoreError> {
    check_prefix(prefix)?;
    let now_ms = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    let full_prefix = if prefix.is_empty() && !store.settings.prefix.is_empty() {
        format!("{}/", store.settings.prefix)
    } else {
        store.settings.full_key(prefix)
    };
    let (mut aborted, mut marker) = (0, None);
    for _ in 0..PAGES_MAX {
        let page = list(store, &full_prefix, marker.as_ref()).await?;
        let text = String::from_utf8_lossy(page.get(..page.len().min(PAGE_BYTES_MAX)).unwrap_or_default()).into_owned();
        for upload in unfinished(&text) {
            let stale = now_ms.saturating_sub(upload.begun_at) > older_than_ms;
            if !stale || !upload.key.starts_with(&full_prefix) {
                continue;
            }
            let Ok(path) = Path::parse(&upload.key) else { continue };
            let call = || MultipartStore::abort_multipart(&*store.client, &path, &upload.upload_id);
            match store.repeat(&upload.key, Kind::Delete, call).await {
                Ok(_) => aborted += 1,
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        marker = next_marker(&text);
        if marker.is_none() {
            break;
        }
    }
    Ok(aborted)
}

/// One page of `GET ?uploads`.
async fn list(store: &S3Store, full_prefix: &str, marker: Option<&(String, String)>) -> Result<Bytes, StoreError> {
    let failed = |reason: String| StoreError::Unavailable { key: full_prefix.to_owned(), reason };
    // A signed URL shows where the bucket is and in which style; its path is cut back to the bucket.
    let probe = Path::parse(store.settings.full_key("uploads")).map_err(|error| failed(error.to_string()))?;
    let signed = store
        .client
        .signed_url(
            "GET".parse().map_err(|_| failed("no such method".into()))?,
            &probe,
            std::time::Duration::from_secs(SIGN_SECONDS),
        )
        .await
        .map_err(|error| failed(error.to_string()))?;
    let base = signed.as_str().split('?').next().unwrap_or_default();
    let base = (0..probe.as_ref().split('/').count())
        .try_fold(base, |base, _| base.rsplit_once('/').map(|(base, _)| base))
        .ok_or_else(|| failed("unexpected URL".into()))?;
    // In order of names: the signature is over the sorted query.
    let mut query = String::new();
    if let Some((key, _)) = marker {
        query.push_str(&format!("key-marker={}&", encode(key)));
    }
    query.push_str(&format!("prefix={}", encode(full_prefix)));
    if let Some((_, id)) = marker {
        query.push_str(&format!("&upload-id-marker={}", encode(id)));
    }
    query.push_str("&uploads=");
    // A host alone needs its slash.
    let slash = if base.matches('/').count() < 3 { "/" } else { "" };
    let uri = format!("{base}{slash}?{query}");
    let credential = store.client.credentials().get_credential().await.map_err(|error| failed(error.to_string()))?;
    let region = signing_region(signed.query().unwrap_or_default()).unwrap_or_else(|| "us-east-1".into());
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    *request.uri_mut() = uri.parse().map_err(|_| failed("unexpected URL".into()))?;
    AwsAuthorizer::new(&credential, "s3", &region)
        .try_authorize(&mut request, None)
        .map_err(|error| failed(error.to_string()))?;
    let call = async {
        let response = store.http.execute(request).await.map_err(|error| error.to_string())?;
        let good = response.status().is_success();
        let body = response.into_body().bytes().await.map_err(|error| error.to_string())?;
        if good { Ok(body) } else { Err(String::from_utf8_lossy(&body).into_owned()) }
    };
    let (outcome, answer) = answer::observe(tokio::time::timeout(store.settings.deadline, call)).await;
    match outcome {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(words)) => Err(classify::classify(Kind::Read, full_prefix, &store.settings, &answer, &words)),
        Err(_) => Err(failed("no answer in time".into())),
    }
}

/// The region that the client signs for: `.../<date>/<region>/s3/aws4_request`.
fn signing_region(query: &str) -> Option<String> {
    let scope = query.split('&').find_map(|pair| pair.strip_prefix("X-Amz-Credential="))?;
    let parts: Vec<&str> = scope.split("%2F").flat_map(|part| part.split('/')).collect();
    let service = parts.iter().rposition(|part| *part == "s3")?;
    parts.get(service.checked_sub(1)?).map(|region| (*region).to_owned())
}

/// Percent-encoding of a query value; our own characters but `/` and `=` stand for themselves.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The uploads of an answer. Keys of ours need no XML escapes; others are not ours and are passed over.
fn unfinished(xml: &str) -> Vec<Unfinished> {
    let mut found = Vec::new();
    let mut rest = xml;
    while let Some((upload, after)) = element(rest, "Upload") {
        rest = after;
        let text = |name| element(upload, name).map(|(text, _)| text);
        if let (Some(key), Some(id), Some(begun)) = (text("Key"), text("UploadId"), text("Initiated"))
            && !key.contains('&')
            && let Some(begun_at) = parse_time(begun)
        {
            found.push(Unfinished { key: key.to_owned(), upload_id: id.replace("&amp;", "&"), begun_at });
        }
    }
    found
}

fn next_marker(xml: &str) -> Option<(String, String)> {
    let (truncated, _) = element(xml, "IsTruncated")?;
    if truncated.trim() != "true" {
        return None;
    }
    let (key, _) = element(xml, "NextKeyMarker")?;
    let (id, _) = element(xml, "NextUploadIdMarker")?;
    Some((key.to_owned(), id.to_owned()))
}

/// The text of the first `<name>` and what follows it.
fn element<'a>(xml: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let start = xml.find(&open)? + open.len();
    let inside = xml.get(start..)?;
    let end = inside.find(&close)?;
    Some((inside.get(..end)?, inside.get(end + close.len()..)?))
}

/// Milliseconds since the epoch of `2026-11-21T02:10:00.000Z`.
fn parse_time(text: &str) -> Option<i64> {
    let text = text.trim().strip_suffix('Z')?;
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':');
    let (hour, minute) = (time.next()?.parse::<i64>().ok()?, time.next()?.parse::<i64>().ok()?);
    let (second, fraction) = {
        let second = time.next()?;
        second.split_once('.').unwrap_or((second, "0"))
    };
    let millis = format!("{fraction:0<3}").get(..3)?.parse::<i64>().ok()?;
    if !(1970..10_000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days from 1970-01-01 in the civil calendar, years starting in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second.parse::<i64>().ok()?;
    Some(seconds * 1000 + millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let xml = "<R><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>\
            <NextUploadIdMarker>u2</NextUploadIdMarker>\
            <Upload><Key>p/a.seg</Key><UploadId>u&amp;1</UploadId><Initiated>2026-11-21T02:10:00.250Z</Initiated></Upload>\
            <Upload><Key>p/&lt;</Key><UploadId>u2</UploadId><Initiated>2026-11-21T02:10:00Z</Initiated></Upload></R>";
        let expected = Unfinished { key: "p/a.seg".into(), upload_id: "u&1".into(), begun_at: 1_795_227_000_250 };
        assert_eq!(unfinished(xml), [expected]);
        assert_eq!(next_marker(xml), Some(("k".into(), "u2".into())));
        assert_eq!(next_marker("<IsTruncated>false</IsTruncated>"), None);
    }

    #[test]
    fn times_are_the_calendars() {
        assert_eq!(parse_time("1970-01-01T00:00:00.000Z"), Some(0));
        assert_eq!(parse_time("2000-02-29T12:00:00Z"), Some(951_825_600_000));
        for bad in ["", "2026", "2026-13-01T00:00:00Z", "2026-01-01T00:00Z", "é-01-01T00:00:00Z"] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }
}
