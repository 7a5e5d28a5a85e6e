//! What the log remembers of idempotent and transactional producers (KIP-98, KIP-360, KIP-890).
//!
//! Owns sequences, epochs, open transactions. Pure: the log feeds it batches and writes its snapshots. A check comes
//! before the write and changes nothing; the note of what was written comes after, so a failed write leaves no trace.

mod snapshot;

use std::collections::{BTreeMap, HashMap, VecDeque};

use stratalog_protocol::records::{BatchHeader, EndTransactionMarker};

use super::error::AppendError;
use super::transactions::AbortedTransaction;
pub use snapshot::{decode_snapshot, encode_snapshot, first_undecided_offset};

/// Batches remembered of each producer: as many as a client may have in flight.
const BATCHES_REMEMBERED: usize = 5;
const NO_SEQUENCE: i32 = -1;
const NO_EPOCH: i16 = -1;

/// Where a batch comes from: it decides which rules hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Client,
    /// A coordinator's own records, in internal topics.
    Coordinator,
    /// A transaction's end marker. From transaction version 2 on (KIP-890, KIP-1228) its epoch must be newer than that
    /// of the transaction.
    EndTransaction {
        epoch_must_rise: bool,
    },
    /// The leader's log: offsets and epochs are given, and not questioned.
    Replication,
}

/// A batch that a retry is recognised by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchNote {
    pub last_sequence: i32,
    pub last_offset: i64,
    pub offset_delta: i32,
    pub timestamp: i64,
}

impl BatchNote {
    pub fn first_offset(&self) -> i64 {
        self.last_offset - i64::from(self.offset_delta)
    }

    fn first_sequence(&self) -> i32 {
        let first = i64::from(self.last_sequence) - i64::from(self.offset_delta);
        (if first < 0 { first + i64::from(i32::MAX) + 1 } else { first }) as i32
    }
}

/// One producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerState {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub coordinator_epoch: i32,
    pub last_timestamp: i64,
    /// The first offset of its open transaction.
    pub current_txn_first_offset: Option<i64>,
    /// Oldest first.
    pub batches: VecDeque<BatchNote>,
}

impl ProducerState {
    pub fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }
}

/// All producers of one log.
#[derive(Debug, Clone, Default)]
pub struct Producers {
    by_id: HashMap<i64, ProducerState>,
    /// First offset to producer id of the open transactions.
    open_transactions: BTreeMap<i64, i64>,
    /// First offset to the marker's offset of transactions whose end was not taken over yet.
    ended: BTreeMap<i64, i64>,
}

/// What the check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Append,
    /// Already in the log, here.
    Duplicate(BatchNote),
}

impl Producers {
    pub fn restore(entries: Vec<ProducerState>) -> Producers {
        let mut producers = Producers::default();
        for entry in entries {
            if let Some(first) = entry.current_txn_first_offset {
                producers.open_transactions.insert(first, entry.producer_id);
            }
            producers.by_id.insert(entry.producer_id, entry);
        }
        producers
    }

    pub fn entries(&self) -> impl Iterator<Item = &ProducerState> {
        self.by_id.values()
    }

    /// The first offset of the oldest open transaction.
    pub fn first_undecided_offset(&self) -> Option<i64> {
        self.open_transactions.first_key_value().map(|(first, _)| *first)
    }

    /// First offset to the marker's offset of the transactions that ended since the last call.
    pub fn take_ended(&mut self) -> BTreeMap<i64, i64> {
        std::mem::take(&mut self.ended)
    }

    /// Whether no transaction is open, and none ended since the last call of [`Producers::take_ended`].
    pub fn all_stable(&self) -> bool {
        self.open_transactions.is_empty() && self.ended.is_empty()
    }

    /// Whether a data batch may be appended.
    pub fn check(&self, header: &BatchHeader, origin: Origin) -> Result<Verdict, AppendError> {
        if !header.has_producer_id() || origin == Origin::Replication {
            return Ok(Verdict::Append);
        }
        let producer_id = header.producer_id;
        let Some(state) = self.by_id.get(&producer_id) else {
            return Ok(Verdict::Append);
        };
        if let Some(note) = find_duplicate(state, header) {
            return Ok(Verdict::Duplicate(note));
        }
        if header.producer_epoch < state.producer_epoch {
            let (current, got) = (state.producer_epoch, header.producer_epoch);
            return Err(AppendError::InvalidProducerEpoch { producer_id, current, got });
        }
        if origin == Origin::Client && header.base_sequence != NO_SEQUENCE {
            check_sequence(state, header)?;
        }
        if state.current_txn_first_offset.is_some() && !header.attributes.is_transactional() {
            return Err(AppendError::InvalidTransactionState { producer_id });
        }
        Ok(Verdict::Append)
    }

    /// Whether an end marker may be appended.
    pub fn check_marker(
        &self,
        header: &BatchHeader,
        marker: EndTransactionMarker,
        origin: Origin,
    ) -> Result<(), AppendError> {
        let Some(state) = self.by_id.get(&header.producer_id).filter(|_| origin != Origin::Replication) else {
            return Ok(());
        };
        let epoch_must_rise = origin == Origin::EndTransaction { epoch_must_rise: true };
        let producer_id = header.producer_id;
        let (current, got) = (state.producer_epoch, header.producer_epoch);
        if got < current || (epoch_must_rise && got == current) {
            return Err(AppendError::InvalidProducerEpoch { producer_id, current, got });
        }
        if marker.coordinator_epoch < state.coordinator_epoch {
            let (current, got) = (state.coordinator_epoch, marker.coordinator_epoch);
            return Err(AppendError::TransactionCoordinatorFenced { producer_id, current, got });
        }
        Ok(())
    }

    /// Notes a data batch that is in the log; its header has its final offsets.
    pub fn note(&mut self, header: &BatchHeader) {
        if !header.has_producer_id() {
            return;
        }
        let state = self.state_at_epoch(header.producer_id, header.producer_epoch);
        state.last_timestamp = header.max_timestamp;
        if header.base_sequence != NO_SEQUENCE {
            if state.batches.len() == BATCHES_REMEMBERED {
                state.batches.pop_front();
            }
            state.batches.push_back(BatchNote {
                last_sequence: header.last_sequence(),
                last_offset: header.last_offset(),
                offset_delta: header.last_offset_delta,
                timestamp: header.max_timestamp,
            });
        }
        if header.attributes.is_transactional() && state.current_txn_first_offset.is_none() {
            state.current_txn_first_offset = Some(header.base_offset);
            self.open_transactions.insert(header.base_offset, header.producer_id);
        }
    }

    /// Notes an end marker that is in the log. A marker without a transaction in this partition completes nothing.
    pub fn note_marker(&mut self, header: &BatchHeader, marker: EndTransactionMarker) {
        let state = self.state_at_epoch(header.producer_id, header.producer_epoch);
        state.coordinator_epoch = state.coordinator_epoch.max(marker.coordinator_epoch);
        state.last_timestamp = header.max_timestamp;
        if let Some(first_offset) = state.current_txn_first_offset.take() {
            self.open_transactions.remove(&first_offset);
            self.ended.insert(first_offset, header.last_offset());
        }
    }

    /// The transaction that this marker aborts, if it does.
    pub fn aborted_by(&self, header: &BatchHeader, marker: EndTransactionMarker) -> Option<AbortedTransaction> {
        let state = self.by_id.get(&header.producer_id).filter(|_| !marker.committed)?;
        let first_offset = state.current_txn_first_offset?;
        let last_offset = header.last_offset();
        let oldest_other = self.open_transactions.keys().find(|first| **first != first_offset).copied();
        Some(AbortedTransaction {
            producer_id: header.producer_id,
            first_offset,
            last_offset,
            last_stable_offset: oldest_other.unwrap_or(last_offset + 1),
        })
    }

    /// Forgets producers that wrote nothing for so long. One with an open transaction stays.
    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) -> usize {
        let before = self.by_id.len();
        self.by_id.retain(|_, state| {
            state.current_txn_first_offset.is_some() || now_ms.saturating_sub(state.last_timestamp) < expiration_ms
        });
        before - self.by_id.len()
    }

    fn state_at_epoch(&mut self, producer_id: i64, producer_epoch: i16) -> &mut ProducerState {
        let state = self.by_id.entry(producer_id).or_insert_with(|| ProducerState {
            producer_id,
            producer_epoch,
            coordinator_epoch: -1,
            last_timestamp: -1,
            current_txn_first_offset: None,
            batches: VecDeque::new(),
        });
        if state.producer_epoch != producer_epoch {
            state.producer_epoch = producer_epoch;
            state.batches.clear();
        }
        state
    }
}

fn find_duplicate(state: &ProducerState, header: &BatchHeader) -> Option<BatchNote> {
    if state.producer_epoch != header.producer_epoch || header.base_sequence == NO_SEQUENCE {
        return None;
    }
    let (first, last) = (header.base_sequence, header.last_sequence());
    state.batches.iter().find(|note| note.first_sequence() == first && note.last_sequence == last).copied()
}

fn check_sequence(state: &ProducerState, header: &BatchHeader) -> Result<(), AppendError> {
    let got = header.base_sequence;
    let known_epoch = state.producer_epoch != NO_EPOCH;
    let expected = if header.producer_epoch != state.producer_epoch {
        0
    } else {
        match state.last_sequence() {
            i32::MAX => 0,
            last => last + 1,
        }
    };
    if known_epoch && got != expected {
        return Err(AppendError::OutOfOrderSequence { producer_id: header.producer_id, expected, got });
    }
    Ok(())
}
