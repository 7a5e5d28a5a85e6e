//! What can go wrong, by what the caller does about it.

use std::io;
use std::path::{Path, PathBuf};

use stratalog_types::Offset;

use crate::platform::disk::{is_full, is_out_of_files};

/// A log or its directory cannot be opened, closed or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("data directory {path} is in use by {holder}: stop it, or choose another directory")]
    Locked { path: PathBuf, holder: String },
    #[error("data directory {path} belongs to {key} {found}, not to {wanted}: choose another directory or mend {key}")]
    WrongOwner { path: PathBuf, key: &'static str, found: String, wanted: String },
    /// Nothing says which cluster the partitions of a data directory are of.
    #[error(
        "{path} is missing, and partitions are beside it: put it back from a copy, or set stratalog.cluster.id to the id of \
         their cluster"
    )]
    IdentityLost { path: PathBuf },
    #[error(
        "data directories {first} and {second} have the same directory.id {directory_id}: one is a copy of the other; take it out of log.dirs"
    )]
    TwinDirectories { first: PathBuf, second: PathBuf, directory_id: String },
    /// The directory takes no more writes until the broker is restarted.
    #[error("data directory {path} is offline: {reason}; mend the disk and restart")]
    Offline { path: PathBuf, reason: String },
    #[error("no space left for {path}")]
    StorageFull { path: PathBuf },
    /// Nothing was opened, and nothing failed for good.
    #[error("cannot {operation} {path}: too many open files; raise the limit of open files (LimitNOFILE, ulimit -n)")]
    TooManyOpenFiles { operation: &'static str, path: PathBuf },
    #[error("cannot {operation} {path}")]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    /// A small file does not read as what it should be.
    #[error("{path} is damaged: {what}")]
    InvalidFile { path: PathBuf, what: String },
    #[error("{0}")]
    Corrupt(Damage),
    #[error("the log in {path} exists already")]
    AlreadyExists { path: PathBuf },
    #[error("the log in {path} has topic id {found}, not {wanted}")]
    WrongTopicId { path: PathBuf, found: String, wanted: String },
    #[error("cannot read {path}")]
    Unreadable { path: PathBuf, source: ReadError },
    #[error("log start {offset} is past the log end {log_end_offset}")]
    StartPastEnd { offset: Offset, log_end_offset: Offset },
    #[error("the log is closed")]
    Closed,
}

/// Bytes that were synced and are not what was written. They were not touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment's `.log`.
    pub path: PathBuf,
    pub base_offset: Offset,
    pub position: u64,
    /// Offsets from here on cannot be read, up to `next_offset`.
    pub first_offset: Offset,
    pub next_offset: Offset,
    pub what: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Damage { path, position, first_offset, next_offset, what, .. } = self;
        let directory = path.parent().and_then(std::path::Path::parent).unwrap_or(path).display();
        write!(
            f,
            "{} is damaged at byte {position}: {what}; offsets {first_offset} to {next_offset} (not included) cannot be read. \
             Nothing was changed: `stratalog log verify {directory}` shows what is whole, `stratalog log repair {directory} \
             --drop-damaged` gives up what is not",
            path.display()
        )
    }
}

impl Error {
    pub(super) fn io<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + use<'a> {
        move |source| {
            let path = path.to_owned();
            if is_out_of_files(&source) {
                Error::TooManyOpenFiles { operation, path }
            } else if is_full(&source) {
                Error::StorageFull { path }
            } else {
                Error::Io { operation, path, source }
            }
        }
    }

    pub(super) fn invalid(path: &Path, what: impl Into<String>) -> Error {
        Error::InvalidFile { path: path.to_owned(), what: what.into() }
    }
}

/// A batch was not appended. Nothing of it is in the log.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("sequence {got} of producer {producer_id}, expected {expected}")]
    OutOfOrderSequence { producer_id: i64, expected: i32, got: i32 },
    #[error("epoch {got} of producer {producer_id} is older than {current}")]
    InvalidProducerEpoch { producer_id: i64, current: i16, got: i16 },
    #[error("coordinator epoch {got} for producer {producer_id} is older than {current}")]
    TransactionCoordinatorFenced { producer_id: i64, current: i32, got: i32 },
    #[error("producer {producer_id} wrote outside of its open transaction")]
    InvalidTransactionState { producer_id: i64 },
    #[error("a batch of {batch_bytes} bytes does not fit a segment of {segment_bytes}")]
    BatchTooLarge { batch_bytes: u64, segment_bytes: u64 },
    #[error("offset {got} of a replicated batch is behind the log end {log_end_offset}")]
    UnexpectedOffset { log_end_offset: Offset, got: Offset },
    #[error("not a whole record batch: {0}")]
    InvalidBatch(&'static str),
    /// Retriable when space was freed.
    #[error("no space left in the data directory")]
    StorageFull,
    /// Retriable when files or connections were closed.
    #[error("too many open files")]
    TooManyOpenFiles,
    /// The data directory went offline, or the log was closed or deleted.
    #[error("the log takes no more writes: {0}")]
    Offline(String),
}

/// A read that has no answer here.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("offset {offset} is outside of {log_start_offset}..={log_end_offset}")]
    OutOfRange { offset: Offset, log_start_offset: Offset, log_end_offset: Offset },
    /// The offset is history that only the tier has.
    #[error("offset {offset} is below the local log start {local_log_start_offset}")]
    BelowLocalStart { offset: Offset, local_log_start_offset: Offset },
    #[error("segment {path} is corrupt at byte {position}: {what}")]
    Corrupt { path: PathBuf, position: u64, what: String },
    #[error("cannot read {path}")]
    Io { path: PathBuf, source: io::Error },
    #[error("cannot list {path}: {what}")]
    Unavailable { path: PathBuf, what: String },
    /// Only for who asked with [`super::Effort::Little`].
    #[error("an index is to be read first")]
    Unindexed,
    #[error("the log is closed")]
    Closed,
}
