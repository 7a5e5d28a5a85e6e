//! The store in a directory: `file:///...`, also what a bare broker keeps beside its log.
//!
//! ```text
//! <root>/<key>                 one object, never changed under its name
//! <root>/.incoming/<id>!<key>  being written; `/` of the key is `!`
//! <root>/.lock                 flock
//! ```
//!
//! A write goes: bytes to an incoming file, sync it, lock, compare, set the version (the modification time, greater
//! than the one before), sync, rename, sync the directory, unlock. A crash leaves an incoming file, which
//! `abort_stale_uploads` removes, or the object whole. Tags are versions, not hashes. The lock makes conditions hold
//! among processes of one machine; a network file system must support flock.
//!
//! A directory that could not be synced leaves the disk in doubt: the store then refuses everything until it is opened
//! again. Keys `a` and `a/b` cannot be side by side here, and no key of ours needs it.

mod disk;
mod list;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::key::{check_key, check_prefix};
use super::{Etag, Key, ObjectInfo, PartSource, Purpose, Store, StoreError, Stored};
use disk::{Condition, DiskError, Incoming, SyncedDirectories};

const READ_DEADLINE: Duration = Duration::from_secs(30);
const WRITE_DEADLINE: Duration = Duration::from_secs(60);
const LIST_PAGE_OBJECTS: usize = 1000;

/// A directory as an object store; clones share it.
#[derive(Debug, Clone)]
pub struct FilesStore {
    root: Arc<PathBuf>,
    directories: Arc<SyncedDirectories>,
    unsynced: Arc<AtomicBool>,
}

impl FilesStore {
    /// Opens or creates the store. Blocks on the disk: at start only.
    pub fn open(root: impl Into<PathBuf>) -> Result<FilesStore, StoreError> {
        let root = root.into();
        disk::prepare(&root).map_err(|reason| StoreError::Refused { key: String::new(), reason })?;
        Ok(FilesStore { root: Arc::new(root), directories: Arc::default(), unsynced: Arc::default() })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Runs blocking work off the runtime under a deadline; past it the work goes on and its outcome is unknown.
    async fn run<T: Send + 'static>(
        &self,
        key: &Key,
        deadline: Duration,
        writes: bool,
        work: impl FnOnce(&Path) -> Result<T, DiskError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let key = key.to_owned();
        if self.unsynced.load(Ordering::Acquire) {
            let reason = "a directory could not be synced: check the disk, then restart".into();
            return Err(StoreError::Unavailable { key, reason });
        }
        let (root, unsynced) = (self.root.clone(), self.unsynced.clone());
        let task = tokio::task::spawn_blocking(move || {
            let done = work(&root);
            if matches!(done, Err(DiskError::Unsynced(_))) {
                unsynced.store(true, Ordering::Release);
            }
            done
        });
        match tokio::time::timeout(deadline, task).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(error))) => Err(explain(key, error)),
            Ok(Err(join)) if writes => Err(StoreError::Ambiguous { key, reason: join.to_string() }),
            Ok(Err(join)) => Err(StoreError::Unavailable { key, reason: join.to_string() }),
            Err(_) if writes => Err(StoreError::Ambiguous { key, reason: format!("no end after {deadline:?}") }),
            Err(_) => Err(StoreError::Unavailable { key, reason: format!("no end after {deadline:?}") }),
        }
    }

    async fn put(&self, key: &Key, body: Bytes, condition: Condition) -> Result<Etag, StoreError> {
        check_key(key)?;
        let (name, directories) = (key.to_owned(), self.directories.clone());
        self.run(key, WRITE_DEADLINE, true, move |root| {
            let mut incoming = Incoming::create(root, &name).map_err(DiskError::Before)?;
            incoming.write(&body).map_err(DiskError::Before)?;
            incoming.sync()?;
            incoming.publish(root, &directories, &name, &condition)
        })
        .await
    }
}

fn explain(key: String, error: DiskError) -> StoreError {
    match error {
        DiskError::AlreadyExists => StoreError::AlreadyExists { key },
        DiskError::Precondition => StoreError::Precondition { key },
        DiskError::NotFound => StoreError::NotFound { key },
        DiskError::Unsynced(error) => StoreError::Ambiguous { key, reason: format!("directory not synced: {error}") },
        DiskError::Before(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            StoreError::Refused { key, reason: format!("{error}: let this user read and write the directory") }
        }
        DiskError::Before(error) => StoreError::Unavailable { key, reason: error.to_string() },
    }
}

impl Store for FilesStore {
    fn put_create<'a>(
        &'a self,
        key: &'a Key,
        body: Bytes,
        _purpose: Purpose,
    ) -> BoxFuture<'a, Result<Etag, StoreError>> {
        Box::pin(self.put(key, body, Condition::Absent))
    }

    fn put_if_match<'a>(
        &'a self,
        key: &'a Key,
        body: Bytes,
        expected: &'a Etag,
        _purpose: Purpose,
    ) -> BoxFuture<'a, Result<Etag, StoreError>> {
        Box::pin(self.put(key, body, Condition::Is(expected.clone())))
    }

    fn put_stream<'a>(
        &'a self,
        key: &'a Key,
        source: &'a mut dyn PartSource,
        _purpose: Purpose,
    ) -> BoxFuture<'a, Result<(u64, Stored), StoreError>> {
        Box::pin(async move {
            check_key(key)?;
            let name = key.to_owned();
            let mut incoming = self
                .run(key, WRITE_DEADLINE, false, move |root| Incoming::create(root, &name).map_err(DiskError::Before))
                .await?;
            let mut bytes = 0u64;
            while let Some(part) = source.next().await? {
                bytes += part.len() as u64;
                incoming = self
                    .run(key, WRITE_DEADLINE, false, move |_| {
                        incoming.write(&part).map_err(DiskError::Before)?;
                        Ok(incoming)
                    })
                    .await?;
            }
            let (name, directories) = (key.to_owned(), self.directories.clone());
            self.run(key, WRITE_DEADLINE, true, move |root| {
                incoming.sync()?;
                incoming.publish(root, &directories, &name, &Condition::Absent)
            })
            .await?;
            Ok((bytes, Stored::Unverified))
        })
    }

    fn get<'a>(&'a self, key: &'a Key, _purpose: Purpose) -> BoxFuture<'a, Result<(Bytes, Etag), StoreError>> {
        Box::pin(async move {
            check_key(key)?;
            let name = key.to_owned();
            self.run(key, READ_DEADLINE, false, move |root| disk::read(root, &name)).await
        })
    }

    fn get_range<'a>(
        &'a self,
        key: &'a Key,
        range: Range<u64>,
        _purpose: Purpose,
    ) -> BoxFuture<'a, Result<Bytes, StoreError>> {
        Box::pin(async move {
            check_key(key)?;
            let (name, wanted) = (key.to_owned(), range.clone());
            let body = self.run(key, READ_DEADLINE, false, move |root| disk::read_range(root, &name, &wanted)).await?;
            body.map_err(|length| StoreError::WrongAnswer {
                key: key.to_owned(),
                reason: format!("asked for bytes {}..{} of {length}", range.start, range.end),
            })
        })
    }

    fn head<'a>(&'a self, key: &'a Key, _purpose: Purpose) -> BoxFuture<'a, Result<ObjectInfo, StoreError>> {
        Box::pin(async move {
            check_key(key)?;
            let name = key.to_owned();
            self.run(key, READ_DEADLINE, false, move |root| {
                let metadata = std::fs::metadata(root.join(&name))?;
                if !metadata.is_file() {
                    return Err(DiskError::NotFound);
                }
                let version = disk::version(&metadata)?;
                let modified_at = i64::try_from(version.modified.as_millis()).unwrap_or(i64::MAX);
                Ok(ObjectInfo { key: name, bytes: metadata.len(), etag: version.etag, modified_at })
            })
            .await
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a Key,
        start_after: Option<&'a Key>,
        _purpose: Purpose,
    ) -> BoxFuture<'a, Result<Vec<ObjectInfo>, StoreError>> {
        Box::pin(async move {
            check_prefix(prefix)?;
            let (under, after) = (prefix.to_owned(), start_after.unwrap_or("").to_owned());
            self.run(prefix, WRITE_DEADLINE, false, move |root| {
                list::list(root, &under, &after, LIST_PAGE_OBJECTS).map_err(DiskError::Before)
            })
            .await
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, _purpose: Purpose) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            check_key(key)?;
            let name = key.to_owned();
            self.run(key, WRITE_DEADLINE, true, move |root| disk::remove(root, &name)).await
        })
    }

    fn abort_stale_uploads<'a>(
        &'a self,
        prefix: &'a Key,
        older_than_ms: i64,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            check_prefix(prefix)?;
            let under = prefix.to_owned();
            let older_than = Duration::from_millis(u64::try_from(older_than_ms).unwrap_or(0));
            self.run(prefix, WRITE_DEADLINE, false, move |root| disk::remove_stale(root, &under, older_than)).await
        })
    }
}

#[cfg(test)]
mod tests;
