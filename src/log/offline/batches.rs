//! The batches of a log file, whole ones and bad ones, each CRC checked.
//!
//! A base offset is under no CRC. Of a batch that jumps ahead, as one may behind what was compacted away, the batch
//! behind it tells whether that can be, or the end that the log is known to have. Where both neighbours leave room for
//! its records alone, they tell its base offset too.

use std::path::{Path, PathBuf};

use stratalog_protocol::records::BatchHeader;

use crate::log::error::Error;
use crate::log::recovery::batch_crc;
use crate::log::recovery::resync::next_good;
use crate::log::scan::{BatchAt, HeaderScan, ScanError, contradiction};
use crate::platform::disk::{Disk, DiskFile, drop_cached, is_cached};

const READ_BYTES: usize = 256 << 10;
/// What was read is given back in pieces of this size, where it was not in memory before.
const WINDOW_BYTES: u64 = 8 << 20;

/// What lies at a place of a log file.
#[derive(Debug, Clone)]
pub enum Found {
    Batch(BatchAt),
    /// Bytes that are no batch, up to `end`, where a whole one begins, or the file ends.
    Bad {
        position: u64,
        end: u64,
        what: String,
        /// One batch whose checksum matches, and whose base offset is wrong.
        misplaced: Option<Misplaced>,
    },
}

/// A batch that is whole but for its base offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misplaced {
    pub base_offset: i64,
    /// What it has to be, where its neighbours leave room for nothing else.
    pub right: Option<i64>,
    /// How many it has.
    pub offsets: i64,
}

/// Where the batches of a file end, as something else says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ends {
    /// The segment after this one begins here.
    pub segment: Option<i64>,
    /// The log was synced up to here; the file is its last.
    pub synced: Option<i64>,
}

impl Ends {
    /// Why a batch cannot lie where its header says, if `expected` is the next offset.
    fn contradiction(self, expected: i64, header: &BatchHeader) -> Option<String> {
        let found = contradiction(header, expected, true, self.segment.unwrap_or(i64::MAX));
        if found.is_some() {
            return found;
        }
        let (begins, last) = (header.base_offset, header.last_offset());
        // What was compacted away lies in closed segments, or was when this one was.
        let over = self.synced.filter(|synced| begins > expected && last >= *synced)?;
        Some(format!(
            "offset {begins} where {expected} should be, over the recovery point {over}: the base offset is wrong"
        ))
    }
}

/// Walks a file from its start to its end, over what is bad.
pub struct Batches {
    path: PathBuf,
    file: DiskFile,
    size_bytes: u64,
    position: u64,
    next_offset: i64,
    /// Where the first batch behind bad bytes lies: what is missing before it was in them.
    resumes_at: Option<u64>,
    ends: Ends,
    buffer: Vec<u8>,
    window: Window,
}

/// Why there is no batch.
struct Bad {
    what: String,
    misplaced: Option<BatchAt>,
}

impl From<String> for Bad {
    fn from(what: String) -> Bad {
        Bad { what, misplaced: None }
    }
}

/// A stretch of the file that is read next.
struct Window {
    start: u64,
    end: u64,
    was_cached: bool,
}

impl Batches {
    /// `base_offset`: what the file's name says, if it says it.
    pub fn open(path: &Path, base_offset: Option<i64>) -> Result<Batches, Error> {
        let file = Disk::default().open_read(path).map_err(Error::io("open", path))?;
        let size_bytes = file.length().map_err(Error::io("look at", path))?;
        Ok(Batches {
            path: path.to_owned(),
            file,
            size_bytes,
            position: 0,
            next_offset: base_offset.unwrap_or(0),
            resumes_at: None,
            ends: Ends::default(),
            buffer: vec![0; READ_BYTES],
            window: Window { start: 0, end: 0, was_cached: true },
        })
    }

    /// As something else says where they end.
    pub fn ending(self, ends: Ends) -> Batches {
        Batches { ends, ..self }
    }

    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// One past the last offset of the batches so far, and of those whose right place is known.
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// The next piece of the file; `None` at its end.
    pub fn next_found(&mut self) -> Result<Option<Found>, Error> {
        self.give_back();
        if self.position >= self.size_bytes {
            return Ok(None);
        }
        let found = match self.batch()? {
            Ok(at) => {
                self.position = at.end();
                self.next_offset = at.header.next_offset();
                Found::Batch(at)
            }
            Err(Bad { what, misplaced }) => {
                let position = self.position;
                // What is in a batch is no batch, whatever it looks like.
                let behind = misplaced.map_or(position, |at| at.end() - 1);
                let resumes = next_good(&self.file, behind, self.size_bytes, self.next_offset);
                let resumes = resumes.map_err(Error::io("read", &self.path))?;
                let end = resumes.map_or(self.size_bytes, |(end, _)| end);
                let follows = resumes.map(|(_, offset)| offset);
                // Nothing but the one batch.
                let misplaced = misplaced.filter(|at| at.end() == end).map(|at| self.misplaced(&at.header, follows));
                if let Some(Misplaced { right: Some(right), offsets, .. }) = misplaced {
                    self.next_offset = right + offsets;
                }
                self.position = end;
                self.resumes_at = Some(end);
                Found::Bad { position, end, what, misplaced }
            }
        };
        Ok(Some(found))
    }

    fn misplaced(&self, header: &BatchHeader, follows: Option<i64>) -> Misplaced {
        let offsets = i64::from(header.last_offset_delta) + 1;
        let known_end = follows.or(self.ends.segment).or(self.ends.synced);
        let right = (known_end == Some(self.next_offset + offsets)).then_some(self.next_offset);
        Misplaced { base_offset: header.base_offset, right, offsets }
    }

    /// The batch here, or why there is none.
    fn batch(&mut self) -> Result<Result<BatchAt, Bad>, Error> {
        let at = match self.header_at(self.position)? {
            Ok(at) => at,
            Err(what) => return Ok(Err(what.into())),
        };
        let crc = self.crc(&at)?;
        let begins = at.header.base_offset;
        let expected =
            if self.resumes_at == Some(at.position) { begins.max(self.next_offset) } else { self.next_offset };
        let contradiction = match self.ends.contradiction(expected, &at.header) {
            None if begins > expected && crc == at.header.crc => self.contradicted_behind(&at)?,
            contradiction => contradiction,
        };
        if let Some(what) = contradiction {
            return Ok(Err(Bad { what, misplaced: (crc == at.header.crc).then_some(at) }));
        }
        if crc != at.header.crc {
            let stored = at.header.crc;
            return Ok(Err(format!("the checksum {stored:#010x} is not that of the batch, {crc:#010x}").into()));
        }
        Ok(Ok(at))
    }

    /// What the batch behind one that jumps ahead says against that, if it is whole and follows the one before.
    fn contradicted_behind(&mut self, at: &BatchAt) -> Result<Option<String>, Error> {
        let Ok(next) = self.header_at(at.end())? else { return Ok(None) };
        let (begins, follows) = (at.header.base_offset, next.header.base_offset);
        if follows >= at.header.next_offset() || follows < self.next_offset || self.crc(&next)? != next.header.crc {
            return Ok(None);
        }
        Ok(Some(format!("offset {begins} before offset {follows}: the base offset is wrong")))
    }

    fn header_at(&self, position: u64) -> Result<Result<BatchAt, String>, Error> {
        match HeaderScan::new(self.file.file(), position, self.size_bytes).next() {
            Ok(Some(at)) => Ok(Ok(at)),
            Ok(None) => Ok(Err("nothing is there".to_owned())),
            Err(ScanError::Bad { what, .. }) => Ok(Err(what)),
            Err(ScanError::Io(e)) => Err(Error::io("read", &self.path)(e)),
        }
    }

    fn crc(&mut self, at: &BatchAt) -> Result<u32, Error> {
        batch_crc(&self.file, at.position, &at.header, &mut self.buffer).map_err(Error::io("read", &self.path))
    }

    /// The bytes of a batch.
    pub fn bytes(&self, at: &BatchAt) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; at.header.batch_bytes()];
        let read = self.file.read_at(&mut bytes, at.position).map_err(Error::io("read", &self.path))?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// A look through everything does not push out of memory what a broker beside it needs.
    fn give_back(&mut self) {
        if self.position < self.window.end && self.position < self.size_bytes {
            return;
        }
        let Window { start, was_cached, .. } = self.window;
        if !was_cached {
            drop_cached(self.file.file(), start, self.position - start);
        }
        let end = self.size_bytes.min(self.position + WINDOW_BYTES);
        let was_cached = is_cached(self.file.file(), self.position, end - self.position) != Some(false);
        self.window = Window { start: self.position, end, was_cached };
    }
}
