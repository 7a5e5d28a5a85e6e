//! A closed segment as the tier takes it: runs of whole batches, each CRC checked as it is read.
//!
//! A rotten batch is an error here and never leaves as good; nor does one whose base offset, which no CRC covers, is
//! not the next after the batch before it. Where offsets may be missing it must at least rise, and lie in the segment.
//! Pages that were not cached before the read are given back after it, so that an upload does not push the hot tail out
//! of memory.

use std::sync::Arc;

use bytes::Bytes;
use stratalog_protocol::records::Batch;
use stratalog_types::Offset;

use super::epochs::EpochStart;
use super::error::ReadError;
use super::names;
use super::partition_log::Log;
use super::producers::encode_snapshot;
use super::recovery;
use super::replay::replay;
use super::scan::{BatchAt, HeaderScan, ScanError};
use super::segment::{Effort, Segment};
use super::transactions::AbortedTransaction;
use crate::platform::disk::DiskFile;
use crate::platform::read_lock;

/// Whole batches, back to back.
#[derive(Debug, Clone)]
pub struct BatchRun {
    pub bytes: Bytes,
    pub base_offset: Offset,
    pub last_offset: Offset,
    /// The smallest base timestamp of a batch; -1 without one.
    pub min_timestamp: i64,
    pub max_timestamp: i64,
}

/// One closed segment, from the batch that contains the offset asked for to its end.
pub struct SegmentReader {
    runs: Runs,
    pub base_offset: Offset,
    /// One past the last record.
    pub end_offset: Offset,
    /// Bytes of all runs together.
    pub bytes: u64,
    /// Offsets may be missing between the batches.
    pub may_have_holes: bool,
    /// Kafka's snapshot bytes of the producers as of `end_offset`.
    pub producer_snapshot: Vec<u8>,
    /// The epochs that wrote the segment's records, the first with its own start.
    pub leader_epochs: Vec<EpochStart>,
    /// Transactions whose markers lie in the segment.
    pub aborted_transactions: Vec<AbortedTransaction>,
}

impl Log {
    /// The closed segment that has `from`, to be read from the batch that contains it; a later one where cleaning left
    /// that without a batch at or behind `from`. `None`: only the active segment has one, or nothing does.
    pub fn segment_for_upload(&self, from: Offset) -> Result<Option<SegmentReader>, ReadError> {
        let mut at = from;
        loop {
            let Some(segment) = self.segment_at(at) else { return Ok(None) };
            let Some(next) = self.segment_after(segment.base_offset) else { return Ok(None) };
            if segment.size_bytes() > 0 {
                match segment.locate(at.0, Effort::Any)? {
                    Some(first) => return self.upload_reader(segment, next.base_offset, first).map(Some),
                    None if self.may_have_holes() => {}
                    // A file that was cut at a batch's end must not be passed over.
                    None => return Err(missing_at_end(&segment, segment.size_bytes(), at, Offset(next.base_offset))),
                }
            }
            at = Offset(next.base_offset);
        }
    }

    fn upload_reader(
        &self,
        segment: Arc<Segment>,
        next_base: i64,
        (first, file): (BatchAt, DiskFile),
    ) -> Result<SegmentReader, ReadError> {
        let (size_bytes, next_offset) = segment.end();
        let end_offset = Offset(next_offset.min(next_base));
        let may_have_holes = self.may_have_holes();
        check_before(&segment, &file, &first, end_offset, may_have_holes)?;
        Ok(SegmentReader {
            base_offset: Offset(first.header.base_offset),
            end_offset,
            bytes: size_bytes - first.position,
            may_have_holes,
            producer_snapshot: self.snapshot_at(end_offset)?,
            leader_epochs: self.epochs_between(Offset(first.header.base_offset), end_offset),
            aborted_transactions: segment.aborted()?,
            runs: Runs {
                next_offset: Offset(first.header.base_offset),
                end_offset,
                may_have_holes,
                position: first.position,
                size_bytes,
                segment,
                file,
            },
        })
    }

    /// Kafka's snapshot bytes of the producers as of `offset`, which is a segment's end.
    fn snapshot_at(&self, offset: Offset) -> Result<Vec<u8>, ReadError> {
        let failed = |e: super::Error| ReadError::Unavailable { path: self.path.clone(), what: e.to_string() };
        let files = recovery::list(&self.path).map_err(failed)?;
        let snapshots: Vec<i64> =
            files.iter().filter(|(_, suffix)| suffix == names::SNAPSHOT_SUFFIX).map(|(offset, _)| *offset).collect();
        let segments = read_lock(&self.segments).clone();
        let replayed = replay(&self.path, &segments, &snapshots, offset.0, offset.0)?;
        Ok(encode_snapshot(&replayed.producers))
    }

    fn epochs_between(&self, from: Offset, until: Offset) -> Vec<EpochStart> {
        let epochs = self.leader_epochs();
        let first = epochs.iter().rposition(|entry| entry.start_offset <= from).unwrap_or(0);
        epochs.into_iter().skip(first).take_while(|entry| entry.start_offset < until).collect()
    }
}

/// Walks what lies before the batch that an upload begins with: one that says of itself that it ends earlier, by a
/// wrong base offset, would be left out.
fn check_before(
    segment: &Segment,
    file: &DiskFile,
    first: &BatchAt,
    end_offset: Offset,
    may_have_holes: bool,
) -> Result<(), ReadError> {
    let offsets = segment.base_offset..end_offset.0;
    let mut scan = HeaderScan::new(file.file(), 0, first.end()).within(offsets, may_have_holes);
    while scan.next().map_err(|e| segment.read_error(e))?.is_some() {}
    Ok(())
}

impl SegmentReader {
    /// The next batches, about `bytes_max` of them and at least one; `None` at the end.
    pub fn next_run(&mut self, bytes_max: u32) -> Result<Option<BatchRun>, ReadError> {
        self.runs.next_run(bytes_max)
    }
}

fn missing_at_end(segment: &Segment, position: u64, from: Offset, until: Offset) -> ReadError {
    let what = format!("offsets {from} to {until} are missing at its end");
    segment.read_error(ScanError::Bad { position, what })
}

/// The batches of a closed segment, run after run.
pub struct Runs {
    segment: Arc<Segment>,
    /// Where the next run has to begin, at the latest.
    next_offset: Offset,
    end_offset: Offset,
    may_have_holes: bool,
    file: DiskFile,
    position: u64,
    size_bytes: u64,
}

impl Runs {
    /// All of a segment, which ends where `next_base` begins.
    pub fn of(segment: &Arc<Segment>, next_base: i64, may_have_holes: bool) -> Result<Runs, ReadError> {
        let file = segment.file().map_err(|e| segment.read_error(e.into()))?;
        let (size_bytes, next_offset) = segment.end();
        Ok(Runs {
            segment: Arc::clone(segment),
            next_offset: Offset(segment.base_offset),
            end_offset: Offset(next_offset.min(next_base)),
            may_have_holes,
            file,
            position: 0,
            size_bytes,
        })
    }

    /// The next batches, about `bytes_max` of them and at least one; `None` at the end.
    pub fn next_run(&mut self, bytes_max: u32) -> Result<Option<BatchRun>, ReadError> {
        let start = self.position;
        let mut scan = HeaderScan::new(self.file.file(), start, self.size_bytes)
            .within(self.next_offset.0..self.end_offset.0, self.may_have_holes);
        let Some(first) = scan.next().map_err(|e| self.segment.read_error(e))? else {
            // A file that was cut at a batch's end must not leave as a whole segment.
            if self.next_offset < self.end_offset && !self.may_have_holes {
                return Err(missing_at_end(&self.segment, start, self.next_offset, self.end_offset));
            }
            return Ok(None);
        };
        let mut end = first.end();
        while let Some(at) = scan.next().map_err(|e| self.segment.read_error(e))? {
            if at.end() - start > u64::from(bytes_max) {
                break;
            }
            end = at.end();
        }
        let bytes = self.read(start, end - start)?;
        let mut run = BatchRun {
            bytes: Bytes::new(),
            base_offset: Offset(first.header.base_offset),
            last_offset: Offset(first.header.last_offset()),
            min_timestamp: -1,
            max_timestamp: -1,
        };
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let position = end - rest.len() as u64;
            let bad = |what: &str| self.segment.read_error(ScanError::Bad { position, what: what.to_owned() });
            let batch = Batch::at_start(rest).map_err(|e| bad(&e.to_string()))?;
            if !batch.crc_matches() {
                return Err(bad("the checksum of a batch does not match"));
            }
            run.last_offset = Offset(batch.header.last_offset());
            run.max_timestamp = run.max_timestamp.max(batch.header.max_timestamp);
            let smallest = batch.header.base_timestamp;
            if smallest >= 0 && (run.min_timestamp < 0 || smallest < run.min_timestamp) {
                run.min_timestamp = smallest;
            }
            rest = rest.get(batch.bytes.len()..).unwrap_or_default();
        }
        run.bytes = Bytes::from(bytes);
        self.next_offset = run.last_offset.next();
        self.position = end;
        Ok(Some(run))
    }

    fn read(&self, position: u64, length: u64) -> Result<Vec<u8>, ReadError> {
        let failed = |e: std::io::Error| self.segment.read_error(e.into());
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        let read = self.file.read_gently_at(&mut bytes, position).map_err(failed)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}
