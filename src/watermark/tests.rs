use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use stratalog_types::Offset;

use super::{Closed, Waiter, Watermark};

#[tokio::test]
async fn one_waiter_waits_at_many_watermarks_and_leaves_them_all() {
    let marks: Vec<Watermark> = (0..10).map(|_| Watermark::new(Offset(5))).collect();
    let waiter = Waiter::new();
    let registrations: Vec<_> = marks.iter().map(|mark| mark.subscribe(&waiter, Offset(7))).collect();
    marks[3].advance(Offset(6));
    assert!(!waiter.is_woken());
    marks[3].advance(Offset(7));
    waiter.woken().await;
    assert_eq!(marks[3].waiting(), 0);
    assert_eq!(marks[4].waiting(), 1);
    drop(registrations);
    assert!(marks.iter().all(|mark| mark.waiting() == 0));
}

#[tokio::test]
async fn a_wait_for_what_is_there_is_over_at_once() {
    let mark = Watermark::new(Offset(5));
    mark.wait_for(Offset(5)).await.unwrap();
    let waiter = Waiter::new();
    let _registration = mark.subscribe(&waiter, Offset(5));
    assert!(waiter.is_woken());
}

#[tokio::test]
async fn closing_ends_waits_with_an_error() {
    let mark = Watermark::new(Offset(0));
    let waiting = tokio::spawn({
        let mark = mark.clone();
        async move { mark.wait_for(Offset(1)).await }
    });
    while mark.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    mark.close();
    assert_eq!(waiting.await.unwrap(), Err(Closed));
    assert_eq!(mark.wait_for(Offset(1)).await, Err(Closed));
    assert_eq!(mark.waiting(), 0);
}

#[test]
fn who_follows_hears_of_the_close_whenever_it_asks() {
    let mark = Watermark::new(Offset(0));
    let heard = Arc::new(AtomicUsize::new(0));
    let hears = |mark: &Watermark| {
        let heard = heard.clone();
        mark.on_close(Box::new(move || {
            heard.fetch_add(1, Ordering::SeqCst);
        }))
    };
    assert!(hears(&mark));
    assert!(!hears(&mark));
    mark.close();
    assert_eq!(heard.load(Ordering::SeqCst), 1);
    let late = Watermark::new(Offset(0));
    late.close();
    assert!(hears(&late));
    assert_eq!(heard.load(Ordering::SeqCst), 2);
}

#[test]
fn the_value_never_goes_back_and_the_hook_hears_each_step_once() {
    let mark = Watermark::new(Offset(3));
    let heard = Arc::new(AtomicUsize::new(0));
    let hears = heard.clone();
    assert!(mark.on_advance(Box::new(move |_| {
        hears.fetch_add(1, Ordering::SeqCst);
    })));
    assert!(!mark.on_advance(Box::new(|_| {})));
    mark.advance(Offset(5));
    mark.advance(Offset(4));
    mark.advance(Offset(5));
    assert_eq!(mark.get(), Offset(5));
    assert_eq!(heard.load(Ordering::SeqCst), 1);
}

/// Advances race with waits; a lost wake-up hangs this test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_is_lost_between_registration_and_advance() {
    const STEPS: i64 = 20_000;
    let (ping, pong) = (Watermark::new(Offset(0)), Watermark::new(Offset(0)));
    let answering = tokio::spawn({
        let (ping, pong) = (ping.clone(), pong.clone());
        async move {
            for step in 1..=STEPS {
                ping.wait_for(Offset(step)).await.unwrap();
                pong.advance(Offset(step));
            }
        }
    });
    let last = AtomicI64::new(0);
    for step in 1..=STEPS {
        ping.advance(Offset(step));
        pong.wait_for(Offset(step)).await.unwrap();
        last.store(step, Ordering::SeqCst);
    }
    answering.await.unwrap();
    assert_eq!((ping.waiting(), pong.waiting()), (0, 0));
}
