//! The pure plans against a plain list of segments, and at the size of a million.

use std::sync::Arc;

use proptest::prelude::*;
use stratalog_types::{LeaderEpoch, Offset};
use uuid::Uuid;

use super::{identity, partition};
use crate::entry::Entry;
use crate::manifest::head::{HEAD_BYTES_MAX, Head};
use crate::manifest::page::{Page, Totals};
use crate::manifest::plan::{self, Limits, PageSet, Refusal, RetentionPolicy, Stop};

const SMALL: Limits =
    Limits { entries_max: 4, spill_entries: 3, pages_max: 4, spill_pages: 3, marks_max: 1000, marks_soft: 500 };

/// A head with its pages, as a driver would keep them.
struct Tier {
    head: Head,
    pages: PageSet,
    limits: Limits,
    uuids: u128,
}

impl Tier {
    fn new(limits: Limits) -> Tier {
        Tier { head: Head::empty(identity()), pages: PageSet::new(), limits, uuids: 0 }
    }

    fn entry(&mut self, offsets: i64, raw_bytes: u64, max_timestamp: i64) -> Entry {
        self.uuids += 1;
        Entry {
            base_offset: self.head.next_offset,
            end_offset: self.head.next_offset + offsets,
            leader_epoch: LeaderEpoch(0),
            uuid: Uuid::from_u128(self.uuids),
            object_bytes: raw_bytes / 2,
            raw_bytes,
            footer_position: 0,
            footer_bytes: 0,
            footer_crc: 0,
            min_timestamp: max_timestamp,
            max_timestamp,
            committed_at: 0,
            generation: 0,
        }
    }

    fn spill(&mut self) {
        while let Some(run) = plan::spill_run(&self.head, &self.limits) {
            self.uuids += 1;
            let page =
                Page { of: partition(), level: run.level, uuid: Uuid::from_u128(self.uuids), items: run.items.clone() };
            let (_, reference) = page.seal(LeaderEpoch(0)).unwrap();
            self.pages.insert(page.uuid, Arc::new(page));
            self.head = plan::plan_spill(&self.head, &run, &reference).unwrap();
        }
    }

    fn commit(&mut self, entry: &Entry) {
        self.head =
            plan::plan_commit(&self.head, entry, self.head.log_start_offset, 0, &self.pages, &self.limits).unwrap();
        self.spill();
    }
}

/// Kafka's rule over the plain list: from the oldest on, by time, then by size.
fn retained(entries: &[Entry], policy: &RetentionPolicy) -> usize {
    let mut bytes: u64 = entries.iter().map(|entry| entry.raw_bytes).sum::<u64>() + policy.bytes_beyond_tier;
    let cutoff = policy.retention_ms.map(|keep| policy.now_ms - keep);
    let mut gone = 0;
    for entry in entries {
        let by_time = cutoff.is_some_and(|cutoff| entry.max_timestamp < cutoff);
        let by_size = policy.retention_bytes.is_some_and(|keep| bytes >= keep + entry.raw_bytes);
        if !by_time && !by_size {
            break;
        }
        bytes -= entry.raw_bytes;
        gone += 1;
    }
    gone
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn retention_is_that_of_a_plain_list(
        segments in prop::collection::vec((1i64..5, 1u64..100, 0i64..1000), 1..60),
        retention_ms in prop::option::of(1i64..1000),
        retention_bytes in prop::option::of(0u64..3000),
        bytes_beyond_tier in 0u64..300,
        start in any::<prop::sample::Index>(),
        pages_max in 1usize..4,
    ) {
        let mut tier = Tier::new(SMALL);
        let mut list = Vec::new();
        for (offsets, raw_bytes, timestamp) in segments {
            let entry = tier.entry(offsets, raw_bytes, timestamp);
            tier.commit(&entry);
            list.push(entry);
        }
        // Begin with a log start somewhere inside.
        let moved = Offset(start.index(tier.head.next_offset.get() as usize + 1) as i64);
        if let Ok(next) = plan::plan_log_start(&tier.head, moved, 0, &tier.pages, &tier.limits) {
            tier.head = next;
        }
        list.retain(|entry| entry.end_offset > moved);
        let policy = RetentionPolicy { retention_ms, retention_bytes, now_ms: 1100, bytes_beyond_tier };
        let gone = retained(&list, &policy);
        let expected = list[..gone].last().map_or(moved, |entry| entry.end_offset);
        while let Ok(target) = plan::plan_retention(&tier.head, &policy, &tier.pages, pages_max) {
            tier.head = plan::plan_log_start(&tier.head, target, 0, &tier.pages, &tier.limits).unwrap();
        }
        prop_assert_eq!(tier.head.log_start_offset, expected);
        let live = &list[gone..];
        let totals = live.iter().fold(Totals::default(), |sum, entry| sum.plus(Totals::of(entry)));
        prop_assert_eq!(tier.head.totals, totals);
        for entry in live {
            let at = entry.base_offset.max(expected);
            let held = plan::find(&tier.head, at, &tier.pages).unwrap();
            prop_assert_eq!(held.as_ref(), Some(entry));
            let newest = live.iter().find(|held| held.max_timestamp >= entry.max_timestamp);
            let found = plan::find_timestamp(&tier.head, entry.max_timestamp, Offset::ZERO, &tier.pages).unwrap();
            prop_assert_eq!(found.as_ref(), newest);
        }
        prop_assert_eq!(plan::find(&tier.head, tier.head.next_offset, &tier.pages).unwrap(), None);
        tier.head.encode().unwrap();
    }

    /// With little room for marks the log start goes on after each reap, and the head is always a valid one.
    #[test]
    fn a_large_step_is_taken_in_bounded_ones(segments in 1usize..60, room in 1usize..4) {
        let limits = Limits { marks_max: room, marks_soft: room - 1, ..SMALL };
        let mut tier = Tier::new(limits);
        for _ in 0..segments {
            let entry = tier.entry(3, 10, 5);
            tier.commit(&entry);
        }
        let end = tier.head.next_offset;
        let mut steps = 0;
        while tier.head.log_start_offset < end {
            tier.head = plan::plan_log_start(&tier.head, end, 0, &tier.pages, &limits).unwrap();
            prop_assert!(tier.head.marks.len() <= room);
            tier.head.encode().unwrap();
            let names: Vec<_> = tier.head.marks.iter().map(|mark| mark.name).collect();
            if let Ok(next) = plan::plan_reap(&tier.head, &names) {
                tier.head = next;
            }
            steps += 1;
            prop_assert!(steps < 200);
        }
        prop_assert_eq!(tier.head.totals, Totals::default());
        prop_assert!(tier.head.pages.is_empty() && tier.head.entries.is_empty());
    }
}

#[test]
fn a_million_segments_keep_the_head_small_and_lookups_short() {
    let mut tier = Tier::new(Limits::DEFAULT);
    let mut largest = 0;
    let mut segments = 0i64;
    while segments < 1_000_000 {
        // As so many commits would leave it: filled to the brim, then spilled.
        while tier.head.entries.len() < tier.limits.entries_max {
            let entry = tier.entry(1000, 1 << 26, segments);
            tier.head.next_offset = entry.end_offset;
            tier.head.totals = tier.head.totals.plus(Totals::of(&entry));
            tier.head.entries.push(entry);
            segments += 1;
        }
        largest = largest.max(tier.head.encoded_bytes());
        tier.spill();
    }
    assert!(largest + tier.limits.marks_max * 37 < HEAD_BYTES_MAX, "{largest} bytes");
    tier.head.encode().unwrap();
    let levels = usize::from(tier.head.pages[0].level) + 1;
    for segment in (0..segments).step_by(9973) {
        // Only the pages that a lookup asks for: at most one per level.
        let mut asked = PageSet::new();
        let found = loop {
            match plan::find(&tier.head, Offset(segment * 1000 + 500), &asked) {
                Ok(found) => break found,
                Err(Stop::Need(page)) => asked.insert(page.uuid, Arc::clone(&tier.pages[&page.uuid])),
                Err(stop) => panic!("{stop:?}"),
            };
        };
        assert_eq!(found.unwrap().base_offset, Offset(segment * 1000));
        assert!(asked.len() <= levels, "{} pages", asked.len());
    }
}

#[test]
fn a_commit_that_does_not_fit_is_refused_and_one_that_landed_is_known() {
    let mut tier = Tier::new(SMALL);
    let first = tier.entry(10, 10, 5);
    tier.commit(&first);
    let plan = |head: &Head, entry: &Entry, start: i64| {
        plan::plan_commit(head, entry, Offset(start), 0, &PageSet::new(), &SMALL)
    };
    assert_eq!(plan(&tier.head, &first, 0), Err(Stop::Nothing));
    let gap = Entry { base_offset: Offset(11), end_offset: Offset(20), uuid: Uuid::from_u128(99), ..first.clone() };
    assert!(matches!(plan(&tier.head, &gap, 0), Err(Stop::Refused(Refusal::DoesNotFit { .. }))));
    let twice = Entry { uuid: Uuid::from_u128(98), ..first.clone() };
    assert!(matches!(plan(&tier.head, &twice, 0), Err(Stop::Refused(Refusal::DoesNotFit { .. }))));
    let next = Entry { base_offset: Offset(10), end_offset: Offset(20), uuid: Uuid::from_u128(97), ..first };
    assert!(matches!(plan(&tier.head, &next, 20), Err(Stop::Refused(Refusal::BelowLogStart { .. }))));
    // DeleteRecords past the tiered end: the next segment begins at, or with the batch around, the log start.
    let head = plan::plan_log_start(&tier.head, Offset(15), 0, &PageSet::new(), &SMALL).unwrap();
    assert_eq!((head.next_offset, head.entries.len(), head.marks.len()), (Offset(15), 0, 1));
    let committed = plan(&head, &next, 15).unwrap();
    assert_eq!((committed.next_offset, committed.log_start_offset), (Offset(20), Offset(15)));
    committed.encode().unwrap();
}

#[test]
fn a_run_that_changed_is_neither_spilled_nor_replaced() {
    let mut tier = Tier::new(Limits { entries_max: 10, spill_entries: 4, ..SMALL });
    let entries: Vec<_> = (0..6)
        .map(|_| {
            let entry = tier.entry(10, 10, 5);
            tier.commit(&entry);
            entry
        })
        .collect();
    let whole = Entry { end_offset: Offset(20), uuid: Uuid::from_u128(500), ..entries[0].clone() };
    let changed = Err(Stop::Refused(Refusal::RunChanged));
    let replaced = plan::plan_replace(&tier.head, &entries[..2], &whole, 0, &SMALL).unwrap();
    assert_eq!((replaced.entries.len(), replaced.marks.len()), (5, 2));
    replaced.encode().unwrap();
    assert_eq!(plan::plan_replace(&replaced, &entries[..2], &whole, 0, &SMALL), Err(Stop::Nothing));
    assert_eq!(plan::plan_replace(&tier.head, &entries[..3], &whole, 0, &SMALL), changed);
    let apart = [entries[0].clone(), entries[2].clone()];
    assert_eq!(plan::plan_replace(&tier.head, &apart, &whole, 0, &SMALL), changed);
    let run = plan::SpillRun { level: 0, items: crate::manifest::page::Items::Entries(entries[..4].to_vec()) };
    let page = Page { of: partition(), level: 0, uuid: Uuid::from_u128(600), items: run.items.clone() };
    let (_, reference) = page.seal(LeaderEpoch(0)).unwrap();
    assert_eq!(plan::plan_spill(&replaced, &run, &reference), changed);
    assert!(plan::plan_spill(&tier.head, &run, &reference).unwrap().encode().is_ok());
}
