//! One segment becomes one object: read, packed, streamed, verified. The commit is the manifest's.
//!
//! Order of effects: the object is written under its unique name, then read back unless the store vouches for it, and
//! only then is an entry returned. A crash or an error before that leaves an object which no manifest names; it is never
//! deleted here (a commit naming it may be in flight), the sweeper finds it. After an error a retry takes a new uuid.
//!
//! Owns the packing pipeline: a bounded number of chunks is in work at a time, so memory is a few chunks however large
//! the segment is.

mod budget;
mod parts;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use stratalog_types::Offset;

pub use budget::ByteBudget;
use parts::ObjectParts;

use crate::codec_pool::CodecPool;
use crate::entry::Entry;
use crate::format::{AbortedTransaction, EpochStart, FormatError, SegmentDigest, Sha256, TopicSection};
use crate::object_key::ObjectName;
use crate::scrub::{self, ScrubError};
use crate::store::{Purpose, Store, StoreError, Stored};

/// Whole record batches in order, checked by whoever hands them over. About a chunk's size is best.
#[derive(Debug, Clone)]
pub struct Run {
    pub bytes: Bytes,
    pub base_offset: Offset,
    /// Included.
    pub last_offset: Offset,
    /// -1 when no batch has a timestamp.
    pub min_timestamp: i64,
    pub max_timestamp: i64,
}

/// The log could not give the next run.
#[derive(Debug, thiserror::Error)]
#[error("the log cannot be read for upload")]
pub struct SourceError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// The runs of one segment in order.
pub trait RunSource: Send {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Run>, SourceError>>;
}

/// What is uploaded besides the batches.
#[derive(Debug, Clone)]
pub struct SegmentUpload {
    pub topic: TopicSection,
    /// The name to write, fresh for each attempt; `base_offset` is the interval's start.
    pub name: ObjectName,
    /// One past the interval's end; `None`: one past the last run.
    pub end_offset: Option<Offset>,
    /// Roughly how many bytes will come: sizes the chunks.
    pub raw_bytes_hint: u64,
    pub epochs: Vec<EpochStart>,
    pub aborted: Vec<AbortedTransaction>,
    pub producer_snapshot: Bytes,
    /// Offsets may be missing between the runs, and before the first.
    pub may_have_holes: bool,
    /// The chain of the segment before, zeros when unknown.
    pub previous_digest: Sha256,
    /// Milliseconds since the epoch, for the entry's `committed_at`; the commit may stamp its own.
    pub now_ms: i64,
}

/// A stored, verified object, ready to be committed.
#[derive(Debug, Clone)]
pub struct Uploaded {
    pub entry: Entry,
    pub digest: SegmentDigest,
}

#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store holds other bytes than were sent: forget the name.
    #[error("the stored object is not what was sent")]
    Verify(#[source] ScrubError),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error("nothing to upload: the source has no batches")]
    Empty,
    #[error("the run at offset {base_offset} is not whole batches in order")]
    InvalidRun { base_offset: Offset },
    #[error(transparent)]
    Worker(#[from] crate::codec_pool::WorkerFailed),
}

/// Writes objects; clones share the store, the threads and the budget.
#[derive(Clone)]
pub struct ObjectWriter {
    store: Arc<dyn Store>,
    pool: CodecPool,
    budget: Arc<ByteBudget>,
}

impl ObjectWriter {
    pub fn new(store: Arc<dyn Store>, pool: CodecPool, budget: Arc<ByteBudget>) -> ObjectWriter {
        ObjectWriter { store, pool, budget }
    }

    /// Uploads and verifies one segment.
    pub async fn upload(&self, upload: SegmentUpload, source: &mut dyn RunSource) -> Result<Uploaded, UploadError> {
        let key = upload.topic.of.segment(&upload.name);
        let mut parts = ObjectParts::new(upload, source, self.pool.clone(), self.budget.clone());
        let stored = self.store.put_stream(&key, &mut parts, Purpose::Upload).await;
        let Some((uploaded, image)) = parts.finish()? else {
            let reason = "the store stopped taking bytes".to_owned();
            return Err(stored.err().unwrap_or(StoreError::WrongAnswer { key, reason }).into());
        };
        let stored = match stored {
            Ok((bytes, stored)) if bytes == uploaded.entry.object_bytes => stored,
            Ok((bytes, _)) => {
                let reason = format!("stored {bytes} of {} bytes", uploaded.entry.object_bytes);
                return Err(StoreError::WrongAnswer { key, reason }.into());
            }
            // It may be there whole, and its name is ours alone: look.
            Err(StoreError::Ambiguous { .. } | StoreError::AlreadyExists { .. }) => {
                let found = self.store.head(&key, Purpose::Verify).await?;
                if found.bytes != uploaded.entry.object_bytes {
                    return Err(StoreError::WrongAnswer { key, reason: "another size".into() }.into());
                }
                Stored::Unverified
            }
            Err(error) => return Err(error.into()),
        };
        if stored == Stored::Unverified {
            scrub::read_back(&*self.store, &key, &image).await.map_err(UploadError::Verify)?;
        }
        Ok(uploaded)
    }
}

#[cfg(test)]
mod tests;
