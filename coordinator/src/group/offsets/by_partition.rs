//! The offsets of one topic in one group, packed: brokers keep millions of them.
//!
//! What nearly every commit is takes 28 bytes in a sorted row. One that has metadata, an expiry of its own, another topic
//! id than its neighbours, or numbers past 48 bits is kept whole beside it. Which of the two it is cannot be seen.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Committed;

/// A row grows by an eighth of itself: what `Vec` would hold in reserve is most of a small one.
const GROWTH_SHARE: usize = 8;

/// Offsets by partition.
#[derive(Debug, Default, Clone)]
pub struct ByPartition {
    /// Of all in `row`.
    topic_id: Uuid,
    /// Ascending.
    row: Vec<Packed>,
    /// Those that do not fit into the row. No partition is in both.
    whole: BTreeMap<i32, Whole>,
}

#[derive(Debug, Clone, Copy)]
struct Packed {
    partition: i32,
    leader_epoch: i32,
    offset: [u32; 2],
    commit_timestamp_ms: U48,
    record_offset: U48,
}

/// Nothing of a row is lost to alignment.
#[derive(Debug, Clone, Copy)]
struct U48([u16; 3]);

#[derive(Debug, Clone)]
struct Whole {
    offset: i64,
    leader_epoch: i32,
    metadata: Box<str>,
    commit_timestamp_ms: i64,
    expire_timestamp_ms: i64,
    topic_id: Uuid,
    record_offset: i64,
}

impl U48 {
    fn new(value: i64) -> Option<U48> {
        (0..1 << 48).contains(&value).then_some(U48([value as u16, (value >> 16) as u16, (value >> 32) as u16]))
    }

    fn get(self) -> i64 {
        let [low, middle, high] = self.0.map(i64::from);
        low | middle << 16 | high << 32
    }
}

impl Packed {
    fn of(partition: i32, committed: &Committed<'_>) -> Option<Packed> {
        if !committed.metadata.is_empty() || committed.expire_timestamp_ms != -1 {
            return None;
        }
        Some(Packed {
            partition,
            leader_epoch: committed.leader_epoch,
            offset: [committed.offset as u32, (committed.offset >> 32) as u32],
            commit_timestamp_ms: U48::new(committed.commit_timestamp_ms)?,
            record_offset: U48::new(committed.record_offset)?,
        })
    }

    fn committed(&self, topic_id: Uuid) -> Committed<'static> {
        let [low, high] = self.offset.map(u64::from);
        Committed {
            offset: (low | high << 32) as i64,
            leader_epoch: self.leader_epoch,
            metadata: "",
            commit_timestamp_ms: self.commit_timestamp_ms.get(),
            expire_timestamp_ms: -1,
            topic_id,
            record_offset: self.record_offset.get(),
        }
    }
}

impl Whole {
    fn of(committed: &Committed<'_>) -> Whole {
        Whole {
            offset: committed.offset,
            leader_epoch: committed.leader_epoch,
            metadata: committed.metadata.into(),
            commit_timestamp_ms: committed.commit_timestamp_ms,
            expire_timestamp_ms: committed.expire_timestamp_ms,
            topic_id: committed.topic_id,
            record_offset: committed.record_offset,
        }
    }

    fn committed(&self) -> Committed<'_> {
        Committed {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata: &self.metadata,
            commit_timestamp_ms: self.commit_timestamp_ms,
            expire_timestamp_ms: self.expire_timestamp_ms,
            topic_id: self.topic_id,
            record_offset: self.record_offset,
        }
    }
}

impl ByPartition {
    pub fn is_empty(&self) -> bool {
        self.row.is_empty() && self.whole.is_empty()
    }

    pub fn get(&self, partition: i32) -> Option<Committed<'_>> {
        if let Some(packed) = self.find(partition).ok().and_then(|at| self.row.get(at)) {
            return Some(packed.committed(self.topic_id));
        }
        self.whole.get(&partition).map(Whole::committed)
    }

    /// By ascending partition.
    pub fn iter(&self) -> impl Iterator<Item = (i32, Committed<'_>)> {
        let mut row = self.row.iter().map(|packed| (packed.partition, packed.committed(self.topic_id))).peekable();
        let mut whole = self.whole.iter().map(|(partition, whole)| (*partition, whole.committed())).peekable();
        std::iter::from_fn(move || match (row.peek(), whole.peek()) {
            (Some(packed), Some(kept)) if kept.0 < packed.0 => whole.next(),
            (Some(_), _) => row.next(),
            (None, _) => whole.next(),
        })
    }

    /// Answers whether the partition had none before.
    pub fn put(&mut self, partition: i32, committed: &Committed<'_>) -> bool {
        if self.row.is_empty() {
            self.topic_id = committed.topic_id;
        }
        let packed = Packed::of(partition, committed).filter(|_| committed.topic_id == self.topic_id);
        match (packed, self.find(partition)) {
            (Some(packed), Ok(at)) => {
                if let Some(old) = self.row.get_mut(at) {
                    *old = packed;
                }
                false
            }
            (Some(packed), Err(at)) => {
                if self.row.len() == self.row.capacity() {
                    self.row.reserve_exact((self.row.len() / GROWTH_SHARE).max(1));
                }
                self.row.insert(at, packed);
                self.whole.remove(&partition).is_none()
            }
            (None, found) => {
                let old = found.map(|at| self.row.remove(at));
                self.whole.insert(partition, Whole::of(committed)).is_none() && old.is_err()
            }
        }
    }

    /// Answers whether it was there.
    pub fn remove(&mut self, partition: i32) -> bool {
        match self.find(partition) {
            Ok(at) => {
                self.row.remove(at);
                true
            }
            Err(_) => self.whole.remove(&partition).is_some(),
        }
    }

    /// Where in the row it is, or would be.
    fn find(&self, partition: i32) -> Result<usize, usize> {
        match self.row.last() {
            Some(last) if last.partition < partition => Err(self.row.len()),
            _ => self.row.binary_search_by_key(&partition, |packed| packed.partition),
        }
    }
}

impl PartialEq for ByPartition {
    fn eq(&self, other: &ByPartition) -> bool {
        self.iter().eq(other.iter())
    }
}
