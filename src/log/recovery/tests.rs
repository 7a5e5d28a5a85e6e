//! What recovery keeps in memory.

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::in_order::in_order;

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
