//! Request bytes in memory, over all connections: `queued.max.request.bytes`.
//!
//! A frame's bytes are held from the moment its length is known, before they are read, until what it asks for is placed
//! or answered. A connection that finds no room reads no further; those that wait get room in the order they asked. What
//! a connection reads before, to learn a frame's length, is bounded per connection (`frame.rs`).
//!
//! Whoever claims much and sends little would keep the others waiting: a frame that is not whole after `slow_after`, while
//! somebody waits, costs its connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::Metrics;

/// What is counted: a frame takes at least one.
const UNIT_BYTES: usize = 1024;

/// Shared by the listeners of a broker.
pub struct RequestMemory {
    units: Arc<Semaphore>,
    units_max: usize,
    waiting: AtomicUsize,
    slow_after: Duration,
    metrics: Arc<Metrics>,
}

/// Room for one frame, until it is dropped.
pub struct Room {
    permit: OwnedSemaphorePermit,
    metrics: Arc<Metrics>,
}

impl RequestMemory {
    pub fn new(bytes_max: usize, slow_after: Duration, metrics: Arc<Metrics>) -> Arc<RequestMemory> {
        let units_max = (bytes_max / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let units = Arc::new(Semaphore::new(units_max));
        Arc::new(RequestMemory { units, units_max, waiting: AtomicUsize::new(0), slow_after, metrics })
    }

    pub fn slow_after(&self) -> Duration {
        self.slow_after
    }

    /// Whether a connection waits for room.
    pub fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Room for a frame of `bytes`, if there is some now.
    pub fn try_take(&self, bytes: usize) -> Option<Room> {
        let permit = self.units.clone().try_acquire_many_owned(self.units_of(bytes)).ok()?;
        Some(self.room(permit))
    }

    /// Waits for room for a frame of `bytes`.
    pub async fn take(self: Arc<RequestMemory>, bytes: usize) -> Option<Room> {
        let _waiting = Waiting::of(&self.waiting);
        let permit = self.units.clone().acquire_many_owned(self.units_of(bytes)).await.ok()?;
        Some(self.room(permit))
    }

    /// A frame that is larger than everything has it alone.
    fn units_of(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT_BYTES).clamp(1, self.units_max)).unwrap_or(u32::MAX)
    }

    fn room(&self, permit: OwnedSemaphorePermit) -> Room {
        self.metrics.request_memory.inc_by(bytes_of(&permit));
        Room { permit, metrics: self.metrics.clone() }
    }
}

fn bytes_of(permit: &OwnedSemaphorePermit) -> i64 {
    i64::try_from(permit.num_permits().saturating_mul(UNIT_BYTES)).unwrap_or(i64::MAX)
}

impl Drop for Room {
    fn drop(&mut self) {
        self.metrics.request_memory.dec_by(bytes_of(&self.permit));
    }
}

/// Counts one that waits as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl Waiting<'_> {
    fn of(count: &AtomicUsize) -> Waiting<'_> {
        count.fetch_add(1, Ordering::Relaxed);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
