//! An object store in memory, for tests: the whole contract, and every way in which a real store breaks it.
//!
//! Tags are content-derived, as on most stores: equal bytes have equal tags. Each call is logged before it does
//! anything, and a rule chooses its fault, so that a test can stop the process at call n for every n. A crashed store
//! never answers again (futures stay pending, as a killed process sees nothing) until `restart`. A late commit stays
//! with the store, beyond a crash too, until `land_late`: its condition is judged when it lands.
//!
//! Owns nothing durable. Time stands still unless `set_now` moves it.

mod fault;
mod state;

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use tokio::sync::watch;

pub use fault::{Call, Fault, Method};
use fault::{Effect, flip_bit};
use state::{State, Write};

use super::key::{check_key, check_prefix};
use super::{Etag, Key, ObjectInfo, PartSource, Purpose, Store, StoreError, Stored};

/// Objects in one LIST answer.
const LIST_PAGE_OBJECTS: usize = 1000;

/// The store; clones share one content.
#[derive(Clone)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    crashed: Arc<watch::Sender<bool>>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        MemoryStore::new()
    }
}

impl MemoryStore {
    pub fn new() -> MemoryStore {
        MemoryStore { state: Arc::new(Mutex::new(State::default())), crashed: Arc::new(watch::channel(false).0) }
    }

    /// Chooses the fault of each later call; the last rule holds.
    pub fn set_rule(&self, rule: impl FnMut(&Call) -> Option<Fault> + Send + 'static) {
        self.lock().rule = Some(Box::new(rule));
    }

    pub fn clear_rule(&self) {
        self.lock().rule = None;
    }

    /// The call with this index (counted from 0 since the store was made) suffers `fault`; others none.
    pub fn fault_at(&self, index: u64, fault: Fault) {
        self.set_rule(move |call| (call.index == index).then_some(fault));
    }

    /// All calls so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    pub fn call_count(&self) -> u64 {
        self.lock().calls.len() as u64
    }

    /// Resolves when a fault has crashed the store: drop whatever was using it.
    pub async fn crashed(&self) {
        let mut seen = self.crashed.subscribe();
        // The sender lives in `self`, so the wait ends only by a crash.
        let _ = seen.wait_for(|crashed| *crashed).await;
    }

    pub fn is_crashed(&self) -> bool {
        *self.crashed.borrow()
    }

    /// Answers again; futures of the time before stay pending. The rule is cleared, late commits stay.
    pub fn restart(&self) {
        self.lock().rule = None;
        self.crashed.send_replace(false);
    }

    /// Late writes take effect now, oldest first, each if its condition still holds; returns how many did.
    pub fn land_late(&self) -> usize {
        let mut state = self.lock();
        let late = std::mem::take(&mut state.late);
        late.into_iter().filter(|write| state.apply(write).is_ok()).count()
    }

    pub fn late_count(&self) -> usize {
        self.lock().late.len()
    }

    /// The store's clock, for `modified_at` and stale uploads.
    pub fn set_now(&self, now_ms: i64) {
        self.lock().now_ms = now_ms;
    }

    /// Whether a stored object is reported as checked by the store; off at first, so that callers read back.
    pub fn set_confirms_checksums(&self, confirms: bool) {
        self.lock().confirms_checksums = confirms;
    }

    /// Past the log and the faults: what is stored, in key order.
    pub fn keys(&self) -> Vec<String> {
        self.lock().objects.keys().cloned().collect()
    }

    /// Past the log and the faults.
    pub fn peek(&self, key: &Key) -> Option<Bytes> {
        self.lock().objects.get(key).map(|object| object.body.clone())
    }

    /// Past the log and the faults: bit rot, and objects of others.
    pub fn plant(&self, key: &Key, body: Bytes) {
        self.lock().plant(key, body);
    }

    /// Past the log and the faults.
    pub fn remove(&self, key: &Key) -> bool {
        self.lock().objects.remove(key).is_some()
    }

    /// Multipart uploads begun and neither completed nor aborted.
    pub fn stale_upload_count(&self) -> usize {
        self.lock().uploads.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs the call and waits out what its fault says to wait for; what remains is decided with the effect.
    async fn enter(&self, method: Method, key: &Key, bytes: u64, purpose: Purpose) -> Option<Fault> {
        if self.is_crashed() {
            futures::future::pending::<()>().await;
        }
        let fault = self.lock().log(method, key, bytes, purpose);
        match fault {
            Some(Fault::Slow(delay)) => {
                tokio::time::sleep(delay).await;
                None
            }
            Some(Fault::CrashBefore) => self.crash().await,
            other => other,
        }
    }

    async fn crash(&self) -> ! {
        self.crashed.send_replace(true);
        futures::future::pending().await
    }

    /// A write with its fault: the effect, then the answer.
    async fn write(&self, fault: Option<Fault>, write: Write) -> Result<Etag, StoreError> {
        let key = write.key().to_owned();
        match Effect::of(fault) {
            Effect::Answer(kind) => Err(kind.error(&key)),
            Effect::Now => self.lock().apply(&write),
            Effect::NowThenSilence => {
                let _ = self.lock().apply(&write);
                Err(StoreError::Ambiguous { key, reason: "answer lost".into() })
            }
            Effect::NowThenCrash => {
                let _ = self.lock().apply(&write);
                self.crash().await
            }
            Effect::Later => {
                self.lock().late.push(write);
                Err(StoreError::Ambiguous { key, reason: "timed out".into() })
            }
            Effect::Never => Err(StoreError::Ambiguous { key, reason: "request lost".into() }),
        }
    }

    /// A read with its fault.
    async fn read<T>(
        &self,
        fault: Option<Fault>,
        key: &Key,
        read: impl FnOnce(&State) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match Effect::of(fault) {
            Effect::Answer(kind) => Err(kind.error(key)),
            Effect::Now => read(&self.lock()),
            Effect::NowThenCrash => self.crash().await,
            Effect::NowThenSilence | Effect::Later | Effect::Never => {
                Err(StoreError::Unavailable { key: key.to_owned(), reason: "answer lost".into() })
            }
        }
    }
}

impl Store for MemoryStore {
    fn put_create<'a>(
        &'a self,
        key: &'a Key,
        body: Bytes,
        purpose: Purpose,
    ) -> BoxFuture<'a, Result<Etag, StoreError>> {
        Box::pin(async move {
            check_key(key)?;
            let fault = self.enter(Method::PutCreate, key, body.len() as u64, purpose).await;
            self.write(fault, Write::Create { key: key.to_owned(), body }).await
        })
    }

    fn put_if_match<'a>(
        &'a self,
        key: &'a Key,
        body: Bytes,
        expected: &'a Etag,
        purpose: Purpose,
    ) -> BoxFuture<'a, Result<Etag, StoreError>> {
        Box::pin(async move {
            check_key(key)?;
            let fault = self.enter(Method::PutIfMatch, key, body.len() as u64, purpose).await;
            self.write(fault, Write::IfMatch { key: key.to_owned(), body, expected: expected.clone() }).await
        })
    }

    fn put_stream<'a>(
        &'a self,
        key: &'a Key,
        source: &'a mut dyn PartSource,
        purpose: Purpose,
    ) -> BoxFuture<'a, Result<(u64, Stored), StoreError>> {
        Box::pin(async move {
            check_key(key)?;
            let mut body = BytesMut::new();
            while let Some(part) = source.next().await? {
                body.extend_from_slice(&part);
            }
            let bytes = body.len() as u64;
            let upload = self.lock().begin_upload(key);
            let fault = self.enter(Method::PutStream, key, bytes, purpose).await;
            self.write(fault, Write::Complete { key: key.to_owned(), body: body.freeze(), upload }).await?;
            let confirmed = self.lock().confirms_checksums;
            Ok((bytes, if confirmed { Stored::ChecksumVerified } else { Stored::Unverified }))
        })
    }

    fn get<'a>(&'a self, key: &'a Key, purpose: Purpose) -> BoxFuture<'a, Result<(Bytes, Etag), StoreError>> {
        Box::pin(async move {
            check_key(key)?;
            let fault = self.enter(Method::Get, key, 0, purpose).await;
            let (body, etag) = self.read(fault, key, |state| state.get(key)).await?;
            match fault {
                Some(Fault::Short) => Ok((body.slice(..body.len() / 2), etag)),
                Some(Fault::BitFlip) => Ok((flip_bit(&body), etag)),
                _ => Ok((body, etag)),
            }
        })
    }

    fn get_range<'a>(
        &'a self,
        key: &'a Key,
        range: Range<u64>,
        purpose: Purpose,
    ) -> BoxFuture<'a, Result<Bytes, StoreError>> {
        Box::pin(async move {
            check_key(key)?;
            let asked = range.end.saturating_sub(range.start);
            let fault = self.enter(Method::GetRange, key, asked, purpose).await;
            let body = self.read(fault, key, |state| state.get_range(key, range)).await?;
            match fault {
                Some(Fault::Short) => {
                    Err(StoreError::WrongAnswer { key: key.to_owned(), reason: "the body ended early".into() })
                }
                Some(Fault::BitFlip) => Ok(flip_bit(&body)),
                _ => Ok(body),
            }
        })
    }

    fn head<'a>(&'a self, key: &'a Key, purpose: Purpose) -> BoxFuture<'a, Result<ObjectInfo, StoreError>> {
        Box::pin(async move {
            check_key(key)?;
            let fault = self.enter(Method::Head, key, 0, purpose).await;
            self.read(fault, key, |state| state.head(key)).await
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a Key,
        start_after: Option<&'a Key>,
        purpose: Purpose,
    ) -> BoxFuture<'a, Result<Vec<ObjectInfo>, StoreError>> {
        Box::pin(async move {
            check_prefix(prefix)?;
            let fault = self.enter(Method::List, prefix, 0, purpose).await;
            self.read(fault, prefix, |state| Ok(state.list(prefix, start_after, LIST_PAGE_OBJECTS))).await
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, purpose: Purpose) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            check_key(key)?;
            let fault = self.enter(Method::Delete, key, 0, purpose).await;
            self.write(fault, Write::Delete { key: key.to_owned() }).await.map(|_| ())
        })
    }

    fn abort_stale_uploads<'a>(
        &'a self,
        prefix: &'a Key,
        older_than_ms: i64,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            check_prefix(prefix)?;
            let fault = self.enter(Method::AbortStaleUploads, prefix, 0, Purpose::Sweep).await;
            match Effect::of(fault) {
                Effect::Answer(kind) => Err(kind.error(prefix)),
                Effect::NowThenCrash => self.crash().await,
                _ => Ok(self.lock().abort_stale(prefix, older_than_ms)),
            }
        })
    }
}

#[cfg(test)]
mod tests;
