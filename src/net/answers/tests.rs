use futures::FutureExt;

use super::*;

const KIB: usize = 1024;
const HOUR: Duration = Duration::from_secs(3600);

fn memory(kib: usize, connection_kib: usize) -> (Arc<AnswerMemory>, Arc<Metrics>) {
    let metrics: Arc<Metrics> = Arc::default();
    (AnswerMemory::new(kib * KIB, connection_kib * KIB, HOUR, metrics.clone()), metrics)
}

fn bytes(kib: usize) -> Bytes {
    vec![7; kib * KIB].into()
}

#[test]
fn bytes_hold_their_part_until_the_last_of_them_goes() {
    let (memory, metrics) = memory(10, 10);
    let account = memory.account();
    let mut room = account.try_take(6 * KIB).unwrap();
    assert!(account.try_take(5 * KIB).is_none());
    let bound = room.bind(bytes(2)).unwrap();
    assert_eq!((bound.len(), account.unsent(), metrics.answer_memory.get()), (2 * KIB, 2 * KIB as u64, 6 * KIB as i64));
    drop(room);
    assert_eq!(metrics.answer_memory.get(), 2 * KIB as i64);
    assert!(account.try_take(9 * KIB).is_none());
    let end = bound.slice(KIB..);
    drop(bound);
    assert_eq!((account.unsent(), metrics.answer_memory.get()), (2 * KIB as u64, 2 * KIB as i64));
    drop(end);
    assert_eq!((account.unsent(), metrics.answer_memory.get()), (0, 0));
    assert!(account.try_take(10 * KIB).is_some());
}

#[test]
fn more_than_was_taken_is_had_where_it_is_free() {
    let (memory, metrics) = memory(10, 10);
    let account = memory.account();
    let mut room = account.try_take(2 * KIB).unwrap();
    let first = room.bind(bytes(5)).unwrap();
    assert!(room.bind(bytes(6)).is_none());
    let second = room.bind(bytes(5)).unwrap();
    assert_eq!(metrics.answer_memory.get(), 10 * KIB as i64);
    drop((first, second));
    // What is larger than everything has it alone.
    let mut small = account.try_take(KIB).unwrap();
    let alone = small.bind(bytes(50)).unwrap();
    assert_eq!(metrics.answer_memory.get(), 10 * KIB as i64);
    assert!(account.try_take(1).is_none());
    drop((small, alone));
    let mut room = account.try_take(50 * KIB).unwrap();
    assert!(room.bind(bytes(50)).is_some());
    drop(room);
    assert_eq!(metrics.answer_memory.get(), 0);
}

#[tokio::test]
async fn a_connection_takes_no_more_than_its_part() {
    let (memory, _metrics) = memory(100, 10);
    let (one, other) = (memory.account(), memory.account());
    let held = one.try_take(8 * KIB).unwrap();
    assert!(one.try_take(3 * KIB).is_none());
    let waiting = one.clone().take(3 * KIB);
    tokio::pin!(waiting);
    assert!(waiting.as_mut().now_or_never().is_none());
    // It keeps nobody but itself waiting.
    assert!(!memory.is_wanted() && other.try_take(10 * KIB).is_some());
    drop(held);
    assert!(waiting.await.is_some());
}

#[tokio::test]
async fn those_who_wait_are_served_in_order_and_leave_nothing_when_they_go() {
    let (memory, metrics) = memory(10, 10);
    let held = memory.account().try_take(8 * KIB).unwrap();
    let (mut first, mut second) = (memory.account().take(9 * KIB).boxed(), memory.account().take(2 * KIB).boxed());
    assert!((&mut first).now_or_never().is_none() && memory.is_wanted());
    assert!((&mut second).now_or_never().is_none(), "it passed by who asked before");
    drop(first);
    assert!(second.await.is_some() && !memory.is_wanted());
    drop(held);
    assert_eq!(metrics.answer_memory.get(), 0);
}

#[tokio::test]
async fn a_peer_is_overdue_only_while_others_wait() {
    let memory = AnswerMemory::new(10 * KIB, 10 * KIB, Duration::ZERO, Arc::default());
    let account = memory.account();
    let mut overdue = Box::pin(account.overdue());
    let mut room = account.try_take(10 * KIB).unwrap();
    // A room that nothing is bound to waits for the store, not for the peer.
    let waiting = tokio::spawn(memory.account().take(KIB));
    while !memory.is_wanted() {
        tokio::task::yield_now().await;
    }
    assert!((&mut overdue).now_or_never().is_none());
    let bound = room.bind(bytes(10)).unwrap();
    overdue.await;
    drop((room, bound));
    assert!(waiting.await.unwrap().is_some());
}
