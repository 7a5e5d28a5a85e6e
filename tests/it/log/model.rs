//! Random histories of one log against a `Vec`: append, read, roll, restart with and without a clean stop, evict, move
//! the start, truncate, look up by time, read for the tier.

use std::sync::Arc;

use proptest::prelude::*;
use stratalog::log::{Log, LogConfig, LogDir, ReadError};
use stratalog_protocol::records::BatchIter;
use stratalog_types::{LeaderEpoch, Offset};

use super::harness::*;

#[derive(Debug, Clone)]
enum Step {
    Append { records: u8, padding: u16, timestamp: i16 },
    Sync,
    Roll,
    Restart { clean: bool },
    EvictBelow(u8),
    SetStart(u8),
    TruncateTo(u8),
    StartAt(u8),
    NewEpoch,
    Read { from: u8, max_bytes: u16 },
    FindTime(i16),
    Upload(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (1u8..5, 0u16..400, 0i16..1000)
            .prop_map(|(records, padding, timestamp)| Step::Append { records, padding, timestamp }),
        3 => Just(Step::Sync),
        2 => Just(Step::Roll),
        2 => any::<bool>().prop_map(|clean| Step::Restart { clean }),
        2 => any::<u8>().prop_map(Step::EvictBelow),
        1 => any::<u8>().prop_map(Step::SetStart),
        1 => any::<u8>().prop_map(Step::TruncateTo),
        1 => any::<u8>().prop_map(Step::StartAt),
        1 => Just(Step::NewEpoch),
        4 => (any::<u8>(), 1u16..3000).prop_map(|(from, max_bytes)| Step::Read { from, max_bytes }),
        3 => (-10i16..1100).prop_map(Step::FindTime),
        2 => any::<u8>().prop_map(Step::Upload),
    ]
}

/// What the log should be.
#[derive(Default)]
struct Model {
    /// The offset of `records[0]`.
    first: i64,
    /// Value, timestamp, leader epoch, base offset of its batch.
    records: Vec<(u64, i64, i32, i64)>,
    start: i64,
    next_value: u64,
    epoch: i32,
}

impl Model {
    fn end(&self) -> i64 {
        self.first + self.records.len() as i64
    }

    /// A place in `start..=end`, by a random number.
    fn pick(&self, at: u8) -> i64 {
        self.start + i64::from(at) * (self.end() - self.start) / 255
    }

    /// One past the last offset of the batch that holds `offset`.
    fn batch_end(&self, offset: i64) -> i64 {
        let from = (offset - self.first) as usize;
        let in_batch = self.records[from..].iter().take_while(|r| r.3 == self.records[from].3).count();
        offset + in_batch as i64
    }

    fn from(&self, offset: i64) -> Vec<(i64, u64)> {
        let skip = (offset - self.first) as usize;
        self.records.iter().enumerate().skip(skip).map(|(at, r)| (self.first + at as i64, r.0)).collect()
    }
}

struct Run {
    directory: tempfile::TempDir,
    open: Option<(Arc<LogDir>, Arc<Log>)>,
    model: Model,
    config: LogConfig,
}

impl Run {
    fn new() -> Run {
        let config = LogConfig { segment_bytes: 1900, index_interval_bytes: 200, ..LogConfig::default() };
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut run = Run { directory, open: None, model: Model { epoch: 1, ..Model::default() }, config };
        run.reopen();
        run
    }

    fn reopen(&mut self) {
        self.open = None;
        let dir = open_dir(self.directory.path());
        let log = open_log(&dir, &self.config);
        self.open = Some((dir, log));
    }

    fn step(&mut self, step: &Step) {
        let (dir, log) = self.open.clone().unwrap();
        match *step {
            Step::Append { records, padding, timestamp } => self.append(&log, records, padding, timestamp),
            Step::Sync => {
                dir.sync_queued();
                assert_eq!(log.flushed().get(), log.log_end_offset());
            }
            Step::Roll => {
                log.roll().unwrap();
            }
            Step::Restart { clean } => {
                if clean {
                    dir.close().unwrap();
                }
                drop((dir, log));
                self.reopen();
            }
            Step::EvictBelow(at) => {
                log.delete_local_below(Offset(self.model.pick(at))).unwrap();
            }
            Step::SetStart(at) => {
                let start = self.model.pick(at);
                log.set_log_start_offset(Offset(start)).unwrap();
                self.model.start = self.model.start.max(start);
            }
            Step::TruncateTo(at) => self.truncate(&log, at),
            Step::StartAt(at) => {
                let offset = self.model.end() + i64::from(at);
                if at < 40 {
                    log.truncate_fully_and_start_at(Offset(offset)).unwrap();
                    self.model =
                        Model { first: offset, start: offset, records: Vec::new(), ..std::mem::take(&mut self.model) };
                }
            }
            Step::NewEpoch => {
                self.model.epoch += 1;
                log.start_leader_epoch(LeaderEpoch(self.model.epoch)).unwrap();
                assert_eq!(log.leader_epoch(), LeaderEpoch(self.model.epoch));
            }
            Step::Read { from, max_bytes } => self.read(&log, from, max_bytes),
            Step::FindTime(timestamp) => self.find_time(&log, NOW_MS + i64::from(timestamp)),
            Step::Upload(at) => self.upload(&log, at),
        }
        self.compare();
    }

    fn append(&mut self, log: &Log, records: u8, padding: u16, timestamp: i16) {
        let model = &mut self.model;
        let values: Vec<u64> = (0..u64::from(records)).map(|at| model.next_value + at).collect();
        let timestamp = NOW_MS + i64::from(timestamp);
        let base = model.end();
        let appended = append_as(log, &batch(&values, timestamp, padding.into()), model.epoch).unwrap();
        assert_eq!((appended.base_offset.0, appended.last_offset.0), (base, base + i64::from(records) - 1));
        model.next_value += u64::from(records);
        for (at, value) in values.into_iter().enumerate() {
            model.records.push((value, timestamp + at as i64, model.epoch, base));
        }
    }

    fn truncate(&mut self, log: &Log, at: u8) {
        let local = log.local_log_start_offset().0;
        let offset = self.model.pick(at);
        log.truncate_to(Offset(offset)).unwrap();
        if offset < local && offset < self.model.end() {
            self.model.first = offset;
            self.model.records.clear();
            return;
        }
        let kept = self.model.records.get((offset - self.model.first) as usize).map_or(self.model.end(), |r| r.3);
        self.model.records.truncate((kept - self.model.first) as usize);
        // The batch that held the log start is gone: what is left of it is deleted history, and the log is empty.
        if kept < self.model.start {
            self.model.first = self.model.start;
            self.model.records.clear();
        }
    }

    fn read(&self, log: &Log, from: u8, max_bytes: u16) {
        let from = self.model.pick(from);
        match log.read(Offset(from), max_bytes.into(), log.log_end_offset(), false) {
            Ok(slice) => assert!(slice.range.length <= max_bytes.into() && slice.next_offset.0 >= from),
            Err(ReadError::BelowLocalStart { local_log_start_offset, .. }) => assert!(from < local_log_start_offset.0),
            Err(e) => panic!("read at {from}: {e}"),
        }
    }

    fn find_time(&self, log: &Log, timestamp: i64) {
        let local = log.local_log_start_offset().0;
        let records = self.model.records.iter().enumerate().map(|(at, r)| (self.model.first + at as i64, r));
        let local_records = records.filter(|(offset, _)| *offset >= local);
        let expected = local_records.clone().find(|(_, r)| r.1 >= timestamp).map(|(offset, r)| (offset, r.1, r.2));
        let found = log.offset_for_timestamp(timestamp).unwrap();
        assert_eq!(found.map(|f| (f.offset.0, f.timestamp, f.leader_epoch.0)), expected, "time {timestamp}");
        for until in [log.log_end_offset().0, self.model.pick((timestamp % 251) as u8)] {
            let visible = local_records.clone().filter(|(offset, _)| self.model.batch_end(*offset) <= until);
            // Of equal ones the first.
            let expected = visible.rev().max_by_key(|(_, r)| r.1).map(|(offset, r)| (offset, r.1, r.2));
            let found = log.max_timestamp_offset(Offset(until)).unwrap();
            assert_eq!(found.map(|f| (f.offset.0, f.timestamp, f.leader_epoch.0)), expected, "newest below {until}");
        }
    }

    fn upload(&self, log: &Log, at: u8) {
        let from = self.model.pick(at).max(log.local_log_start_offset().0);
        let Some(mut reader) = log.segment_for_upload(Offset(from)).unwrap() else {
            let active = log.closed_segments().last().map_or(0, |last| last.end_offset.0);
            assert!(from >= active, "{from} is in a closed segment");
            return;
        };
        assert!(reader.base_offset.0 <= from && from < reader.end_offset.0);
        let (mut bytes, mut next, total) = (0, reader.base_offset, reader.bytes);
        while let Some(run) = reader.next_run(700).unwrap() {
            assert_eq!(run.base_offset, next);
            for batch in BatchIter::new(&run.bytes) {
                let header = batch.unwrap().header;
                assert!(header.max_timestamp <= run.max_timestamp && header.base_timestamp >= run.min_timestamp);
            }
            bytes += run.bytes.len() as u64;
            next = run.last_offset.next();
        }
        assert_eq!((bytes, next), (total, reader.end_offset));
    }

    fn compare(&self) {
        let (_, log) = self.open.as_ref().unwrap();
        let model = &self.model;
        assert_eq!(log.log_end_offset().0, model.end());
        assert_eq!(log.log_start_offset().0, model.start);
        let local = log.local_log_start_offset();
        assert!(local.0 >= model.start && local.0 <= model.end());
        assert_eq!(read_all(log, local, 900), model.from(local.0));
        for (offset, record) in (model.first..).zip(&model.records).filter(|(offset, _)| *offset >= local.0) {
            assert_eq!(log.epoch_of(Offset(offset)), Some(LeaderEpoch(record.2)), "epoch of {offset}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_is_as_the_model_says(steps in prop::collection::vec(step(), 1..50)) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
        }
    }
}
