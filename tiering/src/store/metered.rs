//! Counts every request and byte by topic and purpose, around any store.
//!
//! A logical call counts the HTTP requests that it made (retries, parts), or one where the store makes none. Owns
//! counters in memory only; topics beyond a bound are counted together.

use std::collections::HashMap;
use std::future::Future;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::future::BoxFuture;
use stratalog_types::TopicId;

use super::memory::Method;
use super::{Etag, Key, ObjectInfo, PartSource, Purpose, Store, StoreError, Stored};

/// Topics told apart.
const TOPICS_MAX: usize = 10_000;

tokio::task_local! {
    static REQUESTS: AtomicU64;
}

/// For stores: one HTTP request was made for the call in hand.
pub(super) fn count_request() {
    // Nobody meters this store.
    let _ = REQUESTS.try_with(|requests| requests.fetch_add(1, Ordering::Relaxed));
}

/// What is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UsageKey {
    /// `None`: not of one topic, or of one beyond the bound.
    pub topic_id: Option<TopicId>,
    pub purpose: Purpose,
    pub method: Method,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub calls: u64,
    /// As a store would bill them.
    pub requests: u64,
    pub errors: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
}

/// The counters; clones share them.
#[derive(Clone, Default)]
pub struct Meter {
    counters: Arc<Mutex<Counters>>,
}

#[derive(Default)]
struct Counters {
    usage: HashMap<UsageKey, Usage>,
    topics: std::collections::HashSet<TopicId>,
}

impl Meter {
    /// All counters now.
    pub fn usage(&self) -> Vec<(UsageKey, Usage)> {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.usage.iter().map(|(key, usage)| (*key, *usage)).collect()
    }

    /// Summed over topics.
    pub fn by_purpose(&self) -> HashMap<(Purpose, Method), Usage> {
        let mut sums: HashMap<(Purpose, Method), Usage> = HashMap::new();
        for (key, usage) in self.usage() {
            let sum = sums.entry((key.purpose, key.method)).or_default();
            sum.calls += usage.calls;
            sum.requests += usage.requests;
            sum.errors += usage.errors;
            sum.bytes_sent += usage.bytes_sent;
            sum.bytes_received += usage.bytes_received;
        }
        sums
    }

    fn add(&self, key: &str, purpose: Purpose, method: Method, add: impl FnOnce(&mut Usage)) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let topic_id =
            topic_of(key).filter(|topic| counters.topics.contains(topic) || counters.topics.len() < TOPICS_MAX);
        if let Some(topic) = topic_id {
            counters.topics.insert(topic);
        }
        add(counters.usage.entry(UsageKey { topic_id, purpose, method }).or_default());
    }
}

/// Whether an answer counts as an error of the store. A head that is not there yet, and a commit that another one
/// preceded, are what the protocol asks about; a segment that is not there is a loss.
fn is_failure(error: &StoreError, method: Method) -> bool {
    match error {
        StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } => false,
        StoreError::NotFound { .. } => !matches!(method, Method::Get | Method::Head),
        StoreError::Ambiguous { .. }
        | StoreError::Unavailable { .. }
        | StoreError::Refused { .. }
        | StoreError::WrongAnswer { .. } => true,
    }
}

/// `v1/<topicId>/...`
fn topic_of(key: &str) -> Option<TopicId> {
    key.split('/').nth(1)?.parse().ok()
}

/// A store whose use is counted.
pub struct MeteredStore {
    inner: Arc<dyn Store>,
    meter: Meter,
}

impl MeteredStore {
    pub fn new(inner: Arc<dyn Store>, meter: Meter) -> MeteredStore {
        MeteredStore { inner, meter }
    }

    async fn count<T>(
        &self,
        key: &str,
        purpose: Purpose,
        method: Method,
        call: impl Future<Output = Result<T, StoreError>>,
        bytes: impl FnOnce(&T) -> (u64, u64),
    ) -> Result<T, StoreError> {
        let (outcome, requests) = REQUESTS
            .scope(AtomicU64::new(0), async {
                let outcome = call.await;
                (outcome, REQUESTS.with(|requests| requests.load(Ordering::Relaxed)))
            })
            .await;
        let (sent, received) = outcome.as_ref().map_or((0, 0), bytes);
        self.meter.add(key, purpose, method, |usage| {
            usage.calls += 1;
            usage.requests += requests.max(1);
            usage.errors += u64::from(outcome.as_ref().is_err_and(|error| is_failure(error, method)));
            usage.bytes_sent += sent;
            usage.bytes_received += received;
        });
        outcome
    }
}

impl Store for MeteredStore {
    fn put_create<'a>(
        &'a self,
        key: &'a Key,
        body: Bytes,
        purpose: Purpose,
    ) -> BoxFuture<'a, Result<Etag, StoreError>> {
        let bytes = body.len() as u64;
        let call = self.inner.put_create(key, body, purpose);
        Box::pin(self.count(key, purpose, Method::PutCreate, call, move |_| (bytes, 0)))
    }

    fn put_if_match<'a>(
        &'a self,
        key: &'a Key,
        body: Bytes,
        expected: &'a Etag,
        purpose: Purpose,
    ) -> BoxFuture<'a, Result<Etag, StoreError>> {
        let bytes = body.len() as u64;
        let call = self.inner.put_if_match(key, body, expected, purpose);
        Box::pin(self.count(key, purpose, Method::PutIfMatch, call, move |_| (bytes, 0)))
    }

    fn put_stream<'a>(
        &'a self,
        key: &'a Key,
        source: &'a mut dyn PartSource,
        purpose: Purpose,
    ) -> BoxFuture<'a, Result<(u64, Stored), StoreError>> {
        let call = self.inner.put_stream(key, source, purpose);
        Box::pin(self.count(key, purpose, Method::PutStream, call, |(bytes, _)| (*bytes, 0)))
    }

    fn get<'a>(&'a self, key: &'a Key, purpose: Purpose) -> BoxFuture<'a, Result<(Bytes, Etag), StoreError>> {
        let call = self.inner.get(key, purpose);
        Box::pin(self.count(key, purpose, Method::Get, call, |(body, _)| (0, body.len() as u64)))
    }

    fn get_range<'a>(
        &'a self,
        key: &'a Key,
        range: Range<u64>,
        purpose: Purpose,
    ) -> BoxFuture<'a, Result<Bytes, StoreError>> {
        let call = self.inner.get_range(key, range, purpose);
        Box::pin(self.count(key, purpose, Method::GetRange, call, |body| (0, body.len() as u64)))
    }

    fn head<'a>(&'a self, key: &'a Key, purpose: Purpose) -> BoxFuture<'a, Result<ObjectInfo, StoreError>> {
        Box::pin(self.count(key, purpose, Method::Head, self.inner.head(key, purpose), |_| (0, 0)))
    }

    fn list<'a>(
        &'a self,
        prefix: &'a Key,
        start_after: Option<&'a Key>,
        purpose: Purpose,
    ) -> BoxFuture<'a, Result<Vec<ObjectInfo>, StoreError>> {
        let call = self.inner.list(prefix, start_after, purpose);
        Box::pin(self.count(prefix, purpose, Method::List, call, |_| (0, 0)))
    }

    fn delete<'a>(&'a self, key: &'a Key, purpose: Purpose) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.count(key, purpose, Method::Delete, self.inner.delete(key, purpose), |()| (0, 0)))
    }

    fn abort_stale_uploads<'a>(
        &'a self,
        prefix: &'a Key,
        older_than_ms: i64,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        let call = self.inner.abort_stale_uploads(prefix, older_than_ms);
        Box::pin(self.count(prefix, Purpose::Sweep, Method::AbortStaleUploads, call, |_| (0, 0)))
    }
}
