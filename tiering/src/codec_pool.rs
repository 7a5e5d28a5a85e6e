//! The threads that pack and unpack chunks, so that no runtime worker does.
//!
//! Owns a fixed number of threads below normal priority, each with its zstd contexts, and one bounded queue. A job
//! that panics fails its caller alone. The threads end when the pool is dropped and its queue is empty.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::{mpsc, oneshot};

use crate::format::{ChunkDecoder, ChunkEncoder};

/// Jobs waiting per thread: enough to keep it busy, few enough to bound what they hold.
const QUEUE_PER_THREAD: usize = 4;

/// What a thread lends to its jobs.
pub struct Worker {
    pub encoder: ChunkEncoder,
    pub decoder: ChunkDecoder,
}

type Job = Box<dyn FnOnce(&mut Worker) + Send>;

/// The job's thread died or panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a codec thread failed; the log has its panic")]
pub struct WorkerFailed;

#[derive(Debug, Clone)]
pub struct CodecPoolConfig {
    /// Shown in thread lists, 15 characters at most.
    pub name: &'static str,
    pub threads: usize,
    pub zstd_level: i32,
    /// Added to the threads' nice value where the platform has one per thread.
    pub niceness: i32,
}

/// Clones share the threads.
#[derive(Clone)]
pub struct CodecPool {
    jobs: mpsc::Sender<Job>,
    threads: usize,
}

impl CodecPool {
    pub fn new(config: CodecPoolConfig) -> io::Result<CodecPool> {
        let threads = config.threads.max(1);
        let (jobs, queue) = mpsc::channel::<Job>(threads * QUEUE_PER_THREAD);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let mut worker = Worker {
                encoder: ChunkEncoder::new(config.zstd_level).map_err(io::Error::other)?,
                decoder: ChunkDecoder::new().map_err(io::Error::other)?,
            };
            let (queue, niceness) = (queue.clone(), config.niceness);
            thread::Builder::new().name(config.name.to_owned()).spawn(move || {
                lower_priority(niceness);
                while let Some(job) = next(&queue) {
                    if catch_unwind(AssertUnwindSafe(|| job(&mut worker))).is_err() {
                        tracing::error!("a codec job panicked");
                    }
                }
            })?;
        }
        Ok(CodecPool { jobs, threads })
    }

    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Waits for a place in the queue; the receiver gets the result.
    pub async fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Worker) -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |worker| {
            // Nobody waits any more: the result is dropped.
            let _ = answer.send(job(worker));
        });
        // Threads live as long as the pool does; if they failed, the receiver says so.
        let _ = self.jobs.send(job).await;
        answered
    }

    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Worker) -> T + Send + 'static,
    ) -> Result<T, WorkerFailed> {
        self.submit(job).await.await.map_err(|_| WorkerFailed)
    }
}

fn next(queue: &Mutex<mpsc::Receiver<Job>>) -> Option<Job> {
    // One thread waits in the queue, the others for the lock: either way a job wakes one.
    queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
}

/// Producers come first. Failing to lower the priority costs fairness, nothing else.
fn lower_priority(niceness: i32) {
    #[cfg(target_os = "linux")]
    if niceness > 0 {
        // On Linux the value belongs to the calling thread.
        if let Err(error) = rustix::process::nice(niceness) {
            tracing::debug!(%error, "priority not lowered");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = niceness;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_fails_its_caller_alone() {
        let config = CodecPoolConfig { name: "test-codec", threads: 1, zstd_level: 1, niceness: 0 };
        let pool = CodecPool::new(config).expect("pool");
        assert_eq!(pool.run(|_| -> u8 { panic!("planted") }).await, Err(WorkerFailed));
        assert_eq!(pool.run(|_| 7).await, Ok(7));
    }
}
