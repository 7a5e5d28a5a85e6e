//! Compaction against a model: what stays is each key's last record, byte for byte, and nothing else.

mod crash;
mod history;
mod kafka;
mod kept;
mod meanwhile;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use stratalog::clock::Clock;
use stratalog::log::{
    CleanError, CleanOptions, Cleaned, CompactionConfig, Log, LogConfig, LogDir, LogDirOptions, Origin, Pace,
};
use stratalog::platform::disk::Disk;
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
    pub disk: Disk,
    pub config: LogConfig,
    pub open: Option<(Arc<LogDir>, Arc<Log>)>,
    /// Every data record that was ever appended and not aborted; aborted ones with their marker's offset.
    pub written: BTreeMap<i64, Seen>,
    pub aborted: BTreeMap<i64, i64>,
    pub sequences: BTreeMap<i64, i32>,
}

impl Bench {
    pub fn new(config: LogConfig) -> Bench {
        Bench::on(config, Disk::default())
    }

    pub fn on(config: LogConfig, disk: Disk) -> Bench {
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut bench = Bench {
            directory,
            clock: Clock::manual(NOW_MS),
            disk,
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
        let options = LogDirOptions { clock: self.clock.clone(), disk: self.disk.clone(), ..manual_options() };
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

    /// As a follower gets a tombstone from a leader that was cleaned meanwhile: its horizon is its timestamp.
    pub fn append_aging_tombstone(&mut self, key: &[u8], horizon_ms: i64) {
        const CRC: std::ops::Range<usize> = 17..21;
        const HAS_DELETE_HORIZON: u8 = 1 << 6;
        let (offset, tombstone) = (self.log().log_end_offset().0, record(key, None, horizon_ms));
        let mut batch = self.batch(&[tombstone], CodecId::NONE, None, false).to_vec();
        batch[..8].copy_from_slice(&offset.to_be_bytes());
        batch[12..16].copy_from_slice(&1i32.to_be_bytes());
        batch[22] |= HAS_DELETE_HORIZON;
        let crc = crc32c::crc32c(&batch[CRC.end..]);
        batch[CRC].copy_from_slice(&crc.to_be_bytes());
        self.log().append_replicated(&batch).unwrap();
        let headers = vec![("h".to_owned(), Some(b"1".to_vec()))];
        let seen =
            Seen { offset, timestamp: horizon_ms, key: Some(key.to_vec()), value: None, headers, producer: (-1, -1) };
        self.written.insert(offset, seen);
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
