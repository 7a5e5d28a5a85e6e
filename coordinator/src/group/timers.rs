//! Deadlines of many things, cheap to push back.
//!
//! A heartbeat moves a deadline later thousands of times a second and almost none ever passes. So a deadline that moves
//! later only notes the new time; the queue finds out when the old one comes up, and puts it back. `next` may therefore
//! be earlier than the earliest deadline, never later: whoever sleeps on it wakes, finds nothing due, and asks again.

use std::borrow::Borrow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::Hash;

#[derive(Debug, Clone)]
struct Entry {
    deadline: i64,
    /// The time under which the heap holds it: not after `deadline`.
    queued: i64,
}

/// A deadline for each key that has one.
#[derive(Debug, Clone)]
pub struct Deadlines<K> {
    entries: HashMap<K, Entry>,
    heap: BinaryHeap<Reverse<(i64, K)>>,
}

impl<K: Ord + Hash + Clone> Default for Deadlines<K> {
    fn default() -> Deadlines<K> {
        Deadlines { entries: HashMap::new(), heap: BinaryHeap::new() }
    }
}

impl<K: Ord + Hash + Clone> Deadlines<K> {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<i64>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).map(|entry| entry.deadline)
    }

    /// Sets the deadline of `key`, whatever it was.
    pub fn set(&mut self, key: &K, deadline: i64) {
        match self.entries.get_mut(key) {
            Some(entry) if deadline >= entry.queued => entry.deadline = deadline,
            Some(entry) => {
                *entry = Entry { deadline, queued: deadline };
                self.heap.push(Reverse((deadline, key.clone())));
            }
            None => {
                self.entries.insert(key.clone(), Entry { deadline, queued: deadline });
                self.heap.push(Reverse((deadline, key.clone())));
            }
        }
        self.shed();
    }

    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<i64>
    where
        K: Borrow<Q>,
    {
        let removed = self.entries.remove(key).map(|entry| entry.deadline);
        self.shed();
        removed
    }

    pub fn clear(&mut self) {
        self.entries.clear();
        self.heap.clear();
    }

    /// When to look again; `None` with nothing to wait for.
    pub fn next(&self) -> Option<i64> {
        if self.entries.is_empty() { None } else { self.heap.peek().map(|Reverse((time, _))| *time) }
    }

    /// Takes out a key whose deadline is `now_ms` or earlier.
    pub fn pop_due(&mut self, now_ms: i64) -> Option<K> {
        while let Some(Reverse((queued, _))) = self.heap.peek() {
            if *queued > now_ms {
                return None;
            }
            let Reverse((queued, key)) = self.heap.pop()?;
            match self.entries.get_mut(&key) {
                // A later push or a removal made this one void.
                Some(entry) if entry.queued != queued => {}
                Some(entry) if entry.deadline > now_ms => {
                    entry.queued = entry.deadline;
                    self.heap.push(Reverse((entry.deadline, key)));
                }
                Some(_) => {
                    self.entries.remove(&key);
                    return Some(key);
                }
                None => {}
            }
        }
        None
    }

    /// Void entries never make up more than half of the heap, small ones apart.
    fn shed(&mut self) {
        if self.heap.len() <= 2 * self.entries.len() + 64 {
            return;
        }
        self.heap.clear();
        for (key, entry) in &mut self.entries {
            entry.queued = entry.deadline;
            self.heap.push(Reverse((entry.deadline, key.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Op {
        Set(u8, i64),
        Remove(u8),
        Advance(i64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (0u8..6, 0i64..50).prop_map(|(key, after)| Op::Set(key, after)),
            1 => (0u8..6).prop_map(Op::Remove),
            2 => (0i64..20).prop_map(Op::Advance),
        ]
    }

    proptest! {
        #[test]
        fn as_a_plain_map(ops in prop::collection::vec(op(), 0..300)) {
            let mut deadlines = Deadlines::<u8>::default();
            let mut model = BTreeMap::<u8, i64>::new();
            let mut now = 0;
            for op in ops {
                match op {
                    Op::Set(key, after) => {
                        deadlines.set(&key, now + after);
                        model.insert(key, now + after);
                    }
                    Op::Remove(key) => {
                        prop_assert_eq!(deadlines.remove(&key), model.remove(&key));
                    }
                    Op::Advance(by) => {
                        now += by;
                        let mut due = Vec::new();
                        while let Some(key) = deadlines.pop_due(now) {
                            due.push(key);
                        }
                        due.sort_unstable();
                        let expected: Vec<u8> = model.iter().filter(|(_, at)| **at <= now).map(|(key, _)| *key).collect();
                        prop_assert_eq!(due, expected);
                        model.retain(|_, at| *at > now);
                    }
                }
                prop_assert_eq!(deadlines.len(), model.len());
                let earliest = model.values().min().copied();
                prop_assert_eq!(deadlines.next().is_some(), earliest.is_some());
                prop_assert!(deadlines.next() <= earliest || earliest.is_none());
                prop_assert!(deadlines.heap.len() <= 2 * deadlines.entries.len() + 65);
            }
        }
    }
}
