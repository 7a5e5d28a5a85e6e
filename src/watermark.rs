//! An offset that only moves forward, and those who wait for it.
//!
//! Owns the value and its waiters; does not know what the offset means (flushed, high watermark, log end).
//!
//! No wake-up is lost: a waiter is registered first and the value is checked after; the advance stores first and looks
//! for waiters after; both are sequentially consistent, so at least one of the two sees the other. An advance that
//! nobody waits for costs two atomic operations. A registration leaves with its guard, so a wait that was given up
//! leaves nothing behind. A closed watermark turns every wait into an error, and tells one listener: what follows this
//! watermark closes with it.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Poll, Waker};

use stratalog_types::Offset;

use crate::platform::lock;

/// Called after each advance, on the thread that advanced, without a lock of the watermark held.
pub type AdvanceHook = Box<dyn Fn(Offset) + Send + Sync>;

/// Called when the watermark closes, on the thread that closed it, without a lock of the watermark held.
pub type CloseHook = Box<dyn Fn() + Send + Sync>;

/// The watermark will not move again: its log failed, closed, or was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log was closed while somebody waited for it")]
pub struct Closed;

/// An offset that only moves forward. Clones share it.
#[derive(Clone)]
pub struct Watermark {
    inner: Arc<Inner>,
}

struct Inner {
    value: AtomicI64,
    /// The lowest target among the waiters, `i64::MAX` without any. Written under the lock of `waiters`.
    lowest_target: AtomicI64,
    closed: AtomicBool,
    waiters: Mutex<BTreeMap<(i64, u64), Arc<Waiter>>>,
    next_registration: AtomicU64,
    hook: OnceLock<AdvanceHook>,
    close_hook: OnceLock<CloseHook>,
}

impl Watermark {
    pub fn new(value: Offset) -> Watermark {
        Watermark {
            inner: Arc::new(Inner {
                value: AtomicI64::new(value.0),
                lowest_target: AtomicI64::new(i64::MAX),
                closed: AtomicBool::new(false),
                waiters: Mutex::new(BTreeMap::new()),
                next_registration: AtomicU64::new(0),
                hook: OnceLock::new(),
                close_hook: OnceLock::new(),
            }),
        }
    }

    pub fn get(&self) -> Offset {
        Offset(self.inner.value.load(Ordering::SeqCst))
    }

    /// Moves forward to `to`, wakes those who waited for it, then calls the hook. A value behind is ignored.
    pub fn advance(&self, to: Offset) {
        if self.inner.value.fetch_max(to.0, Ordering::SeqCst) >= to.0 {
            return;
        }
        if self.inner.lowest_target.load(Ordering::SeqCst) <= to.0 {
            self.wake_reached();
        }
        if let Some(hook) = self.inner.hook.get() {
            hook(to);
        }
    }

    /// Moves backward: the log was truncated. Those who wait for more go on waiting.
    pub fn reset(&self, to: Offset) {
        self.inner.value.store(to.0, Ordering::SeqCst);
    }

    /// Wakes everybody; waits end with [`Closed`] where the value was not reached.
    pub fn close(&self) {
        self.inner.closed.store(true, Ordering::SeqCst);
        let all = {
            let mut waiters = lock(&self.inner.waiters);
            self.inner.lowest_target.store(i64::MAX, Ordering::SeqCst);
            std::mem::take(&mut *waiters)
        };
        for waiter in all.into_values() {
            waiter.wake();
        }
        if let Some(hook) = self.inner.close_hook.get() {
            hook();
        }
    }

    pub fn is_closed(&self) -> bool {
        self.inner.closed.load(Ordering::SeqCst)
    }

    /// Waits until the value is at least `target`.
    pub async fn wait_for(&self, target: Offset) -> Result<(), Closed> {
        if self.get() >= target {
            return Ok(());
        }
        let waiter = Waiter::new();
        let _registration = self.subscribe(&waiter, target);
        waiter.woken().await;
        if self.get() >= target { Ok(()) } else { Err(Closed) }
    }

    /// Wakes `waiter` once when the value is at least `target`, at once if it is already. One waiter may wait at many
    /// watermarks; the first to arrive wakes it. Dropping the registration ends it.
    #[must_use = "dropping the registration ends it"]
    pub fn subscribe(&self, waiter: &Arc<Waiter>, target: Offset) -> Registration {
        let key = (target.0, self.inner.next_registration.fetch_add(1, Ordering::Relaxed));
        {
            let mut waiters = lock(&self.inner.waiters);
            waiters.insert(key, Arc::clone(waiter));
            self.inner.note_lowest(&waiters);
        }
        if self.get() >= target || self.is_closed() {
            waiter.wake();
        }
        Registration { inner: Arc::clone(&self.inner), key }
    }

    /// Sets the one listener that hears of every advance. Answers false if there is one already.
    pub fn on_advance(&self, hook: AdvanceHook) -> bool {
        self.inner.hook.set(hook).is_ok()
    }

    /// Sets the one listener that hears of the close, at once if it is closed already; it may hear twice. Answers false
    /// if there is one already.
    pub fn on_close(&self, hook: CloseHook) -> bool {
        let set = self.inner.close_hook.set(hook).is_ok();
        if set
            && self.is_closed()
            && let Some(hook) = self.inner.close_hook.get()
        {
            hook();
        }
        set
    }

    /// Waits that are registered now.
    pub fn waiting(&self) -> usize {
        lock(&self.inner.waiters).len()
    }

    fn wake_reached(&self) {
        let mut reached = Vec::new();
        {
            let mut waiters = lock(&self.inner.waiters);
            let value = self.inner.value.load(Ordering::SeqCst);
            while let Some(first) = waiters.first_entry().filter(|first| first.key().0 <= value) {
                reached.push(first.remove());
            }
            self.inner.note_lowest(&waiters);
        }
        for waiter in reached {
            waiter.wake();
        }
    }
}

impl Inner {
    fn note_lowest(&self, waiters: &BTreeMap<(i64, u64), Arc<Waiter>>) {
        let lowest = waiters.first_key_value().map_or(i64::MAX, |(key, _)| key.0);
        self.lowest_target.store(lowest, Ordering::SeqCst);
    }
}

/// A wait at one watermark; ends when dropped.
pub struct Registration {
    inner: Arc<Inner>,
    key: (i64, u64),
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut waiters = lock(&self.inner.waiters);
        if waiters.remove(&self.key).is_some() {
            self.inner.note_lowest(&waiters);
        }
    }
}

/// One task that waits, at any number of watermarks. Woken once; a new wait takes a new waiter.
#[derive(Default)]
pub struct Waiter {
    woken: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Waiter {
    pub fn new() -> Arc<Waiter> {
        Arc::new(Waiter::default())
    }

    /// Wakes the task, also for reasons no watermark knows (leadership moved, shutdown).
    pub fn wake(&self) {
        self.woken.store(true, Ordering::SeqCst);
        let waker = lock(&self.waker).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub fn is_woken(&self) -> bool {
        self.woken.load(Ordering::SeqCst)
    }

    /// Completes when the waiter has been woken.
    pub async fn woken(&self) {
        poll_fn(|context| {
            if self.is_woken() {
                return Poll::Ready(());
            }
            {
                let mut waker = lock(&self.waker);
                match &mut *waker {
                    Some(known) => known.clone_from(context.waker()),
                    none => *none = Some(context.waker().clone()),
                }
            }
            if self.is_woken() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await
    }
}

#[cfg(test)]
mod tests;
