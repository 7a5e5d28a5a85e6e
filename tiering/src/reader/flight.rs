//! One load, many waiters.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::Shared;
use tokio::sync::oneshot;

use super::ReplayError;
use crate::codec_pool::WorkerFailed;

type Outcome<T> = Result<T, ReplayError>;

/// A wait for a load; clones wait for the same one.
#[derive(Clone)]
pub(super) struct Flight<T: Clone>(Shared<oneshot::Receiver<Outcome<T>>>);

impl<T: Clone> Flight<T> {
    pub(super) async fn wait(self) -> Outcome<T> {
        // A load that died without a word is a defect of ours, not of the store.
        self.0.await.unwrap_or(Err(ReplayError::Worker(WorkerFailed)))
    }
}

/// Loads in work by key.
pub(super) struct Flights<K, T: Clone>(Arc<Mutex<HashMap<K, Flight<T>>>>);

impl<K, T: Clone> Clone for Flights<K, T> {
    fn clone(&self) -> Self {
        Flights(self.0.clone())
    }
}

impl<K, T: Clone> Default for Flights<K, T> {
    fn default() -> Self {
        Flights(Arc::default())
    }
}

/// What a join found.
pub(super) enum Joined<K: Eq + Hash, T: Clone> {
    /// Loaded before.
    Here(T),
    /// Another one's load.
    Waits(Flight<T>),
    /// Ours to load: land it.
    Ours(Landing<K, T>, Flight<T>),
}

/// The duty to end a load. Dropped, it takes the load off the books and waiters get an error.
pub(super) struct Landing<K: Eq + Hash, T: Clone> {
    key: Option<K>,
    flights: Flights<K, T>,
    answer: Option<oneshot::Sender<Outcome<T>>>,
}

impl<K: Eq + Hash + Copy, T: Clone> Flights<K, T> {
    /// Looks with `cached` and in the loads in work at once, so that what has just landed is not loaded again.
    pub(super) fn join(&self, key: K, cached: impl FnOnce() -> Option<T>) -> Joined<K, T> {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(&key) {
            return Joined::Waits(flight.clone());
        }
        if let Some(value) = cached() {
            return Joined::Here(value);
        }
        let (answer, answered) = oneshot::channel();
        let flight = Flight(answered.shared());
        flights.insert(key, flight.clone());
        Joined::Ours(Landing { key: Some(key), flights: self.clone(), answer: Some(answer) }, flight)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Flight<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, T: Clone> Landing<K, T> {
    /// Ends the load. A good outcome must be in its cache already.
    pub(super) fn land(mut self, outcome: Outcome<T>) {
        self.forget();
        if let Some(answer) = self.answer.take() {
            // Nobody may wait: a load ahead.
            let _ = answer.send(outcome);
        }
    }

    fn forget(&mut self) {
        if let Some(key) = self.key.take() {
            self.flights.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        }
    }
}

impl<K: Eq + Hash, T: Clone> Drop for Landing<K, T> {
    fn drop(&mut self) {
        self.forget();
    }
}
