//! What grows of a segment, in memory.

use super::index::{Index, OffsetEntry, TimeEntry};

/// What grows.
pub struct Tail {
    pub size_bytes: u64,
    /// One past the last record; for a segment that was closed before this start, the next segment's base offset.
    pub next_offset: i64,
    /// `None`: not looked at yet. As long as there are none, nothing is added to the segment.
    pub indexes: Option<Indexes>,
    /// The index files are not to be believed: they are written anew when they are next needed.
    pub distrusted: bool,
}

pub struct Indexes {
    pub offsets: Index<OffsetEntry>,
    pub times: Index<TimeEntry>,
    /// The largest timestamp so far and the last offset of its batch.
    pub largest_timestamp: Option<(i64, i64)>,
}

impl Indexes {
    pub fn empty() -> Indexes {
        Indexes { offsets: Index::empty(), times: Index::empty(), largest_timestamp: None }
    }

    #[cfg(test)]
    pub fn memory_bytes(&self) -> usize {
        self.offsets.memory_bytes() + self.times.memory_bytes()
    }

    pub fn note_timestamp(&mut self, timestamp: i64, last_offset: i64) {
        if timestamp >= 0 && self.largest_timestamp.is_none_or(|(largest, _)| timestamp > largest) {
            self.largest_timestamp = Some((timestamp, last_offset));
        }
    }

    /// Adds the time entry that is due: the largest timestamp so far, if it grew since the last entry.
    pub fn push_time(&mut self, base_offset: i64) {
        let Some((timestamp, offset)) = self.largest_timestamp else { return };
        let Ok(relative_offset) = u32::try_from(offset - base_offset) else { return };
        if self.times.last().is_none_or(|last| timestamp > last.timestamp && relative_offset >= last.relative_offset) {
            self.times.push(TimeEntry { timestamp, relative_offset });
        }
    }

    pub fn push_offset(&mut self, base_offset: i64, last_offset: i64, position: u64) {
        let (Ok(relative_offset), Ok(position)) = (u32::try_from(last_offset - base_offset), u32::try_from(position))
        else {
            return;
        };
        if self.offsets.last().is_none_or(|last| relative_offset > last.relative_offset) {
            self.offsets.push(OffsetEntry { relative_offset, position });
        }
    }
}
