//! How fast cleaning may go, and whether it is to end: shared by all cleaner threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::CleanError;
use crate::platform::lock;

/// A rate from here on is none.
const BYTES_PER_SECOND_MAX: f64 = 1e15;
/// Of one pause; a longer one is several.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// `log.cleaner.io.max.bytes.per.second`, over reads and writes of all threads together.
pub struct Pace {
    stopped: AtomicBool,
    /// What `Budget` calls the time.
    began: Instant,
    budget: Mutex<Budget>,
    spent_bytes: AtomicU64,
    changed: Condvar,
}

impl Pace {
    /// Without a limit.
    pub fn unlimited() -> Pace {
        Pace {
            stopped: AtomicBool::new(false),
            began: Instant::now(),
            budget: Mutex::new(Budget::new(f64::INFINITY)),
            spent_bytes: AtomicU64::new(0),
            changed: Condvar::new(),
        }
    }

    pub fn set_bytes_per_second(&self, bytes_per_second: f64) {
        let mut budget = lock(&self.budget);
        if budget.bytes_per_second != bytes_per_second {
            budget.set_rate(bytes_per_second, self.began.elapsed());
            self.changed.notify_all();
        }
    }

    /// Bytes that were read and written since this was asked last.
    pub fn take_spent_bytes(&self) -> u64 {
        self.spent_bytes.swap(0, Ordering::Relaxed)
    }

    /// Cleaning under way ends with [`CleanError::Stopped`].
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        drop(lock(&self.budget));
        self.changed.notify_all();
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// So many bytes were read or written: waits until the rate allows more.
    pub fn spend(&self, bytes: u64) -> Result<(), CleanError> {
        self.spent_bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut budget = lock(&self.budget);
        budget.spend(bytes, self.began.elapsed());
        loop {
            if self.is_stopped() {
                return Err(CleanError::Stopped);
            }
            let Some(pause) = budget.pause() else { return Ok(()) };
            budget = self.changed.wait_timeout(budget, pause).unwrap_or_else(PoisonError::into_inner).0;
            budget.settle(self.began.elapsed());
        }
    }

    /// Waits so long, or until cleaning is stopped. Answers whether it is.
    pub fn rest(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut budget = lock(&self.budget);
        while !self.is_stopped() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            budget = self.changed.wait_timeout(budget, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// What a rate allows, by a time that the caller tells.
pub struct Budget {
    bytes_per_second: f64,
    /// What was spent beyond what time has allowed, as of `at`.
    debt_bytes: f64,
    at: Duration,
}

impl Budget {
    pub fn new(bytes_per_second: f64) -> Budget {
        Budget { bytes_per_second: bytes_per_second.max(1.0), debt_bytes: 0.0, at: Duration::ZERO }
    }

    /// What was spent until now is paid back at the new rate.
    pub fn set_rate(&mut self, bytes_per_second: f64, now: Duration) {
        self.settle(now);
        self.bytes_per_second = bytes_per_second.max(1.0);
    }

    pub fn spend(&mut self, bytes: u64, now: Duration) {
        self.settle(now);
        self.debt_bytes += bytes as f64;
    }

    /// How long nothing more is to be spent.
    pub fn pause(&self) -> Option<Duration> {
        let is_due = self.debt_bytes > 0.0 && self.bytes_per_second < BYTES_PER_SECOND_MAX;
        is_due.then(|| {
            let seconds = (self.debt_bytes / self.bytes_per_second).min(PAUSE_MAX.as_secs_f64());
            // Rounded up: a pause of nothing would not end.
            Duration::from_secs_f64(seconds) + Duration::from_nanos(1)
        })
    }

    /// Time that went by pays back. What is not used is not saved up.
    pub fn settle(&mut self, now: Duration) {
        let paid_bytes = now.saturating_sub(self.at).as_secs_f64() * self.bytes_per_second;
        let is_unlimited = self.bytes_per_second >= BYTES_PER_SECOND_MAX;
        self.debt_bytes = if is_unlimited { 0.0 } else { (self.debt_bytes - paid_bytes).max(0.0) };
        self.at = now;
    }
}
