//! What the next head is: pure functions from a head and a wish to a head, or the reason why not.
//!
//! No I/O and no clock. A function that must look into a page asks for it (`Stop::Need`); the driver loads it and asks
//! again, so a plan is always made against one head and immutable pages. The driver seals the result (version, nonce,
//! token, session) and commits it by compare-and-swap.
//!
//! Expiry. What ends at or below the log start leaves the head in the same commit that moves the log start, and a mark
//! takes its place: one per segment, one for a page with all below it. A page that the log start has only entered stays;
//! its expired elements are marked one by one while there is room for marks, else they wait for the page's own mark.
//! Deleting one twice does no harm: names are never used again. When marks are full the log start stops inside the first
//! element that found no room, and goes on after the next reap.

use std::collections::HashMap;
use std::sync::Arc;

use stratalog_types::Offset;
use uuid::Uuid;

use super::head::{Head, Mark, MarkKind};
use super::page::{Items, Page, PageRef, Totals};
use crate::entry::Entry;
use crate::object_key::ObjectName;

/// Pages loaded for one plan, by uuid.
pub type PageSet = HashMap<Uuid, Arc<Page>>;

/// Why there is no next head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Load this page and plan again.
    Need(PageRef),
    /// The head already says so.
    Nothing,
    Refused(Refusal),
}

/// A wish that does not fit the head. Nothing was written; an uploaded object is forgotten, never deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the segment starts at {base_offset}, the tier goes on at {next_offset}")]
    DoesNotFit { base_offset: Offset, next_offset: Offset },
    #[error("the segment ends at {end_offset}, at or below the log start {log_start_offset}")]
    BelowLogStart { end_offset: Offset, log_start_offset: Offset },
    #[error("the run of segments is not in the head any more")]
    RunChanged,
    #[error("{marks} deleted objects wait for their grace: no room for more")]
    MarksFull { marks: usize },
    #[error("the head has no room for another segment before a spill")]
    HeadFull,
}

/// How much the head holds before it spills. The defaults keep it under 64 KiB (checked below).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries in the head at which the oldest `spill_entries` go to a page.
    pub entries_max: usize,
    pub spill_entries: usize,
    /// Page references of one level at which the oldest `spill_pages` go to a page of the next level.
    pub pages_max: usize,
    pub spill_pages: usize,
    pub marks_max: usize,
    /// Up to here, expired elements inside a page that stays are marked one by one.
    pub marks_soft: usize,
}

impl Limits {
    pub const DEFAULT: Limits = Limits {
        entries_max: 160,
        spill_entries: 128,
        pages_max: 80,
        spill_pages: 64,
        marks_max: 256,
        marks_soft: 128,
    };
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::DEFAULT
    }
}

/// Four full levels of pages are more than 30 million segments.
const _: () = {
    let limits = Limits::DEFAULT;
    let fixed = 1024;
    let levels = 4;
    let bytes = fixed
        + (limits.entries_max + 8) * super::wire::ENTRY_BYTES
        + levels * limits.pages_max * super::page::PAGE_REF_BYTES
        + limits.marks_max * 37;
    assert!(bytes < super::head::HEAD_BYTES_MAX);
    assert!(limits.marks_soft < limits.marks_max && limits.spill_entries < limits.entries_max);
};

/// Retention of a whole partition: tier and local log are one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Segments whose newest record is older than this many milliseconds before `now_ms` go.
    pub retention_ms: Option<i64>,
    /// The oldest segments go while the log without them still holds at least this many bytes.
    pub retention_bytes: Option<u64>,
    pub now_ms: i64,
    /// Bytes of the local log from the tiered end on: the rest of the union of both tiers.
    pub bytes_beyond_tier: u64,
}

/// Adds `entry` at the tiered end and carries the leader's log start (3.2 step 4).
pub fn plan_commit(
    head: &Head,
    entry: &Entry,
    log_start_offset: Offset,
    now_ms: i64,
    pages: &PageSet,
    limits: &Limits,
) -> Result<Head, Stop> {
    if entry.base_offset < head.next_offset
        && find(head, entry.base_offset.max(head.log_start_offset), pages)?
            .is_some_and(|found| found.uuid == entry.uuid)
    {
        return Err(Stop::Nothing);
    }
    let mut next = match plan_log_start(head, log_start_offset, now_ms, pages, limits) {
        Ok(next) => next,
        Err(Stop::Nothing | Stop::Refused(Refusal::MarksFull { .. })) => head.clone(),
        Err(stop) => return Err(stop),
    };
    let log_start_offset = log_start_offset.max(next.log_start_offset);
    if entry.end_offset <= log_start_offset {
        return Err(Stop::Refused(Refusal::BelowLogStart { end_offset: entry.end_offset, log_start_offset }));
    }
    // With nothing tiered the first batch may begin below the log start that lies inside it.
    let first = next.tiered_end().is_none() && entry.base_offset <= next.log_start_offset;
    if entry.base_offset != next.next_offset && !first {
        let (base_offset, next_offset) = (entry.base_offset, next.next_offset);
        return Err(Stop::Refused(Refusal::DoesNotFit { base_offset, next_offset }));
    }
    if next.entries.len() >= limits.entries_max + 8 {
        return Err(Stop::Refused(Refusal::HeadFull));
    }
    next.entries.push(entry.clone());
    next.totals = next.totals.plus(Totals::of(entry));
    next.next_offset = entry.end_offset;
    Ok(next)
}

/// Moves the log start up to `target`, as far as there is room for marks; what falls below leaves the head.
pub fn plan_log_start(
    head: &Head,
    target: Offset,
    now_ms: i64,
    pages: &PageSet,
    limits: &Limits,
) -> Result<Head, Stop> {
    if target <= head.log_start_offset {
        return Err(Stop::Nothing);
    }
    let room = limits.marks_max.saturating_sub(head.marks.len());
    let target = within_room(head, target, room);
    if target <= head.log_start_offset {
        return Err(Stop::Refused(Refusal::MarksFull { marks: head.marks.len() }));
    }
    let mark = |kind, name| Mark { kind, name, deleted_at: now_ms };
    let mut next = head.clone();
    let mut gone = Totals::default();
    let mut inside = Vec::new();
    next.pages.clear();
    for page in &head.pages {
        let before = expired_totals(page, head.log_start_offset, pages)?;
        if page.end_offset <= target {
            gone = gone.plus(page.totals.minus(before));
            next.marks.push(mark(MarkKind::Page, page.name()));
            continue;
        }
        next.pages.push(*page);
        if page.base_offset < target {
            gone = gone.plus(expired_totals(page, target, pages)?.minus(before));
            expired_inside(page, head.log_start_offset, target, pages, &mut inside)?;
        }
    }
    next.entries.retain(|entry| {
        let stays = entry.end_offset > target;
        if !stays {
            gone = gone.plus(Totals::of(entry));
            next.marks.push(mark(MarkKind::Segment, ObjectName::of(entry)));
        }
        stays
    });
    let soft = limits.marks_soft.saturating_sub(next.marks.len());
    next.marks.extend(inside.into_iter().take(soft).map(|(kind, name)| mark(kind, name)));
    next.totals = next.totals.minus(gone);
    next.log_start_offset = target;
    next.next_offset = next.tiered_end().unwrap_or(Offset::ZERO).max(target);
    Ok(next)
}

/// The furthest log start up to `target` that needs at most `room` marks for the head's own elements.
fn within_room(head: &Head, target: Offset, room: usize) -> Offset {
    let ends = head.pages.iter().map(|page| page.end_offset).chain(head.entries.iter().map(|entry| entry.end_offset));
    match ends.take_while(|end| *end <= target).nth(room) {
        Some(first_without_room) => Offset(first_without_room.get().saturating_sub(1)),
        None => target,
    }
}

/// What of `page` ends at or below `bound`.
fn expired_totals(page: &PageRef, bound: Offset, pages: &PageSet) -> Result<Totals, Stop> {
    if page.end_offset <= bound {
        return Ok(page.totals);
    }
    if page.base_offset >= bound {
        return Ok(Totals::default());
    }
    let mut totals = Totals::default();
    match &loaded(page, pages)?.items {
        Items::Entries(entries) => {
            for entry in entries.iter().take_while(|entry| entry.end_offset <= bound) {
                totals = totals.plus(Totals::of(entry));
            }
        }
        Items::Pages(children) => {
            for child in children.iter().take_while(|child| child.base_offset < bound) {
                totals = totals.plus(expired_totals(child, bound, pages)?);
            }
        }
    }
    Ok(totals)
}

/// The largest elements inside `page` that end above `old` and at or below `new`.
fn expired_inside(
    page: &PageRef,
    old: Offset,
    new: Offset,
    pages: &PageSet,
    found: &mut Vec<(MarkKind, ObjectName)>,
) -> Result<(), Stop> {
    match &loaded(page, pages)?.items {
        Items::Entries(entries) => {
            let expired = entries.iter().filter(|entry| entry.end_offset > old && entry.end_offset <= new);
            found.extend(expired.map(|entry| (MarkKind::Segment, ObjectName::of(entry))));
        }
        Items::Pages(children) => {
            for child in children.iter().filter(|child| child.end_offset > old && child.base_offset < new) {
                if child.end_offset <= new {
                    found.push((MarkKind::Page, child.name()));
                } else {
                    expired_inside(child, old, new, pages, found)?;
                }
            }
        }
    }
    Ok(())
}

fn loaded<'a>(page: &PageRef, pages: &'a PageSet) -> Result<&'a Page, Stop> {
    pages.get(&page.uuid).map(Arc::as_ref).ok_or(Stop::Need(*page))
}

/// The entry that holds `offset`; `None` outside the tier.
pub fn find(head: &Head, offset: Offset, pages: &PageSet) -> Result<Option<Entry>, Stop> {
    let at = head.entries.partition_point(|entry| entry.end_offset <= offset);
    if let Some(entry) = head.entries.get(at).filter(|entry| entry.base_offset <= offset) {
        return Ok(Some(entry.clone()));
    }
    let mut level: &[PageRef] = &head.pages;
    loop {
        let at = level.partition_point(|page| page.end_offset <= offset);
        let Some(page) = level.get(at).filter(|page| page.base_offset <= offset) else { return Ok(None) };
        match &loaded(page, pages)?.items {
            Items::Pages(children) => level = children,
            Items::Entries(entries) => {
                let at = entries.partition_point(|entry| entry.end_offset <= offset);
                return Ok(entries.get(at).filter(|entry| entry.base_offset <= offset).cloned());
            }
        }
    }
}

/// The first entry above the log start, at or after `from`, whose newest record is at or after `timestamp`.
pub fn find_timestamp(head: &Head, timestamp: i64, from: Offset, pages: &PageSet) -> Result<Option<Entry>, Stop> {
    let from = from.max(head.log_start_offset);
    if let Some(entry) = find_timestamp_in(&head.pages, timestamp, from, pages)? {
        return Ok(Some(entry));
    }
    Ok(head.entries.iter().find(|entry| entry.end_offset > from && entry.max_timestamp >= timestamp).cloned())
}

fn find_timestamp_in(refs: &[PageRef], timestamp: i64, from: Offset, pages: &PageSet) -> Result<Option<Entry>, Stop> {
    for page in refs.iter().filter(|page| page.end_offset > from && page.max_timestamp >= timestamp) {
        let found = match &loaded(page, pages)?.items {
            Items::Pages(children) => find_timestamp_in(children, timestamp, from, pages)?,
            Items::Entries(entries) => {
                entries.iter().find(|entry| entry.end_offset > from && entry.max_timestamp >= timestamp).cloned()
            }
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Where retention wants the log start: the end of the last segment that goes, or `Nothing`.
///
/// Looks into at most `pages_max` pages; the caller asks again after it has moved the log start.
pub fn plan_retention(
    head: &Head,
    policy: &RetentionPolicy,
    pages: &PageSet,
    pages_max: usize,
) -> Result<Offset, Stop> {
    let mut scan = Scan {
        cutoff: policy.retention_ms.and_then(|keep| policy.now_ms.checked_sub(keep)).filter(|cutoff| *cutoff > 0),
        retention_bytes: policy.retention_bytes,
        bytes: head.totals.raw_bytes.saturating_add(policy.bytes_beyond_tier),
        log_start_offset: head.log_start_offset,
        target: head.log_start_offset,
        pages_left: pages_max,
    };
    let mut more = true;
    for page in &head.pages {
        more = more && scan.page(page, pages)?;
    }
    for entry in &head.entries {
        more = more && scan.entry(entry);
    }
    if scan.target > head.log_start_offset { Ok(scan.target) } else { Err(Stop::Nothing) }
}

struct Scan {
    cutoff: Option<i64>,
    retention_bytes: Option<u64>,
    bytes: u64,
    log_start_offset: Offset,
    target: Offset,
    pages_left: usize,
}

impl Scan {
    /// Whether an element of `raw_bytes` whose newest record is of `max_timestamp` goes by time, goes by size.
    fn goes(&self, raw_bytes: u64, max_timestamp: i64) -> bool {
        // Without a timestamp an element goes only by size, or when a later one takes it along.
        let by_time = self.cutoff.is_some_and(|cutoff| max_timestamp < cutoff);
        let by_size =
            self.retention_bytes.is_some_and(|keep| self.bytes.checked_sub(raw_bytes).is_some_and(|left| left >= keep));
        by_time || by_size
    }

    /// Whether to look further.
    fn entry(&mut self, entry: &Entry) -> bool {
        if entry.end_offset <= self.log_start_offset {
            return true;
        }
        if !self.goes(entry.raw_bytes, entry.max_timestamp) {
            return false;
        }
        self.bytes = self.bytes.saturating_sub(entry.raw_bytes);
        if entry.max_timestamp >= 0 || self.retention_bytes.is_some_and(|keep| self.bytes >= keep) {
            self.target = entry.end_offset;
        }
        true
    }

    fn page(&mut self, page: &PageRef, pages: &PageSet) -> Result<bool, Stop> {
        if page.end_offset <= self.log_start_offset {
            return Ok(true);
        }
        let whole = page.base_offset >= self.log_start_offset;
        if whole && page.max_timestamp >= 0 && self.goes(page.totals.raw_bytes, page.max_timestamp) {
            self.bytes = self.bytes.saturating_sub(page.totals.raw_bytes);
            self.target = page.end_offset;
            return Ok(true);
        }
        // However small the bound, a step is one: the way down to the first segment that goes is not counted.
        if self.pages_left == 0 && self.target > self.log_start_offset {
            return Ok(false);
        }
        self.pages_left = self.pages_left.saturating_sub(1);
        match &loaded(page, pages)?.items {
            Items::Entries(entries) => Ok(entries.iter().all(|entry| self.entry(entry))),
            Items::Pages(children) => {
                for child in children {
                    if !self.page(child, pages)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }
}

/// What should go to a page now, if anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpillRun {
    /// The level of the page that will hold it.
    pub level: u8,
    pub items: Items,
}

pub fn spill_run(head: &Head, limits: &Limits) -> Option<SpillRun> {
    if head.entries.len() >= limits.entries_max {
        let items = Items::Entries(head.entries.get(..limits.spill_entries)?.to_vec());
        return Some(SpillRun { level: 0, items });
    }
    let run = head.pages.chunk_by(|one, next| one.level == next.level).find(|run| run.len() >= limits.pages_max)?;
    let level = run.first()?.level.checked_add(1)?;
    Some(SpillRun { level, items: Items::Pages(run.get(..limits.spill_pages)?.to_vec()) })
}

/// Swaps the run for the page that holds it, if the head still has exactly this run in its place.
pub fn plan_spill(head: &Head, run: &SpillRun, page: &PageRef) -> Result<Head, Stop> {
    let mut next = head.clone();
    match &run.items {
        Items::Entries(entries) => {
            if !head.entries.starts_with(entries) {
                return Err(Stop::Refused(Refusal::RunChanged));
            }
            next.entries.drain(..entries.len());
            next.pages.push(*page);
        }
        Items::Pages(pages) => {
            let at = head.pages.iter().position(|held| Some(held) == pages.first());
            let at = at.ok_or(Stop::Refused(Refusal::RunChanged))?;
            let older = at.checked_sub(1).and_then(|older| head.pages.get(older));
            let in_place = head.pages.get(at..at + pages.len()) == Some(pages.as_slice());
            if !in_place || older.is_some_and(|older| older.level < page.level) {
                return Err(Stop::Refused(Refusal::RunChanged));
            }
            next.pages.splice(at..at + pages.len(), [*page]);
        }
    }
    Ok(next)
}

/// Swaps a run of the head's entries for one that holds the same interval; the old objects get marks (3.6).
pub fn plan_replace(head: &Head, run: &[Entry], entry: &Entry, now_ms: i64, limits: &Limits) -> Result<Head, Stop> {
    let changed = Stop::Refused(Refusal::RunChanged);
    if let Some(held) = head.entries.iter().find(|held| held.uuid == entry.uuid) {
        return Err(if held == entry { Stop::Nothing } else { changed });
    }
    let (Some(first), Some(last)) = (run.first(), run.last()) else { return Err(changed) };
    let at = head.entries.iter().position(|held| held == first).ok_or(changed.clone())?;
    let in_place = head.entries.get(at..at + run.len()) == Some(run);
    if !in_place || entry.base_offset != first.base_offset || entry.end_offset != last.end_offset {
        return Err(changed);
    }
    if head.marks.len() + run.len() > limits.marks_max {
        return Err(Stop::Refused(Refusal::MarksFull { marks: head.marks.len() }));
    }
    let mut next = head.clone();
    let old = next.entries.splice(at..at + run.len(), [entry.clone()]).collect::<Vec<_>>();
    for held in &old {
        next.totals = next.totals.minus(Totals::of(held));
        next.marks.push(Mark { kind: MarkKind::Segment, name: ObjectName::of(held), deleted_at: now_ms });
    }
    next.totals = next.totals.plus(Totals::of(entry));
    Ok(next)
}

/// Drops the marks whose objects are gone.
pub fn plan_reap(head: &Head, gone: &[ObjectName]) -> Result<Head, Stop> {
    let mut next = head.clone();
    next.marks.retain(|mark| !gone.contains(&mark.name));
    if next.marks.len() == head.marks.len() { Err(Stop::Nothing) } else { Ok(next) }
}
