//! Damage that a read found: named and counted once, and kept with the segment until it is healed.

use std::io;
use std::sync::atomic;

use stratalog_types::Offset;

use super::Segment;
use crate::log::error::{Damage, ReadError};
use crate::log::names;
use crate::log::scan::ScanError;

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

/// Whether an error is one of the bytes that were to be read. A name that is gone may be a segment that was removed; that
/// this process may not open a file, or no more of them, or that the disk takes no more writes, says nothing of what is in
/// it.
fn tells_of_bytes(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let of_the_process =
        [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::ACCESS, Errno::PERM, Errno::INTR, Errno::AGAIN];
    let of_writes = [Errno::ROFS, Errno::NOSPC, Errno::DQUOT];
    let says_nothing = |errno| of_the_process.contains(&errno) || of_writes.contains(&errno);
    error.kind() != io::ErrorKind::NotFound && !Errno::from_io_error(error).is_some_and(says_nothing)
}
