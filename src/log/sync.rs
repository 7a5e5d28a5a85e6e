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
//! A directory that cannot be opened to be synced, because too many files are open, was not synced at all: that round is
//! repeated until it can be. What waits for it waits.
//!
//! A failed sync takes the directory offline for the life of this process, closes the watermark, and is not retried:
//! the kernel may have dropped the pages that failed, and a second call would call them clean.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use stratalog_types::Offset;

use crate::metrics::Metrics;
use crate::platform::disk::{Disk, DiskFile, is_out_of_files};
use crate::platform::lock;
use crate::watermark::Watermark;

/// Unsynced bytes of a log after which a sync starts although nobody waits for it: so dirty pages stay bounded, and a
/// sync that somebody waits for stays short.
const UNSYNCED_BYTES_MAX: u64 = 8 << 20;
/// How long a thread rests that could not open a directory to sync it.
const OUT_OF_FILES_PAUSE: Duration = Duration::from_millis(20);
const OUT_OF_FILES_TOLD_EVERY: Duration = Duration::from_secs(10);
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
    round_ended: Condvar,
}

struct Unsynced {
    /// Everything before it has been written.
    end: Offset,
    /// Everything before it is to be synced.
    wanted: Offset,
    active: DiskFile,
    /// Files beside the active one that the next round syncs: of rolled segments, and transaction indexes.
    others: Vec<DiskFile>,
    directory_changed: bool,
    phase: Phase,
    bytes: u64,
    dirty_since_ms: Option<i64>,
    /// No round may begin: its target would be past the new end.
    truncating: bool,
}

impl LogSync {
    pub fn new(directory: &Path, active: DiskFile, end: Offset) -> Arc<LogSync> {
        let unsynced = Unsynced {
            end,
            wanted: end,
            active,
            others: Vec::new(),
            directory_changed: false,
            phase: Phase::Idle,
            bytes: 0,
            dirty_since_ms: None,
            truncating: false,
        };
        Arc::new(LogSync {
            flushed: Watermark::new(end),
            directory: directory.to_owned(),
            unsynced: Mutex::new(unsynced),
            round_ended: Condvar::new(),
        })
    }

    /// Of a log whose end was found again: what `others` and the active file have past `flushed` may not be durable yet.
    pub fn behind(
        directory: &Path,
        active: DiskFile,
        end: Offset,
        flushed: Offset,
        others: Vec<DiskFile>,
    ) -> Arc<LogSync> {
        let sync = LogSync::new(directory, active, flushed);
        {
            let mut unsynced = lock(&sync.unsynced);
            unsynced.directory_changed = !others.is_empty();
            unsynced.others = others;
            unsynced.end = end;
        }
        sync
    }

    pub fn flushed(&self) -> &Watermark {
        &self.flushed
    }

    /// `bytes` up to `end` were written to the active file. Answers whether a sync of them is now to be queued: because
    /// acknowledgements wait for it, or because so much is dirty that a later sync would take long.
    pub fn written(&self, end: Offset, bytes: u64, flush_messages: i64, now_ms: impl FnOnce() -> i64) -> bool {
        let mut unsynced = lock(&self.unsynced);
        unsynced.end = end;
        unsynced.bytes += bytes;
        if end - self.flushed.get() < flush_messages && unsynced.bytes < UNSYNCED_BYTES_MAX {
            if unsynced.dirty_since_ms.is_none() {
                unsynced.dirty_since_ms = Some(now_ms());
            }
            return false;
        }
        unsynced.want(end)
    }

    /// A file beside the active one has changed; `created`: it is new.
    pub fn also(&self, file: DiskFile, created: bool) {
        let mut unsynced = lock(&self.unsynced);
        unsynced.others.push(file);
        unsynced.directory_changed |= created;
    }

    /// The active file is another one now; the one before may have unsynced bytes, and its indexes have.
    pub fn rolled(&self, active: DiskFile, indexes: [DiskFile; 2]) {
        let mut unsynced = lock(&self.unsynced);
        let before = std::mem::replace(&mut unsynced.active, active);
        unsynced.others.push(before);
        unsynced.others.extend(indexes);
        unsynced.directory_changed = true;
    }

    /// The log is about to be cut back to `end`: waits for the round that runs, and lets no other begin.
    pub fn truncate(&self, end: Offset) {
        let mut unsynced = lock(&self.unsynced);
        unsynced.truncating = true;
        while unsynced.phase == Phase::Running {
            unsynced = self.round_ended.wait(unsynced).unwrap_or_else(PoisonError::into_inner);
        }
        self.flushed.reset(self.flushed.get().min(end));
    }

    /// The log was cut back to `end`, in this file, and all of it is synced.
    pub fn truncated(&self, active: DiskFile, end: Offset) {
        let mut unsynced = lock(&self.unsynced);
        unsynced.truncating = false;
        unsynced.active = active;
        unsynced.others.clear();
        unsynced.end = end;
        unsynced.wanted = end;
        self.flushed.reset(end);
    }

    /// Whether something has been unsynced for `flush_ms`.
    pub fn is_overdue(&self, now_ms: i64, flush_ms: i64) -> bool {
        lock(&self.unsynced).dirty_since_ms.is_some_and(|since| now_ms.saturating_sub(since) >= flush_ms)
    }

    /// Asks for a sync of all that was written. Answers whether it is to be queued.
    pub fn want_all(&self) -> bool {
        let mut unsynced = lock(&self.unsynced);
        let end = unsynced.end;
        unsynced.is_behind(self.flushed.get()) && unsynced.want(end)
    }

    /// Answers the bytes that became durable.
    fn round(&self, disk: &Disk) -> Result<u64, (PathBuf, std::io::Error)> {
        let (target, active, others, directory_changed, bytes) = {
            let mut unsynced = lock(&self.unsynced);
            if unsynced.truncating {
                return Ok(0);
            }
            unsynced.phase = Phase::Running;
            unsynced.dirty_since_ms = None;
            let others = std::mem::take(&mut unsynced.others);
            let directory_changed = std::mem::take(&mut unsynced.directory_changed);
            let bytes = std::mem::take(&mut unsynced.bytes);
            (unsynced.end, unsynced.active.clone(), others, directory_changed, bytes)
        };
        let failed = |e| (self.directory.clone(), e);
        for file in &others {
            file.sync().map_err(failed)?;
        }
        active.sync().map_err(failed)?;
        if directory_changed && let Err(e) = disk.sync_directory(&self.directory) {
            let mut unsynced = lock(&self.unsynced);
            unsynced.directory_changed = true;
            unsynced.wanted = unsynced.wanted.max(target);
            unsynced.bytes += bytes;
            return Err(failed(e));
        }
        self.flushed.advance(target);
        Ok(bytes)
    }

    /// No round will follow; who waits for this one to end goes on.
    fn ended(&self) {
        lock(&self.unsynced).phase = Phase::Idle;
        self.round_ended.notify_all();
    }

    /// Whether a round would have something to do.
    pub fn is_unsynced(&self) -> bool {
        lock(&self.unsynced).is_behind(self.flushed.get())
    }

    /// After a round: whether another one is wanted.
    fn again(&self) -> bool {
        let mut unsynced = lock(&self.unsynced);
        unsynced.phase = Phase::Idle;
        self.round_ended.notify_all();
        let wanted = unsynced.wanted;
        !unsynced.truncating && wanted > self.flushed.get() && unsynced.want(wanted)
    }
}

impl Unsynced {
    fn is_behind(&self, flushed: Offset) -> bool {
        flushed < self.end || self.directory_changed || !self.others.is_empty()
    }

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
    metrics: Arc<Metrics>,
    queue: Mutex<Queue>,
    work: Condvar,
    threads_min: usize,
    synced_bytes: AtomicU64,
    out_of_files_told: Mutex<Option<Instant>>,
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
    pub fn new(
        disk: Disk,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
        threads_min: usize,
        threads_max: usize,
    ) -> Syncer {
        let shared = Shared {
            disk,
            health,
            metrics,
            queue: Mutex::new(Queue::default()),
            work: Condvar::new(),
            threads_min: threads_min.min(threads_max),
            synced_bytes: AtomicU64::new(0),
            out_of_files_told: Mutex::default(),
        };
        Syncer { shared: Arc::new(shared), threads_max }
    }

    pub fn has_threads(&self) -> bool {
        self.threads_max > 0
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

    /// Bytes that became durable so far.
    pub fn synced_bytes(&self) -> u64 {
        self.shared.synced_bytes.load(Ordering::Relaxed)
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

    fn tell_out_of_files(&self) {
        let mut told = lock(&self.out_of_files_told);
        if told.is_none_or(|told| told.elapsed() >= OUT_OF_FILES_TOLD_EVERY) {
            *told = Some(Instant::now());
            tracing::error!("acknowledgements wait: too many open files; raise the limit (LimitNOFILE, ulimit -n)");
        }
    }

    fn sync(&self, log: &Arc<LogSync>) {
        if self.health.offline().is_some() {
            log.flushed.close();
        }
        if log.flushed.is_closed() {
            return log.ended();
        }
        let started = Instant::now();
        match log.round(&self.disk) {
            Ok(bytes) => {
                self.metrics.log_syncs.inc();
                self.metrics.log_sync_duration.observe(started.elapsed().as_secs_f64());
                self.synced_bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            // Deleted while the round ran: its directory has another name now.
            Err(_) if log.flushed.is_closed() => return log.ended(),
            Err((_, e)) if is_out_of_files(&e) => {
                self.tell_out_of_files();
                std::thread::sleep(OUT_OF_FILES_PAUSE);
            }
            Err((directory, e)) => {
                // First the state, then the news: who is woken by it must find the directory offline.
                self.health.take_offline(format!("sync of {} failed: {e}", directory.display()));
                log.flushed.close();
                return log.ended();
            }
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
