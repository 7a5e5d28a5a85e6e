//! A segment on its way in: its files end in `.cleaned` until the swap. Its batches, and its index entries with them, are
//! written as they come; of a whole segment neither is ever in memory.

use std::io;
use std::path::{Path, PathBuf};

use stratalog_protocol::records::BatchHeader;

use super::pace::Pace;
use super::{CleanError, failed};
use crate::log::names;
use crate::log::segment::Indexes;
use crate::log::transactions::{self, AbortedTransaction};
use crate::platform::disk::{Disk, DiskFile};

/// Unsynced bytes after which the file is synced: a large one at the end would make others' syncs wait.
const UNSYNCED_BYTES_MAX: u64 = 8 << 20;

pub struct CleanedSegment {
    disk: Disk,
    directory: PathBuf,
    pub base_offset: i64,
    log: DiskFile,
    offset_index: DiskFile,
    time_index: DiskFile,
    /// In the file, and of that synced.
    written: u64,
    synced: u64,
    buffer: Vec<u8>,
    buffer_bytes: usize,
    index_interval_bytes: u64,
    bytes_since_index_entry: u64,
    pub indexes: Indexes,
    pub aborted: Vec<AbortedTransaction>,
    /// One past the last offset that is in it.
    pub next_offset: i64,
}

impl CleanedSegment {
    pub fn create(
        disk: &Disk,
        directory: &Path,
        base_offset: i64,
        index_interval_bytes: u32,
        buffer_bytes: usize,
    ) -> Result<CleanedSegment, CleanError> {
        let create = |suffix: &str| {
            let path = cleaned(directory, base_offset, suffix);
            disk.create(&path).map_err(failed("create", &path))
        };
        Ok(CleanedSegment {
            disk: disk.clone(),
            directory: directory.to_owned(),
            base_offset,
            log: create(names::LOG_SUFFIX)?,
            offset_index: create(names::OFFSET_INDEX_SUFFIX)?,
            time_index: create(names::TIME_INDEX_SUFFIX)?,
            written: 0,
            synced: 0,
            buffer: Vec::with_capacity(buffer_bytes),
            buffer_bytes,
            index_interval_bytes: u64::from(index_interval_bytes),
            bytes_since_index_entry: 0,
            indexes: Indexes::empty(),
            aborted: Vec::new(),
            next_offset: base_offset,
        })
    }

    /// The buffer to append one whole batch to; [`CleanedSegment::appended`] is to follow.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    pub fn size_bytes(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// A batch with this header was appended to the buffer.
    pub fn appended(&mut self, header: &BatchHeader, pace: &Pace) -> Result<(), CleanError> {
        let position = self.size_bytes() - header.batch_bytes() as u64;
        self.note(header, position);
        if self.buffer.len() >= self.buffer_bytes {
            self.flush(pace)?;
        }
        Ok(())
    }

    /// Appends a run of whole batches of another file, whose headers these are.
    pub fn copy(
        &mut self,
        from: &DiskFile,
        (mut position, end): (u64, u64),
        headers: &mut Vec<BatchHeader>,
        pace: &Pace,
    ) -> Result<(), CleanError> {
        let mut at = self.size_bytes();
        for header in headers.drain(..) {
            self.note(&header, at);
            at += header.batch_bytes() as u64;
        }
        while position < end {
            let room = self.buffer_bytes.saturating_sub(self.buffer.len()).max(4096);
            let length = room.min(usize::try_from(end - position).unwrap_or(usize::MAX));
            let start = self.buffer.len();
            self.buffer.resize(start + length, 0);
            let into = self.buffer.get_mut(start..).unwrap_or_default();
            let read = from.read_gently_at(into, position).map_err(failed("read", &self.directory))?;
            if read < length {
                let short = io::Error::from(io::ErrorKind::UnexpectedEof);
                return Err(failed("read", &self.directory)(short));
            }
            position += length as u64;
            if self.buffer.len() >= self.buffer_bytes {
                self.flush(pace)?;
            }
            pace.spend(length as u64)?;
        }
        Ok(())
    }

    /// The same entries that appends of these batches would have made.
    fn note(&mut self, header: &BatchHeader, position: u64) {
        self.indexes.note_timestamp(header.max_timestamp, header.last_offset());
        if self.bytes_since_index_entry > self.index_interval_bytes {
            self.indexes.push_offset(self.base_offset, header.last_offset(), position);
            self.indexes.push_time(self.base_offset);
            self.bytes_since_index_entry = 0;
        }
        self.bytes_since_index_entry += header.batch_bytes() as u64;
        self.next_offset = header.next_offset();
    }

    fn flush(&mut self, pace: &Pace) -> Result<(), CleanError> {
        let path = || cleaned(&self.directory, self.base_offset, names::LOG_SUFFIX);
        self.log.write_at(&self.buffer, self.written).map_err(|e| failed("write", &path())(e))?;
        let bytes = self.buffer.len() as u64;
        self.written += bytes;
        self.buffer.clear();
        if self.written - self.synced >= UNSYNCED_BYTES_MAX {
            self.log.sync().map_err(|e| failed("sync", &path())(e))?;
            self.synced = self.written;
        }
        self.flush_indexes(false)?;
        pace.spend(bytes)
    }

    fn flush_indexes(&mut self, all: bool) -> Result<(), CleanError> {
        let failed = |e| failed("write an index of a cleaned segment in", &self.directory)(e);
        if all || self.indexes.offsets.wants_flush() {
            self.indexes.offsets.flush(&self.offset_index).map_err(failed)?;
        }
        if all || self.indexes.times.wants_flush() {
            self.indexes.times.flush(&self.time_index).map_err(failed)?;
        }
        Ok(())
    }

    /// Everything is in the files, and synced. `modified` is when the newest of the replaced segments was last
    /// written.
    pub fn finish(&mut self, modified: Option<std::time::SystemTime>, pace: &Pace) -> Result<(), CleanError> {
        self.flush(pace)?;
        self.indexes.push_time(self.base_offset);
        self.flush_indexes(true)?;
        let path = cleaned(&self.directory, self.base_offset, names::TXN_INDEX_SUFFIX);
        let transactions = self.disk.create(&path).map_err(failed("create", &path))?;
        let entries: Vec<u8> = self.aborted.iter().flat_map(transactions::AbortedTransaction::encode).collect();
        transactions.write_at(&entries, 0).map_err(failed("write", &path))?;
        let files = [&self.offset_index, &self.time_index, &transactions, &self.log];
        files.into_iter().try_for_each(DiskFile::sync).map_err(failed("sync a cleaned segment in", &self.directory))?;
        if let Some(modified) = modified {
            // Retention goes by it where no record has a timestamp; a file system without it changes nothing else.
            let _ = self.log.file().set_modified(modified);
        }
        Ok(())
    }
}

/// `00000000000000000042.log.cleaned`
pub fn cleaned(directory: &Path, base_offset: i64, suffix: &str) -> PathBuf {
    names::offset_file(directory, base_offset, &format!("{suffix}.{}", names::CLEANED_SUFFIX))
}
