//! What the tier asks of an object store, and the stores that give it.
//!
//! The contract is the table of answers in the manifest protocol: `put_create` and `put_if_match` either succeed, lose
//! (`Precondition`, `AlreadyExists`), or end unknown (`Ambiguous`): the caller re-reads and plans anew, it never trusts
//! a lost answer. No conditional DELETE exists here: stores ignore it. Every call has a deadline of its own.

pub mod files;
mod key;
pub mod memory;
pub mod metered;
mod open;
pub mod s3;

#[cfg(test)]
mod conformance;

use std::ops::Range;

use bytes::Bytes;
use futures::future::BoxFuture;

pub use open::{TierUrl, open};

/// A key below the store's prefix, of `[A-Za-z0-9._/=-]` only.
pub type Key = str;

/// The store's version of an object, as its ETag. Content-derived on many stores: equal bytes give equal tags.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Etag(pub String);

/// Why a request is made: each is counted and priced by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    Upload,
    Verify,
    Commit,
    ManifestRead,
    Footer,
    Replay,
    Prefetch,
    Retention,
    Sweep,
    Scrub,
    Admin,
}

/// Named by what the caller does next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    #[error("no object at {key}")]
    NotFound { key: String },
    /// If-None-Match lost: something is at the key. It may be ours: compare.
    #[error("an object is already at {key}")]
    AlreadyExists { key: String },
    /// If-Match lost: the object changed.
    #[error("the object at {key} is not the one expected")]
    Precondition { key: String },
    /// The request may or may not have taken effect, now or later. Re-read before doing anything else.
    #[error("no certain answer for {key}: {reason}")]
    Ambiguous { key: String, reason: String },
    /// Nothing took effect; try again later.
    #[error("store unavailable for {key}: {reason}")]
    Unavailable { key: String, reason: String },
    /// Credentials or bucket are wrong: retrying will not help. `reason` names the next step.
    #[error("store refused {key}: {reason}")]
    Refused { key: String, reason: String },
    /// The store answered with bytes that cannot be right (a short range, say).
    #[error("store answered wrongly for {key}: {reason}")]
    WrongAnswer { key: String, reason: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    pub key: String,
    pub bytes: u64,
    pub etag: Etag,
    /// Milliseconds since the epoch by the store's clock: for the sweeper's age grace only.
    pub modified_at: i64,
}

/// How sure `put_stream` and `put_create` are that the stored bytes are the sent ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// The store computed a checksum of its own over what it received and it agreed with ours.
    ChecksumVerified,
    /// Accepted; read back once before relying on it.
    Unverified,
}

/// A source of object bytes in order: whole parts, bounded memory.
pub trait PartSource: Send {
    /// The next piece, `None` at the end. Pieces may be of any size; the store regroups them.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>>;
}

/// An object store as the tier needs it. All methods may be called from many tasks.
pub trait Store: Send + Sync + 'static {
    /// Create-only PUT of a small object (`If-None-Match: *`).
    fn put_create<'a>(&'a self, key: &'a Key, body: Bytes, purpose: Purpose)
    -> BoxFuture<'a, Result<Etag, StoreError>>;

    /// PUT over exactly the version `expected` (`If-Match`). An absent object is `NotFound`.
    fn put_if_match<'a>(
        &'a self,
        key: &'a Key,
        body: Bytes,
        expected: &'a Etag,
        purpose: Purpose,
    ) -> BoxFuture<'a, Result<Etag, StoreError>>;

    /// Stores an object of unknown size under a name that is unique by itself: one PUT when small, multipart above the
    /// store's threshold, memory bounded by a few parts. Returns the bytes stored.
    fn put_stream<'a>(
        &'a self,
        key: &'a Key,
        source: &'a mut dyn PartSource,
        purpose: Purpose,
    ) -> BoxFuture<'a, Result<(u64, Stored), StoreError>>;

    /// The whole object with the tag that belongs to these bytes.
    fn get<'a>(&'a self, key: &'a Key, purpose: Purpose) -> BoxFuture<'a, Result<(Bytes, Etag), StoreError>>;

    /// Exactly the bytes of `range`: a shorter answer is `WrongAnswer`.
    fn get_range<'a>(
        &'a self,
        key: &'a Key,
        range: Range<u64>,
        purpose: Purpose,
    ) -> BoxFuture<'a, Result<Bytes, StoreError>>;

    fn head<'a>(&'a self, key: &'a Key, purpose: Purpose) -> BoxFuture<'a, Result<ObjectInfo, StoreError>>;

    /// Up to 1,000 objects under `prefix` with keys after `start_after`, in key order; empty at the end.
    fn list<'a>(
        &'a self,
        prefix: &'a Key,
        start_after: Option<&'a Key>,
        purpose: Purpose,
    ) -> BoxFuture<'a, Result<Vec<ObjectInfo>, StoreError>>;

    /// Removes an object; an absent one is success.
    fn delete<'a>(&'a self, key: &'a Key, purpose: Purpose) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Aborts multipart uploads under `prefix` that began more than `older_than_ms` ago; returns how many.
    fn abort_stale_uploads<'a>(&'a self, prefix: &'a Key, older_than_ms: i64)
    -> BoxFuture<'a, Result<u64, StoreError>>;
}
