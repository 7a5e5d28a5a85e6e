//! Which transactions were aborted, as a pass walks over the batches in order.
//!
//! A marker may go when a whole pass met no batch of its transaction any more. So the pass that removes the records of an
//! aborted transaction keeps its marker, the next one gives it a delete horizon, and one after that removes it.

use std::collections::{HashMap, HashSet, VecDeque};

use stratalog_protocol::records::{Attributes, BatchHeader, EndTransactionMarker};

use crate::log::transactions::AbortedTransaction;

#[derive(Default)]
pub struct EndedTransactions {
    /// Not begun yet at this point of the walk, by first offset.
    ahead: VecDeque<AbortedTransaction>,
    /// By producer, the aborted transaction under way and whether a batch of it was met.
    aborted: HashMap<i64, (AbortedTransaction, bool)>,
    /// Producers of whose committed transaction a batch was met.
    committed: HashSet<i64>,
}

impl EndedTransactions {
    /// `aborted`: those that end in the range of the walk.
    pub fn new(mut aborted: Vec<AbortedTransaction>) -> EndedTransactions {
        aborted.sort_by_key(|transaction| transaction.first_offset);
        EndedTransactions { ahead: aborted.into(), ..EndedTransactions::default() }
    }

    /// A batch of records is next. Answers whether its transaction was aborted.
    pub fn meets_records(&mut self, header: &BatchHeader) -> bool {
        self.begin_up_to(header.last_offset());
        if !header.attributes.is_transactional() {
            return false;
        }
        match self.aborted.get_mut(&header.producer_id) {
            Some((_, met)) => {
                *met = true;
                true
            }
            None => {
                self.committed.insert(header.producer_id);
                false
            }
        }
    }

    /// A control batch is next; `marker` is what it says, if it ends a transaction.
    pub fn meets_control(&mut self, header: &BatchHeader, marker: Option<EndTransactionMarker>) -> Marker {
        self.begin_up_to(header.last_offset());
        match marker {
            Some(marker) if marker.committed => {
                Marker { is_empty: !self.committed.remove(&header.producer_id), aborted: None }
            }
            Some(_) => match self.aborted.remove(&header.producer_id) {
                Some((transaction, met)) => Marker { is_empty: !met, aborted: Some(transaction) },
                None => Marker { is_empty: true, aborted: None },
            },
            // One without a record is left of a marker that went. Other control records stay.
            None => Marker { is_empty: header.record_count == 0, aborted: None },
        }
    }

    fn begin_up_to(&mut self, offset: i64) {
        while let Some(next) = self.ahead.pop_front_if(|next| next.first_offset <= offset) {
            self.aborted.entry(next.producer_id).or_insert((next, false));
        }
    }
}

/// What became of a transaction whose marker is met.
pub struct Marker {
    /// None of its batches is left.
    pub is_empty: bool,
    /// It was aborted: as long as some of it is left, readers have to be told.
    pub aborted: Option<AbortedTransaction>,
}

/// The time at which tombstones or a marker of a batch may go (KIP-534), once a pass has set it.
pub fn delete_horizon_ms(header: &BatchHeader) -> Option<i64> {
    (header.attributes.0 & Attributes::DELETE_HORIZON != 0).then_some(header.base_timestamp)
}
