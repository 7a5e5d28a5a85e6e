//! Work on many things side by side, whose results are taken in order and not kept: how the segments of one log are
//! walked.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Condvar, Mutex, PoisonError};

use crate::platform::lock;

/// Results that may wait, a thread: a slow one at the front does not stop the others at once.
const AHEAD_PER_THREAD: usize = 2;

/// Does `work` for each number below `count` on up to `threads` threads, and hands the results to `take` in order, on the
/// calling thread. Work is begun only for what lies close behind the one that is taken next, so that few results are in
/// memory at a time. `take` may end it all.
pub fn in_order<T: Send, E: Send>(
    count: usize,
    threads: usize,
    work: impl Fn(usize) -> Result<T, E> + Sync,
    mut take: impl FnMut(usize, T) -> Result<ControlFlow<()>, E>,
) -> Result<(), E> {
    let threads = threads.clamp(1, count.max(1));
    let queue = Queue {
        count,
        ahead_max: threads * AHEAD_PER_THREAD,
        state: Mutex::new(State { begun: 0, taken: 0, ended: false, done: BTreeMap::new() }),
        changed: Condvar::new(),
    };
    std::thread::scope(|scope| {
        let _end = EndOnPanic(&queue);
        for _ in 1..threads {
            // Without another thread this one does all of it.
            let _ = std::thread::Builder::new().name("log-recovery".to_owned()).spawn_scoped(scope, || {
                let _end = EndOnPanic(&queue);
                while let Some(at) = queue.begin() {
                    queue.finish(at, work(at));
                }
            });
        }
        let taken = queue.take_all(&work, &mut take);
        queue.end();
        taken
    })
}

struct Queue<R> {
    count: usize,
    ahead_max: usize,
    state: Mutex<State<R>>,
    changed: Condvar,
}

struct State<R> {
    /// How many were begun, and how many were taken: all before them were too.
    begun: usize,
    taken: usize,
    ended: bool,
    done: BTreeMap<usize, R>,
}

/// What the taking thread does next.
enum Next<R> {
    Take(R),
    Work(usize),
    Ended,
}

impl<T, E> Queue<Result<T, E>> {
    fn take_all(
        &self,
        work: &impl Fn(usize) -> Result<T, E>,
        take: &mut impl FnMut(usize, T) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let mut at = 0;
        while at < self.count {
            match self.next(at) {
                Next::Take(result) => {
                    if take(at, result?)?.is_break() {
                        break;
                    }
                    at += 1;
                }
                Next::Work(other) => self.finish(other, work(other)),
                // The scope hands the panic on.
                Next::Ended => break,
            }
        }
        Ok(())
    }
}

impl<R> Queue<R> {
    /// The next to work on, once it lies close enough. `None`: there is none.
    fn begin(&self) -> Option<usize> {
        let mut state = lock(&self.state);
        loop {
            if state.ended || state.begun >= self.count {
                return None;
            }
            if let Some(at) = self.begin_now(&mut state) {
                return Some(at);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn begin_now(&self, state: &mut State<R>) -> Option<usize> {
        let at = state.begun;
        let begins = !state.ended && at < self.count && at < state.taken + self.ahead_max;
        state.begun += usize::from(begins);
        begins.then_some(at)
    }

    fn finish(&self, at: usize, result: R) {
        lock(&self.state).done.insert(at, result);
        self.changed.notify_all();
    }

    /// The result of `at` if it is there; else work to do meanwhile, or a wait for it.
    fn next(&self, at: usize) -> Next<R> {
        let mut state = lock(&self.state);
        loop {
            if let Some(result) = state.done.remove(&at) {
                state.taken = at + 1;
                self.changed.notify_all();
                return Next::Take(result);
            }
            if state.ended {
                return Next::Ended;
            }
            if let Some(other) = self.begin_now(&mut state) {
                return Next::Work(other);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn end(&self) {
        lock(&self.state).ended = true;
        self.changed.notify_all();
    }
}

/// Nobody waits for what a panic prevents.
struct EndOnPanic<'q, R>(&'q Queue<R>);

impl<R> Drop for EndOnPanic<'_, R> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end();
        }
    }
}
