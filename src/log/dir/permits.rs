//! How many threads may do something at a time.

use std::sync::{Condvar, Mutex, PoisonError};

use crate::platform::lock;

/// A counted permission; who asks for one waits.
pub struct Permits {
    max: usize,
    free: Mutex<usize>,
    freed: Condvar,
}

impl Permits {
    pub fn new(max: usize) -> Permits {
        let max = max.max(1);
        Permits { max, free: Mutex::new(max), freed: Condvar::new() }
    }

    pub fn max(&self) -> usize {
        self.max
    }

    /// Does `work` while holding one.
    pub fn while_held<T>(&self, work: impl FnOnce() -> T) -> T {
        let mut free = lock(&self.free);
        while *free == 0 {
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        drop(free);
        let _given_back = GiveBack(self);
        work()
    }
}

struct GiveBack<'p>(&'p Permits);

impl Drop for GiveBack<'_> {
    fn drop(&mut self) {
        *lock(&self.0.free) += 1;
        self.0.freed.notify_one();
    }
}
