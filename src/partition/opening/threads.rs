//! Work on many partitions, several at a time.

use std::sync::{Mutex, PoisonError};

use super::OpenError;
use crate::platform::lock;

/// Does `work` on each item, several at a time. The answers are in the order of the items; after an error nothing more is
/// begun, and the first error is the answer.
pub(super) fn on_threads<T: Send, R: Send>(
    threads: usize,
    items: Vec<T>,
    work: impl Fn(T) -> Result<R, OpenError> + Sync,
) -> Result<Vec<R>, OpenError> {
    let threads = threads.min(items.len());
    let queue = Mutex::new(items.into_iter().enumerate());
    let done = Mutex::new((Vec::new(), None));
    let run = || {
        while let Some((at, item)) = { lock(&queue).next() } {
            let result = work(item);
            let mut done = lock(&done);
            match result {
                Ok(answer) => done.0.push((at, answer)),
                Err(error) => {
                    done.1.get_or_insert(error);
                }
            }
            if done.1.is_some() {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // Without another thread those that run do all of it.
            let _ = std::thread::Builder::new().name("partition-open".to_owned()).spawn_scoped(scope, run);
        }
        run();
    });
    let (mut answers, failure) = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    answers.sort_unstable_by_key(|(at, _)| *at);
    failure.map_or_else(|| Ok(answers.into_iter().map(|(_, answer)| answer).collect()), Err)
}
