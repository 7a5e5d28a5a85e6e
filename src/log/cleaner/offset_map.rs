//! The last offset of each key, in memory of a fixed bound.
//!
//! Open addressing with linear steps over entries of 24 bytes: 128 bits of the key's hash, and the offset with a bit that
//! says whether the record there is a tombstone. The key itself is not kept.

use super::keyed_hash::HashKey;

/// What a key costs at most: its entry, half as much again while the map grows, its place in the list of survivors.
pub const ENTRY_BYTES: u64 = 24 + 12 + 8;
const ENTRIES_FIRST: usize = 1 << 12;

type Entry = [u64; 3];

/// An offset and whether a tombstone lies there; rises with the offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Survivor(u64);

impl Survivor {
    fn new(offset: i64, tombstone: bool) -> Survivor {
        Survivor((offset.cast_unsigned().wrapping_add(1) << 1) | u64::from(tombstone))
    }

    pub fn offset(self) -> i64 {
        (self.0 >> 1).wrapping_sub(1).cast_signed()
    }

    pub fn is_tombstone(self) -> bool {
        self.0 & 1 == 1
    }
}

pub struct OffsetMap {
    key: HashKey,
    entries: Vec<Entry>,
    entries_max: usize,
    load_factor: f64,
    used: usize,
    /// Up to here, included, every record of the dirty part was looked at.
    pub latest_offset: i64,
}

impl OffsetMap {
    /// A map in at most `memory_bytes`, filled to at most `load_factor`. It starts small.
    pub fn new(key: HashKey, memory_bytes: u64, load_factor: f64) -> OffsetMap {
        let load_factor = if load_factor.is_finite() { load_factor.clamp(0.05, 0.95) } else { 0.9 };
        let entries_max = usize::try_from((memory_bytes / ENTRY_BYTES).max(16)).unwrap_or(usize::MAX);
        let entries = vec![[0; 3]; ENTRIES_FIRST.min(entries_max)];
        OffsetMap { key, entries, entries_max, load_factor, used: 0, latest_offset: -1 }
    }

    /// The part of the map that is in use.
    pub fn utilization(&self) -> f64 {
        self.used as f64 / self.entries.len() as f64
    }

    /// Notes that `offset` is the latest of this key. False: the map is full, and the key was not in it.
    #[inline]
    #[must_use]
    pub fn put(&mut self, record_key: &[u8], offset: i64, tombstone: bool) -> bool {
        let (low, high) = self.key.hash(record_key);
        let mut at = self.slot_of(low, high);
        if self.entries.get(at).is_none_or(|entry| entry[2] == 0) {
            if !self.has_room() {
                return false;
            }
            self.used += 1;
            at = self.slot_of(low, high);
        }
        let Some(entry) = self.entries.get_mut(at) else { return false };
        *entry = [low, high, Survivor::new(offset, tombstone).0];
        true
    }

    /// Sees to it that one more key has room: half empty as long as memory allows, then up to the load factor.
    #[inline]
    fn has_room(&mut self) -> bool {
        if self.used < self.entries.len() / 2 {
            return true;
        }
        if self.entries.len() < self.entries_max {
            self.grow();
            return self.has_room();
        }
        self.used < ((self.entries.len() as f64 * self.load_factor) as usize).max(1)
    }

    fn grow(&mut self) {
        let count = self.entries.len().saturating_mul(2).min(self.entries_max);
        let before = std::mem::replace(&mut self.entries, vec![[0; 3]; count]);
        for entry in before.iter().filter(|entry| entry[2] != 0) {
            let at = self.slot_of(entry[0], entry[1]);
            if let Some(slot) = self.entries.get_mut(at) {
                *slot = *entry;
            }
        }
    }

    /// The latest offset of this key in the dirty part.
    #[inline]
    pub fn get(&self, record_key: &[u8]) -> Option<i64> {
        let (low, high) = self.key.hash(record_key);
        let entry = self.entries.get(self.slot_of(low, high))?;
        (entry[2] != 0).then(|| Survivor(entry[2]).offset())
    }

    /// The entry of this hash, or the free one where it belongs. There always is a free one.
    #[inline]
    fn slot_of(&self, low: u64, high: u64) -> usize {
        let count = self.entries.len();
        let mut at = ((u128::from(low) * count as u128) >> 64) as usize;
        while let Some(entry) = self.entries.get(at) {
            if entry[2] == 0 || (entry[0] == low && entry[1] == high) {
                return at;
            }
            at += 1;
            if at == count {
                at = 0;
            }
        }
        at
    }

    /// Every offset in the map, in order: the records of the dirty part that are their key's last.
    pub fn survivors(&self) -> Vec<Survivor> {
        let mut survivors = Vec::with_capacity(self.used);
        survivors.extend(self.entries.iter().filter(|entry| entry[2] != 0).map(|entry| Survivor(entry[2])));
        survivors.sort_unstable();
        survivors
    }
}
