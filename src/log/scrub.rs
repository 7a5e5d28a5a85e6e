//! Closed segments read for damage alone, before somebody needs them, and the indexes beside them.
//!
//! What is found in a segment is named and counted as if a reader had found it, so that it heals from the tier in the same
//! way. An index that the batches contradict is named, counted and made anew at once. A segment is read once through; what
//! was not in memory is not there afterwards either.

use std::collections::BTreeSet;
use std::io::ErrorKind::NotFound;
use std::path::Path;
use std::sync::Arc;

use stratalog_protocol::records::BatchIter;
use stratalog_types::Offset;

use super::append::marker_of;
use super::cleaner::{CleanError, Pace};
use super::error::ReadError;
use super::names;
use super::offline::indexes::IndexCheck;
use super::offline::{Findings, Severity};
use super::partition_log::Log;
use super::recovery;
use super::replay::replay;
use super::scan::BatchAt;
use super::segment::Segment;
use super::transactions::AbortedTransaction;
use super::upload::Runs;
use crate::platform::read_lock;

/// Bytes that are read and checked at a time, and the piece in which a rate is kept.
const RUN_BYTES: u32 = 1 << 20;

/// A segment that was read through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scrubbed {
    pub bytes: u64,
    /// Where the next segment begins.
    pub next: Offset,
    pub is_damaged: bool,
    /// Indexes that were wrong.
    pub indexes_wrong: u64,
}

/// What the batches of a segment say of the files beside it.
#[derive(Default)]
struct Beside {
    /// What is wrong with the offset index or the time index.
    wrong: Option<String>,
    /// The markers of aborted transactions: offset and producer.
    aborts: BTreeSet<(i64, i64)>,
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
                let (next, mut bytes) = (Offset(next.base_offset), 0);
                let (mut is_damaged, mut indexes_wrong) = (false, 0);
                let runs = Runs::of(&segment, next.0, self.may_have_holes());
                match read_through(&self.path, segment.base_offset, runs, pace, &mut bytes)? {
                    Ok(beside) => indexes_wrong = self.mend_indexes(&segment, next, beside),
                    // Removed while it was read.
                    Err(ReadError::Io { source, .. }) if source.kind() == NotFound => {}
                    Err(_) => is_damaged = segment.damage().is_some(),
                }
                return Ok(Some(Scrubbed { bytes, next, is_damaged, indexes_wrong }));
            }
            segment = next;
        }
    }

    /// Makes anew what the batches contradict; answers how many indexes that were.
    fn mend_indexes(&self, segment: &Arc<Segment>, next: Offset, beside: Beside) -> u64 {
        let mut wrong = 0;
        // The files that were looked at may be another's, whose place this one takes, or that took its place.
        if segment.is_in_swap() || segment.is_retired() {
            return wrong;
        }
        if let Some(what) = &beside.wrong {
            wrong += 1;
            segment.distrust_indexes(what);
            if let Err(error) = segment.index_entries() {
                tracing::warn!(path = %self.path.display(), %error, "indexes are not written anew yet");
            }
        }
        match self.mend_aborted(segment, next, &beside.aborts) {
            Ok(was_wrong) => wrong += u64::from(was_wrong),
            Err(ReadError::Io { source, .. }) if source.kind() == NotFound => {}
            Err(error) => tracing::warn!(path = %self.path.display(), %error, "transaction index not checked"),
        }
        wrong
    }

    /// Whether the transaction index was wrong. Where cleaning took batches away, an entry that is missing is not missed.
    fn mend_aborted(&self, segment: &Segment, next: Offset, aborts: &BTreeSet<(i64, i64)>) -> Result<bool, ReadError> {
        let path = segment.path(names::TXN_INDEX_SUFFIX);
        let found = match segment.aborted() {
            Ok(found) if found.is_empty() && aborts.is_empty() => return Ok(false),
            Ok(found) => Some(found),
            Err(ReadError::Io { source, .. }) if source.kind() == NotFound => return Ok(false),
            Err(_) => None,
        };
        let Some(expected) = self.aborted_by_batches(segment, next)? else { return Ok(false) };
        let has_marker = |entry: &AbortedTransaction| aborts.contains(&(entry.last_offset, entry.producer_id));
        let is_right = |found: &Vec<AbortedTransaction>| match self.may_have_holes() {
            true => found.iter().all(has_marker),
            false => *found == expected,
        };
        if found.as_ref().is_some_and(is_right) {
            return Ok(false);
        }
        tracing::warn!(path = %path.display(), "the transaction index is not what the markers say: it is written anew");
        segment.replace_aborted(&expected).map_err(|source| ReadError::Io { path, source })?;
        Ok(true)
    }

    /// The aborted transactions whose markers lie in a segment. `None`: nothing tells which were open at its beginning.
    fn aborted_by_batches(
        &self,
        segment: &Segment,
        next: Offset,
    ) -> Result<Option<Vec<AbortedTransaction>>, ReadError> {
        let failed = |e: super::Error| ReadError::Unavailable { path: self.path.clone(), what: e.to_string() };
        let base = segment.base_offset;
        let is_there = |offset: &i64, suffix: &str| *offset == base && suffix == names::SNAPSHOT_SUFFIX;
        let has_snapshot = recovery::list(&self.path).map_err(failed)?.iter().any(|(at, suffix)| is_there(at, suffix));
        if !has_snapshot && base > 0 {
            return Ok(None);
        }
        let snapshots: &[i64] = if has_snapshot { &[base] } else { &[] };
        let segments = read_lock(&self.segments).range(base..next.0).map(|(at, of)| (*at, of.clone())).collect();
        let mut replayed = replay(&self.path, &segments, snapshots, base, next.0)?;
        let has_begun_with_it = replayed.damaged_snapshots.is_empty() && replayed.unreadable_snapshots.is_empty();
        let is_known = has_begun_with_it || base == 0;
        Ok(is_known.then(|| replayed.aborted.remove(&base).unwrap_or_default()))
    }
}

/// The inner error is the segment's, which has noted it.
fn read_through(
    directory: &Path,
    base_offset: i64,
    runs: Result<Runs, ReadError>,
    pace: &Pace,
    bytes: &mut u64,
) -> Result<Result<Beside, ReadError>, CleanError> {
    let mut runs = match runs {
        Ok(runs) => runs,
        Err(error) => return Ok(Err(error)),
    };
    let mut wrong = None;
    let mut aborts = BTreeSet::new();
    let mut findings = Findings::new(|finding| {
        if finding.severity != Severity::Note {
            wrong.get_or_insert_with(|| finding.to_string());
        }
    });
    let mut indexes = IndexCheck::open(directory, base_offset, &mut findings);
    let mut position = 0;
    loop {
        let run = match runs.next_run(RUN_BYTES) {
            Ok(Some(run)) => run,
            Ok(None) => break,
            Err(error) => return Ok(Err(error)),
        };
        for batch in BatchIter::new(&run.bytes).map_while(Result::ok) {
            let at = BatchAt { position, header: batch.header };
            position = at.end();
            if let Ok(indexes) = &mut indexes {
                indexes.batch(&at, &mut findings);
            }
            let is_abort = || marker_of(batch.bytes, &at.header).is_some_and(|marker| !marker.committed);
            if at.header.attributes.is_control_batch() && is_abort() {
                aborts.insert((at.header.last_offset(), at.header.producer_id));
            }
        }
        *bytes += run.bytes.len() as u64;
        pace.spend(run.bytes.len() as u64)?;
    }
    let unreadable = match indexes {
        Ok(indexes) => {
            indexes.finish(true, &mut findings);
            None
        }
        Err(error) => Some(error.to_string()),
    };
    drop(findings);
    Ok(Ok(Beside { wrong: wrong.or(unreadable), aborts }))
}
