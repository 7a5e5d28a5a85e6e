//! The directory's own thread: recovery points, `flush.ms`, files whose removal is due, the room that is kept free, and a
//! look for missing offsets where it is not known which logs were compacted.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::LogDir;
use crate::log::append::Chain;
use crate::platform::lock;

const TICK: Duration = Duration::from_secs(1);
/// The other work of a tick, and a stop, wait for it.
const REMOVING: Duration = Duration::from_millis(500);
/// Of a tick, for logs that are looked through for missing offsets.
const LOOKING: Duration = Duration::from_millis(50);
/// Recovery points are written again after so many more bytes were synced: it bounds what recovery has to read.
const CHECKPOINT_BYTES: u64 = 8 << 20;
/// And after so many ticks with anything at all.
const CHECKPOINT_TICKS: u32 = 60;

/// Ends its thread when dropped.
pub struct Upkeep {
    stop: Arc<Stop>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Upkeep {
    pub fn none() -> Upkeep {
        Upkeep { stop: Arc::default(), thread: Mutex::new(None) }
    }

    pub fn start(&self, dir: Weak<LogDir>) -> std::io::Result<()> {
        let stop = Arc::clone(&self.stop);
        let run = move || run(&stop, &dir);
        let thread = std::thread::Builder::new().name("log-upkeep".to_owned()).spawn(run)?;
        *lock(&self.thread) = Some(thread);
        Ok(())
    }

    pub fn stop(&self) {
        *lock(&self.stop.stopped) = true;
        self.stop.changed.notify_all();
        // The thread itself may drop the last handle of the directory.
        if let Some(thread) = lock(&self.thread).take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

fn run(stop: &Stop, dir: &Weak<LogDir>) {
    let mut checkpointed_bytes = 0;
    let mut ticks = 0;
    loop {
        {
            let stopped = lock(&stop.stopped);
            if *stopped {
                return;
            }
            let waited = stop.changed.wait_timeout(stopped, TICK).unwrap_or_else(PoisonError::into_inner);
            if *waited.0 {
                return;
            }
        }
        let Some(dir) = dir.upgrade() else { return };
        dir.flush_overdue();
        dir.look_at_space();
        dir.remove_due_within(REMOVING);
        dir.keep_spare();
        if let Err(e) = dir.look_for_holes(LOOKING) {
            tracing::warn!(error = %Chain(&e), "not known yet which logs were compacted");
        }
        ticks += 1;
        let synced_bytes = dir.syncer.synced_bytes();
        let new_bytes = synced_bytes - checkpointed_bytes;
        if new_bytes >= CHECKPOINT_BYTES || (new_bytes > 0 && ticks >= CHECKPOINT_TICKS) {
            (checkpointed_bytes, ticks) = (synced_bytes, 0);
            if let Err(e) = dir.checkpoint_recovery_points() {
                tracing::warn!(error = %Chain(&e), "recovery points are not written; a restart would take longer");
            }
        }
    }
}
