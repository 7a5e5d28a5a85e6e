//! One bucket in memory and one connection per process onto it.
//!
//! A connection can die before or after any of its calls, lose answers, and hold writes back to let them land later.
//! ETags are content hashes: equal bytes give equal tags, as on many real stores.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::manifest::session::lock;
use crate::store::{Etag, Key, ObjectInfo, PartSource, Purpose, Store, StoreError, Stored};

/// What happens to one call of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process dies before the request leaves.
    CrashBefore,
    /// The request takes effect and the process dies before the answer.
    CrashAfter,
    /// Takes effect, the answer is lost.
    LostAnswer,
    /// Takes effect when the test says so (writes and deletes), the answer is lost.
    Late,
    /// Takes no effect.
    Unavailable,
}

#[derive(Debug, Clone)]
pub enum Write {
    Create { key: String, body: Bytes },
    IfMatch { key: String, body: Bytes, expected: Etag },
    Put { key: String, body: Bytes },
    Delete { key: String },
}

impl Write {
    fn key(&self) -> &str {
        match self {
            Write::Create { key, .. } | Write::IfMatch { key, .. } | Write::Put { key, .. } | Write::Delete { key } => {
                key
            }
        }
    }
}

/// Called with key, bytes before and after, for each write that took effect.
pub type Watch = Box<dyn Fn(&Objects, &str, Option<&Bytes>, Option<&Bytes>) + Send + Sync>;

pub type Objects = BTreeMap<String, (Bytes, i64)>;

#[derive(Default)]
pub struct Bucket {
    objects: Mutex<Objects>,
    late: Mutex<Vec<Write>>,
    watch: Mutex<Option<Watch>>,
    now_ms: AtomicU64,
}

impl Bucket {
    pub fn connect(self: &Arc<Self>) -> Arc<Connection> {
        Arc::new(Connection {
            bucket: Arc::clone(self),
            calls: AtomicU64::new(0),
            faults: Mutex::default(),
            dead: AtomicBool::new(false),
            journal: Mutex::default(),
            before: Mutex::default(),
            bad_puts: AtomicU64::new(0),
        })
    }

    pub fn objects(&self) -> Objects {
        lock(&self.objects).clone()
    }

    pub fn remove(&self, key: &str) {
        lock(&self.objects).remove(key);
    }

    /// Behind everyone's back.
    pub fn insert(&self, key: &str, body: Bytes) {
        lock(&self.objects).insert(key.to_owned(), (body, 0));
    }

    pub fn watch(&self, watch: Watch) {
        *lock(&self.watch) = Some(watch);
    }

    pub fn advance_ms(&self, ms: u64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }

    pub fn late(&self) -> Vec<Write> {
        lock(&self.late).clone()
    }

    /// Lets the held-back write number `index` reach the store now.
    pub fn land(&self, index: usize) {
        let write = lock(&self.late).remove(index);
        let _ = self.apply(&write);
    }

    pub fn land_all(&self) {
        while !lock(&self.late).is_empty() {
            self.land(0);
        }
    }

    pub fn forget_late(&self) {
        lock(&self.late).clear();
    }

    fn apply(&self, write: &Write) -> Result<Etag, StoreError> {
        let key = write.key().to_owned();
        let (before, after) = {
            let mut objects = lock(&self.objects);
            let before = objects.get(&key).map(|(body, _)| body.clone());
            match write {
                Write::Create { .. } if before.is_some() => return Err(StoreError::AlreadyExists { key }),
                Write::IfMatch { .. } if before.is_none() => return Err(StoreError::NotFound { key }),
                Write::IfMatch { expected, .. } if before.as_ref().map(etag) != Some(expected.clone()) => {
                    return Err(StoreError::Precondition { key });
                }
                Write::Delete { .. } => {
                    objects.remove(&key);
                    (before, None)
                }
                Write::Create { body, .. } | Write::IfMatch { body, .. } | Write::Put { body, .. } => {
                    let now = i64::try_from(self.now_ms.load(Ordering::SeqCst)).unwrap_or(i64::MAX);
                    objects.insert(key.clone(), (body.clone(), now));
                    (before, Some(body.clone()))
                }
            }
        };
        if let Some(watch) = &*lock(&self.watch) {
            let objects = self.objects();
            watch(&objects, &key, before.as_ref(), after.as_ref());
        }
        Ok(after.as_ref().map_or_else(|| Etag(String::new()), etag))
    }
}

fn etag(body: &Bytes) -> Etag {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    Etag(format!("{:016x}", hasher.finish()))
}

pub struct Connection {
    bucket: Arc<Bucket>,
    calls: AtomicU64,
    faults: Mutex<HashMap<u64, Fault>>,
    dead: AtomicBool,
    journal: Mutex<Vec<String>>,
    /// Run before the call of this number.
    before: Mutex<HashMap<u64, Box<dyn FnOnce() + Send>>>,
    /// How many of the next object PUTs arrive damaged.
    bad_puts: AtomicU64,
}

impl Connection {
    /// Calls made so far; the next one has this number.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    pub fn fault_at(&self, call: u64, fault: Fault) {
        lock(&self.faults).insert(call, fault);
    }

    pub fn before_call(&self, call: u64, work: impl FnOnce() + Send + 'static) {
        lock(&self.before).insert(call, Box::new(work));
    }

    /// The fault of the next call.
    pub fn fault_next(&self, fault: Fault) {
        self.fault_at(self.calls(), fault);
    }

    pub fn clear_faults(&self) {
        lock(&self.faults).clear();
    }

    pub fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    pub fn damage_next_put(&self) {
        self.bad_puts.fetch_add(1, Ordering::SeqCst);
    }

    pub fn journal(&self) -> Vec<String> {
        lock(&self.journal).clone()
    }

    fn enter(&self, what: &str, key: &str) -> Option<Fault> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let before = lock(&self.before).remove(&call);
        if let Some(before) = before {
            before();
        }
        let fault = lock(&self.faults).remove(&call);
        lock(&self.journal).push(format!("{call} {what} {key} {fault:?}"));
        fault
    }

    fn write(&self, what: &str, write: Write) -> Result<Etag, StoreError> {
        let key = write.key().to_owned();
        let fault = self.enter(what, &key);
        if self.is_dead() {
            return Err(StoreError::Unavailable { key, reason: "the process is dead".to_owned() });
        }
        let ambiguous = || Err(StoreError::Ambiguous { key: key.clone(), reason: "the answer was lost".to_owned() });
        match fault {
            None => self.bucket.apply(&write),
            Some(Fault::CrashBefore) => {
                self.kill();
                ambiguous()
            }
            Some(Fault::CrashAfter) => {
                let _ = self.bucket.apply(&write);
                self.kill();
                ambiguous()
            }
            Some(Fault::LostAnswer) => {
                let _ = self.bucket.apply(&write);
                ambiguous()
            }
            Some(Fault::Late) => {
                lock(&self.bucket.late).push(write);
                ambiguous()
            }
            Some(Fault::Unavailable) => Err(StoreError::Unavailable { key, reason: "503".to_owned() }),
        }
    }

    fn read<T>(
        &self,
        what: &str,
        key: &str,
        read: impl FnOnce(&Objects) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let fault = self.enter(what, key);
        let unavailable = StoreError::Unavailable { key: key.to_owned(), reason: "no answer".to_owned() };
        if self.is_dead() {
            return Err(unavailable);
        }
        match fault {
            None => read(&lock(&self.bucket.objects)),
            Some(Fault::CrashBefore | Fault::CrashAfter) => {
                self.kill();
                Err(unavailable)
            }
            Some(Fault::LostAnswer | Fault::Late | Fault::Unavailable) => Err(unavailable),
        }
    }
}

fn absent(key: &str) -> StoreError {
    StoreError::NotFound { key: key.to_owned() }
}

impl Store for Connection {
    fn put_create<'a>(&'a self, key: &'a Key, body: Bytes, _: Purpose) -> BoxFuture<'a, Result<Etag, StoreError>> {
        Box::pin(async move { self.write("create", Write::Create { key: key.to_owned(), body }) })
    }

    fn put_if_match<'a>(
        &'a self,
        key: &'a Key,
        body: Bytes,
        expected: &'a Etag,
        _: Purpose,
    ) -> BoxFuture<'a, Result<Etag, StoreError>> {
        let write = Write::IfMatch { key: key.to_owned(), body, expected: expected.clone() };
        Box::pin(async move { self.write("if-match", write) })
    }

    fn put_stream<'a>(
        &'a self,
        key: &'a Key,
        source: &'a mut dyn PartSource,
        _: Purpose,
    ) -> BoxFuture<'a, Result<(u64, Stored), StoreError>> {
        Box::pin(async move {
            let mut body = Vec::new();
            while let Some(part) = source.next().await? {
                body.extend_from_slice(&part);
            }
            let length = body.len() as u64;
            if self.bad_puts.load(Ordering::SeqCst) > 0 {
                self.bad_puts.fetch_sub(1, Ordering::SeqCst);
                if let Some(byte) = body.last_mut() {
                    *byte ^= 1;
                }
            }
            self.write("put", Write::Put { key: key.to_owned(), body: body.into() })?;
            Ok((length, Stored::Unverified))
        })
    }

    fn get<'a>(&'a self, key: &'a Key, _: Purpose) -> BoxFuture<'a, Result<(Bytes, Etag), StoreError>> {
        Box::pin(async move {
            self.read("get", key, |objects| {
                let (body, _) = objects.get(key).ok_or_else(|| absent(key))?;
                Ok((body.clone(), etag(body)))
            })
        })
    }

    fn get_range<'a>(
        &'a self,
        key: &'a Key,
        range: Range<u64>,
        _: Purpose,
    ) -> BoxFuture<'a, Result<Bytes, StoreError>> {
        Box::pin(async move {
            self.read("range", key, |objects| {
                let (body, _) = objects.get(key).ok_or_else(|| absent(key))?;
                let (start, end) = (range.start as usize, range.end as usize);
                let wrong = StoreError::WrongAnswer { key: key.to_owned(), reason: "short".to_owned() };
                if start <= end && end <= body.len() { Ok(body.slice(start..end)) } else { Err(wrong) }
            })
        })
    }

    fn head<'a>(&'a self, key: &'a Key, _: Purpose) -> BoxFuture<'a, Result<ObjectInfo, StoreError>> {
        Box::pin(async move {
            self.read("head", key, |objects| {
                let (body, at) = objects.get(key).ok_or_else(|| absent(key))?;
                Ok(info(key, body, *at))
            })
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a Key,
        start_after: Option<&'a Key>,
        _: Purpose,
    ) -> BoxFuture<'a, Result<Vec<ObjectInfo>, StoreError>> {
        Box::pin(async move {
            self.read("list", prefix, |objects| {
                let keys = objects.iter().filter(|(key, _)| key.starts_with(prefix));
                let keys = keys.filter(|(key, _)| start_after.is_none_or(|after| key.as_str() > after));
                Ok(keys.take(1000).map(|(key, (body, at))| info(key, body, *at)).collect())
            })
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, _: Purpose) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.write("delete", Write::Delete { key: key.to_owned() }).map(|_| ()) })
    }

    fn abort_stale_uploads<'a>(&'a self, prefix: &'a Key, _: i64) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move { self.read("abort", prefix, |_| Ok(0)) })
    }
}

fn info(key: &str, body: &Bytes, modified_at: i64) -> ObjectInfo {
    ObjectInfo { key: key.to_owned(), bytes: body.len() as u64, etag: etag(body), modified_at }
}
