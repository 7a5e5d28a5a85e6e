//! What a reader of read_committed is told of aborted transactions.

use std::io::ErrorKind::NotFound;
use std::sync::Arc;

use stratalog_types::Offset;

use super::error::ReadError;
use super::partition_log::Log;
use super::read::LogSlice;
use super::segment::{Effort, Segment};
use super::transactions::AbortedTransaction;
use crate::platform::read_lock;

impl Log {
    /// The aborted transactions that a read of `from..until` has to tell of, in the order of their markers.
    pub fn aborted_transactions(&self, from: Offset, until: Offset) -> Result<Vec<AbortedTransaction>, ReadError> {
        self.aborted_with(Effort::Any, from, until)
    }

    /// The same for who gets `slice` from `from` on. `None`: the slice's segment was replaced or removed meanwhile, and
    /// with it what there was to tell of its records. They are to be read anew.
    pub fn aborted_in(
        &self,
        effort: Effort,
        from: Offset,
        slice: &LogSlice,
    ) -> Result<Option<Vec<AbortedTransaction>>, ReadError> {
        if slice.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let aborted = self.aborted_with(effort, from, slice.next_offset)?;
        let is_here = slice.segment.upgrade().is_some_and(|segment| self.has(&segment));
        Ok(is_here.then_some(aborted))
    }

    fn aborted_with(&self, effort: Effort, from: Offset, until: Offset) -> Result<Vec<AbortedTransaction>, ReadError> {
        loop {
            let segments = self.segments_with_aborted(from);
            if effort == Effort::Little && !segments.is_empty() {
                return Err(ReadError::Unindexed);
            }
            match gather(&segments, from, until) {
                // Removed or replaced under the look: look again.
                Err(ReadError::Io { source, .. })
                    if source.kind() == NotFound && !segments.iter().all(|segment| self.has(segment)) => {}
                answer => return answer,
            }
        }
    }

    /// Those that may have a marker of an aborted transaction at or behind `from`: mostly none.
    fn segments_with_aborted(&self, from: Offset) -> Vec<Arc<Segment>> {
        let segments = read_lock(&self.segments);
        let first = segments.range(..=from.0).next_back().map_or(i64::MIN, |(base, _)| *base);
        segments
            .range(first..)
            .map(|(_, segment)| segment)
            .filter(|segment| segment.may_have_aborted())
            .cloned()
            .collect()
    }
}

fn gather(segments: &[Arc<Segment>], from: Offset, until: Offset) -> Result<Vec<AbortedTransaction>, ReadError> {
    let mut found = Vec::new();
    for segment in segments {
        for aborted in segment.aborted()? {
            if aborted.last_offset >= from.0 && aborted.first_offset < until.0 {
                found.push(aborted);
            }
            // All transactions that began before this point have ended: none that comes later can matter.
            if aborted.last_stable_offset >= until.0 {
                return Ok(found);
            }
        }
    }
    Ok(found)
}
