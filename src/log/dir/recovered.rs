//! Syncs of what recoveries found. While a broker starts they wait: they would keep the disk busy that the start reads
//! from, and nobody waits for them yet.

use std::sync::{Arc, Mutex, Weak};

use super::LogDir;
use crate::log::Log;
use crate::platform::lock;

/// Logs that wait; each holds its unsynced files open.
const WAITING_MAX: usize = 256;

/// The logs whose sync waits; `None`: none has to.
#[derive(Default)]
pub struct RecoveredSyncs(Mutex<Option<Vec<Weak<Log>>>>);

/// What recoveries find is not synced while this lives, as long as it is not too much.
pub struct SyncsHeld<'d>(&'d LogDir);

impl LogDir {
    pub fn hold_recovered_syncs(&self) -> SyncsHeld<'_> {
        lock(&self.recovered_syncs.0).get_or_insert_default();
        SyncsHeld(self)
    }

    /// What a recovery found may not be durable yet: synced in the background, or at once where nobody else would.
    pub(in crate::log) fn sync_recovered(&self, log: &Arc<Log>) {
        if !log.sync.is_unsynced() {
            return;
        }
        if !self.syncer.has_threads() {
            return self.syncer.run_one(&log.sync);
        }
        match &mut *lock(&self.recovered_syncs.0) {
            Some(waiting) if waiting.len() < WAITING_MAX => waiting.push(Arc::downgrade(log)),
            Some(_) | None => log.flush(),
        }
    }
}

impl Drop for SyncsHeld<'_> {
    fn drop(&mut self) {
        let waiting = lock(&self.0.recovered_syncs.0).take().unwrap_or_default();
        waiting.iter().filter_map(Weak::upgrade).for_each(|log| log.flush());
    }
}
