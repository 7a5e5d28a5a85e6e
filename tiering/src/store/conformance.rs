//! The contract of a store, run over each of them.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::files::FilesStore;
use super::memory::{MemoryStore, Method};
use super::metered::{Meter, MeteredStore};
use super::*;

const P: Purpose = Purpose::Admin;

/// Pieces of a body.
pub(super) struct Pieces(pub(super) std::vec::IntoIter<Bytes>);

impl Pieces {
    pub(super) fn new(body: &Bytes, piece_bytes: usize) -> Pieces {
        let starts = (0..body.len()).step_by(piece_bytes);
        let pieces: Vec<_> = starts.map(|start| body.slice(start..body.len().min(start + piece_bytes))).collect();
        Pieces(pieces.into_iter())
    }
}

impl PartSource for Pieces {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        Box::pin(async { Ok(self.0.next()) })
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

async fn keys(store: &dyn Store, prefix: &str, after: Option<&str>) -> Vec<String> {
    store.list(prefix, after, P).await.expect("list").into_iter().map(|object| object.key).collect()
}

/// Everything that holds of every store.
pub(super) async fn conforms(store: Arc<dyn Store>) {
    conditions(&*store).await;
    races(&store).await;
    ranges(&*store).await;
    listing(&*store).await;
    streams(&*store).await;
    removal(&*store).await;
}

async fn conditions(store: &dyn Store) {
    let key = "v1/c/0/head";
    assert!(matches!(store.get(key, P).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(store.head(key, P).await, Err(StoreError::NotFound { .. })));
    let absent = store.put_if_match(key, bytes("x"), &Etag("\"0\"".into()), P).await;
    assert!(matches!(absent, Err(StoreError::NotFound { .. })), "{absent:?}");

    let first = store.put_create(key, bytes("one"), P).await.expect("created");
    assert_eq!(store.get(key, P).await.expect("read"), (bytes("one"), first.clone()));
    let again = store.put_create(key, bytes("two"), P).await;
    assert!(matches!(again, Err(StoreError::AlreadyExists { .. })), "{again:?}");

    let second = store.put_if_match(key, bytes("two"), &first, P).await.expect("swapped");
    assert_ne!(first, second);
    let stale = store.put_if_match(key, bytes("three"), &first, P).await;
    assert!(matches!(stale, Err(StoreError::Precondition { .. })), "{stale:?}");
    assert_eq!(store.get(key, P).await.expect("read"), (bytes("two"), second.clone()));
    let info = store.head(key, P).await.expect("head");
    assert_eq!((info.key.as_str(), info.bytes, info.etag), (key, 3, second));

    for bad in ["", "/a", "a/../b", "a b", ".lock"] {
        assert!(matches!(store.get(bad, P).await, Err(StoreError::Refused { .. })), "{bad}");
    }
}

/// Eight at once, one winner, each time.
async fn races(store: &Arc<dyn Store>) {
    for round in 0..10 {
        let key = format!("v1/race/{round}/head");
        let contend = |expected: Option<Etag>| {
            let (store, key) = (store.clone(), key.clone());
            (0..8u32).map(move |who| {
                let (store, key, expected) = (store.clone(), key.clone(), expected.clone());
                tokio::spawn(async move {
                    let body = Bytes::from(format!("{who} of {}", expected.is_some()));
                    match expected {
                        None => store.put_create(&key, body.clone(), P).await.map(|etag| (body, etag)),
                        Some(expected) => {
                            store.put_if_match(&key, body.clone(), &expected, P).await.map(|etag| (body, etag))
                        }
                    }
                })
            })
        };
        let mut current = None;
        for _ in 0..2 {
            let mut winners = Vec::new();
            for outcome in futures::future::join_all(contend(current.clone())).await {
                match outcome.expect("no panic") {
                    Ok(won) => winners.push(won),
                    Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
            assert_eq!(winners.len(), 1, "round {round}");
            assert_eq!(Some(&store.get(&key, P).await.expect("read")), winners.first());
            current = winners.pop().map(|(_, etag)| etag);
        }
    }
}

async fn ranges(store: &dyn Store) {
    let key = "v1/r/0/x.seg";
    let body: Bytes = (0..100_000u32).flat_map(u32::to_be_bytes).collect();
    store.put_create(key, body.clone(), P).await.expect("created");
    for range in [0..1u64, 0..400_000, 7..4096, 399_999..400_000] {
        let got = store.get_range(key, range.clone(), P).await.expect("read");
        assert_eq!(got, body.slice(range.start as usize..range.end as usize), "{range:?}");
    }
    // Never shortened silently.
    for range in [0..400_001u64, 399_999..400_001, 400_000..400_010] {
        let got = store.get_range(key, range.clone(), P).await;
        assert!(matches!(got, Err(StoreError::WrongAnswer { .. })), "{range:?} {:?}", got.map(|bytes| bytes.len()));
    }
    let missing = store.get_range("v1/r/0/y.seg", 0..1, P).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })));
}

async fn listing(store: &dyn Store) {
    // `-` and `.` sort before `/`, `0` after it: whole keys are compared, not path elements.
    let mut expected: Vec<String> =
        ["v1/l/a-b/x", "v1/l/a.b", "v1/l/a/1", "v1/l/a/2", "v1/l/a0", "v1/l/b/c/d"].map(String::from).to_vec();
    for number in 0..1100 {
        expected.push(format!("v1/l/many/{number:05}"));
    }
    for key in &expected {
        store.put_create(key, bytes("x"), P).await.expect("created");
    }
    expected.sort();
    let (mut seen, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = keys(store, "v1/l/", after.as_deref()).await;
        assert!(page.len() <= 1000);
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        seen.extend(page);
    }
    assert_eq!(seen, expected);
    assert_eq!(keys(store, "v1/l/a/", None).await, ["v1/l/a/1", "v1/l/a/2"]);
    assert_eq!(keys(store, "v1/l/a", None).await.len(), 5);
    assert_eq!(keys(store, "v1/l/a", Some("v1/l/a/1")).await, ["v1/l/a/2", "v1/l/a0"]);
    assert_eq!(keys(store, "v1/l/a/", Some("v1/l/a/2")).await, [""; 0]);
    assert_eq!(keys(store, "v1/none/", None).await, [""; 0]);
    let info = store.list("v1/l/a/", None, P).await.expect("list");
    assert_eq!(info[0].etag, store.head("v1/l/a/1", P).await.expect("head").etag);
}

async fn streams(store: &dyn Store) {
    for (number, length) in [1usize, 70_000, 5 << 20, (5 << 20) + 1, 17 << 20].into_iter().enumerate() {
        let key = format!("v1/s/0/{number}.seg");
        let body: Bytes = (0..length).map(|at| ((at * 31) >> 7) as u8).collect();
        let (stored, _) = store.put_stream(&key, &mut Pieces::new(&body, 300_007), P).await.expect("stored");
        assert_eq!(stored, length as u64);
        assert!(store.get(&key, P).await.expect("read").0 == body, "{length}");
    }
    struct Breaks(u32);
    impl PartSource for Breaks {
        fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
            self.0 += 1;
            let outcome = match self.0 {
                1..20 => Ok(Some(Bytes::from(vec![1; 1 << 20]))),
                _ => Err(StoreError::Unavailable { key: "source".into(), reason: "planted".into() }),
            };
            Box::pin(async { outcome })
        }
    }
    let broken = store.put_stream("v1/s/0/broken.seg", &mut Breaks(0), P).await;
    assert!(matches!(broken, Err(StoreError::Unavailable { key, .. }) if key == "source"));
    assert!(matches!(store.head("v1/s/0/broken.seg", P).await, Err(StoreError::NotFound { .. })));
}

async fn removal(store: &dyn Store) {
    store.put_create("v1/d/0/a", bytes("x"), P).await.expect("created");
    store.delete("v1/d/0/a", P).await.expect("deleted");
    store.delete("v1/d/0/a", P).await.expect("an absent one is success");
    store.delete("v1/never/was", P).await.expect("an absent one is success");
    assert!(matches!(store.get("v1/d/0/a", P).await, Err(StoreError::NotFound { .. })));
    assert_eq!(keys(store, "v1/d/", None).await, [""; 0]);
    store.put_create("v1/d/0/a", bytes("y"), P).await.expect("created again");
    assert_eq!(store.abort_stale_uploads("v1/", 0).await.expect("swept"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    conforms(Arc::new(MemoryStore::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files() {
    let root = tempfile::tempdir().expect("tempdir");
    conforms(Arc::new(FilesStore::open(root.path()).expect("opened"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_in_process() {
    conforms(Arc::new(super::s3::tests::bucket().store())).await;
}

#[tokio::test]
async fn metered_counts_and_changes_nothing() {
    let meter = Meter::default();
    let store = MeteredStore::new(Arc::new(MemoryStore::new()), meter.clone());
    conforms(Arc::new(store)).await;
    let usage = meter.by_purpose();
    let ranged = usage[&(P, Method::GetRange)];
    assert_eq!((ranged.calls, ranged.errors, ranged.bytes_received), (8, 4, 1 + 400_000 + 4089 + 1));
    assert!(usage[&(P, Method::PutStream)].bytes_sent > 27 << 20);
}

#[tokio::test]
async fn what_the_protocol_asks_about_is_no_error_of_the_store() {
    let meter = Meter::default();
    let store = MeteredStore::new(Arc::new(MemoryStore::new()), meter.clone());
    store.get("v1/head", P).await.unwrap_err();
    store.put_create("v1/head", Bytes::from_static(b"a"), P).await.unwrap();
    store.put_create("v1/head", Bytes::from_static(b"b"), P).await.unwrap_err();
    store.get_range("v1/lost.seg", 0..1, P).await.unwrap_err();
    let usage = meter.by_purpose();
    let errors = |method| usage[&(P, method)].errors;
    let counted = [Method::Get, Method::PutCreate, Method::GetRange].map(errors);
    assert_eq!(counted, [0, 0, 1]);
}
