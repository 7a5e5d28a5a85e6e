//! A linearizable key-value store with revisions, embedded in one file (`redb`).
//!
//! A commit is durable when it returns, all or nothing. The revision rises by one with each commit and survives
//! restarts. Calls block (a durable commit takes about 0.2 ms): callers on a tokio worker use the blocking pool.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use redb::{
    Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable, StorageError, TableDefinition,
    WriteTransaction,
};

use super::file::{Refusals, StoreFile};
use crate::platform::disk::{Disk, is_full};
use crate::platform::lock;

const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
const STATE: TableDefinition<'_, &str, u64> = TableDefinition::new("state");
const REVISION: &str = "revision";
/// Whose store this is. A table of its own: a release that does not know it passes it over.
const IDENTITY: TableDefinition<'_, &str, &str> = TableDefinition::new("identity");
const TABLES: usize = 3;
const CLUSTER_ID: &str = "cluster.id";
const NODE_ID: &str = "node.id";

/// Named by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot open the metadata store {path}: {reason}")]
    Open { path: PathBuf, reason: String },
    #[error("the disk of the metadata store {path} is full: nothing was changed; make room there and try again")]
    Full { path: PathBuf },
    /// Until the process ends.
    #[error(
        "the metadata store {path} is not changed any more: {why}; look at the disk, then start again, and see whether the \
         last change is there"
    )]
    Ended { path: PathBuf, why: &'static str },
    #[error(
        "a change of the metadata store {path} failed ({what}), and whether it is there all the same is not known: {unread}"
    )]
    Unknown { path: PathBuf, what: String, unread: String },
    #[error("the metadata store failed: {0}")]
    Failed(String),
    #[error("the metadata record {key} cannot be read: {reason}")]
    Corrupt { key: String, reason: String },
}

/// The cluster and the node that a store is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub cluster_id: String,
    pub node_id: i32,
}

/// A key and its value.
pub type Record = (String, Vec<u8>);

pub enum Change {
    Put(String, Vec<u8>),
    Delete(String),
}

pub struct Store {
    path: PathBuf,
    disk: Disk,
    refusals: Arc<Refusals>,
    state: Mutex<State>,
}

struct State {
    /// `None`: a change failed, and what that left could not be read yet.
    opened: Option<Opened>,
    /// Of the last change that its caller knows of.
    revision: u64,
    /// The file has a change that its caller takes for one that is not there.
    parted: bool,
}

struct Opened {
    database: Database,
    revision: u64,
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(error.to_string())
}

impl Store {
    /// Opens the file, or makes it. Every checksum of it is looked at: a page that rots is an error, not another topic.
    pub fn open(path: &Path, disk: &Disk) -> Result<Store, StoreError> {
        let refusals = Arc::new(Refusals::default());
        let opened = Opened::open(path, StoreFile::open_or_create(path, disk, &refusals))?;
        let state = State { revision: opened.revision, opened: Some(opened), parted: false };
        Ok(Store { path: path.to_owned(), disk: disk.clone(), refusals, state: Mutex::new(state) })
    }

    fn read<T>(&self, act: impl FnOnce(&ReadTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut state = lock(&self.state);
        act(&self.opened(&mut state)?.database.begin_read().map_err(failed)?)
    }

    /// The database, read again where a change failed.
    fn opened<'a>(&self, state: &'a mut State) -> Result<&'a mut Opened, StoreError> {
        self.check(state)?;
        let opened = match state.opened.take() {
            Some(opened) => opened,
            None => Opened::open(&self.path, StoreFile::open(&self.path, &self.disk, &self.refusals))?,
        };
        state.parted = opened.revision != state.revision;
        self.check(state)?;
        Ok(state.opened.insert(opened))
    }

    fn check(&self, state: &State) -> Result<(), StoreError> {
        let ended = |why| Err(StoreError::Ended { path: self.path.clone(), why });
        if self.refusals.unsynced() {
            ended("a sync of it failed")
        } else if state.parted {
            ended("a change that was answered as failed is in it")
        } else {
            Ok(())
        }
    }

    /// `None`: nobody wrote it down yet.
    pub fn identity(&self) -> Result<Option<Identity>, StoreError> {
        let (cluster_id, node_id) = self.read(|read| {
            let table = read.open_table(IDENTITY).map_err(failed)?;
            let value = |key| Ok(table.get(key).map_err(failed)?.map(|guard| guard.value().to_owned()));
            Ok((value(CLUSTER_ID)?, value(NODE_ID)?))
        })?;
        let (Some(cluster_id), Some(node_id)) = (cluster_id, node_id) else { return Ok(None) };
        let node_id = node_id.parse().map_err(|_| StoreError::Corrupt {
            key: NODE_ID.to_owned(),
            reason: format!("{node_id:?} is not the id of a node"),
        })?;
        Ok(Some(Identity { cluster_id, node_id }))
    }

    /// Durable when this returns.
    pub fn write_identity(&self, identity: &Identity) -> Result<(), StoreError> {
        let written = self.write(|write| {
            let mut table = write.open_table(IDENTITY).map_err(failed)?;
            table.insert(CLUSTER_ID, identity.cluster_id.as_str()).map_err(failed)?;
            table.insert(NODE_ID, identity.node_id.to_string().as_str()).map_err(failed)?;
            Ok(())
        });
        written.map(drop)
    }

    /// Everything, in key order, and the revision it is of.
    pub fn load(&self) -> Result<(u64, Vec<Record>), StoreError> {
        self.read(|read| {
            let records = read.open_table(RECORDS).map_err(failed)?;
            let mut all = Vec::new();
            for row in records.iter().map_err(failed)? {
                let (key, value) = row.map_err(failed)?;
                all.push((key.value().to_owned(), value.value().to_owned()));
            }
            Ok((revision(read)?, all))
        })
    }

    /// Applies all changes or none, durably; returns the new revision. A change that is refused for want of room, or
    /// because a write failed, leaves a store that takes the next one; after a sync that failed nothing is taken any more.
    pub fn commit(&self, changes: &[Change]) -> Result<u64, StoreError> {
        self.write(|write| {
            let mut records = write.open_table(RECORDS).map_err(failed)?;
            for change in changes {
                match change {
                    Change::Put(key, value) => drop(records.insert(key.as_str(), value.as_slice()).map_err(failed)?),
                    Change::Delete(key) => drop(records.remove(key.as_str()).map_err(failed)?),
                }
            }
            Ok(())
        })
    }

    fn write(&self, act: impl FnOnce(&WriteTransaction) -> Result<(), StoreError>) -> Result<u64, StoreError> {
        let mut state = lock(&self.state);
        self.refusals.forget_full();
        let written = self.opened(&mut state)?.write(act);
        let error = match written {
            Ok(revision) => {
                state.revision = revision;
                return Ok(revision);
            }
            Err(_) if self.refusals.full() => StoreError::Full { path: self.path.clone() },
            Err(error) => error,
        };
        tracing::error!(path = %self.path.display(), %error, "a change of the metadata failed");
        // The database takes nothing after a write that failed. It is read again, for what is there of the change, too.
        state.opened = None;
        self.check(&state)?;
        let file = StoreFile::open(&self.path, &self.disk, &self.refusals);
        let opened = Opened::open(&self.path, file).map_err(|unread| StoreError::Unknown {
            path: self.path.clone(),
            what: error.to_string(),
            unread: unread.to_string(),
        });
        self.check(&state)?;
        let revision = state.opened.insert(opened?).revision;
        if revision == state.revision {
            return Err(error);
        }
        state.parted = revision != state.revision + 1;
        self.check(&state)?;
        state.revision = revision;
        Ok(revision)
    }
}

impl Opened {
    fn open(path: &Path, file: Result<StoreFile, DatabaseError>) -> Result<Opened, StoreError> {
        let unreadable = |error: DatabaseError| {
            let path = path.to_owned();
            match &error {
                DatabaseError::Storage(StorageError::Io(source)) if is_full(source) => StoreError::Full { path },
                DatabaseError::Storage(StorageError::Io(_)) => {
                    StoreError::Open { path, reason: format!("{error}; look at the disk") }
                }
                DatabaseError::DatabaseAlreadyOpen => {
                    StoreError::Open { path, reason: format!("{error} Stop the broker that has it") }
                }
                _ => {
                    StoreError::Open { path, reason: format!("{error}; put it back from a copy of the data directory") }
                }
            }
        };
        let file = file.map_err(unreadable)?;
        // A damaged file may make the library panic; what it was doing then is dropped with it.
        let opened = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let mut database = Builder::new().create_with_backend(file)?;
            let whole = database.check_integrity()?;
            Ok((database, whole))
        }));
        let (database, whole) = match opened {
            Ok(opened) => opened.map_err(unreadable)?,
            Err(_) => return Err(unreadable(StorageError::Corrupted("no page of it makes sense".to_owned()).into())),
        };
        if !whole {
            tracing::error!(
                path = %path.display(),
                "the metadata store was damaged and is again what its checksums vouch for: the last change may be missing"
            );
        }
        let mut opened = Opened { database, revision: 0 };
        opened.create_tables()?;
        opened.revision = revision(&opened.database.begin_read().map_err(failed)?)?;
        Ok(opened)
    }

    /// A new store's. One that has them is not written to: it opens on a disk without any room.
    fn create_tables(&self) -> Result<(), StoreError> {
        let read = self.database.begin_read().map_err(failed)?;
        if read.list_tables().map_err(failed)?.count() >= TABLES {
            return Ok(());
        }
        let write = self.database.begin_write().map_err(failed)?;
        write.open_table(RECORDS).map_err(failed)?;
        write.open_table(STATE).map_err(failed)?;
        write.open_table(IDENTITY).map_err(failed)?;
        write.commit().map_err(failed)
    }

    /// Durable when this returns; answers the revision.
    fn write(&mut self, act: impl FnOnce(&WriteTransaction) -> Result<(), StoreError>) -> Result<u64, StoreError> {
        let write = self.database.begin_write().map_err(failed)?;
        let revision = self.revision + 1;
        act(&write)?;
        write.open_table(STATE).map_err(failed)?.insert(REVISION, revision).map_err(failed)?;
        write.commit().map_err(failed)?;
        self.revision = revision;
        Ok(revision)
    }
}

fn revision(read: &ReadTransaction) -> Result<u64, StoreError> {
    let state = read.open_table(STATE).map_err(failed)?;
    Ok(state.get(REVISION).map_err(failed)?.map_or(0, |guard| guard.value()))
}
