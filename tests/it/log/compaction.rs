//! Compaction against a model: what stays is each key's last record, byte for byte, and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use stratalog::clock::Clock;
use stratalog::log::{
    CleanError, CleanOptions, Cleaned, CompactionConfig, Log, LogConfig, LogDir, LogDirOptions, Origin, Pace,
};
use stratalog_protocol::records::{BatchBuilder, BatchHeader, BatchIter, CodecId, EndTransactionMarker, NewRecord};
use stratalog_types::{LeaderEpoch, Offset};

use super::harness::{NOW_MS, manual_options, open_log, range_bytes};

pub const RETENTION_MS: i64 = 1000;

pub fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1500,
        index_interval_bytes: 100,
        segment_ms: i64::MAX,
        compaction: CompactionConfig { delete_retention_ms: RETENTION_MS, ..CompactionConfig::default() },
        ..LogConfig::default()
    }
}

/// A record as a reader gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub producer: (i64, i16),
}

/// All batches from `from` to the end, and the data records in them.
pub fn read_everything(log: &Log, from: Offset, max_bytes: u32) -> (Vec<BatchHeader>, Vec<Seen>) {
    let end = log.log_end_offset();
    let (mut headers, mut records, mut at) = (Vec::new(), Vec::new(), from);
    while at < end {
        let slice = log.read(at, max_bytes, end, true).expect("reads");
        let bytes = range_bytes(&slice.range);
        for batch in BatchIter::new(&bytes) {
            let batch = batch.expect("a batch");
            assert!(batch.crc_matches(), "crc at {}", batch.header.base_offset);
            headers.push(batch.header);
            for record in &batch.records(1 << 20).expect("records") {
                let record = record.expect("a record");
                assert!(record.offset >= batch.header.base_offset && record.offset <= batch.header.last_offset());
                if batch.header.attributes.is_control_batch() || record.offset < from.0 {
                    continue;
                }
                let owned = |bytes: &[u8]| bytes.to_vec();
                records.push(Seen {
                    offset: record.offset,
                    timestamp: record.timestamp,
                    key: record.key.map(owned),
                    value: record.value.map(owned),
                    headers: record.headers().map(|h| (h.key_text().into_owned(), h.value.map(owned))).collect(),
                    producer: (batch.header.producer_id, batch.header.producer_epoch),
                });
            }
        }
        assert!(slice.next_offset > at, "a read at {at} moves on to {}", slice.next_offset);
        at = slice.next_offset;
    }
    (headers, records)
}

pub struct Bench {
    pub directory: tempfile::TempDir,
    pub clock: Clock,
    pub config: LogConfig,
    pub open: Option<(Arc<LogDir>, Arc<Log>)>,
    /// Every data record that was ever appended and not aborted; aborted ones with their marker's offset.
    pub written: BTreeMap<i64, Seen>,
    pub aborted: BTreeMap<i64, i64>,
    pub sequences: BTreeMap<i64, i32>,
}

impl Bench {
    pub fn new(config: LogConfig) -> Bench {
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut bench = Bench {
            directory,
            clock: Clock::manual(NOW_MS),
            config,
            open: None,
            written: BTreeMap::new(),
            aborted: BTreeMap::new(),
            sequences: BTreeMap::new(),
        };
        bench.reopen();
        bench
    }

    pub fn reopen(&mut self) {
        self.open = None;
        let options = LogDirOptions { clock: self.clock.clone(), ..manual_options() };
        let dir = LogDir::open(self.directory.path(), options).expect("directory opens");
        let log = open_log(&dir, &self.config);
        self.open = Some((dir, log));
    }

    pub fn dir(&self) -> Arc<LogDir> {
        self.open.as_ref().unwrap().0.clone()
    }

    pub fn log(&self) -> Arc<Log> {
        self.open.as_ref().unwrap().1.clone()
    }

    pub fn append(&mut self, records: &[NewRecord], codec: CodecId, producer: Option<i64>, transactional: bool) -> i64 {
        let batch = self.batch(records, codec, producer, transactional);
        let header = BatchHeader::decode(&batch).unwrap();
        let appended = self.log().append(&batch, header, LeaderEpoch(1), Origin::Client).unwrap();
        for (at, record) in (appended.base_offset.0..).zip(records) {
            let seen = Seen {
                offset: at,
                timestamp: record.timestamp,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record.headers.iter().map(|(k, v)| ((*k).to_owned(), v.map(<[u8]>::to_vec))).collect(),
                producer: (producer.unwrap_or(-1), if producer.is_some() { 0 } else { -1 }),
            };
            self.written.insert(at, seen);
        }
        appended.base_offset.0
    }

    fn batch(&mut self, records: &[NewRecord], codec: CodecId, producer: Option<i64>, transactional: bool) -> Bytes {
        let mut builder = BatchBuilder::new(0).codec(codec);
        if let Some(id) = producer {
            let sequence = self.sequences.entry(id).or_default();
            builder = builder.producer(id, 0, *sequence);
            *sequence += records.len() as i32;
        }
        if transactional {
            builder = builder.transactional();
        }
        for record in records {
            builder.append(record).unwrap();
        }
        builder.build().unwrap()
    }

    pub fn end_transaction(&mut self, producer: i64, committed: bool) -> i64 {
        let marker = EndTransactionMarker { committed, coordinator_epoch: 1 };
        let batch = marker.batch(0, self.clock.now_ms(), producer, 0, 1).unwrap();
        let header = BatchHeader::decode(&batch).unwrap();
        let origin = Origin::EndTransaction { epoch_must_rise: false };
        let appended = self.log().append(&batch, header, LeaderEpoch(1), origin).unwrap();
        appended.base_offset.0
    }

    /// Syncs, and cleans all that may be cleaned.
    pub fn clean(&self, options: &CleanOptions) -> Result<Cleaned, CleanError> {
        let (dir, log) = self.open.clone().unwrap();
        dir.sync_queued();
        let dirt = log.dirt(log.flushed().get())?;
        log.clean(&dirt, options, &Pace::unlimited())
    }

    /// The first dirty offset now.
    pub fn clean_end(&self) -> i64 {
        let log = self.log();
        log.dirt(log.flushed().get()).unwrap().first_dirty_offset.0
    }

    /// What has to be in the log, without looking at tombstones that may have gone.
    pub fn expected(&self, end: i64) -> BTreeMap<i64, Seen> {
        let mut last: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        for (offset, record) in self.written.range(..end) {
            if let (Some(key), false) = (&record.key, self.aborted.contains_key(offset)) {
                last.insert(key.clone(), *offset);
            }
        }
        let stays = |offset: i64, record: &Seen| {
            offset >= end || record.key.as_ref().is_some_and(|key| last.get(key) == Some(&offset))
        };
        self.written.iter().filter(|(at, r)| stays(**at, r)).map(|(at, r)| (*at, r.clone())).collect()
    }

    /// Compares the log with what has to be in it. Tombstones below `end` may be missing where `may_forget`.
    pub fn check(&self, may_forget: bool) {
        let end = self.clean_end();
        let log = self.log();
        let start = log.local_log_start_offset();
        let mut expected = self.expected(end);
        expected.retain(|offset, _| *offset >= start.0);
        for max_bytes in [1, 700, 1 << 20] {
            let (_, seen) = read_everything(&log, start, max_bytes);
            let seen: BTreeMap<i64, Seen> = seen.into_iter().map(|record| (record.offset, record)).collect();
            if may_forget {
                let forgotten: Vec<i64> = expected.keys().filter(|at| !seen.contains_key(at)).copied().collect();
                for offset in forgotten {
                    let gone = expected.remove(&offset).unwrap();
                    assert!(gone.value.is_none() && offset < end, "{gone:?} is gone");
                }
            }
            assert_eq!(seen, expected, "clean up to {end}");
        }
    }
}

pub fn record<'a>(key: &'a [u8], value: Option<&'a [u8]>, timestamp: i64) -> NewRecord<'a> {
    NewRecord { timestamp, key: Some(key), value, headers: &[("h", Some(b"1"))] }
}

#[test]
fn the_last_record_of_each_key_stays() {
    for codec in [CodecId::NONE, CodecId::GZIP, CodecId::SNAPPY, CodecId::LZ4, CodecId::ZSTD] {
        let mut bench = Bench::new(config());
        for round in 0..40i64 {
            let value = format!("value {round}");
            let keys = [format!("a{}", round % 3), format!("b{}", round % 7), format!("only {round}")];
            let records: Vec<_> =
                keys.iter().map(|key| record(key.as_bytes(), Some(value.as_bytes()), NOW_MS + round)).collect();
            bench.append(&records, codec, None, false);
        }
        bench.log().roll().unwrap();
        let cleaned = bench.clean(&CleanOptions::default()).unwrap();
        assert_eq!(cleaned.end_offset, bench.log().log_end_offset());
        assert!(cleaned.bytes_after < cleaned.bytes_before && cleaned.segments_after <= cleaned.segments_before);
        assert_eq!(bench.expected(i64::MAX).len(), 40 + 3 + 7);
        bench.check(false);
        bench.reopen();
        bench.check(false);
        assert!(bench.log().was_unclean());
    }
}

#[test]
fn tombstones_go_after_their_retention() {
    let mut bench = Bench::new(config());
    bench.append(&[record(b"k", Some(b"v"), NOW_MS), record(b"other", Some(b"v"), NOW_MS)], CodecId::NONE, None, false);
    let tombstone =
        bench.append(&[record(b"k", None, NOW_MS + 5), record(b"x", Some(b"v"), 7)], CodecId::ZSTD, None, false);
    bench.log().roll().unwrap();
    bench.clean(&CleanOptions::default()).unwrap();
    bench.check(false);
    let log = bench.log();
    let (headers, _) = read_everything(&log, Offset(0), 1000);
    let aging = headers.iter().find(|header| header.base_offset == tombstone).unwrap();
    assert!(aging.attributes.has_delete_horizon());
    assert_eq!(aging.base_timestamp, NOW_MS + RETENTION_MS);
    assert_eq!((aging.max_timestamp, aging.record_count), (NOW_MS + 5, 2));
    let dirty_again = |bench: &mut Bench| {
        bench.append(&[record(b"new", Some(b"v"), NOW_MS)], CodecId::NONE, None, false);
        bench.log().roll().unwrap();
        bench.clean(&CleanOptions::default()).unwrap();
    };
    bench.clock.advance_ms(RETENTION_MS - 1);
    dirty_again(&mut bench);
    bench.check(false);
    bench.clock.advance_ms(1);
    dirty_again(&mut bench);
    let (_, seen) = read_everything(&bench.log(), Offset(0), 1000);
    assert!(seen.iter().all(|record| record.value.is_some()), "{seen:?}");
    assert_eq!(seen.iter().find(|record| record.key.as_deref() == Some(b"x")).unwrap().timestamp, 7);
    bench.check(true);
}

/// What a producer's retry and its next batch depend on survives, though all of its records are gone.
#[test]
fn a_producers_last_sequence_survives() {
    let mut bench = Bench::new(config());
    for at in 0..3i64 {
        bench.append(&[record(b"k", Some(b"mine"), NOW_MS + at)], CodecId::LZ4, Some(7), false);
    }
    bench.append(&[record(b"k", Some(b"another's"), NOW_MS)], CodecId::NONE, None, false);
    bench.log().roll().unwrap();
    bench.clean(&CleanOptions::default()).unwrap();
    bench.check(false);
    let (headers, _) = read_everything(&bench.log(), Offset(0), 1000);
    let empty: Vec<_> = headers.iter().filter(|header| header.record_count == 0).collect();
    assert_eq!(empty.len(), 1);
    assert_eq!((empty[0].base_offset, empty[0].base_sequence, empty[0].producer_id), (2, 2, 7));
    for entry in std::fs::read_dir(bench.log().path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "snapshot") {
            std::fs::remove_file(path).unwrap();
        }
    }
    bench.reopen();
    bench.append(&[record(b"k", Some(b"again"), NOW_MS)], CodecId::NONE, Some(7), false);
    bench.check(false);
}

#[derive(Debug, Clone)]
enum Step {
    Append { keys: Vec<u8>, tombstone: bool, codec: u8, producer: Option<u8> },
    Keyless,
    Transaction { keys: Vec<u8>, producer: u8, committed: bool, codec: u8 },
    Roll,
    Clean { memory_keys: u8 },
    Advance(u16),
    Restart { clean: bool },
    SetStart(u8),
    Evict,
    FindTime(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let keys = || prop::collection::vec(0u8..12, 1..5);
    prop_oneof![
        10 => (keys(), prop::bool::weighted(0.2), 0u8..5, prop::option::of(0u8..3))
            .prop_map(|(keys, tombstone, codec, producer)| Step::Append { keys, tombstone, codec, producer }),
        1 => Just(Step::Keyless),
        4 => (keys(), 10u8..13, any::<bool>(), 0u8..5)
            .prop_map(|(keys, producer, committed, codec)| Step::Transaction { keys, producer, committed, codec }),
        3 => Just(Step::Roll),
        4 => prop_oneof![Just(1u8), Just(3), Just(200)].prop_map(|memory_keys| Step::Clean { memory_keys }),
        2 => (1u16..1500).prop_map(Step::Advance),
        2 => any::<bool>().prop_map(|clean| Step::Restart { clean }),
        1 => any::<u8>().prop_map(Step::SetStart),
        1 => Just(Step::Evict),
        2 => any::<u16>().prop_map(Step::FindTime),
    ]
}

const CODECS: [CodecId; 5] = [CodecId::NONE, CodecId::GZIP, CodecId::SNAPPY, CodecId::LZ4, CodecId::ZSTD];

impl Bench {
    fn step(&mut self, at: usize, step: &Step) {
        let now = self.clock.now_ms();
        let value = format!("value {at}");
        let names = |keys: &[u8]| -> Vec<String> { keys.iter().map(|key| format!("key {key}")).collect() };
        match step {
            Step::Append { keys, tombstone, codec, producer } => {
                let names = names(keys);
                let last = names.len() - 1;
                let value = |at: usize| (!*tombstone || at != last).then_some(value.as_bytes());
                let records: Vec<_> = names
                    .iter()
                    .enumerate()
                    .map(|(at, key)| record(key.as_bytes(), value(at), now + at as i64))
                    .collect();
                self.append(&records, CODECS[usize::from(*codec)], producer.map(i64::from), false);
            }
            Step::Keyless => {
                let keyless = NewRecord { timestamp: now, value: Some(b"v"), ..NewRecord::default() };
                self.append(&[record(b"key 0", Some(b"v"), now), keyless], CodecId::NONE, None, false);
            }
            Step::Transaction { keys, producer, committed, codec } => {
                let names = names(keys);
                let records: Vec<_> =
                    names.iter().map(|key| record(key.as_bytes(), Some(value.as_bytes()), now)).collect();
                let producer = i64::from(*producer);
                let codec = CODECS[usize::from(*codec)];
                let first = self.append(&records, codec, Some(producer), true);
                // Another's record between the batches of a transaction.
                self.append(&[record(b"between", Some(value.as_bytes()), now)], CodecId::NONE, None, false);
                let second = self.append(&records, codec, Some(producer), true);
                let marker = self.end_transaction(producer, *committed);
                if !committed {
                    let count = records.len() as i64;
                    self.aborted.extend((first..first + count).chain(second..second + count).map(|at| (at, marker)));
                }
            }
            Step::Roll => drop(self.log().roll().unwrap()),
            Step::Clean { memory_keys } => {
                let memory_bytes = u64::from(*memory_keys) * 44 + 16 * 44;
                let options = CleanOptions { memory_bytes, load_factor: 0.5, buffer_bytes: 300 };
                let before = self.clean_end();
                let cleaned = self.clean(&options).unwrap();
                assert!(cleaned.end_offset.0 >= before);
                assert_eq!(self.clean_end(), cleaned.end_offset.0.max(self.log().local_log_start_offset().0));
            }
            Step::Advance(by) => self.clock.advance_ms(i64::from(*by)),
            Step::Restart { clean } => {
                let (dir, log) = self.open.take().unwrap();
                if *clean {
                    dir.close().unwrap();
                } else {
                    dir.sync_queued();
                }
                drop((dir, log));
                self.reopen();
            }
            Step::SetStart(at) => {
                let log = self.log();
                self.dir().sync_queued();
                let (start, end) = (log.log_start_offset().0, log.log_end_offset().0);
                log.set_log_start_offset(Offset(start + (end - start) * i64::from(*at) / 600)).unwrap();
            }
            Step::Evict => drop(self.log().delete_local_below(self.log().log_start_offset()).unwrap()),
            Step::FindTime(after) => self.find_time(NOW_MS + i64::from(*after)),
        }
        self.compare();
    }

    fn find_time(&self, timestamp: i64) {
        let log = self.log();
        let (headers, _) = read_everything(&log, log.local_log_start_offset(), 1 << 20);
        let (_, records) = read_everything(&log, log.local_log_start_offset(), 1 << 20);
        let found = log.offset_for_timestamp(timestamp).unwrap();
        let marker = headers
            .iter()
            .find(|h| h.attributes.is_control_batch() && h.record_count > 0 && h.max_timestamp >= timestamp);
        let record = records.iter().find(|record| record.timestamp >= timestamp).map(|record| record.offset);
        let expected = record.into_iter().chain(marker.map(|h| h.base_offset)).min();
        assert_eq!(found.map(|found| found.offset.0), expected, "time {timestamp}");
    }

    fn compare(&self) {
        let log = self.log();
        let (clean_end, start) = (self.clean_end(), log.local_log_start_offset().0);
        let (headers, seen) = read_everything(&log, Offset(start), 600);
        let seen: BTreeMap<i64, Seen> = seen.into_iter().map(|record| (record.offset, record)).collect();
        let expected = self.expected(clean_end);
        // What is there is what was written there.
        for (offset, record) in &seen {
            assert_eq!(self.written.get(offset), Some(record));
        }
        // What has to be there is there, but for tombstones that were old enough.
        for (offset, record) in expected.iter().filter(|(offset, _)| **offset >= start) {
            // Aborted ones go wherever a round meets them.
            if self.aborted.contains_key(offset) {
                continue;
            }
            let may_go = record.value.is_none() && *offset < clean_end;
            assert!(seen.contains_key(offset) || may_go, "offset {offset} is gone: {record:?}");
        }
        // And what may not be there is not. A round that ended inside of a batch has met all of its segment.
        for (offset, record) in seen.iter().filter(|(offset, _)| **offset < clean_end) {
            assert!(!self.aborted.contains_key(offset), "aborted {offset}");
            assert!(expected.contains_key(offset), "offset {offset} should have gone: {record:?}");
        }
        // Whatever is still aborted is told of.
        let told = log.aborted_transactions(Offset(start), log.log_end_offset()).unwrap();
        for header in headers.iter().filter(|header| header.record_count > 0) {
            if let Some(marker) = self.aborted.get(&header.base_offset) {
                assert!(
                    told.iter().any(|t| t.last_offset == *marker && t.producer_id == header.producer_id),
                    "{header:?}"
                );
            }
        }
        assert!(headers.is_sorted_by(|a, b| a.last_offset() < b.base_offset));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_compacts_as_the_model_says(steps in prop::collection::vec(step(), 1..70)) {
        let mut bench = Bench::new(config());
        for (at, step) in steps.iter().enumerate() {
            bench.step(at, step);
        }
    }
}
