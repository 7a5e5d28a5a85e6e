//! What the HTTP layer does to a call, and what the caller is told.

mod server;

use bytes::Bytes;

use super::*;
use crate::store::conformance::Pieces;
pub(crate) use server::bucket;
use server::{Bucket, Trouble};

const P: Purpose = Purpose::Admin;

async fn put(store: &S3Store, body: &'static str) -> Result<Etag, StoreError> {
    store.put_create("v1/head", Bytes::from_static(body.as_bytes()), P).await
}

fn stored(bucket: &Bucket, key: &str) -> Option<Vec<u8>> {
    bucket.objects.lock().objects.get(&format!("deep/prefix=1/{key}")).cloned()
}

#[tokio::test(start_paused = true)]
async fn a_conditional_put_is_sent_once_and_its_doubt_is_told() {
    for (trouble, there) in [(Trouble::LoseAnswer, true), (Trouble::ActAnd500, true), (Trouble::SlowDown, false)] {
        let bucket = bucket();
        let store = bucket.store();
        bucket.trouble("PUT", "head", trouble);
        let outcome = put(&store, "one").await;
        assert!(matches!(outcome, Err(StoreError::Ambiguous { .. })), "{trouble:?} {outcome:?}");
        assert_eq!(stored(&bucket, "v1/head").is_some(), there, "{trouble:?}");
        assert_eq!(bucket.requests().len(), 1, "{trouble:?}");
    }
    // Never sent: safe to send again.
    let bucket = bucket();
    bucket.trouble("PUT", "head", Trouble::Unreachable);
    let etag = put(&bucket.store(), "one").await.expect("sent in the end");
    assert_eq!(bucket.requests().len(), 2);
    bucket.trouble("PUT", "head", Trouble::ActAnd500);
    let swapped = bucket.store().put_if_match("v1/head", Bytes::from_static(b"two"), &etag, P).await;
    assert!(matches!(swapped, Err(StoreError::Ambiguous { .. })), "{swapped:?}");
    assert_eq!(stored(&bucket, "v1/head").as_deref(), Some(&b"two"[..]));
}

#[tokio::test(start_paused = true)]
async fn reads_and_deletes_are_repeated_and_give_up() {
    let bucket = bucket();
    let store = bucket.store();
    put(&store, "0123456789").await.expect("created");
    for trouble in [Trouble::SlowDown, Trouble::LoseAnswer, Trouble::Unreachable, Trouble::ActAnd500, Trouble::HalfBody]
    {
        bucket.trouble("GET", "head", trouble);
        let got = store.get_range("v1/head", 2..8, P).await;
        assert_eq!(got.as_deref().ok(), Some(&b"234567"[..]), "{trouble:?} {got:?}");
    }
    bucket.trouble("DELETE", "head", Trouble::LoseAnswer);
    store.delete("v1/head", P).await.expect("deleted");
    for _ in 0..4 {
        bucket.trouble("GET", "head", Trouble::SlowDown);
    }
    bucket.requests();
    let got = store.get("v1/head", P).await;
    assert!(matches!(got, Err(StoreError::Unavailable { .. })), "{got:?}");
    assert_eq!(bucket.requests().len(), 4);
}

#[tokio::test]
async fn streams_are_one_put_or_parts_and_vouched_for() {
    let bucket = bucket();
    let mut settings = bucket.settings();
    settings.storage_class = Some("STANDARD_IA".into());
    let store = bucket.open(settings);
    let small = Bytes::from(vec![7; 1000]);
    let outcome = store.put_stream("v1/a.seg", &mut Pieces::new(&small, 300), P).await;
    assert_eq!(outcome.expect("stored"), (1000, Stored::ChecksumVerified));
    assert_eq!(bucket.requests().len(), 1);
    let large = Bytes::from(vec![9; 12 << 20]);
    let outcome = store.put_stream("v1/b.seg", &mut Pieces::new(&large, 1 << 20), P).await;
    assert_eq!(outcome.expect("stored"), (12 << 20, Stored::ChecksumVerified));
    assert_eq!(bucket.requests().len(), 1 + 3 + 1, "begin, parts, complete");
    assert!(bucket.objects.lock().storage_classes.iter().all(|class| class.as_deref() == Some("STANDARD_IA")));

    let mut silent = bucket.settings();
    silent.checksums = false;
    let outcome = bucket.open(silent).put_stream("v1/c.seg", &mut Pieces::new(&small, 300), P).await;
    assert_eq!(outcome.expect("stored"), (1000, Stored::Unverified));
}

#[tokio::test(start_paused = true)]
async fn a_part_is_sent_again_and_a_completion_never() {
    let bucket = bucket();
    let store = bucket.store();
    let large = Bytes::from(vec![9; 12 << 20]);
    bucket.trouble("PUT", "partNumber=2", Trouble::LoseAnswer);
    store.put_stream("v1/a.seg", &mut Pieces::new(&large, 1 << 20), P).await.expect("stored");

    bucket.trouble("POST", "uploadId", Trouble::LoseAnswer);
    bucket.requests();
    let outcome = store.put_stream("v1/b.seg", &mut Pieces::new(&large, 1 << 20), P).await;
    assert!(matches!(outcome, Err(StoreError::Ambiguous { .. })), "{outcome:?}");
    assert!(stored(&bucket, "v1/b.seg").is_some());
    let completions =
        bucket.requests().iter().filter(|name| name.starts_with("POST") && name.contains("uploadId")).count();
    assert_eq!(completions, 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_upload_is_aborted_and_a_forgotten_one_swept() {
    let bucket = bucket();
    let store = bucket.store();
    let large = Bytes::from(vec![9; 12 << 20]);
    for _ in 0..4 {
        bucket.trouble("PUT", "partNumber=1&", Trouble::SlowDown);
    }
    let outcome = store.put_stream("v1/t/a.seg", &mut Pieces::new(&large, 1 << 20), P).await;
    assert!(matches!(outcome, Err(StoreError::Unavailable { .. })), "{outcome:?}");
    assert!(bucket.objects.lock().uploads.is_empty());

    for key in ["v1/t/b.seg", "v1/t/c.seg", "v1/u/d.seg"] {
        let path = Path::parse(format!("deep/prefix=1/{key}")).expect("path");
        object_store::multipart::MultipartStore::create_multipart(&*store.client, &path).await.expect("begun");
    }
    // The server says that they began in 2020.
    let century = 100 * 365 * 24 * 3_600_000;
    assert_eq!(store.abort_stale_uploads("v1/t/", century).await.expect("swept"), 0);
    assert_eq!(store.abort_stale_uploads("v1/t/", 3_600_000).await.expect("swept"), 2);
    assert_eq!(bucket.objects.lock().uploads.len(), 1);
    assert_eq!(store.abort_stale_uploads("", 3_600_000).await.expect("swept"), 1);
}

#[tokio::test]
async fn wrong_keys_and_a_missing_bucket_name_the_next_step() {
    let bucket = bucket();
    let mut settings = bucket.settings();
    settings.keys = Some(("access".into(), "wrong".into()));
    let Err(StoreError::Refused { reason, .. }) = put(&bucket.open(settings), "x").await else { panic!("accepted") };
    assert!(reason.contains("check the access key"), "{reason}");
    let mut settings = bucket.settings();
    settings.bucket = "elsewhere".into();
    let Err(StoreError::Refused { reason, .. }) = put(&bucket.open(settings), "x").await else { panic!("accepted") };
    assert!(reason.contains("'elsewhere' does not exist: create it"), "{reason}");
    for (bucket, prefix, endpoint) in [("ab", "", ""), ("abc", "/x", ""), ("abc", "x", "host:9000")] {
        let mut settings = S3Settings::new(bucket, prefix);
        settings.endpoint = (!endpoint.is_empty()).then(|| endpoint.into());
        assert!(matches!(S3Store::open(settings), Err(StoreError::Refused { .. })), "{bucket} {prefix} {endpoint}");
    }
}
