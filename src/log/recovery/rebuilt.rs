//! Segments that are read: what a walk found becomes the segment, its indexes, and the epochs.
//!
//! Walks of one log run side by side; what they found is taken over in order, while later ones go on. Order of effects, a
//! segment: bytes that are no batch go to a side file and off the end, then the index entries are written. A crash in
//! between repeats it.
//!
//! A batch that is whole but for its base offset is no torn end, wherever it lies: no tear leaves one.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use stratalog_types::Offset;

use super::in_order::in_order;
use super::walk::{Bad, Bounds, Trust, Walk, walk};
use super::{Recovery, aside};
use crate::log::config::LogConfig;
use crate::log::dir::{LogDir, RecoveryPoint};
use crate::log::error::Error;
use crate::log::names;
use crate::log::segment::Segment;
use crate::log::segment::index::{Entry, OffsetEntry, TimeEntry};
use crate::log::unreadable;
use crate::platform::disk::DiskFile;

impl Recovery<'_> {
    /// The first segment that reaches past the recovery point.
    pub(super) fn first_walked(&self, bases: &[i64]) -> usize {
        match self.recovery_point {
            RecoveryPoint::Unknown => 0,
            RecoveryPoint::At(point) => bases.iter().skip(1).take_while(|next| Offset(**next) <= point).count(),
        }
    }

    /// Walks segments, the last ones of the log, side by side, as many as the data directory has walks to spare.
    pub(super) fn walk_all(&mut self, bases: &[i64]) -> Result<(), Error> {
        let (dir, path, config, recovery_point) = (self.dir, self.path, self.config, self.recovery_point);
        let holes = self.holes;
        let walk_at = |at: usize| match bases.get(at) {
            Some(base) => {
                let end = bases.get(at + 1).copied();
                let bounds = Bounds { end, holes_below: holes.below(recovery_point, end.is_none()) };
                dir.walks.while_held(|| walk_one(dir, path, *base, config, recovery_point, bounds)).map(Some)
            }
            None => Ok(None),
        };
        in_order(bases.len(), dir.walks.max(), walk_at, |at, found| {
            match (found, bases.get(at..).and_then(|rest| rest.split_first())) {
                (Some(found), Some((base, later))) => self.take_over(*base, found, later),
                _ => Ok(ControlFlow::Break(())),
            }
        })
    }

    /// Takes over what the walk of the next segment found, or sets it and all `later` ones aside.
    fn take_over(&mut self, base: i64, found: Walk, later: &[i64]) -> Result<ControlFlow<()>, Error> {
        // A gap above the recovery point: the end of the segment before never reached the disk. No hole of a compaction
        // of ours lies there: before a swap the recovery point passes what is replaced, and the cleaner's counts.
        if base > self.end && self.recovery_point.is_below(base) {
            if !self.may_be_hole || self.cut_bytes > 0 {
                self.check_end(Offset::ZERO)?;
                let rest: Vec<i64> = std::iter::once(base).chain(later.iter().copied()).collect();
                return self.set_aside(&rest).map(ControlFlow::Break);
            }
            self.keep_hole(base)?;
        }
        self.check_overlap(base)?;
        self.rebuilt(base, found, later)
    }

    /// Notes a hole that Kafka's cleaner left: with the first append nothing tells any more that it was Kafka's.
    fn keep_hole(&mut self, until: i64) -> Result<(), Error> {
        self.unsynced.iter().try_for_each(DiskFile::sync).map_err(Error::io("sync", self.path))?;
        self.dir.write_cleaner_point(self.partition, Offset(until))?;
        self.recovery_point = self.recovery_point.at_least(Some(Offset(until)));
        Ok(())
    }

    /// Takes over what a walk found. A bad end is cut, unless it is damage.
    fn rebuilt(&mut self, base: i64, mut found: Walk, later: &[i64]) -> Result<ControlFlow<()>, Error> {
        let reached = Offset(found.next_offset);
        let mut next = later.first().copied();
        if let Some(Bad { what, is_misplaced }) = found.bad.take() {
            let until = found.resumes_at.map_or(next, |(_, offset)| Some(offset));
            let is_end = match self.recovery_point {
                RecoveryPoint::At(point) => reached >= point,
                RecoveryPoint::Unknown => next.is_none() && found.resumes_at.is_none(),
            };
            if is_misplaced || !is_end {
                let until = until.map_or_else(|| self.recovery_point.or(reached), Offset).max(reached.next());
                return Err(self.damage(base, found.end_position, reached, until, what));
            }
            if next.is_some_and(|next| next > found.next_offset && self.recovery_point.is_below(next)) {
                // Before the cut: behind it, nothing tells that what is missing there is no hole of a compaction.
                self.set_aside(later)?;
                next = None;
            }
            let cut = aside::cut(&self.dir.disk, self.path, base, &found.log, found.end_position, &what)?;
            self.count_cut(cut);
        }
        self.epochs.truncate_from_end(reached.max(self.recovery_point.or(Offset::ZERO)));
        // Only news: a segment's first batch continues an epoch that began before it.
        for news in found.epochs.iter().filter(|entry| entry.epoch > self.epochs.latest()).collect::<Vec<_>>() {
            self.epochs.assign(news.epoch, news.start_offset);
        }
        if next.is_some() {
            found.indexes.push_time(base);
        }
        let indexes = self.write_indexes(base, &mut found)?;
        if found.next_offset > self.recovery_point.or(Offset::ZERO).0 {
            self.unsynced.push(found.log);
            self.unsynced.extend(indexes);
        }
        let segment =
            Segment::new(&self.dir.files, self.path, base, found.end_position, found.next_offset, Some(found.indexes));
        self.segments.insert(base, Arc::new(segment));
        self.end = found.next_offset;
        self.bytes_since_index_entry = found.bytes_since_index_entry;
        self.first_timestamp = found.first_timestamp;
        self.first_rebuilt.get_or_insert(base);
        Ok(if next.is_none() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// Writes what the index files lack of a walk, or all of it.
    fn write_indexes(&self, base: i64, found: &mut Walk) -> Result<[DiskFile; 2], Error> {
        for (file, error) in &found.unreadable {
            unreadable::set_aside(&self.dir.disk, file, error).map_err(Error::io("set aside", file))?;
        }
        let open = |suffix: &str, kept: u64, entry_bytes: u64| {
            let path = names::offset_file(self.path, base, suffix);
            let opened = if kept == 0 {
                unreadable::create(&self.dir.disk, &path)
            } else {
                self.dir.disk.open(&path).and_then(|file| {
                    let length = kept * entry_bytes;
                    if file.length()? != length { file.truncate(length).map(|()| file) } else { Ok(file) }
                })
            };
            opened.map_err(Error::io("write", &path))
        };
        let offsets = open(names::OFFSET_INDEX_SUFFIX, found.kept.0, OffsetEntry::BYTES)?;
        found.indexes.offsets.flush(&offsets).map_err(self.io(base))?;
        let times = open(names::TIME_INDEX_SUFFIX, found.kept.1, TimeEntry::BYTES)?;
        found.indexes.times.flush(&times).map_err(self.io(base))?;
        Ok([offsets, times])
    }
}

fn walk_one(
    dir: &LogDir,
    directory: &Path,
    base: i64,
    config: &LogConfig,
    recovery_point: RecoveryPoint,
    bounds: Bounds,
) -> Result<Walk, Error> {
    let file = names::offset_file(directory, base, names::LOG_SUFFIX);
    let log = dir.disk.open(&file).map_err(Error::io("open", &file))?;
    let trust = match recovery_point {
        RecoveryPoint::At(point) if point.0 > base => Trust { below: point.0, indexes: true },
        RecoveryPoint::At(_) | RecoveryPoint::Unknown => Trust::NOTHING,
    };
    walk(log, directory, base, config, trust, bounds).map_err(Error::io("recover", &file))
}
