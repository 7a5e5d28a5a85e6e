//! Answers in memory until they are sent: `stratalog.fetch.memory.bytes` over all connections, and a bound of each.
//!
//! Whoever makes an answer that the peer's reading alone sets free takes room before its bytes are read, and binds the
//! bytes to it: they hold their part of the room until the connection has sent or dropped them. A room is taken once for
//! an answer, never while another is held for it, so that nobody waits for himself; the largest fits alone. Those that
//! wait get room in the order they asked.
//!
//! Whoever asks for much and reads little would keep the others waiting: answers that are not sent in the time that a
//! slow line takes, while somebody waits, cost their connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::units::{Waiters, bytes_of, units_in, units_of};
use crate::metrics::Metrics;

/// Unsent bytes of a connection above which it has nothing more placed.
const UNSENT_BYTES_MAX: u64 = 8 << 20;
/// What a peer is given time for, beside `slow_after`.
const SLOW_BYTES_PER_SECOND: u64 = 1 << 20;
/// Between two looks at a slow peer, once its time is over.
const SLOW_LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Shared by the listeners of a broker.
#[derive(Debug)]
pub struct AnswerMemory {
    units: Arc<Semaphore>,
    units_max: usize,
    connection_units_max: usize,
    waiting: Waiters,
    slow_after: Duration,
    metrics: Arc<Metrics>,
}

/// One connection's part of it.
#[derive(Debug)]
pub struct AnswerAccount {
    memory: Arc<AnswerMemory>,
    units: Arc<Semaphore>,
    /// Bytes that were bound, and those of them that are gone again, since the connection began. Answers leave in order.
    bound: AtomicU64,
    sent: AtomicU64,
    bound_some: Notify,
}

/// Room for one answer; what is not bound is free again when it is dropped.
#[derive(Debug)]
pub struct AnswerRoom {
    units: Units,
    account: Arc<AnswerAccount>,
}

/// Units of the connection and of all.
#[derive(Debug)]
struct Units {
    own: OwnedSemaphorePermit,
    shared: OwnedSemaphorePermit,
    metrics: Arc<Metrics>,
}

/// Bytes and what they hold.
struct Bound {
    bytes: Bytes,
    account: Arc<AnswerAccount>,
    _units: Units,
}

impl AnswerMemory {
    /// `connection_bytes_max` bounds the rooms of one connection; an answer that is larger than a bound has it alone.
    pub fn new(
        bytes_max: usize,
        connection_bytes_max: usize,
        slow_after: Duration,
        metrics: Arc<Metrics>,
    ) -> Arc<AnswerMemory> {
        let (units_max, connection_units_max) = (units_in(bytes_max), units_in(connection_bytes_max));
        let units = Arc::new(Semaphore::new(units_max));
        Arc::new(AnswerMemory {
            units,
            units_max,
            connection_units_max,
            waiting: Waiters::default(),
            slow_after,
            metrics,
        })
    }

    /// Of a new connection.
    pub fn account(self: &Arc<AnswerMemory>) -> Arc<AnswerAccount> {
        Arc::new(AnswerAccount {
            memory: self.clone(),
            units: Arc::new(Semaphore::new(self.connection_units_max)),
            bound: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            bound_some: Notify::new(),
        })
    }

    /// Whether an answer waits for room.
    pub fn is_wanted(&self) -> bool {
        self.waiting.are_there()
    }
}

impl AnswerAccount {
    /// Room for an answer of `bytes`, if there is some now.
    pub fn try_take(self: &Arc<AnswerAccount>, bytes: usize) -> Option<AnswerRoom> {
        let memory = &self.memory;
        let (own, shared) = (units_of(bytes, memory.connection_units_max), units_of(bytes, memory.units_max));
        Some(AnswerRoom { units: self.try_units(own, shared)?, account: self.clone() })
    }

    /// Waits for room for an answer of `bytes`; `None` at the end of the process.
    pub async fn take(self: Arc<AnswerAccount>, bytes: usize) -> Option<AnswerRoom> {
        let memory = &self.memory;
        let (own, shared) = (units_of(bytes, memory.connection_units_max), units_of(bytes, memory.units_max));
        let own = self.units.clone().acquire_many_owned(own).await.ok()?;
        // Who waits for its own connection's answers keeps no other connection waiting.
        let shared = {
            let _waiting = memory.waiting.enter();
            memory.units.clone().acquire_many_owned(shared).await.ok()?
        };
        let units = Units::of(own, shared, &memory.metrics);
        Some(AnswerRoom { units, account: self })
    }

    fn try_units(&self, own: u32, shared: u32) -> Option<Units> {
        let own = self.units.clone().try_acquire_many_owned(own).ok()?;
        let shared = self.memory.units.clone().try_acquire_many_owned(shared).ok()?;
        Some(Units::of(own, shared, &self.memory.metrics))
    }

    /// Bytes that are bound and not sent.
    fn unsent(&self) -> u64 {
        let sent = self.sent.load(Ordering::Acquire);
        self.bound.load(Ordering::Acquire).saturating_sub(sent)
    }

    /// Whether so much is unsent that nothing more should be placed.
    pub fn is_full(&self) -> bool {
        self.unsent() >= UNSENT_BYTES_MAX
    }

    /// Completes when the peer keeps others waiting: what was bound to its answers was not sent in its time.
    pub async fn overdue(&self) {
        loop {
            while self.unsent() == 0 {
                self.bound_some.notified().await;
            }
            let (bound, unsent) = (self.bound.load(Ordering::Acquire), self.unsent());
            sleep(self.memory.slow_after + Duration::from_secs(unsent / SLOW_BYTES_PER_SECOND)).await;
            while self.sent.load(Ordering::Acquire) < bound {
                if self.memory.is_wanted() {
                    return;
                }
                sleep(SLOW_LOOK_INTERVAL).await;
            }
        }
    }
}

impl AnswerRoom {
    /// Ties `bytes` to their part of the room. More than was taken is had only if it is free now; else `None`, and the
    /// bytes are dropped.
    pub fn bind(&mut self, bytes: Bytes) -> Option<Bytes> {
        let memory = &self.account.memory;
        let own = units_of(bytes.len(), memory.connection_units_max) as usize;
        let shared = units_of(bytes.len(), memory.units_max) as usize;
        let missing = |wanted: usize, left: usize| u32::try_from(wanted.saturating_sub(left)).unwrap_or(u32::MAX);
        let more = (missing(own, self.units.own.num_permits()), missing(shared, self.units.shared.num_permits()));
        if more != (0, 0) {
            self.units.merge(self.account.try_units(more.0, more.1)?);
        }
        let units = self.units.split(own, shared)?;
        let length = bytes.len() as u64;
        if self.account.bound.fetch_add(length, Ordering::AcqRel) == self.account.sent.load(Ordering::Acquire) {
            self.account.bound_some.notify_one();
        }
        Some(Bytes::from_owner(Bound { bytes, account: self.account.clone(), _units: units }))
    }
}

impl Units {
    fn of(own: OwnedSemaphorePermit, shared: OwnedSemaphorePermit, metrics: &Arc<Metrics>) -> Units {
        metrics.answer_memory.inc_by(bytes_of(&shared));
        Units { own, shared, metrics: metrics.clone() }
    }

    fn merge(&mut self, mut more: Units) {
        let split = |permit: &mut OwnedSemaphorePermit| permit.split(permit.num_permits());
        if let (Some(own), Some(shared)) = (split(&mut more.own), split(&mut more.shared)) {
            self.own.merge(own);
            self.shared.merge(shared);
        }
    }

    fn split(&mut self, own: usize, shared: usize) -> Option<Units> {
        let (own, shared) = (self.own.split(own)?, self.shared.split(shared)?);
        Some(Units { own, shared, metrics: self.metrics.clone() })
    }
}

impl Drop for Units {
    fn drop(&mut self) {
        self.metrics.answer_memory.dec_by(bytes_of(&self.shared));
    }
}

impl AsRef<[u8]> for Bound {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.account.sent.fetch_add(self.bytes.len() as u64, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests;
