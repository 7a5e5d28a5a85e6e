//! Random histories: append in every codec, idempotent and in transactions, roll, clean with little memory, let time go by,
//! restart, delete from the front, look up by time.

use std::collections::BTreeMap;

use proptest::prelude::*;
use stratalog::log::CleanOptions;
use stratalog_protocol::records::{CodecId, NewRecord};
use stratalog_types::Offset;

use super::{Bench, Seen, config, read_everything, record};
use crate::log::harness::NOW_MS;

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
                let options =
                    CleanOptions { memory_bytes, load_factor: 0.5, buffer_bytes: 300, ..CleanOptions::default() };
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
