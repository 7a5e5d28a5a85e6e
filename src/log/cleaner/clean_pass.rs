//! The second pass: each batch of a group goes, stays as it is, or stays in part.
//!
//! In the dirty part the list of survivors alone says what becomes of a batch: most go without being read, and one that
//! survives whole is copied as bytes. Only one that survives in part is decompressed again. Batches below it are looked
//! into, key by key.

use std::collections::HashMap;
use std::ops::Range;

use stratalog_protocol::records::compression::decompress;
use stratalog_protocol::records::{Batch, BatchHeader, CodecId};

use super::cleaned_segment::CleanedSegment;
use super::ended::{EndedTransactions, delete_horizon_ms};
use super::offset_map::{OffsetMap, Survivor};
use super::pace::Pace;
use super::rebuild::{self, select};
use super::source::{Headers, Order};
use super::{CleanError, Cleaned, OUTPUT_BYTES_MAX, corrupt};
use crate::log::Log;
use crate::log::append::marker_of;
use crate::log::dir::LogDir;
use crate::log::producers::ProducerState;
use crate::log::scan::BatchAt;
use crate::log::segment::Segment;
use crate::platform::lock;

/// What does not change from batch to batch.
pub struct Rules<'a> {
    pub map: &'a OffsetMap,
    pub survivors: &'a [Survivor],
    /// The part that the map tells of.
    pub dirty: Range<i64>,
    /// One past the last offset that may be cleaned at all.
    pub end: i64,
    pub now_ms: i64,
    pub delete_retention_ms: i64,
    pub last_batches: LastBatches,
    /// Older records of the log lie in the tier: a tombstone that went would bring one back.
    pub keeps_tombstones: bool,
}

impl<'a> Rules<'a> {
    /// The records of this batch that are their key's last.
    fn survivors_of(&self, header: &BatchHeader) -> &'a [Survivor] {
        let from = self.survivors.partition_point(|survivor| survivor.offset() < header.base_offset);
        let rest = self.survivors.get(from..).unwrap_or_default();
        let count = rest.partition_point(|survivor| survivor.offset() <= header.last_offset());
        rest.get(..count).unwrap_or_default()
    }
}

/// Headers of batches that are copied at a time.
const RUN_BATCHES_MAX: usize = 4096;

/// Memory that is used again for each batch.
#[derive(Default)]
pub struct Scratch {
    batch: Vec<u8>,
    records: Vec<u8>,
    marks: Vec<bool>,
    run: Vec<BatchHeader>,
}

impl Scratch {
    pub fn new(batch: Vec<u8>) -> Scratch {
        Scratch { batch, ..Scratch::default() }
    }
}

/// The last batch of each known producer: its sequence, or its epoch, must survive.
pub struct LastBatches(HashMap<i64, (Option<i64>, i16)>);

impl LastBatches {
    /// Of the log as it is when the round begins: what is appended later lies behind the round's end. Only what is needed
    /// is taken while appends wait.
    pub fn of(log: &Log) -> LastBatches {
        let last = |state: &ProducerState| (state.batches.back().map(|note| note.last_offset), state.producer_epoch);
        let of_all: Vec<_> =
            lock(&log.append).producers.entries().map(|state| (state.producer_id, last(state))).collect();
        LastBatches(of_all.into_iter().collect())
    }

    fn has(&self, header: &BatchHeader) -> bool {
        match self.0.get(&header.producer_id).filter(|_| header.has_producer_id()) {
            Some((Some(offset), _)) => header.last_offset() == *offset,
            Some((None, epoch)) => header.attributes.is_control_batch() && header.producer_epoch == *epoch,
            None => false,
        }
    }
}

/// Cleans one segment after the other into one.
pub struct CleanPass<'a> {
    pub rules: &'a Rules<'a>,
    pub ended: &'a mut EndedTransactions,
    pub into: &'a mut CleanedSegment,
    pub scratch: &'a mut Scratch,
    pub pace: &'a Pace,
    pub dir: &'a LogDir,
    pub cleaned: &'a mut Cleaned,
}

/// What becomes of a batch of records.
enum Fate {
    Goes,
    Whole,
    Part,
}

impl CleanPass<'_> {
    pub fn segment(&mut self, segment: &Segment) -> Result<(), CleanError> {
        let headers = Headers::of(segment)?;
        let mut scan = headers.scan();
        let mut order = Order::of(segment);
        // Batches that stay as they are, one behind the other.
        let mut run: Option<Range<u64>> = None;
        while let Some(at) = scan.next().map_err(|e| segment.read_error(e))? {
            if self.pace.is_stopped() || self.dir.is_short_of_room() {
                return Err(CleanError::Stopped);
            }
            order.check(&at.header, at.position)?;
            self.cleaned.bytes_before += at.header.batch_bytes() as u64;
            if self.stays_by_survivors(&at.header) {
                match &mut run {
                    Some(run) if run.end == at.position && self.scratch.run.len() < RUN_BATCHES_MAX => {
                        run.end = at.end();
                    }
                    _ => {
                        self.copy(&headers, run.take())?;
                        run = Some(at.position..at.end());
                    }
                }
                self.scratch.run.push(at.header);
                continue;
            }
            self.copy(&headers, run.take())?;
            self.batch(&headers, &at)?;
        }
        self.copy(&headers, run)
    }

    fn copy(&mut self, headers: &Headers<'_>, run: Option<Range<u64>>) -> Result<(), CleanError> {
        let Some(run) = run else { return Ok(()) };
        self.into.copy(&headers.file, (run.start, run.end), &mut self.scratch.run, self.pace)
    }

    /// A batch of records in the dirty part, no transaction's, of which the survivors say that it stays whole.
    fn stays_by_survivors(&self, header: &BatchHeader) -> bool {
        let attributes = header.attributes;
        !attributes.is_control_batch()
            && !attributes.is_transactional()
            && self.is_dirty(header)
            && matches!(self.fate(header), Fate::Whole)
    }

    fn is_dirty(&self, header: &BatchHeader) -> bool {
        header.base_offset >= self.rules.dirty.start && header.last_offset() < self.rules.dirty.end
    }

    fn fate(&self, header: &BatchHeader) -> Fate {
        let survivors = self.rules.survivors_of(header);
        let tombstones = survivors.iter().filter(|survivor| survivor.is_tombstone()).count();
        let horizon = delete_horizon_ms(header);
        let kept = if self.has_passed(horizon) { survivors.len() - tombstones } else { survivors.len() };
        if kept == 0 {
            Fate::Goes
        } else if usize::try_from(header.record_count) == Ok(kept) && (tombstones == 0 || horizon.is_some()) {
            Fate::Whole
        } else {
            Fate::Part
        }
    }

    fn has_passed(&self, horizon_ms: Option<i64>) -> bool {
        !self.rules.keeps_tombstones && horizon_ms.is_some_and(|horizon| horizon <= self.rules.now_ms)
    }

    fn batch(&mut self, headers: &Headers<'_>, at: &BatchAt) -> Result<(), CleanError> {
        let header = &at.header;
        if header.attributes.is_control_batch() {
            return self.control_batch(headers, at);
        }
        let aborted = self.ended.meets_records(header);
        if aborted || header.record_count == 0 {
            return self.goes(headers.segment, at);
        }
        if self.is_dirty(header) {
            match self.fate(header) {
                Fate::Goes => return self.goes(headers.segment, at),
                Fate::Whole => return self.whole(headers, at),
                Fate::Part => {}
            }
        } else if header.base_offset >= self.rules.dirty.end {
            return self.whole(headers, at);
        }
        self.part(headers, at)
    }

    fn control_batch(&mut self, headers: &Headers<'_>, at: &BatchAt) -> Result<(), CleanError> {
        let header = &at.header;
        let mut bytes = std::mem::take(&mut self.scratch.batch);
        let done = (|| {
            let batch = headers.read(at, &mut bytes, self.pace)?;
            let ended = self.ended.meets_control(header, marker_of(batch.bytes, header));
            // What is in the tier alone is not met here.
            let is_told = !ended.is_empty || self.rules.keeps_tombstones;
            self.into.aborted.extend(ended.aborted.filter(|_| is_told));
            let horizon = delete_horizon_ms(header);
            if header.record_count == 0 || (ended.is_empty && self.has_passed(horizon)) {
                return self.goes(headers.segment, at);
            }
            if !ended.is_empty || horizon.is_some() {
                return self.append(&batch);
            }
            self.rewrite(headers.segment, at, &batch, |_, _| true)
        })();
        self.scratch.batch = bytes;
        done
    }

    fn whole(&mut self, headers: &Headers<'_>, at: &BatchAt) -> Result<(), CleanError> {
        let mut bytes = std::mem::take(&mut self.scratch.batch);
        let done = headers.read(at, &mut bytes, self.pace).and_then(|batch| self.append(&batch));
        self.scratch.batch = bytes;
        done
    }

    fn append(&mut self, batch: &Batch<'_>) -> Result<(), CleanError> {
        self.into.buffer().extend_from_slice(batch.bytes);
        self.into.appended(&batch.header, self.pace)
    }

    /// No record of the batch stays.
    fn goes(&mut self, segment: &Segment, at: &BatchAt) -> Result<(), CleanError> {
        let header = &at.header;
        // The last offset of the round would be forgotten with its batch.
        if !self.rules.last_batches.has(header) && header.next_offset() != self.rules.end {
            return Ok(());
        }
        let empty =
            rebuild::put_empty(header, self.into.buffer()).map_err(|what| corrupt(segment, at.position, what))?;
        self.into.appended(&empty, self.pace)
    }

    fn part(&mut self, headers: &Headers<'_>, at: &BatchAt) -> Result<(), CleanError> {
        let mut bytes = std::mem::take(&mut self.scratch.batch);
        let done = headers.read(at, &mut bytes, self.pace).and_then(|batch| self.filter(headers.segment, at, &batch));
        self.scratch.batch = bytes;
        done
    }

    fn filter(&mut self, segment: &Segment, at: &BatchAt, batch: &Batch<'_>) -> Result<(), CleanError> {
        let rules = self.rules;
        let expired = self.has_passed(delete_horizon_ms(&at.header));
        let stays = |has_value: bool| has_value || !expired;
        if self.is_dirty(&at.header) {
            let mut survivors = rules.survivors_of(&at.header).iter().peekable();
            return self.rewrite(segment, at, batch, |offset, frame| {
                while survivors.next_if(|survivor| survivor.offset() < offset).is_some() {}
                survivors.peek().is_some_and(|survivor| survivor.offset() == offset) && stays(frame.has_value)
            });
        }
        let mut without_key = 0;
        let done = self.rewrite(segment, at, batch, |offset, frame| {
            if offset >= rules.dirty.end {
                return true;
            }
            let Some(key) = frame.key else {
                without_key += u64::from(offset < rules.dirty.start);
                return false;
            };
            rules.map.get(key).is_none_or(|latest| offset >= latest) && stays(frame.has_value)
        });
        self.cleaned.records_without_key += without_key;
        done
    }

    fn rewrite(
        &mut self,
        segment: &Segment,
        at: &BatchAt,
        batch: &Batch<'_>,
        keeps: impl FnMut(i64, &stratalog_protocol::records::RecordFrame<'_>) -> bool,
    ) -> Result<(), CleanError> {
        let bad = |what: String| corrupt(segment, at.position, what);
        let decompressed;
        let body = match batch.header.attributes.codec() {
            CodecId::NONE => batch.body(),
            codec => {
                decompressed = decompress(codec, batch.body(), OUTPUT_BYTES_MAX).map_err(|e| bad(e.to_string()))?;
                &decompressed
            }
        };
        let kept = select(batch, body, &mut self.scratch.marks, keeps).map_err(bad)?;
        if kept.records == 0 {
            return self.goes(segment, at);
        }
        let ages = batch.header.attributes.is_control_batch() || kept.tombstones > 0;
        let horizon = (ages && delete_horizon_ms(&batch.header).is_none())
            .then(|| self.rules.now_ms.saturating_add(self.rules.delete_retention_ms));
        if kept.records == batch.header.record_count && horizon.is_none() {
            return self.append(batch);
        }
        let out = (&mut self.scratch.records, self.into.buffer());
        let header = rebuild::put(batch, body, &self.scratch.marks, kept, horizon, out).map_err(bad)?;
        self.into.appended(&header, self.pace)
    }
}
