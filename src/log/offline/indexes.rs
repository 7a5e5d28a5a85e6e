//! Index files against the batches of their segment, as one walk over both.
//!
//! Entries are judged by what a lookup does with them: one that would make it begin too late is wrong, one that Kafka's
//! tool would complain about is noted.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use crate::log::error::Error;
use crate::log::names;
use crate::log::scan::BatchAt;
use crate::log::segment::index::{Entry, OffsetEntry, TimeEntry};

use super::findings::{Finding, Findings, Severity};

/// The entries of an offset index.
pub fn read_offset_index(path: &Path) -> Result<Vec<OffsetEntry>, Error> {
    Ok(read_entries(path)?.unwrap_or_default().0)
}

/// The entries of a time index.
pub fn read_time_index(path: &Path) -> Result<Vec<TimeEntry>, Error> {
    Ok(read_entries(path)?.unwrap_or_default().0)
}

/// The entries, and the bytes behind the last whole one; `None`: there is no file.
fn read_entries<E: Entry>(path: &Path) -> Result<Option<(Vec<E>, usize)>, Error> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", path)(e)),
    };
    let entry_bytes = usize::try_from(E::BYTES).unwrap_or(usize::MAX);
    let pieces = bytes.chunks_exact(entry_bytes);
    let left = pieces.remainder().len();
    Ok(Some((pieces.filter_map(E::decode).collect(), left)))
}

/// The indexes of one segment, compared batch by batch.
pub struct IndexCheck {
    base_offset: i64,
    offsets: Checked<OffsetEntry>,
    times: Checked<TimeEntry>,
    /// One past the last offset so far.
    next_offset: i64,
    /// The largest timestamp so far.
    newest: i64,
}

struct Checked<E> {
    path: PathBuf,
    /// Entries that the walk has not come to.
    left: VecDeque<E>,
    last: Option<E>,
    is_missing: bool,
    /// One complaint for a file is enough.
    complained: bool,
}

impl<E: Entry> Checked<E> {
    fn open(
        directory: &Path,
        base_offset: i64,
        suffix: &str,
        findings: &mut Findings<'_>,
    ) -> Result<Checked<E>, Error> {
        let path = names::offset_file(directory, base_offset, suffix);
        let read = read_entries(&path)?;
        let is_missing = read.is_none();
        let (entries, bytes_over) = read.unwrap_or_default();
        let last = entries.last().copied();
        let mut checked = Checked { path, left: entries.into(), last, is_missing, complained: false };
        if bytes_over > 0 {
            checked.complain(findings, &format!("{bytes_over} bytes are left behind the last whole entry"));
        }
        Ok(checked)
    }

    fn complain(&mut self, findings: &mut Findings<'_>, what: &str) {
        if !self.complained {
            findings.add(Finding::new(Severity::Wrong, &self.path, what));
        }
        self.complained = true;
    }
}

impl IndexCheck {
    pub fn open(directory: &Path, base_offset: i64, findings: &mut Findings<'_>) -> Result<IndexCheck, Error> {
        Ok(IndexCheck {
            base_offset,
            offsets: Checked::open(directory, base_offset, names::OFFSET_INDEX_SUFFIX, findings)?,
            times: Checked::open(directory, base_offset, names::TIME_INDEX_SUFFIX, findings)?,
            next_offset: base_offset,
            newest: -1,
        })
    }

    /// The next batch of the segment.
    pub fn batch(&mut self, at: &BatchAt, findings: &mut Findings<'_>) {
        self.check_offsets(at, findings);
        self.check_times(at, findings);
        self.next_offset = at.header.next_offset();
        self.newest = self.newest.max(at.header.max_timestamp);
    }

    /// What lies before `at` and behind the last batch could not be read: entries of it are believed.
    pub fn skip_to(&mut self, at: &BatchAt) {
        while let Some(entry) = self.offsets.left.front()
            && u64::from(entry.position) < at.position
        {
            self.offsets.left.pop_front();
        }
        while let Some(entry) = self.times.left.front()
            && self.base_offset + i64::from(entry.relative_offset) < at.header.base_offset
        {
            self.newest = self.newest.max(entry.timestamp);
            self.times.left.pop_front();
        }
        self.next_offset = at.header.base_offset;
    }

    fn check_offsets(&mut self, at: &BatchAt, findings: &mut Findings<'_>) {
        while let Some(entry) = self.offsets.left.front().copied()
            && u64::from(entry.position) <= at.position
            && !is_padding(entry)
        {
            self.offsets.left.pop_front();
            let offset = self.base_offset + i64::from(entry.relative_offset);
            let position = u64::from(entry.position);
            if position < at.position {
                let what = format!("the entry of offset {offset} points to byte {position}, where no batch begins");
                self.offsets.complain(findings, &what);
            } else if offset < self.next_offset && at.position > 0 {
                let what = format!("the entry of offset {offset} points behind it, to byte {position}");
                self.offsets.complain(findings, &what);
            } else if offset != at.header.last_offset() {
                let what = format!("the entry at byte {position} says offset {offset}, the batch there ends otherwise");
                findings.add(Finding::new(Severity::Note, &self.offsets.path, what));
            }
        }
    }

    fn check_times(&mut self, at: &BatchAt, findings: &mut Findings<'_>) {
        while let Some(entry) = self.times.left.front().copied() {
            let offset = self.base_offset + i64::from(entry.relative_offset);
            if offset > at.header.last_offset() || is_padding_time(entry) {
                return;
            }
            self.times.left.pop_front();
            if self.newest > entry.timestamp {
                let what = format!("the entry {} at offset {offset} is behind later times", entry.timestamp);
                self.times.complain(findings, &what);
            } else if offset < at.header.base_offset || entry.timestamp != at.header.max_timestamp {
                let what = format!("the entry {} at offset {offset} is no batch's time", entry.timestamp);
                if entry.timestamp > at.header.max_timestamp.max(self.newest) {
                    self.times.complain(findings, &what);
                } else {
                    findings.add(Finding::new(Severity::Note, &self.times.path, what));
                }
            }
        }
    }

    /// The walk has come to the segment's end.
    pub fn finish(mut self, is_closed: bool, findings: &mut Findings<'_>) {
        for (is_missing, path) in
            [(self.offsets.is_missing, &self.offsets.path), (self.times.is_missing, &self.times.path)]
        {
            if is_missing {
                findings.add(Finding::new(Severity::Wrong, path, "the index is missing"));
            }
        }
        // A broker that was killed leaves the room that it had made for more entries behind its last segment.
        for padding in [
            without_padding(&mut self.offsets, |entry| is_padding(*entry), is_closed),
            without_padding(&mut self.times, |entry| is_padding_time(*entry), is_closed),
        ]
        .into_iter()
        .flatten()
        {
            findings.add(padding);
        }
        if let Some(entry) = self.offsets.left.front() {
            let what = format!("an entry points to byte {}, behind the last batch", entry.position);
            self.offsets.complain(findings, &what);
        }
        if let Some(entry) = self.times.left.front() {
            let what = format!("an entry says {}, behind the last batch", entry.timestamp);
            self.times.complain(findings, &what);
        }
        let indexed = self.times.last.map_or(-1, |last| last.timestamp);
        if is_closed && !self.times.is_missing && indexed < self.newest {
            let what = format!("the newest record, of {}, is not indexed", self.newest);
            self.times.complain(findings, &what);
        }
    }
}

/// Takes zeros away from the end of the entries that are left, and says so.
fn without_padding<E>(checked: &mut Checked<E>, is_padding: impl Fn(&E) -> bool, is_closed: bool) -> Option<Finding> {
    let before = checked.left.len();
    checked.left.retain(|entry| !is_padding(entry));
    let zeros = before - checked.left.len();
    let severity = if is_closed { Severity::Wrong } else { Severity::Note };
    (zeros > 0).then(|| Finding::new(severity, &checked.path, format!("{zeros} entries are zeros")))
}

/// Room for an entry, and no entry: the first batch of a segment needs none.
fn is_padding(entry: OffsetEntry) -> bool {
    entry.position == 0 && entry.relative_offset == 0
}

fn is_padding_time(entry: TimeEntry) -> bool {
    entry.timestamp == 0 && entry.relative_offset == 0
}
