//! What a partition should hold: plain maps, and what may go when.

use std::collections::BTreeMap;

/// A record that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: u8,
    /// `None`: a tombstone.
    pub value: Option<u64>,
    pub timestamp: i64,
}

#[derive(Debug, Clone, Default)]
pub struct Model {
    pub entries: BTreeMap<i64, Entry>,
    pub start: i64,
    pub end: i64,
    /// When a tombstone was first cleaned: from then on its time runs.
    cleaned_at: BTreeMap<i64, i64>,
}

impl Model {
    pub fn append(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            self.entries.insert(self.end, entry);
            self.end += 1;
        }
    }

    pub fn move_start(&mut self, start: i64) {
        self.start = self.start.max(start);
        self.entries = self.entries.split_off(&self.start);
    }

    /// The entries from `from` on, at most `count`.
    pub fn from(&self, from: i64, count: usize) -> Vec<(i64, Entry)> {
        self.entries.range(from..).take(count).map(|(offset, entry)| (*offset, entry.clone())).collect()
    }

    /// The first at or after a time, in the order of offsets.
    pub fn at_time(&self, timestamp: i64) -> Option<(i64, i64)> {
        self.entries.iter().find(|(_, entry)| entry.timestamp >= timestamp).map(|(at, entry)| (*at, entry.timestamp))
    }

    pub fn newest(&self) -> Option<i64> {
        self.entries.values().map(|entry| entry.timestamp).max()
    }

    /// A round of cleaning reached `end` at `now_ms`, from `local_start` on, where nothing lies in the tier: of each key the
    /// last stays. A tombstone stays for `retention_ms` after the first round that saw it.
    pub fn clean(&mut self, local_start: i64, end: i64, now_ms: i64, retention_ms: i64) {
        let mut last: BTreeMap<u8, i64> = BTreeMap::new();
        for (offset, entry) in self.entries.range(local_start..end) {
            last.insert(entry.key, *offset);
        }
        let cleaned_at = &mut self.cleaned_at;
        self.entries.retain(|offset, entry| {
            if *offset < local_start || *offset >= end {
                return true;
            }
            if last.get(&entry.key) != Some(offset) {
                return false;
            }
            entry.value.is_some() || now_ms < cleaned_at.entry(*offset).or_insert(now_ms).saturating_add(retention_ms)
        });
    }
}
