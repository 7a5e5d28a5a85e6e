//! A linearizable key-value store with revisions, embedded in one file (`redb`).
//!
//! A commit is durable when it returns, all or nothing. The revision rises by one with each commit and survives
//! restarts. Calls block (a durable commit takes about 0.2 ms): callers on a tokio worker use the blocking pool.

use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
const STATE: TableDefinition<'_, &str, u64> = TableDefinition::new("state");
const REVISION: &str = "revision";
/// Whose store this is. A table of its own: a release that does not know it passes it over.
const IDENTITY: TableDefinition<'_, &str, &str> = TableDefinition::new("identity");
const CLUSTER_ID: &str = "cluster.id";
const NODE_ID: &str = "node.id";

/// Named by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot open the metadata store {path}: {reason}")]
    Open { path: PathBuf, reason: String },
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
    database: Database,
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(error.to_string())
}

impl Store {
    /// Opens the file, or makes it. Every checksum of it is looked at: a page that rots is an error, not another topic.
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        let unreadable = |error: redb::DatabaseError| StoreError::Open {
            path: path.to_owned(),
            reason: format!("{error}; put it back from a copy of the data directory"),
        };
        // A damaged file may make the library panic; what it was doing then is dropped with it.
        let opened = std::panic::catch_unwind(|| {
            let mut database = Database::create(path)?;
            let whole = database.check_integrity()?;
            Ok((database, whole))
        });
        let (database, whole) = match opened {
            Ok(opened) => opened.map_err(unreadable)?,
            Err(_) => {
                return Err(unreadable(redb::StorageError::Corrupted("no page of it makes sense".to_owned()).into()));
            }
        };
        if !whole {
            tracing::error!(
                path = %path.display(),
                "the metadata store was damaged and is again what its checksums vouch for: the last change may be missing"
            );
        }
        let store = Store { database };
        store.create_tables()?;
        Ok(store)
    }

    fn create_tables(&self) -> Result<(), StoreError> {
        let write = self.database.begin_write().map_err(failed)?;
        write.open_table(RECORDS).map_err(failed)?;
        write.open_table(STATE).map_err(failed)?;
        write.open_table(IDENTITY).map_err(failed)?;
        write.commit().map_err(failed)
    }

    /// `None`: nobody wrote it down yet.
    pub fn identity(&self) -> Result<Option<Identity>, StoreError> {
        let read = self.database.begin_read().map_err(failed)?;
        let table = read.open_table(IDENTITY).map_err(failed)?;
        let value = |key| Ok(table.get(key).map_err(failed)?.map(|guard| guard.value().to_owned()));
        let (Some(cluster_id), Some(node_id)) = (value(CLUSTER_ID)?, value(NODE_ID)?) else { return Ok(None) };
        let node_id = node_id.parse().map_err(|_| StoreError::Corrupt {
            key: NODE_ID.to_owned(),
            reason: format!("{node_id:?} is not the id of a node"),
        })?;
        Ok(Some(Identity { cluster_id, node_id }))
    }

    /// Durable when this returns.
    pub fn write_identity(&self, identity: &Identity) -> Result<(), StoreError> {
        let write = self.database.begin_write().map_err(failed)?;
        {
            let mut table = write.open_table(IDENTITY).map_err(failed)?;
            table.insert(CLUSTER_ID, identity.cluster_id.as_str()).map_err(failed)?;
            table.insert(NODE_ID, identity.node_id.to_string().as_str()).map_err(failed)?;
        }
        write.commit().map_err(failed)
    }

    /// Everything, in key order, and the revision it is of.
    pub fn load(&self) -> Result<(u64, Vec<Record>), StoreError> {
        let read = self.database.begin_read().map_err(failed)?;
        let state = read.open_table(STATE).map_err(failed)?;
        let revision = state.get(REVISION).map_err(failed)?.map_or(0, |guard| guard.value());
        let records = read.open_table(RECORDS).map_err(failed)?;
        let mut all = Vec::new();
        for row in records.iter().map_err(failed)? {
            let (key, value) = row.map_err(failed)?;
            all.push((key.value().to_owned(), value.value().to_owned()));
        }
        Ok((revision, all))
    }

    /// Applies all changes or none, durably; returns the new revision.
    pub fn commit(&self, changes: &[Change]) -> Result<u64, StoreError> {
        let write = self.database.begin_write().map_err(failed)?;
        let revision = {
            let mut records = write.open_table(RECORDS).map_err(failed)?;
            for change in changes {
                match change {
                    Change::Put(key, value) => drop(records.insert(key.as_str(), value.as_slice()).map_err(failed)?),
                    Change::Delete(key) => drop(records.remove(key.as_str()).map_err(failed)?),
                }
            }
            let mut state = write.open_table(STATE).map_err(failed)?;
            let revision = state.get(REVISION).map_err(failed)?.map_or(0, |guard| guard.value()) + 1;
            state.insert(REVISION, revision).map_err(failed)?;
            revision
        };
        write.commit().map_err(failed)?;
        Ok(revision)
    }
}
