//! Compaction of one log: of each key the last record stays, and a tombstone for as long as readers may need it.
//!
//! Owns what goes and what stays, the files of a segment on its way in, and the swap. Does not decide when: the
//! partition floor does. The rules are Apache Kafka's, down to the delete horizon (KIP-534); how the work is done is not:
//! docs/decisions/compaction.md says where it differs.
//!
//! A round: the first pass notes the last offset of each key of the dirty part in a map of bounded memory; the second
//! writes each group of closed segments anew and swaps it in, oldest group first; at last the checkpoint
//! (`cleaner-offset-checkpoint`, where a log has an entry before its first swap) moves to where the map ended. Where
//! the map was full before the end, the next round goes on from there. A crash repeats the round; `swap` says what it
//! leaves.
//!
//! Copies do not take the room that is kept from producers: a round ends where the disk is short of it.
//!
//! Nothing long is done under a lock of the log. Whoever removes or truncates meanwhile is noticed at the swap, and the
//! round ends.

mod clean_pass;
mod cleaned_segment;
mod ended;
mod groups;
mod index_pass;
mod keyed_hash;
mod left;
mod offset_map;
mod pace;
mod range;
pub(super) mod rebuild;
mod source;
pub(super) mod swap;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stratalog_types::Offset;

use self::clean_pass::{CleanPass, LastBatches, Rules, Scratch};
use self::cleaned_segment::CleanedSegment;
use self::ended::EndedTransactions;
use self::groups::Limits;
use self::keyed_hash::HashKey;
use self::offset_map::OffsetMap;
pub use self::pace::Pace;
pub use self::range::Dirt;
use super::dir::RecoveryPoint;
use super::error::{Error, ReadError};
use super::names;
use super::partition_log::Log;
use super::segment::Segment;
use crate::platform::{lock, read_lock};

/// Bytes that the records of one compressed batch may take.
const OUTPUT_BYTES_MAX: usize = super::LOOKUP_OUTPUT_BYTES_MAX;

/// What one cleaner may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CleanOptions {
    /// Of the key map.
    pub memory_bytes: u64,
    /// How full the map may become.
    pub load_factor: f64,
    /// Of the buffers for reading and writing, together. A batch that is larger is held as a whole.
    pub buffer_bytes: usize,
    /// The tier has records at or above the log start, or may have: a tombstone that went would let them come back, as
    /// soon as their local copies go.
    pub keeps_tombstones: bool,
}

impl Default for CleanOptions {
    fn default() -> CleanOptions {
        CleanOptions { memory_bytes: 128 << 20, load_factor: 0.9, buffer_bytes: 1 << 20, keeps_tombstones: false }
    }
}

/// What a round did.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cleaned {
    /// Everything before it is clean now.
    pub end_offset: Offset,
    /// Read by the first pass.
    pub bytes_indexed: u64,
    /// Of the segments that were cleaned, before and after.
    pub bytes_before: u64,
    pub bytes_after: u64,
    /// Dropped: nothing of a compacted log has no key.
    pub records_without_key: u64,
    pub segments_before: u64,
    pub segments_after: u64,
    /// The part of the key map that was used.
    pub map_utilization: f64,
}

/// A round that came to nothing, or ended early.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// Segments were removed or truncated meanwhile: try again.
    #[error("the log changed while it was cleaned")]
    Changed,
    #[error("cleaning was stopped")]
    Stopped,
    #[error("the log is closed")]
    Closed,
    /// Stored bytes are not what was written.
    #[error("segment {path} is corrupt at byte {position}: {what}")]
    Corrupt { path: PathBuf, position: u64, what: String },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Log(#[from] Error),
}

/// An error of reading `segments`; of one that was removed meanwhile it says nothing.
fn unless_removed<'a>(
    segments: impl IntoIterator<Item = &'a Arc<Segment>>,
    error: impl Into<CleanError>,
) -> CleanError {
    if segments.into_iter().any(|segment| segment.is_retired()) { CleanError::Changed } else { error.into() }
}

fn failed<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> CleanError + use<'a> {
    move |source| CleanError::Log(Error::io(operation, path)(source))
}

/// Bytes that are not what was written: the segment is damaged for every reader.
fn damaged(segment: &Segment, position: u64, what: &str) -> CleanError {
    segment.note_damage(position, what.to_owned());
    corrupt(segment, position, what)
}

fn corrupt(segment: &Segment, position: u64, what: impl Into<String>) -> CleanError {
    CleanError::Corrupt { path: segment.path(names::LOG_SUFFIX), position, what: what.into() }
}

impl Log {
    /// One round over what `dirt` says. Blocks for as long as the log is large.
    pub fn clean(&self, dirt: &Dirt, options: &CleanOptions, pace: &Pace) -> Result<Cleaned, CleanError> {
        let (start, end) = (dirt.first_dirty_offset.0, dirt.end_offset.0);
        let segments: Vec<Arc<Segment>> = read_lock(&self.segments).range(..end).map(|(_, s)| Arc::clone(s)).collect();
        let first_dirty = segments.partition_point(|segment| segment.next_offset() <= start);
        let dirty = segments.get(first_dirty..).unwrap_or_default();
        let mut cleaned = Cleaned { end_offset: Offset(start), ..Cleaned::default() };
        if dirty.is_empty() {
            return Ok(cleaned);
        }
        let mut buffer = vec![0; options.buffer_bytes.max(64 << 10)];
        let mut map = OffsetMap::new(HashKey::random(), options.memory_bytes, options.load_factor);
        let aborted = self.aborted_transactions(Offset(start), Offset(end));
        let ended = EndedTransactions::new(aborted.map_err(|e| unless_removed(&segments, e))?);
        index_pass::fill(&mut map, dirty, (start, end), ended, &mut buffer, pace, &mut cleaned)
            .map_err(|e| unless_removed(dirty, e))?;
        cleaned.map_utilization = map.utilization();
        let survivors = map.survivors();
        let rules = Rules {
            survivors: &survivors,
            last_batches: LastBatches::of(self),
            dirty: start..map.latest_offset + 1,
            map: &map,
            end,
            now_ms: self.dir.clock.now_ms(),
            delete_retention_ms: self.config().compaction.delete_retention_ms,
            keeps_tombstones: options.keeps_tombstones || self.log_start_offset() < self.local_log_start_offset(),
        };
        self.replace_all(&segments, &rules, (buffer, options.buffer_bytes), pace, &mut cleaned)?;
        Ok(cleaned)
    }

    /// The second pass over everything up to the end of the map.
    fn replace_all(
        &self,
        segments: &[Arc<Segment>],
        rules: &Rules<'_>,
        (buffer, buffer_bytes): (Vec<u8>, usize),
        pace: &Pace,
        cleaned: &mut Cleaned,
    ) -> Result<(), CleanError> {
        let config = self.config();
        let limits = Limits {
            segment_bytes: u64::from(config.segment_bytes.min(i32::MAX as u32)),
            index_bytes: u64::from(config.segment_index_bytes),
        };
        let count = segments.partition_point(|segment| segment.base_offset < rules.dirty.end);
        let taken = segments.get(..count).unwrap_or_default();
        let behind = segments.get(count).map_or(rules.end, |segment| segment.base_offset);
        let first = taken.first().map_or(0, |segment| segment.base_offset);
        let aborted = self.aborted_transactions(Offset(first), Offset(behind));
        let mut ended = EndedTransactions::new(aborted.map_err(|e| unless_removed(segments, e))?);
        let mut scratch = Scratch::new(buffer);
        let groups = groups::split(taken, limits, behind)
            .map_err(|e| unless_removed(taken, failed("read the indexes of", &self.path)(e)))?;
        self.make_recovery_point(Offset(behind))?;
        self.note_first_cleaning(Offset(rules.dirty.start), segments)?;
        let mut last_swapped = None;
        for group in &groups {
            let Some(first) = group.first() else { continue };
            let next = group.last().map_or(behind, |last| last.next_offset());
            let interval = config.index_interval_bytes;
            let into = CleanedSegment::create(&self.dir.disk, &self.path, first.base_offset, interval, buffer_bytes)?;
            let swapped = self
                .clean_group(group, into, rules, (&mut ended, &mut scratch), pace, cleaned)
                .map_err(|e| unless_removed(*group, e))
                .and_then(|into| self.swap(group, into, next));
            let swapped = swapped.inspect_err(|_| swap::discard(&self.dir.disk, &self.path, first.base_offset))?;
            cleaned.segments_before += group.len() as u64;
            cleaned.segments_after += 1;
            last_swapped = Some(swapped);
        }
        cleaned.end_offset = Offset(rules.dirty.end);
        self.checkpoint_clean(cleaned.end_offset, last_swapped.as_slice())
    }

    fn clean_group(
        &self,
        group: &[Arc<Segment>],
        mut into: CleanedSegment,
        rules: &Rules<'_>,
        (ended, scratch): (&mut EndedTransactions, &mut Scratch),
        pace: &Pace,
        cleaned: &mut Cleaned,
    ) -> Result<CleanedSegment, CleanError> {
        let mut pass = CleanPass { rules, ended, into: &mut into, scratch, pace, dir: &self.dir, cleaned };
        for segment in group {
            pass.segment(segment)?;
        }
        let newest = group.last().map(|last| last.path(names::LOG_SUFFIX));
        into.finish(newest.and_then(|path| path.metadata().and_then(|metadata| metadata.modified()).ok()), pace)?;
        cleaned.bytes_after += into.size_bytes();
        Ok(into)
    }

    /// Nothing below `end` is looked at by recovery again: the holes that cleaning leaves would be taken for a torn log.
    fn make_recovery_point(&self, end: Offset) -> Result<(), CleanError> {
        let is_past =
            || matches!(self.dir.recovery_point(&self.topic_partition), RecoveryPoint::At(point) if point >= end);
        if is_past() {
            return Ok(());
        }
        self.dir.checkpoint_recovery_points()?;
        // Else it was truncated meanwhile, or the directory went offline.
        if is_past() { Ok(()) } else { Err(CleanError::Changed) }
    }

    /// Durable before the first holes: readers take them for what they are from here on, also where the round ends early
    /// and the topic is not compacted any more.
    fn note_first_cleaning(&self, first_dirty: Offset, segments: &[Arc<Segment>]) -> Result<(), CleanError> {
        if self.dir.cleaner_point(&self.topic_partition).is_some() {
            return Ok(());
        }
        self.checkpoint_clean(first_dirty, segments)
    }

    fn checkpoint_clean(&self, end: Offset, swapped: &[Arc<Segment>]) -> Result<(), CleanError> {
        let deleted = lock(&self.deleted);
        if *deleted {
            return Err(CleanError::Closed);
        }
        // A truncation since would have moved the checkpoint back.
        self.check_unchanged(swapped)?;
        Ok(self.dir.write_cleaner_point(&self.topic_partition, end)?)
    }
}
