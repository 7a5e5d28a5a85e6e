//! What recovery keeps in memory, and what it costs.

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::in_order::in_order;
use super::resync::{RangeCrcs, look};
use crate::platform::disk::{Disk, DiskFile};

/// What was begun and not yet taken, at most.
#[derive(Default)]
struct Held {
    now: AtomicUsize,
    max: AtomicUsize,
}

impl Held {
    fn begin(&self) {
        self.max.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    }
}

#[test]
fn results_are_taken_in_order_and_few_wait() {
    for threads in [1, 2, 7] {
        let held = Held::default();
        let mut taken = Vec::new();
        let work = |at: usize| {
            held.begin();
            Ok::<usize, ()>(at * 2)
        };
        let done = in_order(10_000, threads, work, |at, doubled| {
            held.now.fetch_sub(1, Ordering::SeqCst);
            taken.push((at, doubled));
            Ok(ControlFlow::Continue(()))
        });
        assert_eq!(done, Ok(()));
        assert!(taken.iter().copied().eq((0..10_000).map(|at| (at, at * 2))), "{threads} threads");
        assert!(held.max.into_inner() <= threads * 3, "{threads} threads");
    }
}

proptest! {
    /// The first error in order is the answer, wherever others are; what lies behind it is not taken.
    #[test]
    fn the_first_error_or_end_ends_it(
        threads in 1_usize..5,
        failing in proptest::collection::btree_set(0_usize..40, 0..4),
        end in 0_usize..40,
    ) {
        let taken = Mutex::new(0);
        let work = |at: usize| if failing.contains(&at) { Err(at) } else { Ok(at) };
        let done = in_order(40, threads, work, |at, _| {
            *taken.lock().unwrap() = at + 1;
            Ok(if at == end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        let first = failing.first().copied().filter(|first| *first <= end);
        prop_assert_eq!(done, first.map_or(Ok(()), Err));
        prop_assert_eq!(taken.into_inner().unwrap(), first.unwrap_or(end + 1));
    }
}

#[test]
fn a_panic_of_a_worker_ends_the_wait_for_it() {
    let work = |at: usize| if at == 5 { panic!("planted") } else { Ok::<(), ()>(()) };
    let run = || in_order(100, 4, work, |_, ()| Ok(ControlFlow::Continue(())));
    assert!(std::panic::catch_unwind(run).is_err());
}

fn file_of(bytes: &[u8]) -> DiskFile {
    let directory = tempfile::tempdir().unwrap();
    let log = Disk::default().create(&directory.path().join("log")).unwrap();
    log.write_at(bytes, 0).unwrap();
    log
}

/// A file of a value that is made of headers, each of which claims all that follows it, and a whole batch behind it.
fn fake_headers(bytes: u64) -> (DiskFile, u64, u64) {
    const VALUE_BYTES: usize = 1 << 20;
    // The first bytes of a header are all that the search for one looks at: the next begins in it.
    const APART: usize = 27;
    let mut value = Vec::new();
    while value.len() < VALUE_BYTES {
        let claimed = bytes - value.len() as u64 - 12;
        value.extend_from_slice(&100_i64.to_be_bytes());
        value.extend_from_slice(&u32::try_from(claimed).unwrap().to_be_bytes());
        value.extend_from_slice(&0_i32.to_be_bytes());
        value.push(2);
        value.resize(value.len().next_multiple_of(APART), 0);
    }
    let headers = (value.len() / APART) as u64;
    let mut batch = stratalog_protocol::records::BatchBuilder::new(0);
    batch.append(&stratalog_protocol::records::NewRecord::default()).unwrap();
    let mut batch = batch.build().unwrap().to_vec();
    batch[..8].copy_from_slice(&101_i64.to_be_bytes());
    let log = file_of(&value);
    log.write_at(&batch, value.len() as u64).unwrap();
    log.truncate(bytes).unwrap();
    (log, value.len() as u64, headers)
}

#[test]
fn a_value_of_fake_headers_costs_no_more_than_the_file() {
    const FILE_BYTES: u64 = 64 << 20;
    let (log, batch_at, headers) = fake_headers(FILE_BYTES);
    let mut crcs = RangeCrcs::new(&log, FILE_BYTES);
    // The batch that is behind the value, although each header before it was looked at.
    assert_eq!(look(&mut crcs, 0, 100).unwrap(), Some((batch_at, 101)));
    println!("{headers} headers, {} bytes looked at", crcs.looked_at_bytes);
    assert!(headers > 38_000);
    assert!(crcs.looked_at_bytes > FILE_BYTES - 1024 && crcs.looked_at_bytes < FILE_BYTES + headers * 1024);
}

proptest! {
    #[test]
    fn the_crc_of_a_range_is_that_of_its_bytes(
        bytes in proptest::collection::vec(any::<u8>(), 1..5000),
        ranges in proptest::collection::vec((0_usize..5000, 0_usize..5000), 1..20),
    ) {
        let log = file_of(&bytes);
        let mut crcs = RangeCrcs::new(&log, bytes.len() as u64);
        let first = ranges[0].0 % bytes.len();
        for (from, length) in ranges {
            let from = first.max(from % bytes.len());
            let end = bytes.len().min(from + length);
            prop_assert_eq!(crcs.crc(from as u64, end as u64).unwrap(), crc32c::crc32c(&bytes[from..end]));
        }
    }
}
