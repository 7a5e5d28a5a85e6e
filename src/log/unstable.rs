//! The transactions that hold readers of read_committed back, apart from the producers: who asks waits for no append.
//!
//! Follows the producers under the append lock, before the log end that a batch makes is published. So who knows of a
//! high watermark that has passed a batch finds here what that batch began or ended.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::producers::Producers;
use crate::platform::lock;

#[derive(Debug)]
pub struct Unstable {
    /// No transaction is open or ended lately: what most ask.
    nothing: AtomicBool,
    transactions: Mutex<Transactions>,
}

#[derive(Debug, Default)]
struct Transactions {
    /// Of the oldest that is open.
    first_undecided: Option<i64>,
    /// First offset to the marker's offset of those that ended at the last known high watermark or above it.
    ended: BTreeMap<i64, i64>,
}

impl Unstable {
    pub fn new(producers: &mut Producers) -> Unstable {
        let unstable = Unstable { nothing: AtomicBool::new(true), transactions: Mutex::default() };
        unstable.follow(producers);
        unstable
    }

    /// The caller holds the append lock.
    pub fn follow(&self, producers: &mut Producers) {
        if self.nothing.load(Ordering::SeqCst) && producers.all_stable() {
            return;
        }
        self.change(|transactions| {
            transactions.first_undecided = producers.first_undecided_offset();
            transactions.ended.append(&mut producers.take_ended());
        });
    }

    /// After a truncation: what was known before does not count.
    pub fn replace(&self, producers: &mut Producers) {
        self.change(|transactions| {
            transactions.first_undecided = producers.first_undecided_offset();
            transactions.ended = producers.take_ended();
        });
    }

    /// The first offset of the oldest transaction that is open, or whose marker is at `high_watermark` or above it.
    pub fn first_offset(&self, high_watermark: i64) -> Option<i64> {
        if self.nothing.load(Ordering::SeqCst) {
            return None;
        }
        self.change(|transactions| {
            transactions.ended.retain(|_, marker| *marker >= high_watermark);
            let ended = transactions.ended.first_key_value().map(|(first, _)| *first);
            [transactions.first_undecided, ended].into_iter().flatten().min()
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Transactions) -> T) -> T {
        let mut transactions = lock(&self.transactions);
        let answer = change(&mut transactions);
        let nothing = transactions.first_undecided.is_none() && transactions.ended.is_empty();
        self.nothing.store(nothing, Ordering::SeqCst);
        answer
    }
}
