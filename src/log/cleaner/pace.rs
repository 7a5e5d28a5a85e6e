//! How fast cleaning may go, and whether it is to end: shared by all cleaner threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::CleanError;
use crate::platform::lock;

/// A pause is not longer than this at a time, so that a rate that is raised takes effect soon.
const PAUSE_MAX: Duration = Duration::from_millis(300);

/// `log.cleaner.io.max.bytes.per.second`, over reads and writes of all threads together.
pub struct Pace {
    stopped: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    bytes_per_second: f64,
    /// What was spent beyond what time has allowed, in seconds of the rate, as of `at`.
    debt_seconds: f64,
    at: Instant,
}

impl Pace {
    /// Without a limit.
    pub fn unlimited() -> Pace {
        let state = State { bytes_per_second: f64::INFINITY, debt_seconds: 0.0, at: Instant::now() };
        Pace { stopped: AtomicBool::new(false), state: Mutex::new(state), changed: Condvar::new() }
    }

    pub fn set_bytes_per_second(&self, bytes_per_second: f64) {
        let mut state = lock(&self.state);
        if state.bytes_per_second != bytes_per_second {
            state.bytes_per_second = bytes_per_second.max(1.0);
            state.debt_seconds = 0.0;
            self.changed.notify_all();
        }
    }

    /// Cleaning under way ends with [`CleanError::Stopped`].
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        drop(lock(&self.state));
        self.changed.notify_all();
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// So many bytes were read or written: waits until the rate allows more.
    pub fn spend(&self, bytes: u64) -> Result<(), CleanError> {
        let mut state = lock(&self.state);
        state.settle();
        if state.bytes_per_second < 1e15 {
            state.debt_seconds += bytes as f64 / state.bytes_per_second;
        }
        loop {
            if self.is_stopped() {
                return Err(CleanError::Stopped);
            }
            if state.debt_seconds <= 0.0 {
                return Ok(());
            }
            let pause = Duration::from_secs_f64(state.debt_seconds.min(PAUSE_MAX.as_secs_f64()));
            state = self.changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
            state.settle();
        }
    }

    /// Waits so long, or until cleaning is stopped. Answers whether it is.
    pub fn rest(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut state = lock(&self.state);
        while !self.is_stopped() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl State {
    /// Time that went by pays back. What is not used is not saved up.
    fn settle(&mut self) {
        let now = Instant::now();
        self.debt_seconds = (self.debt_seconds - now.duration_since(self.at).as_secs_f64()).max(0.0);
        self.at = now;
    }
}
