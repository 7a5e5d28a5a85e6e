//! Who may see which record, as a list.

use std::collections::{BTreeMap, BTreeSet};

use stratalog::log::{CleanOptions, Log, Origin, Pace};
use stratalog_protocol::messages::fetch::PartitionData;
use stratalog_protocol::records::{BatchBuilder, BatchHeader, BatchIter, EndTransactionMarker, NewRecord};
use stratalog_types::{LeaderEpoch, Offset};

use crate::log::crash_disk::Dice;

pub const TIME_MS: i64 = 1_700_000_000_000;
const PRODUCERS: u64 = 5;
const KEYS: u64 = 12;

#[derive(Debug, Clone, Copy)]
struct Written {
    key: u64,
    value: u64,
    /// Of the transaction that it was written in.
    transaction: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Transaction {
    producer_id: i64,
    first_offset: i64,
    /// The marker's offset, and whether it committed.
    ended: Option<(i64, bool)>,
}

#[derive(Default)]
pub struct Model {
    pub end: i64,
    written: BTreeMap<i64, Written>,
    transactions: Vec<Transaction>,
    open: BTreeMap<i64, usize>,
    sequences: BTreeMap<i64, i32>,
    /// Below it only each key's last record is sure to be there.
    clean_end: i64,
}

impl Model {
    /// A batch of somebody: in a transaction, which may begin with it, or in none.
    pub fn write(&mut self, log: &Log, dice: &mut Dice) {
        if dice.below(4) == 0 {
            self.append(log, None, dice);
        } else {
            let producer = i64::try_from(dice.below(PRODUCERS)).unwrap();
            self.write_transaction(log, producer, dice);
        }
    }

    pub fn write_transaction(&mut self, log: &Log, producer_id: i64, dice: &mut Dice) {
        self.append(log, Some(producer_id), dice);
    }

    fn append(&mut self, log: &Log, producer_id: Option<i64>, dice: &mut Dice) {
        let count = 1 + dice.below(3);
        let mut builder = BatchBuilder::new(0);
        if let Some(producer_id) = producer_id {
            let sequence = self.sequences.entry(producer_id).or_default();
            builder = builder.producer(producer_id, 0, *sequence).transactional();
            *sequence += i32::try_from(count).unwrap();
        }
        let transaction = producer_id.map(|producer_id| {
            *self.open.entry(producer_id).or_insert_with(|| {
                self.transactions.push(Transaction { producer_id, first_offset: self.end, ended: None });
                self.transactions.len() - 1
            })
        });
        for at in (self.end..).take(usize::try_from(count).unwrap()) {
            let (key, value) = (dice.below(KEYS), dice.below(u64::MAX));
            let (key_bytes, value_bytes) = (key.to_be_bytes(), value.to_be_bytes());
            let (key_bytes, value_bytes) = (Some(&key_bytes[..]), Some(&value_bytes[..]));
            let record = NewRecord { timestamp: TIME_MS + at, key: key_bytes, value: value_bytes, headers: &[] };
            builder.append(&record).unwrap();
            self.written.insert(at, Written { key, value, transaction });
        }
        self.place(log, &builder.build().unwrap(), Origin::Client);
    }

    fn place(&mut self, log: &Log, batch: &[u8], origin: Origin) {
        let appended = log.append(batch, BatchHeader::decode(batch).unwrap(), LeaderEpoch(1), origin).unwrap();
        assert_eq!(appended.base_offset.0, self.end);
        self.end = appended.last_offset.0 + 1;
    }

    pub fn end_one(&mut self, log: &Log, dice: &mut Dice) {
        let open: Vec<i64> = self.open.keys().copied().collect();
        if let Some(producer_id) = open.get(usize::try_from(dice.below(PRODUCERS)).unwrap()) {
            self.end_transaction(log, *producer_id, dice.below(2) == 0);
        }
    }

    /// Ends the oldest ones, so that so many stay open.
    pub fn end_all_but(&mut self, count: usize, log: &Log) {
        let mut open: Vec<(usize, i64)> = self.open.iter().map(|(producer_id, one)| (*one, *producer_id)).collect();
        open.sort_unstable();
        open.truncate(open.len().saturating_sub(count));
        for (_, producer_id) in open {
            self.end_transaction(log, producer_id, producer_id % 2 == 0);
        }
    }

    pub fn end_transaction(&mut self, log: &Log, producer_id: i64, committed: bool) {
        let transaction = self.open.remove(&producer_id).unwrap();
        self.transactions[transaction].ended = Some((self.end, committed));
        let marker = EndTransactionMarker { committed, coordinator_epoch: 1 };
        let batch = marker.batch(0, TIME_MS + self.end, producer_id, 0, 1).unwrap();
        self.place(log, &batch, Origin::EndTransaction { epoch_must_rise: false });
    }

    pub fn clean(&mut self, log: &Log, high_watermark: Offset) {
        let dirt = log.dirt(high_watermark).unwrap();
        assert!(dirt.end_offset.0 <= self.last_stable_offset(), "what is undecided is not cleaned");
        let cleaned = log.clean(&dirt, &CleanOptions::default(), &Pace::unlimited()).unwrap();
        self.clean_end = self.clean_end.max(cleaned.end_offset.0);
    }

    pub fn is_cleaned(&self) -> bool {
        self.clean_end > 0
    }

    pub fn last_stable_offset(&self) -> i64 {
        let open = self.open.values().map(|transaction| self.transactions[*transaction].first_offset);
        open.min().unwrap_or(self.end)
    }

    fn is_shown(&self, written: &Written) -> bool {
        written.transaction.is_none_or(|transaction| self.transactions[transaction].ended.is_some_and(|ended| ended.1))
    }

    /// `seen` is what a reader from `start` to the last stable offset got.
    pub fn compare(&self, start: i64, seen: &[(i64, u64)]) {
        let stable = self.last_stable_offset();
        let shown = self.written.range(start..stable).filter(|(_, written)| self.is_shown(written));
        let shown: BTreeMap<i64, &Written> = shown.map(|(offset, written)| (*offset, written)).collect();
        let last: BTreeMap<u64, i64> = shown.range(..self.clean_end).map(|(at, one)| (one.key, *at)).collect();
        let sure: BTreeSet<i64> = last.into_values().chain(shown.range(self.clean_end..).map(|(at, _)| *at)).collect();
        assert!(seen.is_sorted_by(|one, next| one.0 < next.0));
        for (offset, value) in seen {
            assert_eq!(shown.get(offset).map(|written| written.value), Some(*value), "offset {offset} is shown");
        }
        let seen: BTreeSet<i64> = seen.iter().map(|(offset, _)| *offset).collect();
        let missing: Vec<&i64> = sure.difference(&seen).collect();
        assert!(missing.is_empty(), "not shown: {missing:?}");
    }

    /// What a read of `from..until` has to name is named, in the order of the markers, and nothing else.
    ///
    /// Cleaning takes the markers, and what is told of them, behind the records; which it did is not known here, nor
    /// where the hole behind the last batch ends.
    pub fn compare_aborted(&self, told: &[(i64, i64)], from: i64, until: i64) {
        let is_cleaned = self.clean_end > from;
        let mut aborted: Vec<(i64, (i64, i64))> = Vec::new();
        for one in &self.transactions {
            if let Some((marker, false)) = one.ended
                && marker >= from
                && (is_cleaned || one.first_offset < until)
            {
                aborted.push((marker, (one.producer_id, one.first_offset)));
            }
        }
        aborted.sort_unstable();
        let mut expected: Vec<(i64, i64)> = aborted.into_iter().map(|(_, named)| named).collect();
        if is_cleaned {
            expected.retain(|named| told.contains(named));
        }
        assert_eq!(told, expected, "{from} to {until}");
    }
}

/// What a consumer makes of an answer: where it goes on, and the records that it hands out.
pub fn consume(row: &PartitionData, from: i64) -> (i64, Vec<(i64, u64)>) {
    let mut ahead: Vec<(i64, i64)> =
        row.aborted_transactions.iter().flatten().map(|one| (one.first_offset, one.producer_id)).collect();
    ahead.sort_unstable();
    let mut ahead = ahead.into_iter().peekable();
    let (mut hidden, mut records, mut next) = (BTreeSet::new(), Vec::new(), from);
    let bytes = row.records.bytes();
    for batch in BatchIter::new(&bytes) {
        let batch = batch.unwrap();
        assert!(batch.crc_matches());
        while let Some((_, producer_id)) = ahead.next_if(|(first, _)| *first <= batch.header.last_offset()) {
            hidden.insert(producer_id);
        }
        let attributes = batch.header.attributes;
        let is_hidden = attributes.is_transactional() && hidden.contains(&batch.header.producer_id);
        for record in &batch.records(1 << 20).unwrap() {
            let record = record.unwrap();
            if attributes.is_control_batch() {
                if EndTransactionMarker::of_record(&record).is_some_and(|marker| !marker.committed) {
                    hidden.remove(&batch.header.producer_id);
                }
            } else if !is_hidden && record.offset >= from {
                let value = record.value.and_then(|value| value.first_chunk()).unwrap();
                records.push((record.offset, u64::from_be_bytes(*value)));
            }
        }
        next = batch.header.last_offset() + 1;
    }
    (next, records)
}
