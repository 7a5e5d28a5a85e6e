//! Damage that a read found: named and counted once, and kept with the segment until it is healed.

use std::sync::atomic;

use stratalog_types::Offset;

use super::Segment;
use crate::log::error::{Damage, ReadError};
use crate::log::names;
use crate::log::scan::ScanError;
use crate::log::unreadable::tells_of_bytes;

impl Segment {
    pub fn read_error(&self, error: ScanError) -> ReadError {
        let path = self.path(names::LOG_SUFFIX);
        match error {
            ScanError::Io(source) => {
                if tells_of_bytes(&source) {
                    self.note_damage(0, source.to_string());
                }
                ReadError::Io { path, source }
            }
            ScanError::Bad { position, what } => {
                self.note_damage(position, what.clone());
                ReadError::Corrupt { path, position, what }
            }
        }
    }

    /// The bytes at `position` are not what was written, or cannot be read: named and counted, once.
    pub fn note_damage(&self, position: u64, what: String) {
        let (_, next_offset) = self.end();
        let damage = Damage {
            path: self.path(names::LOG_SUFFIX),
            base_offset: Offset(self.base_offset),
            position,
            // Which of its batches is meant costs a walk; the segment is what can be healed.
            first_offset: Offset(self.base_offset),
            next_offset: Offset(next_offset),
            what,
        };
        if self.retired.load(atomic::Ordering::SeqCst) || self.damage.set(damage.clone()).is_err() {
            return;
        }
        self.files.metrics.log_segments_damaged.inc();
        tracing::error!("a read found damage: {damage}");
    }

    pub fn damage(&self) -> Option<Damage> {
        self.damage.get().cloned()
    }
}
