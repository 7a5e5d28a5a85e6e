//! The faults do what they say; the contract itself is the conformance suite's.

use std::time::Duration;

use bytes::Bytes;

use super::*;

const KEY: &str = "v1/head";

async fn put(store: &MemoryStore, body: &'static str) -> Result<Etag, StoreError> {
    store.put_create(KEY, Bytes::from_static(body.as_bytes()), Purpose::Commit).await
}

#[tokio::test]
async fn a_lost_answer_took_effect_and_a_lost_request_did_not() {
    for (fault, stored) in [(Fault::LostAnswer, true), (Fault::LostRequest, false), (Fault::LateCommit, false)] {
        let store = MemoryStore::new();
        store.fault_at(0, fault);
        assert!(matches!(put(&store, "a").await, Err(StoreError::Ambiguous { .. })), "{fault:?}");
        assert_eq!(store.peek(KEY).is_some(), stored, "{fault:?}");
    }
}

#[tokio::test]
async fn a_late_commit_is_judged_when_it_lands() {
    let store = MemoryStore::new();
    let first = put(&store, "a").await.expect("created");
    store.fault_at(1, Fault::LateCommit);
    let late = store.put_if_match(KEY, Bytes::from_static(b"late"), &first, Purpose::Commit).await;
    assert!(matches!(late, Err(StoreError::Ambiguous { .. })));
    store.put_if_match(KEY, Bytes::from_static(b"b"), &first, Purpose::Commit).await.expect("nothing landed yet");
    assert_eq!(store.land_late(), 0, "the tag has changed");
    assert_eq!(store.peek(KEY).as_deref(), Some(&b"b"[..]));
    // Content-derived tags: put the first bytes back and the old condition holds again.
    let second = store.head(KEY, Purpose::Commit).await.expect("there").etag;
    store.fault_at(store.call_count(), Fault::LateCommit);
    let _ = store.put_if_match(KEY, Bytes::from_static(b"late"), &second, Purpose::Commit).await;
    assert_eq!(store.land_late(), 1);
    assert_eq!(store.peek(KEY).as_deref(), Some(&b"late"[..]));
}

#[tokio::test]
async fn a_crash_at_any_call_is_silence_until_restart() {
    for (fault, stored) in [(Fault::CrashBefore, false), (Fault::CrashAfter, true)] {
        let store = MemoryStore::new();
        store.fault_at(0, fault);
        tokio::select! {
            answer = put(&store, "a") => panic!("answered {answer:?}"),
            () = store.crashed() => {}
        }
        tokio::select! {
            biased;
            answer = store.get(KEY, Purpose::Commit) => panic!("answered {answer:?}"),
            () = tokio::task::yield_now() => {}
        }
        store.restart();
        assert_eq!(store.get(KEY, Purpose::Commit).await.is_ok(), stored, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn slow_is_tokio_time() {
    let store = MemoryStore::new();
    store.fault_at(0, Fault::Slow(Duration::from_secs(3600)));
    let began = tokio::time::Instant::now();
    put(&store, "a").await.expect("created in the end");
    assert_eq!(began.elapsed(), Duration::from_secs(3600));
}

#[tokio::test]
async fn reads_can_be_short_or_rotten() {
    let store = MemoryStore::new();
    put(&store, "abcd").await.expect("created");
    store.set_rule(|call| match call.index {
        1 => Some(Fault::Short),
        2 => Some(Fault::BitFlip),
        3 => Some(Fault::Short),
        _ => None,
    });
    assert_eq!(store.get(KEY, Purpose::Replay).await.expect("read").0.len(), 2);
    assert_ne!(store.get_range(KEY, 0..4, Purpose::Replay).await.expect("read"), Bytes::from_static(b"abcd"));
    assert!(matches!(store.get_range(KEY, 0..4, Purpose::Replay).await, Err(StoreError::WrongAnswer { .. })));
    assert_eq!(store.get_range(KEY, 0..4, Purpose::Replay).await.expect("read"), Bytes::from_static(b"abcd"));
    assert_eq!(store.calls().iter().filter(|call| call.method == Method::GetRange).count(), 3);
}
