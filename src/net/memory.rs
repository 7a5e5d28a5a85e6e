//! Request bytes in memory, over all connections: `queued.max.request.bytes`.
//!
//! A frame's bytes are held from the moment its length is known, before they are read, until what it asks for is placed
//! or answered. A connection that finds no room reads no further; those that wait get room in the order they asked. What
//! a connection reads before, to learn a frame's length, is bounded per connection (`frame.rs`).
//!
//! Whoever claims much and sends little would keep the others waiting: a frame that is not whole after `slow_after`, while
//! somebody waits, costs its connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::units::{Waiters, bytes_of, units_in, units_of};
use crate::metrics::Metrics;

/// Shared by the listeners of a broker.
pub struct RequestMemory {
    units: Arc<Semaphore>,
    units_max: usize,
    waiting: Waiters,
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
        let units_max = units_in(bytes_max);
        let units = Arc::new(Semaphore::new(units_max));
        Arc::new(RequestMemory { units, units_max, waiting: Waiters::default(), slow_after, metrics })
    }

    pub fn slow_after(&self) -> Duration {
        self.slow_after
    }

    /// Whether a connection waits for room.
    pub fn is_wanted(&self) -> bool {
        self.waiting.are_there()
    }

    /// Room for a frame of `bytes`, if there is some now.
    pub fn try_take(&self, bytes: usize) -> Option<Room> {
        let permit = self.units.clone().try_acquire_many_owned(units_of(bytes, self.units_max)).ok()?;
        Some(self.room(permit))
    }

    /// Waits for room for a frame of `bytes`.
    pub async fn take(self: Arc<RequestMemory>, bytes: usize) -> Option<Room> {
        let _waiting = self.waiting.enter();
        let permit = self.units.clone().acquire_many_owned(units_of(bytes, self.units_max)).await.ok()?;
        Some(self.room(permit))
    }

    fn room(&self, permit: OwnedSemaphorePermit) -> Room {
        self.metrics.request_memory.inc_by(bytes_of(&permit));
        Room { permit, metrics: self.metrics.clone() }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.metrics.request_memory.dec_by(bytes_of(&self.permit));
    }
}
