//! Who reads on where it stopped, and how far ahead of it to load.
//!
//! A stream is one reader of one partition, known by nothing but its offsets: a read that starts where another one ended
//! continues it. The first read opens a stream with no window, the second gives it one, each further one doubles it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stratalog_types::Offset;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Duration, Instant};

use super::loads::units;
use crate::object_key::TierPartition;

/// Readers told apart in all; past it the one longest unused is forgotten, and what it had ahead is released.
const STREAMS_MAX: usize = 1024;
/// Unpacked bytes ahead of a reader that has just become sequential.
const WINDOW_BYTES_MIN: u64 = 4 << 20;
/// A reader that has not come back for this long gives its room to others.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// A quarter of the window is loaded at a time, so that GETs stay large.
const REFILL_PARTS: u64 = 4;

pub(super) type StreamId = u64;

#[derive(Clone)]
pub(super) struct Streams {
    state: Arc<Mutex<State>>,
    ahead: Arc<Semaphore>,
    ahead_bytes_max: u64,
    window_max: u64,
}

#[derive(Default)]
struct State {
    streams: HashMap<StreamId, Stream>,
    by_partition: HashMap<TierPartition, Vec<StreamId>>,
    next_id: StreamId,
    /// Streams with a window: they share the budget evenly.
    sequential: u64,
}

struct Stream {
    of: TierPartition,
    /// Where its last read started and what it read up to.
    from: Offset,
    next: Offset,
    window: u64,
    /// Loaded or loading ahead: one past each group's last offset, and its reservation.
    ahead: VecDeque<(Offset, u64, OwnedSemaphorePermit)>,
    ahead_bytes: u64,
    /// One past the last offset loaded ahead.
    frontier: Offset,
    filling: bool,
    used: Instant,
}

/// What to load next for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Want {
    pub(super) from: Offset,
    pub(super) bytes: u64,
}

impl Streams {
    pub(super) fn new(ahead_bytes_max: u64, window_max: u64) -> Streams {
        let ahead = Arc::new(Semaphore::new(units(ahead_bytes_max) as usize));
        Streams { state: Arc::default(), ahead, ahead_bytes_max, window_max }
    }

    /// Notes a read of `from` up to `next`. The stream to fill, when it is sequential and nobody fills it yet.
    pub(super) fn on_read(&self, of: TierPartition, from: Offset, next: Offset, has_data: bool) -> Option<StreamId> {
        let mut state = self.lock();
        let now = Instant::now();
        let Some((id, stream)) = state.continued(of, from) else {
            state.open(of, from, next, now);
            return None;
        };
        stream.used = now;
        if !has_data {
            return None;
        }
        let (again, newly) = (from <= stream.from, stream.window == 0);
        (stream.from, stream.next) = (from, next);
        stream.consume();
        if !again {
            stream.window = (stream.window * 2).max(WINDOW_BYTES_MIN);
            state.sequential += u64::from(newly);
        }
        let fair = self.fair(&state);
        let stream = state.streams.get_mut(&id)?;
        stream.window = stream.window.min(fair);
        if stream.window == 0 || stream.filling || stream.want().is_none() {
            return None;
        }
        stream.filling = true;
        Some(id)
    }

    /// What the filler loads next; `None` ends its work.
    pub(super) fn want(&self, id: StreamId) -> Option<Want> {
        let mut state = self.lock();
        let fair = self.fair(&state);
        let stream = state.streams.get_mut(&id)?;
        stream.window = stream.window.min(fair);
        let want = stream.want();
        stream.filling = want.is_some();
        want
    }

    /// Ends the filler's work early.
    pub(super) fn stop(&self, id: StreamId) {
        if let Some(stream) = self.lock().streams.get_mut(&id) {
            stream.filling = false;
        }
    }

    /// Room for a group ahead; `None` when readers that still read have taken all of it.
    pub(super) fn reserve(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let units = units(bytes);
        if let Ok(room) = self.ahead.clone().try_acquire_many_owned(units) {
            return Some(room);
        }
        self.lock().close_idle();
        self.ahead.clone().try_acquire_many_owned(units).ok()
    }

    /// The largest window now.
    fn fair(&self, state: &State) -> u64 {
        (self.ahead_bytes_max / state.sequential.max(1)).min(self.window_max)
    }

    /// A group was started: it reaches to `end`.
    pub(super) fn started(&self, id: StreamId, end: Offset, bytes: u64, reserved: OwnedSemaphorePermit) {
        if let Some(stream) = self.lock().streams.get_mut(&id) {
            stream.ahead.push_back((end, bytes, reserved));
            stream.ahead_bytes += bytes;
            stream.frontier = stream.frontier.max(end);
        }
    }

    /// Nothing to load between the frontier and `to`.
    pub(super) fn skip(&self, id: StreamId, to: Offset) {
        if let Some(stream) = self.lock().streams.get_mut(&id) {
            stream.frontier = stream.frontier.max(to);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The stream that a read of `from` goes on with: one that started below it and ended at or after it, or repeats.
    fn continued(&mut self, of: TierPartition, from: Offset) -> Option<(StreamId, &mut Stream)> {
        let ids = self.by_partition.get(&of)?;
        let id = ids
            .iter()
            .copied()
            .find(|id| self.streams.get(id).is_some_and(|stream| stream.from <= from && from <= stream.next))?;
        self.streams.get_mut(&id).map(|stream| (id, stream))
    }

    fn open(&mut self, of: TierPartition, from: Offset, next: Offset, now: Instant) {
        if self.streams.len() >= STREAMS_MAX {
            let oldest = self.streams.iter().min_by_key(|(_, stream)| stream.used).map(|(id, _)| *id);
            if let Some(oldest) = oldest {
                self.close(oldest);
            }
        }
        let id = self.next_id;
        self.next_id += 1;
        let stream = Stream {
            of,
            from,
            next,
            window: 0,
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            frontier: next,
            filling: false,
            used: now,
        };
        self.streams.insert(id, stream);
        self.by_partition.entry(of).or_default().push(id);
    }

    fn close_idle(&mut self) {
        let idle: Vec<_> =
            self.streams.iter().filter(|(_, stream)| stream.used.elapsed() > IDLE_MAX).map(|(id, _)| *id).collect();
        idle.into_iter().for_each(|id| self.close(id));
    }

    fn close(&mut self, id: StreamId) {
        let Some(stream) = self.streams.remove(&id) else { return };
        self.sequential -= u64::from(stream.window > 0);
        if let Some(ids) = self.by_partition.get_mut(&stream.of) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_partition.remove(&stream.of);
            }
        }
    }
}

impl Stream {
    /// Releases what the reader has passed.
    fn consume(&mut self) {
        while self.ahead.front().is_some_and(|(end, ..)| *end <= self.next) {
            if let Some((_, bytes, _)) = self.ahead.pop_front() {
                self.ahead_bytes -= bytes;
            }
        }
        self.frontier = self.frontier.max(self.next);
    }

    fn want(&self) -> Option<Want> {
        let room = self.window.saturating_sub(self.ahead_bytes);
        (room > 0 && room >= self.window / REFILL_PARTS).then_some(Want { from: self.frontier, bytes: room })
    }
}

#[cfg(test)]
mod tests;
