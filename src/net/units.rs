//! Bytes that are counted against a bound over all connections, in units of a KiB, and those who wait for some.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is counted: a piece takes at least one.
const UNIT_BYTES: usize = 1024;

/// Units that a bound of `bytes_max` has.
pub fn units_in(bytes_max: usize) -> usize {
    (bytes_max / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize))
}

/// Units of `bytes`, of at most `units_max`: what is larger than everything has it alone.
pub fn units_of(bytes: usize, units_max: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES).clamp(1, units_max)).unwrap_or(u32::MAX)
}

/// As a gauge shows it.
pub fn bytes_of(permit: &OwnedSemaphorePermit) -> i64 {
    i64::try_from(permit.num_permits().saturating_mul(UNIT_BYTES)).unwrap_or(i64::MAX)
}

/// How many wait.
#[derive(Debug, Default)]
pub struct Waiters(AtomicUsize);

/// One that waits, as long as it lives.
pub struct Waiting<'a>(&'a Waiters);

impl Waiters {
    pub fn are_there(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    pub fn enter(&self) -> Waiting<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
