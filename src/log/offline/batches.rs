//! The batches of a log file, whole ones and bad ones, each CRC checked.

use std::path::{Path, PathBuf};

use crate::log::error::Error;
use crate::log::recovery::walk::{batch_crc, next_good};
use crate::log::scan::{BatchAt, HeaderScan, ScanError};
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
    },
}

/// Walks a file from its start to its end, over what is bad.
pub struct Batches {
    path: PathBuf,
    file: DiskFile,
    size_bytes: u64,
    position: u64,
    next_offset: i64,
    buffer: Vec<u8>,
    window: Window,
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
            buffer: vec![0; READ_BYTES],
            window: Window { start: 0, end: 0, was_cached: true },
        })
    }

    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// One past the last offset of the batches so far.
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
            Err(what) => {
                let position = self.position;
                let resumes = next_good(&self.file, position, self.size_bytes, self.next_offset);
                let resumes = resumes.map_err(Error::io("read", &self.path))?;
                let end = resumes.map_or(self.size_bytes, |(end, _)| end);
                self.position = end;
                Found::Bad { position, end, what }
            }
        };
        Ok(Some(found))
    }

    /// The batch here, or why there is none.
    fn batch(&mut self) -> Result<Result<BatchAt, String>, Error> {
        let failed = |e| Error::io("read", &self.path)(e);
        let at = match HeaderScan::new(self.file.file(), self.position, self.size_bytes).next() {
            Ok(Some(at)) => at,
            Ok(None) => return Ok(Err("nothing is there".to_owned())),
            Err(ScanError::Bad { what, .. }) => return Ok(Err(what)),
            Err(ScanError::Io(e)) => return Err(failed(e)),
        };
        if at.header.base_offset < self.next_offset {
            return Ok(Err(format!("offset {} after offset {}", at.header.base_offset, self.next_offset - 1)));
        }
        let crc = batch_crc(&self.file, at.position, &at.header, &mut self.buffer).map_err(failed)?;
        if crc != at.header.crc {
            let stored = at.header.crc;
            return Ok(Err(format!("the checksum {stored:#010x} is not that of the batch, {crc:#010x}")));
        }
        Ok(Ok(at))
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
