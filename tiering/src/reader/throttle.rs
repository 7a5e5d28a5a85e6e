//! How many GETs at a time: halved when the store says that it cannot, one more after as many good answers as there
//! are slots.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Clones share the slots.
#[derive(Clone)]
pub(super) struct Throttle {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    freed: Notify,
    slots_max: usize,
}

struct State {
    slots: usize,
    busy: usize,
    good: usize,
}

/// A slot in use; dropped without a word (its task is gone) it says nothing of the store.
pub(super) struct Slot {
    shared: Arc<Shared>,
}

impl Throttle {
    pub(super) fn new(slots_max: usize) -> Throttle {
        let slots_max = slots_max.max(1);
        let state = Mutex::new(State { slots: slots_max, busy: 0, good: 0 });
        Throttle { shared: Arc::new(Shared { state, freed: Notify::new(), slots_max }) }
    }

    pub(super) async fn enter(&self) -> Slot {
        loop {
            let freed = self.shared.freed.notified();
            {
                let mut state = self.shared.lock();
                if state.busy < state.slots {
                    state.busy += 1;
                    return Slot { shared: self.shared.clone() };
                }
            }
            freed.await;
        }
    }

    #[cfg(test)]
    fn slots(&self) -> usize {
        self.shared.lock().slots
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    pub(super) fn leave(self, kept_up: bool) {
        let mut state = self.shared.lock();
        if !kept_up {
            (state.slots, state.good) = ((state.slots / 2).max(1), 0);
            return;
        }
        state.good += 1;
        if state.good >= state.slots && state.slots < self.shared.slots_max {
            (state.slots, state.good) = (state.slots + 1, 0);
            drop(state);
            self.shared.freed.notify_one();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.shared.lock().busy -= 1;
        self.shared.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn slots_halve_and_grow_back() {
        let throttle = Throttle::new(8);
        throttle.enter().await.leave(false);
        throttle.enter().await.leave(false);
        assert_eq!(throttle.slots(), 2);
        let (one, two) = (throttle.enter().await, throttle.enter().await);
        tokio::select! {
            biased;
            _ = throttle.enter() => panic!("a third slot of two"),
            () = tokio::task::yield_now() => {}
        }
        drop(one);
        for _ in 0..2 {
            throttle.enter().await.leave(true);
        }
        assert_eq!(throttle.slots(), 3);
        for _ in 0..1000 {
            throttle.enter().await.leave(true);
        }
        assert_eq!(throttle.slots(), 8);
        drop(two);
        for _ in 0..10 {
            throttle.enter().await.leave(false);
        }
        assert_eq!(throttle.slots(), 1);
    }

    #[tokio::test]
    async fn those_who_wait_get_the_slots_that_come_free() {
        let throttle = Throttle::new(1);
        let slot = throttle.enter().await;
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let throttle = throttle.clone();
                tokio::spawn(async move { throttle.enter().await.leave(true) })
            })
            .collect();
        tokio::task::yield_now().await;
        drop(slot);
        for task in waiting {
            task.await.expect("entered");
        }
    }
}
