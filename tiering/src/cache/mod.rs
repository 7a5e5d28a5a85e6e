//! Unpacked chunks in memory, and the buffers they live in.
//!
//! Owns the byte bound of what is kept; chunks that are handed out live on until the last reader drops them, so
//! connections bound those apart. LRU, weighed by bytes: a replay reads each chunk about once, and a policy that admits
//! by frequency would reload instead of keep.

mod buffers;

use bytes::Bytes;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use uuid::Uuid;

pub use buffers::BufferPool;

/// A chunk of an object: names are never used twice, so neither is this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkKey {
    pub object: Uuid,
    pub chunk: u32,
}

/// Clones share the content.
#[derive(Clone)]
pub struct ChunkCache {
    chunks: Cache<ChunkKey, Bytes>,
}

impl ChunkCache {
    pub fn new(bytes_max: u64) -> ChunkCache {
        let chunks = Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|_, chunk: &Bytes| u32::try_from(chunk.len()).unwrap_or(u32::MAX))
            .eviction_policy(EvictionPolicy::lru())
            .build();
        ChunkCache { chunks }
    }

    pub fn get(&self, key: &ChunkKey) -> Option<Bytes> {
        self.chunks.get(key)
    }

    pub fn insert(&self, key: ChunkKey, chunk: Bytes) {
        self.chunks.insert(key, chunk);
        // Evict now: left to itself the cache grows past its bound in a burst.
        self.chunks.run_pending_tasks();
    }

    pub fn remove(&self, key: &ChunkKey) {
        self.chunks.invalidate(key);
    }

    /// Bytes held now.
    pub fn bytes(&self) -> u64 {
        self.chunks.run_pending_tasks();
        self.chunks.weighted_size()
    }
}

#[cfg(test)]
mod tests;
