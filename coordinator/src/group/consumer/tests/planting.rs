//! Every kind of bug, planted once, is caught by the random histories: a checker that lets one through checks nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{migration, model};
use crate::group::consumer::planted::{Bug, plant};

/// What the checker says of a history with this bug.
fn caught(bug: Bug) -> Option<String> {
    let _planting = plant(Some(bug));
    for seed in 1..=40 {
        let history = || match Bug::MIGRATION.contains(&bug) {
            true => drop(migration::run(seed, 1_500)),
            false => model::run(seed, 1_500),
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(history)) {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            return Some(text.unwrap_or_default().lines().next().unwrap_or_default().to_owned());
        }
    }
    None
}

#[test]
fn planted_bugs_are_caught() {
    let mut missed = Vec::new();
    for bug in Bug::ALL.into_iter().chain(Bug::MIGRATION) {
        match caught(bug) {
            Some(why) => println!("{bug:?}: {why}"),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
