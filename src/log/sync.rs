//! How appended bytes become durable: a queue of logs, and a small pool of threads that sync them.
//!
//! Owns `flushed` of each log: the ticket of an append is its last offset, and it is due when `flushed` passed it. How
//! that happens is this file's alone: a journal can take its place and nothing above changes.
//!
//! Order of effects of a round: the end that the round will answer for is taken first; then the files of segments that
//! were rolled, then the active file are synced, then the directory if a file was created; only then `flushed` moves.
//! So what `flushed` covers is readable after a power cut, names included. A crash inside a round leaves more durable
//! than was promised, never less. Appends that come while a round runs ride on the next one: group commit per file.
//!
//! A failed sync takes the directory offline for the life of this process, closes the watermark, and is not retried:
//! the kernel may have dropped the pages that failed, and a second call would call them clean.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use stratalog_types::Offset;

use crate::platform::disk::{Disk, DiskFile};
use crate::platform::lock;
use crate::watermark::Watermark;

/// A thread above the minimum leaves after so long without work.
const IDLE_THREAD_LEAVES_AFTER: Duration = Duration::from_secs(10);

pub type OfflineHook = Box<dyn Fn(&str) + Send + Sync>;

/// Whether a data directory takes writes.
#[derive(Default)]
pub struct Health {
    offline: OnceLock<String>,
    hook: OnceLock<OfflineHook>,
}

impl Health {
    pub fn offline(&self) -> Option<&str> {
        self.offline.get().map(String::as_str)
    }

    /// The directory takes no more writes. The first reason stays.
    pub fn take_offline(&self, reason: String) {
        if self.offline.set(reason).is_err() {
            return;
        }
        let reason = self.offline().unwrap_or_default();
        tracing::error!(reason, "data directory is offline; mend the disk and restart");
        if let Some(hook) = self.hook.get() {
            hook(reason);
        }
    }

    pub fn on_offline(&self, hook: OfflineHook) -> bool {
        self.hook.set(hook).is_ok()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Queued,
    Running,
}

/// The unsynced part of one log.
pub struct LogSync {
    flushed: Watermark,
    directory: PathBuf,
    unsynced: Mutex<Unsynced>,
}

struct Unsynced {
    /// Everything before it has been written.
    end: Offset,
    /// Everything before it is to be synced.
    wanted: Offset,
    active: DiskFile,
    rolled: Vec<DiskFile>,
    directory_changed: bool,
    phase: Phase,
}

impl LogSync {
    pub fn new(directory: &Path, active: DiskFile, end: Offset) -> Arc<LogSync> {
        let unsynced =
            Unsynced { end, wanted: end, active, rolled: Vec::new(), directory_changed: false, phase: Phase::Idle };
        Arc::new(LogSync {
            flushed: Watermark::new(end),
            directory: directory.to_owned(),
            unsynced: Mutex::new(unsynced),
        })
    }

    pub fn flushed(&self) -> &Watermark {
        &self.flushed
    }

    /// Bytes up to `end` were written to the active file. Answers whether a sync of them is now to be queued.
    pub fn written(&self, end: Offset, flush_messages: i64) -> bool {
        let mut unsynced = lock(&self.unsynced);
        unsynced.end = end;
        if end - self.flushed.get() < flush_messages {
            return false;
        }
        unsynced.want(end)
    }

    /// The active file is another one now; the one before may have unsynced bytes.
    pub fn rolled(&self, active: DiskFile) {
        let mut unsynced = lock(&self.unsynced);
        let before = std::mem::replace(&mut unsynced.active, active);
        unsynced.rolled.push(before);
        unsynced.directory_changed = true;
    }

    /// The log was cut back to `end`, in this file.
    pub fn truncated(&self, active: DiskFile, end: Offset) {
        let mut unsynced = lock(&self.unsynced);
        unsynced.active = active;
        unsynced.end = end;
        unsynced.wanted = unsynced.wanted.min(end);
        unsynced.directory_changed = true;
    }

    /// Asks for a sync of all that was written. Answers whether it is to be queued.
    pub fn want_all(&self) -> bool {
        let mut unsynced = lock(&self.unsynced);
        let end = unsynced.end;
        if self.flushed.get() >= end && !unsynced.directory_changed && unsynced.rolled.is_empty() {
            return false;
        }
        unsynced.want(end)
    }

    fn round(&self, disk: &Disk) -> Result<(), (PathBuf, std::io::Error)> {
        let (target, active, rolled, directory_changed) = {
            let mut unsynced = lock(&self.unsynced);
            unsynced.phase = Phase::Running;
            let rolled = std::mem::take(&mut unsynced.rolled);
            let directory_changed = std::mem::take(&mut unsynced.directory_changed);
            (unsynced.end, unsynced.active.clone(), rolled, directory_changed)
        };
        let failed = |e| (self.directory.clone(), e);
        for file in &rolled {
            file.sync().map_err(failed)?;
        }
        active.sync().map_err(failed)?;
        if directory_changed {
            disk.sync_directory(&self.directory).map_err(failed)?;
        }
        self.flushed.advance(target);
        Ok(())
    }

    /// After a round: whether another one is wanted.
    fn again(&self) -> bool {
        let mut unsynced = lock(&self.unsynced);
        unsynced.phase = Phase::Idle;
        let wanted = unsynced.wanted;
        wanted > self.flushed.get() && unsynced.want(wanted)
    }
}

impl Unsynced {
    fn want(&mut self, end: Offset) -> bool {
        self.wanted = self.wanted.max(end);
        if self.phase != Phase::Idle {
            return false;
        }
        self.phase = Phase::Queued;
        true
    }
}

/// The pool of one data directory.
pub struct Syncer {
    shared: Arc<Shared>,
    threads_max: usize,
}

struct Shared {
    disk: Disk,
    health: Arc<Health>,
    queue: Mutex<Queue>,
    work: Condvar,
    threads_min: usize,
    rounds: AtomicU64,
}

#[derive(Default)]
struct Queue {
    logs: VecDeque<Arc<LogSync>>,
    threads: Vec<JoinHandle<()>>,
    running: usize,
    idle: usize,
    stopping: bool,
}

impl Syncer {
    /// `threads_max` 0: no threads; somebody calls [`Syncer::run_queued`].
    pub fn new(disk: Disk, health: Arc<Health>, threads_min: usize, threads_max: usize) -> Syncer {
        let shared = Shared {
            disk,
            health,
            queue: Mutex::new(Queue::default()),
            work: Condvar::new(),
            threads_min: threads_min.min(threads_max),
            rounds: AtomicU64::new(0),
        };
        Syncer { shared: Arc::new(shared), threads_max }
    }

    pub fn enqueue(&self, log: &Arc<LogSync>) {
        let mut queue = lock(&self.shared.queue);
        if queue.stopping {
            return;
        }
        queue.logs.push_back(Arc::clone(log));
        if queue.idle >= queue.logs.len() {
            drop(queue);
            self.shared.work.notify_one();
        } else if queue.running < self.threads_max {
            self.start_thread(&mut queue);
        } else {
            drop(queue);
            self.shared.work.notify_one();
        }
    }

    fn start_thread(&self, queue: &mut Queue) {
        queue.threads.retain(|thread| !thread.is_finished());
        let shared = Arc::clone(&self.shared);
        let started = std::thread::Builder::new().name("log-sync".to_owned()).spawn(move || shared.run());
        match started {
            Ok(thread) => {
                queue.running += 1;
                queue.threads.push(thread);
            }
            Err(e) if queue.running == 0 => self.shared.health.take_offline(format!("cannot start a sync thread: {e}")),
            Err(e) => tracing::debug!(error = %e, "no further sync thread"),
        }
    }

    /// Syncs what is queued, on the calling thread.
    pub fn run_queued(&self) {
        loop {
            let next = lock(&self.shared.queue).logs.pop_front();
            match next {
                Some(log) => self.shared.sync(&log),
                None => return,
            }
        }
    }

    /// Syncs one log on the calling thread, queued or not.
    pub fn run_one(&self, log: &Arc<LogSync>) {
        self.shared.sync(log);
    }

    /// Rounds so far.
    pub fn rounds(&self) -> u64 {
        self.shared.rounds.load(Ordering::Relaxed)
    }

    /// Ends the threads; what is queued stays unsynced.
    pub fn stop(&self) {
        let threads = {
            let mut queue = lock(&self.shared.queue);
            queue.stopping = true;
            queue.logs.clear();
            std::mem::take(&mut queue.threads)
        };
        self.shared.work.notify_all();
        for thread in threads {
            // An advance hook may drop the last handle of the directory, on a thread of this pool.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl Shared {
    fn run(&self) {
        while let Some(log) = self.next() {
            self.sync(&log);
        }
    }

    fn next(&self) -> Option<Arc<LogSync>> {
        let mut queue = lock(&self.queue);
        loop {
            if queue.stopping {
                queue.running -= 1;
                return None;
            }
            if let Some(log) = queue.logs.pop_front() {
                return Some(log);
            }
            queue.idle += 1;
            let waited = self.work.wait_timeout(queue, IDLE_THREAD_LEAVES_AFTER);
            let (after, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            queue = after;
            queue.idle -= 1;
            if timeout.timed_out() && queue.logs.is_empty() && queue.running > self.threads_min {
                queue.running -= 1;
                return None;
            }
        }
    }

    fn sync(&self, log: &Arc<LogSync>) {
        if self.health.offline().is_some() {
            log.flushed.close();
        }
        if log.flushed.is_closed() {
            return;
        }
        self.rounds.fetch_add(1, Ordering::Relaxed);
        if let Err((directory, e)) = log.round(&self.disk) {
            // Deleted while the round ran: its directory has another name now.
            if log.flushed.is_closed() {
                return;
            }
            log.flushed.close();
            self.health.take_offline(format!("sync of {} failed: {e}", directory.display()));
            return;
        }
        if log.again() {
            let mut queue = lock(&self.queue);
            if !queue.stopping {
                queue.logs.push_back(Arc::clone(log));
                drop(queue);
                self.work.notify_one();
            }
        }
    }
}
