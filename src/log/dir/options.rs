//! How a data directory is opened.

use std::sync::Arc;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::platform::disk::Disk;

/// How to open a data directory.
#[derive(Clone)]
pub struct LogDirOptions {
    /// What the process is, for the message to a second one: "stratalog broker".
    pub holder: String,
    pub node_id: i32,
    /// The cluster that the directory must belong to; `None` takes the one it has, or makes one.
    pub cluster_id: Option<String>,
    pub clock: Clock,
    pub disk: Disk,
    pub sync_threads_min: usize,
    /// 0: no sync threads; `LogDir::sync_queued` does the work. For tests that decide the order of things.
    pub sync_threads_max: usize,
    /// Files of closed segments that may stay open.
    pub open_files_max: usize,
    /// Free bytes of the volume below which appends are refused; looked at each second by the directory's own thread.
    pub reserve_bytes: u64,
    /// Segments that are read at a time when logs are recovered.
    pub recovery_threads: usize,
    pub metrics: Arc<Metrics>,
}

impl Default for LogDirOptions {
    fn default() -> LogDirOptions {
        LogDirOptions {
            holder: "stratalog".to_owned(),
            node_id: 1,
            cluster_id: None,
            clock: Clock::System,
            disk: Disk::default(),
            sync_threads_min: 4,
            sync_threads_max: 16,
            open_files_max: 1000,
            reserve_bytes: 0,
            recovery_threads: 2,
            metrics: Arc::default(),
        }
    }
}
