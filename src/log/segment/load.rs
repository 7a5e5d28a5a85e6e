//! The indexes of a segment in memory: read when they are first needed, made anew where they are missing or wrong.
//!
//! Order of effects of making them anew: both files are emptied, then written. A crash in between leaves indexes that end
//! too early, or that the next look makes anew. Only a segment that is still in its log does so: its names may be
//! another's as soon as it is retired.

use std::io;
use std::sync::atomic;

use super::files::Kind;
use super::index::OffsetEntry;
use super::{Indexes, Segment, Tail, check};
use crate::log::error::ReadError;
use crate::log::names;
use crate::log::unreadable;
use crate::platform::{lock, read_lock, write_lock};

/// What a look may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// A few reads: where an index is to be looked at first, or does not help, the answer is [`ReadError::Unindexed`].
    Little,
    /// A walk over the segment, if need be.
    Any,
}

impl Segment {
    /// Changes the tail, with its indexes loaded.
    pub fn with_tail<T>(&self, change: impl FnOnce(&mut Tail, &mut Indexes) -> T) -> io::Result<T> {
        loop {
            self.load_indexes()?;
            let mut tail = write_lock(&self.tail);
            // Somebody may have found them wrong in between.
            let Some(mut indexes) = tail.indexes.take() else { continue };
            let answer = change(&mut tail, &mut indexes);
            tail.indexes = Some(indexes);
            return Ok(answer);
        }
    }

    /// Refuses if more than `effort` is needed to ask the indexes.
    pub(super) fn check_effort(&self, effort: Effort) -> Result<(), ReadError> {
        let may_ask = effort == Effort::Any || read_lock(&self.tail).indexes.is_some();
        if may_ask { Ok(()) } else { Err(ReadError::Unindexed) }
    }

    /// Index files that are missing, or contradict themselves or the segment's size, are written anew. The tail is free
    /// meanwhile, and does not change: what is added to a segment is added to its indexes.
    pub(super) fn load_indexes(&self) -> io::Result<()> {
        if read_lock(&self.tail).indexes.is_some() {
            return Ok(());
        }
        let _loading = lock(&self.loading);
        loop {
            let (end, believed) = {
                let tail = read_lock(&self.tail);
                if tail.indexes.is_some() {
                    return Ok(());
                }
                ((tail.size_bytes, tail.next_offset), !tail.distrusted)
            };
            let read = if believed { check::read(self, end)? } else { None };
            let is_read = read.is_some();
            let indexes = match read {
                Some(indexes) => indexes,
                None => check::rebuild(self, end.0)?,
            };
            let mut tail = write_lock(&self.tail);
            // Found wrong while they were read.
            if is_read && tail.distrusted {
                continue;
            }
            if !is_read {
                self.times_checked.store(true, atomic::Ordering::SeqCst);
            }
            tail.indexes = Some(indexes);
            tail.distrusted = false;
            return Ok(());
        }
    }

    /// An index said something that the log does not confirm: it is written anew when it is next needed.
    pub fn distrust_indexes(&self, what: &str) {
        tracing::warn!(path = %self.path(names::LOG_SUFFIX).display(), "{what}: its indexes are written anew");
        let mut tail = write_lock(&self.tail);
        tail.distrusted = true;
        tail.indexes = None;
    }

    /// An index file does not read: it gives its name to one that is made anew. Where it cannot, the indexes are in memory
    /// only.
    pub(super) fn set_index_aside(&self, kind: Kind, error: &io::Error) -> io::Result<()> {
        let _naming = lock(&self.naming);
        self.check_not_retired()?;
        // In a swap the name is another segment's.
        if !self.in_swap.load(atomic::Ordering::SeqCst) {
            self.files.forget(self.name);
            let path = self.path(kind.suffix());
            if let Err(error) = unreadable::set_aside(&self.files.disk, &path, error) {
                tracing::warn!(path = %path.display(), %error, "cannot be set aside");
            }
        }
        Ok(())
    }

    /// Entries of the offset index and of the time index.
    pub fn index_entries(&self) -> io::Result<(u64, u64)> {
        self.load_indexes()?;
        let tail = read_lock(&self.tail);
        Ok(tail.indexes.as_ref().map_or((0, 0), |indexes| (indexes.offsets.entries(), indexes.times.entries())))
    }

    pub fn last_offset_entry(&self) -> io::Result<Option<OffsetEntry>> {
        self.load_indexes()?;
        Ok(read_lock(&self.tail).indexes.as_ref().and_then(|indexes| indexes.offsets.last()))
    }

    pub fn largest_timestamp(&self) -> io::Result<Option<(i64, i64)>> {
        self.check_times()?;
        Ok(read_lock(&self.tail).indexes.as_ref().and_then(|indexes| indexes.largest_timestamp))
    }

    /// Once in a segment's life: a time index that ends too early, or says what no batch says, would hide records from
    /// whoever asks by time.
    pub(super) fn check_times(&self) -> io::Result<()> {
        self.load_indexes()?;
        if self.times_checked.load(atomic::Ordering::SeqCst) {
            return Ok(());
        }
        if !check::note_later_timestamps(self)? {
            self.distrust_indexes("the last entry of the time index is of no batch");
            self.load_indexes()?;
        }
        self.times_checked.store(true, atomic::Ordering::SeqCst);
        Ok(())
    }
}
