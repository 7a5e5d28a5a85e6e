//! Buffers that come back: unpacking into fresh memory costs more in page faults than in zstd.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Clones share the buffers.
#[derive(Clone)]
pub struct BufferPool {
    shared: Arc<Shared>,
}

struct Shared {
    free: Mutex<Free>,
    bytes_max: usize,
}

#[derive(Default)]
struct Free {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

/// A buffer on loan to readers; back to the pool with the last of them.
struct Loan {
    buffer: Vec<u8>,
    pool: Arc<Shared>,
}

impl BufferPool {
    /// Keeps free buffers of at most `bytes_max` together.
    pub fn new(bytes_max: usize) -> BufferPool {
        BufferPool { shared: Arc::new(Shared { free: Mutex::default(), bytes_max }) }
    }

    /// A buffer of at least `capacity`: a returned one when it fits without wasting half of itself.
    pub fn take(&self, capacity: usize) -> Vec<u8> {
        let mut free = self.shared.free.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |buffer: &Vec<u8>| buffer.capacity() >= capacity && buffer.capacity() / 2 <= capacity;
        match free.buffers.iter().rposition(fits) {
            Some(index) => {
                let buffer = free.buffers.swap_remove(index);
                free.bytes -= buffer.capacity();
                buffer
            }
            None => Vec::with_capacity(capacity.next_multiple_of(64 * 1024)),
        }
    }

    /// The filled buffer as shared bytes, no copy.
    pub fn share(&self, buffer: Vec<u8>) -> Bytes {
        Bytes::from_owner(Loan { buffer, pool: self.shared.clone() })
    }

    /// Bytes of buffers that nobody uses.
    pub fn free_bytes(&self) -> usize {
        self.shared.free.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }
}

impl AsRef<[u8]> for Loan {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.bytes + buffer.capacity() <= self.pool.bytes_max {
            free.bytes += buffer.capacity();
            free.buffers.push(buffer);
        }
    }
}
