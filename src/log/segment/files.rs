//! Open files of closed segments: a bounded cache, so that 10,000 partitions do not hold 10,000 descriptors. They are open
//! for reading only, so that reads go on where a disk has become read-only.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::log::names;
use crate::metrics::Metrics;
use crate::platform::disk::{Disk, DiskFile};
use crate::platform::lock;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Log,
    OffsetIndex,
    TimeIndex,
}

impl Kind {
    pub fn suffix(self) -> &'static str {
        match self {
            Kind::Log => names::LOG_SUFFIX,
            Kind::OffsetIndex => names::OFFSET_INDEX_SUFFIX,
            Kind::TimeIndex => names::TIME_INDEX_SUFFIX,
        }
    }
}

type Key = (u64, Kind);

/// The least recently used file leaves when the cache is full; who still holds it keeps it open.
pub struct FileCache {
    pub disk: Disk,
    pub metrics: Arc<Metrics>,
    open_max: usize,
    open: Mutex<HashMap<Key, (DiskFile, u64)>>,
    uses: AtomicU64,
    next_segment: AtomicU64,
}

impl FileCache {
    pub fn new(disk: Disk, open_max: usize, metrics: Arc<Metrics>) -> FileCache {
        FileCache {
            disk,
            metrics,
            open_max: open_max.max(1),
            open: Mutex::new(HashMap::new()),
            uses: AtomicU64::new(0),
            next_segment: AtomicU64::new(0),
        }
    }

    /// A number that names a segment in this cache.
    pub fn name_segment(&self) -> u64 {
        self.next_segment.fetch_add(1, Ordering::Relaxed)
    }

    pub fn get(&self, segment: u64, kind: Kind, path: &Path) -> io::Result<DiskFile> {
        let used = self.uses.fetch_add(1, Ordering::Relaxed);
        if let Some((file, last_used)) = lock(&self.open).get_mut(&(segment, kind)) {
            *last_used = used;
            return Ok(file.clone());
        }
        let file = self.disk.open_read(path)?;
        let mut open = lock(&self.open);
        if open.len() >= self.open_max
            && let Some(oldest) = open.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key)
        {
            open.remove(&oldest);
        }
        open.insert((segment, kind), (file.clone(), used));
        Ok(file)
    }

    pub fn forget(&self, segment: u64) {
        let mut open = lock(&self.open);
        for kind in [Kind::Log, Kind::OffsetIndex, Kind::TimeIndex] {
            open.remove(&(segment, kind));
        }
    }
}
