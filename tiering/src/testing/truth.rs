//! What must hold, checked at each write that reaches the bucket and whenever a test asks.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use stratalog_types::Offset;

use super::bucket::{Bucket, Objects};
use crate::entry::Entry;
use crate::gc::topic::{Marker, MarkerState};
use crate::manifest::head::{Head, HeadState, MarkKind};
use crate::manifest::page::{Items, Page, PageRef};
use crate::manifest::session::lock;
use crate::object_key::{self, ObjectKey, ObjectName, TierPartition};

/// A record is its leader epoch and a value that no other record has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    pub leader_epoch: i32,
    pub value: u64,
}

/// Somebody who reads with an old view until a deadline.
pub struct Reader {
    pub keys: HashSet<String>,
    pub until_ms: u64,
}

#[derive(Default)]
pub struct Truth {
    pub now_ms: u64,
    pub acked: BTreeMap<i64, Record>,
    /// The furthest log start that retention or DeleteRecords ordered.
    pub ordered_start: i64,
    /// The furthest log start that each broker has shown to anyone.
    pub exposed_start: BTreeMap<usize, i64>,
    pub readers: Vec<Reader>,
    pub fenced_owner: u64,
    pub deletions: u32,
    pub purge_of: Option<u32>,
    head_existed: bool,
    marker_existed: bool,
    pub violations: BTreeSet<String>,
}

pub type SharedTruth = Arc<Mutex<Truth>>;

pub fn body_of(records: &[(i64, Record)]) -> String {
    records.iter().map(|(offset, record)| format!("{offset}:{}:{};", record.leader_epoch, record.value)).collect()
}

/// The checker, watching `bucket`.
pub fn watching(bucket: &Bucket) -> SharedTruth {
    let truth = SharedTruth::default();
    let seen = Arc::clone(&truth);
    bucket.watch(Box::new(move |objects, key, before, after| lock(&seen).on_write(objects, key, before, after)));
    truth
}

impl Truth {
    pub fn violate(&mut self, what: impl Into<String>) {
        self.violations.insert(what.into());
    }

    fn on_write(&mut self, objects: &Objects, key: &str, before: Option<&Bytes>, after: Option<&Bytes>) {
        match object_key::parse(key) {
            Some(ObjectKey::Head { of }) => self.on_head(objects, of, before, after),
            Some(ObjectKey::Marker { .. }) => self.on_marker(after),
            Some(ObjectKey::Segment { of, .. } | ObjectKey::Page { of, .. }) => match after {
                None => self.on_delete(objects, of, key),
                Some(_) if self.marker_existed && marker_of(objects, of).is_none() => {
                    self.violate("I9 an object appeared after the topic's marker went");
                }
                Some(_) => {}
            },
            Some(ObjectKey::Cluster | ObjectKey::Snapshot { .. }) | None => {}
        }
    }

    fn on_head(&mut self, objects: &Objects, of: TierPartition, before: Option<&Bytes>, after: Option<&Bytes>) {
        let Some(after) = after else { return };
        let after = Head::decode(after).expect("a head that was written decodes");
        if let Some(before) = before {
            let before = Head::decode(before).expect("a head that was written decodes");
            if bytes_of(&before) == bytes_of(&after) {
                return;
            }
            if after.version != before.version + 1 {
                self.violate("I5 the version did not rise by one");
            }
            if after.token < before.token {
                self.violate("I5 the token went back");
            }
            if after.log_start_offset < before.log_start_offset || after.next_offset < before.next_offset {
                self.violate("I5 log start or tiered end went back");
            }
        } else if self.head_existed {
            self.violate("I2 a head was created where one was lost");
        }
        self.head_existed = true;
        if after.token.owner_epoch < self.fenced_owner {
            self.violate("I8 a lower owner committed");
        }
        if after.state == HeadState::Tombstone {
            if marker_of(objects, of).is_none_or(|marker| marker.state != MarkerState::Purging) {
                self.violate("I12 a head was purged without a claim");
            }
            return;
        }
        if after.log_start_offset.get() > self.ordered_start {
            self.violate("I11 the head's log start moved without an order");
        }
        self.audit(objects, of, &after);
    }

    /// I2 and I4: everything at or above the log start is there, good, contiguous and committed.
    pub fn audit(&mut self, objects: &Objects, of: TierPartition, head: &Head) {
        let entries = match live_entries(objects, of, head) {
            Ok(entries) => entries,
            Err(violation) => return self.violate(violation),
        };
        for entry in &entries {
            let Some((body, _)) = objects.get(&of.segment_of(entry)) else {
                self.violate("I2 a referenced segment is missing");
                continue;
            };
            let range = entry.base_offset.get()..entry.end_offset.get();
            let mut records = Vec::new();
            for offset in range {
                match self.acked.get(&offset) {
                    Some(record) => records.push((offset, *record)),
                    None => return self.violate("I4 a record was tiered that is not committed"),
                }
            }
            if body_of(&records).as_bytes() != body.as_ref() {
                self.violate("I2 a referenced segment does not hold the committed records");
            }
        }
        let mut totals = crate::manifest::Totals::default();
        entries.iter().for_each(|entry| totals = totals.plus(crate::manifest::Totals::of(entry)));
        if totals != head.totals {
            self.violate("the totals are not those of the live entries");
        }
    }

    fn on_delete(&mut self, objects: &Objects, of: TierPartition, key: &str) {
        let now = self.now_ms;
        if self.readers.iter().any(|reader| reader.until_ms > now && reader.keys.contains(key)) {
            self.violate("I3 an object went while a reader could still use it");
        }
        let Some(head) = head_of(objects, of).filter(|head| head.state == HeadState::Live) else { return };
        let named = head.entries.iter().map(|entry| of.segment_of(entry));
        let pages = head.pages.iter().map(|page| of.page(&page.name()));
        let live = live_entries(objects, of, &head).map(|live| live.iter().map(|entry| of.segment_of(entry)).collect());
        let live: Vec<String> = live.unwrap_or_default();
        if named.chain(pages).chain(live).any(|named| named == key) {
            self.violate("I2 a referenced object was deleted");
        }
    }

    fn on_marker(&mut self, after: Option<&Bytes>) {
        let Some(after) = after else { return };
        self.marker_existed = true;
        let marker = Marker::decode(after).expect("a marker that was written decodes");
        if marker.state == MarkerState::Purging && self.purge_of != Some(self.deletions) {
            self.violate("I12 a purge claimed a deletion it was not ordered for");
        }
    }
}

fn bytes_of(head: &Head) -> Vec<u8> {
    head.encode().expect("a head that was read encodes")
}

pub fn head_of(objects: &Objects, of: TierPartition) -> Option<Head> {
    objects.get(&of.head()).map(|(bytes, _)| Head::decode(bytes).expect("a head that was written decodes"))
}

pub fn marker_of(objects: &Objects, of: TierPartition) -> Option<Marker> {
    let (bytes, _) = objects.get(&object_key::marker(of.topic_id))?;
    Some(Marker::decode(bytes).expect("a marker that was written decodes"))
}

fn page_at(objects: &Objects, of: TierPartition, name: &ObjectName) -> Option<Page> {
    let (bytes, _) = objects.get(&of.page(name))?;
    Page::decode(bytes).ok()
}

/// The entries that end above the log start, oldest first.
pub fn live_entries(objects: &Objects, of: TierPartition, head: &Head) -> Result<Vec<Entry>, String> {
    fn walk(
        objects: &Objects,
        of: TierPartition,
        page: &PageRef,
        start: Offset,
        found: &mut Vec<Entry>,
    ) -> Result<(), String> {
        if page.end_offset <= start {
            return Ok(());
        }
        let loaded = page_at(objects, of, &page.name()).ok_or("I2 a referenced page is missing")?;
        match &loaded.items {
            Items::Entries(entries) => {
                found.extend(entries.iter().filter(|entry| entry.end_offset > start).cloned());
                Ok(())
            }
            Items::Pages(pages) => pages.iter().try_for_each(|page| walk(objects, of, page, start, found)),
        }
    }
    let mut found = Vec::new();
    for page in &head.pages {
        walk(objects, of, page, head.log_start_offset, &mut found)?;
    }
    found.extend(head.entries.iter().filter(|entry| entry.end_offset > head.log_start_offset).cloned());
    let end = head.tiered_end();
    let contiguous = found.array_windows().all(|[one, next]| one.end_offset == next.base_offset);
    let whole = found.first().is_none_or(|first| first.base_offset <= head.log_start_offset)
        && found.last().is_none_or(|last| Some(last.end_offset) == end);
    if contiguous && whole { Ok(found) } else { Err("I4 the intervals are not contiguous".to_owned()) }
}

/// Every key that the head can still name, expired ones inside pages and marked ones included.
pub fn reachable(objects: &Objects, of: TierPartition, head: &Head) -> HashSet<String> {
    fn walk(objects: &Objects, of: TierPartition, name: &ObjectName, found: &mut HashSet<String>) {
        found.insert(of.page(name));
        match page_at(objects, of, name).map(|page| page.items) {
            Some(Items::Entries(entries)) => found.extend(entries.iter().map(|entry| of.segment_of(entry))),
            Some(Items::Pages(pages)) => pages.iter().for_each(|page| walk(objects, of, &page.name(), found)),
            None => {}
        }
    }
    let mut found: HashSet<String> = head.entries.iter().map(|entry| of.segment_of(entry)).collect();
    for page in &head.pages {
        walk(objects, of, &page.name(), &mut found);
    }
    for mark in &head.marks {
        found.insert(mark.key(of));
        if mark.kind == MarkKind::Page {
            walk(objects, of, &mark.name, &mut found);
        }
    }
    found
}
