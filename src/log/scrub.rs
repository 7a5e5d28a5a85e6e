//! Closed segments read for damage alone, before somebody needs them.
//!
//! What is found is named and counted as if a reader had found it, so that it heals from the tier in the same way. A
//! segment is read once through; nothing is changed, and what was not in memory is not there afterwards either.

use std::io::ErrorKind::NotFound;

use stratalog_types::Offset;

use super::cleaner::{CleanError, Pace};
use super::error::ReadError;
use super::partition_log::Log;
use super::upload::Runs;

/// Bytes that are read and checked at a time, and the piece in which a rate is kept.
const RUN_BYTES: u32 = 1 << 20;

/// A segment that was read through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scrubbed {
    pub bytes: u64,
    /// Where the next segment begins.
    pub next: Offset,
    pub is_damaged: bool,
}

impl Log {
    /// Reads the first closed segment that ends behind `from`; `None`: there is none. One that is known to be damaged is
    /// passed over. Ends early where the pace is stopped.
    pub fn scrub(&self, from: Offset, pace: &Pace) -> Result<Option<Scrubbed>, CleanError> {
        let Some(mut segment) = self.segment_at(from).or_else(|| self.segment_after(from.0.saturating_sub(1))) else {
            return Ok(None);
        };
        loop {
            // The active segment is checked when it has been closed.
            let Some(next) = self.segment_after(segment.base_offset) else { return Ok(None) };
            let is_sought = segment.next_offset() > from.0 && segment.damage().is_none();
            if is_sought {
                let mut scrubbed = Scrubbed { bytes: 0, next: Offset(next.base_offset), is_damaged: false };
                let runs = Runs::of(&segment, next.base_offset, self.may_have_holes());
                match read_through(runs, pace, &mut scrubbed.bytes)? {
                    Ok(()) => {}
                    // Removed while it was read.
                    Err(ReadError::Io { source, .. }) if source.kind() == NotFound => {}
                    Err(_) => scrubbed.is_damaged = segment.damage().is_some(),
                }
                return Ok(Some(scrubbed));
            }
            segment = next;
        }
    }
}

type ReadThrough = Result<(), ReadError>;

/// The inner error is the segment's, which has noted it.
fn read_through(runs: Result<Runs, ReadError>, pace: &Pace, bytes: &mut u64) -> Result<ReadThrough, CleanError> {
    let mut runs = match runs {
        Ok(runs) => runs,
        Err(error) => return Ok(Err(error)),
    };
    loop {
        match runs.next_run(RUN_BYTES) {
            Ok(Some(run)) => {
                *bytes += run.bytes.len() as u64;
                pace.spend(run.bytes.len() as u64)?;
            }
            Ok(None) => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
        }
    }
}
