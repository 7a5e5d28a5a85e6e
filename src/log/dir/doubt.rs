//! Which logs a cleaner may have been at, where its points were lost.
//!
//! Owns the look through logs without an entry, a little at a time. One of a compacted topic gets an entry of 0, and so
//! does one of which offsets are missing; one that has them all needs none, and what goes missing of it later is damage.
//! One that cannot be read through stays in doubt: offsets may be missing there.
//!
//! Order of effects: the recovery point of what was looked at, for a gap above it would be taken for a torn end; the
//! entry; and when nothing that is here is in doubt, `.damaged` goes. What was found whole is not written down: after a
//! crash, or a stop before the end, all of it is looked at again.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stratalog_types::{Offset, TopicPartition};

use super::{LogDir, RecoveryPoint, checkpoints};
use crate::log::Log;
use crate::log::error::Error;
use crate::log::names;
use crate::log::scan::{HeaderScan, ScanError};
use crate::log::segment::Segment;
use crate::platform::lock;

/// Batches between two looks at the time.
const BATCHES: usize = 100;

/// What has been found out about the logs without an entry.
#[derive(Default)]
pub struct Doubts {
    found: Mutex<Found>,
    look: Mutex<Option<Look>>,
}

#[derive(Default)]
struct Found {
    /// No cleaner has been at them.
    whole: HashSet<TopicPartition>,
    /// They cannot be looked through by this process.
    unreadable: HashSet<TopicPartition>,
    /// Logs with holes, and up to where each has to be synced before that is written down.
    holed: HashMap<TopicPartition, Offset>,
    /// Logs that were known when the directory was listed last.
    known_when_listed: Option<usize>,
}

impl Doubts {
    /// A log that is made now.
    pub fn has_none_of(&self, partition: &TopicPartition) {
        lock(&self.found).whole.insert(partition.clone());
    }

    pub fn is_whole(&self, partition: &TopicPartition) -> bool {
        lock(&self.found).whole.contains(partition)
    }
}

/// How far a log was looked through.
struct Look {
    partition: TopicPartition,
    segment: Arc<Segment>,
    position: u64,
    next_offset: i64,
    /// The log ended there when the look began. A cleaner that comes later leaves a note before it makes a hole.
    until: i64,
}

enum Seen {
    /// It goes on with the next look.
    Some,
    /// Offsets are missing from this one on.
    Hole(i64),
    Whole,
    Changed,
    Unreadable(String),
}

impl LogDir {
    /// Looks for missing offsets in the logs that are open and in doubt, for about so long.
    pub fn look_for_holes(&self, at_most: Duration) -> Result<(), Error> {
        if self.cleaner_points.is_whole() {
            return Ok(());
        }
        let began = Instant::now();
        let mut look = lock(&self.doubts.look);
        for log in self.in_doubt(look.as_ref()) {
            loop {
                let seen = look_at(&log, &mut look);
                let goes_on = matches!(seen, Seen::Some);
                self.note(&log, seen)?;
                if began.elapsed() >= at_most {
                    return Ok(());
                }
                if !goes_on {
                    break;
                }
            }
        }
        self.forget_doubts()
    }

    /// The one that is being looked at is the first.
    fn in_doubt(&self, look: Option<&Look>) -> Vec<Arc<Log>> {
        let mut logs = self.open_logs();
        let found = lock(&self.doubts.found);
        logs.retain(|log| {
            let partition = log.topic_partition();
            let is_known = found.whole.contains(partition) || found.unreadable.contains(partition);
            !is_known && self.cleaner_point(partition).is_none()
        });
        logs.sort_by_key(|log| look.is_none_or(|look| look.partition != *log.topic_partition()));
        logs
    }

    fn note(&self, log: &Log, seen: Seen) -> Result<(), Error> {
        let partition = log.topic_partition();
        let mut found = lock(&self.doubts.found);
        match seen {
            Seen::Some | Seen::Changed => {}
            Seen::Whole => drop(found.whole.insert(partition.clone())),
            Seen::Unreadable(what) => {
                tracing::warn!(%partition, what, "not looked through for missing offsets until the next start");
                found.unreadable.insert(partition.clone());
            }
            Seen::Hole(offset) => {
                let end = *found.holed.entry(partition.clone()).or_insert_with(|| {
                    if !log.config().may_have_holes {
                        tracing::warn!(
                            %partition, path = %log.path().display(), offset,
                            "offsets are missing here: taken for compaction, for the checkpoint that would tell was lost"
                        );
                    }
                    log.log_end_offset()
                });
                drop(found);
                return self.note_hole(log, end);
            }
        }
        Ok(())
    }

    /// Durable when this returns. Not done where all up to `end` is not synced yet: the next look comes back to it.
    fn note_hole(&self, log: &Log, end: Offset) -> Result<(), Error> {
        let partition = log.topic_partition();
        let is_past = || matches!(self.recovery_point(partition), RecoveryPoint::At(point) if point >= end);
        if !is_past() && log.flushed().get() >= end {
            self.checkpoint_recovery_points()?;
        }
        if !is_past() {
            return Ok(());
        }
        match log.in_directory(|| self.cleaner_points.put_missing(&[(partition.clone(), Offset::ZERO)])) {
            Ok(written) => written,
            // It was deleted.
            Err(_) => Ok(()),
        }
    }

    /// Of what is open nothing is in doubt; what is not open may be.
    fn forget_doubts(&self) -> Result<(), Error> {
        {
            let mut found = lock(&self.doubts.found);
            let known = Some(found.whole.len() + self.cleaner_points.len());
            if std::mem::replace(&mut found.known_when_listed, known) == known {
                return Ok(());
            }
        }
        let here = self.partitions_on_disk()?;
        let is_known = |partition| self.cleaner_point(partition).is_some() || self.doubts.is_whole(partition);
        if here.iter().all(|dir| is_known(&dir.topic_partition)) {
            checkpoints::forget_damage(&self.disk, &self.path.join(names::CLEANER_POINTS))?;
        }
        Ok(())
    }
}

/// Looks at the next batches of a log, or at its first ones.
fn look_at(log: &Log, look: &mut Option<Look>) -> Seen {
    look.take_if(|look| look.partition != *log.topic_partition());
    let seen = match log.config().may_have_holes {
        true => Seen::Hole(log.log_start_offset().0),
        false => Look::go_on(look, log),
    };
    if !matches!(seen, Seen::Some) {
        *look = None;
    }
    seen
}

impl Look {
    fn begin(log: &Log) -> Option<Look> {
        let segment = log.segment_after(-1)?;
        let (partition, next_offset) = (log.topic_partition().clone(), segment.base_offset);
        Some(Look { partition, segment, position: 0, next_offset, until: log.log_end_offset().0 })
    }

    fn go_on(look: &mut Option<Look>, log: &Log) -> Seen {
        if look.is_none() {
            *look = Look::begin(log);
        }
        let Some(look) = look else { return Seen::Whole };
        let seen = look.in_segment();
        if !log.has(&look.segment) {
            return Seen::Changed;
        }
        match (seen, log.segment_after(look.segment.base_offset)) {
            (Ok(None), Some(next)) if look.next_offset < next.base_offset => Seen::Hole(look.next_offset),
            (Ok(None), Some(next)) => {
                (look.next_offset, look.position, look.segment) = (next.base_offset, 0, next);
                Seen::Some
            }
            (Ok(None), None) => Seen::Whole,
            (Ok(Some(seen)), _) => seen,
            (Err(ScanError::Io(error)), _) => Seen::Unreadable(error.to_string()),
            (Err(ScanError::Bad { position, what }), _) => {
                let file = look.segment.path(names::LOG_SUFFIX);
                Seen::Unreadable(format!("{} at byte {position}: {what}", file.display()))
            }
        }
    }

    /// `None`: at its end.
    fn in_segment(&mut self) -> Result<Option<Seen>, ScanError> {
        let (size_bytes, _) = self.segment.end();
        let file = self.segment.file()?;
        let mut scan = HeaderScan::new(file.file(), self.position, size_bytes).within(self.next_offset..i64::MAX, true);
        for _ in 0..BATCHES {
            if self.next_offset >= self.until {
                return Ok(Some(Seen::Whole));
            }
            let Some(at) = scan.next()? else { return Ok(None) };
            if at.header.base_offset > self.next_offset {
                return Ok(Some(Seen::Hole(self.next_offset)));
            }
            (self.position, self.next_offset) = (at.end(), at.header.next_offset());
        }
        Ok(Some(Seen::Some))
    }
}
