//! What is particular to a directory: versions, what a crash leaves, two openers.

use super::super::conformance::Pieces;
use super::*;

const P: Purpose = Purpose::Admin;

fn open() -> (tempfile::TempDir, FilesStore) {
    let root = tempfile::tempdir().expect("tempdir");
    let store = FilesStore::open(root.path()).expect("opened");
    (root, store)
}

#[tokio::test]
async fn equal_bytes_have_different_tags() {
    let (_root, store) = open();
    let body = Bytes::from_static(b"same");
    let mut seen = std::collections::HashSet::new();
    let mut etag = store.put_create("v1/head", body.clone(), P).await.expect("created");
    for _ in 0..50 {
        assert!(seen.insert(etag.clone()), "a tag came back");
        etag = store.put_if_match("v1/head", body.clone(), &etag, P).await.expect("swapped");
    }
}

#[tokio::test]
async fn a_clock_that_goes_back_does_not_bring_a_tag_back() {
    let (root, store) = open();
    let first = store.put_create("v1/head", Bytes::from_static(b"a"), P).await.expect("created");
    let future = std::time::SystemTime::now() + Duration::from_secs(1_000_000);
    let file = std::fs::File::options().write(true).open(root.path().join("v1/head")).expect("there");
    file.set_modified(future).expect("set");
    let ahead = store.head("v1/head", P).await.expect("head");
    assert_ne!(ahead.etag, first);
    store.put_if_match("v1/head", Bytes::from_static(b"b"), &ahead.etag, P).await.expect("swapped");
    let after = store.head("v1/head", P).await.expect("head");
    assert!(after.modified_at >= ahead.modified_at && after.etag != ahead.etag);
}

#[tokio::test]
async fn what_a_crash_leaves_is_invisible_and_swept_by_age() {
    let (root, store) = open();
    for (name, key) in [("1", "v1!t!0!a.seg"), ("2", "v1!u!0!b.seg")] {
        std::fs::write(root.path().join(".incoming").join(format!("{name}!{key}")), b"half").expect("planted");
    }
    assert!(store.list("", None, P).await.expect("list").is_empty());
    let reopened = FilesStore::open(root.path()).expect("opened again");
    assert_eq!(reopened.abort_stale_uploads("v1/t/", 3_600_000).await.expect("swept"), 0);
    let old = std::time::SystemTime::now() - Duration::from_secs(7200);
    for entry in std::fs::read_dir(root.path().join(".incoming")).expect("there") {
        let file = std::fs::File::options().write(true).open(entry.expect("entry").path()).expect("opened");
        file.set_modified(old).expect("set");
    }
    assert_eq!(reopened.abort_stale_uploads("v1/t/", 3_600_000).await.expect("swept"), 1);
    assert_eq!(reopened.abort_stale_uploads("", 3_600_000).await.expect("swept"), 1);
}

#[tokio::test]
async fn an_abandoned_stream_leaves_nothing() {
    let (root, store) = open();
    let body = Bytes::from(vec![1; 100_000]);
    store.put_stream("v1/0/a.seg", &mut Pieces::new(&body, 1000), P).await.expect("stored");
    let again = store.put_stream("v1/0/a.seg", &mut Pieces::new(&body, 1000), P).await;
    assert!(matches!(again, Err(StoreError::AlreadyExists { .. })), "{again:?}");
    assert_eq!(std::fs::read_dir(root.path().join(".incoming")).expect("there").count(), 0);
}

#[tokio::test]
async fn two_openers_see_one_another_and_one_wins() {
    let (root, store) = open();
    let other = FilesStore::open(root.path()).expect("opened twice");
    let first = store.put_create("v1/head", Bytes::from_static(b"a"), P).await.expect("created");
    let (left, right) = tokio::join!(
        store.put_if_match("v1/head", Bytes::from_static(b"left"), &first, P),
        other.put_if_match("v1/head", Bytes::from_static(b"right"), &first, P),
    );
    assert!(left.is_ok() != right.is_ok(), "{left:?} {right:?}");
}

#[tokio::test]
async fn deleting_removes_empty_directories_and_writing_brings_them_back() {
    let (root, store) = open();
    for _ in 0..3 {
        store.put_create("v1/t/0/head", Bytes::from_static(b"a"), P).await.expect("created");
        store.delete("v1/t/0/head", P).await.expect("deleted");
        assert!(!root.path().join("v1").exists());
    }
}

#[test]
fn a_place_that_cannot_be_written_says_so() {
    let file = tempfile::NamedTempFile::new().expect("file");
    let Err(StoreError::Refused { reason, .. }) = FilesStore::open(file.path().join("x")) else { panic!("opened") };
    assert!(reason.contains("cannot create"), "{reason}");
}
