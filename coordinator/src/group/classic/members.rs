//! The members of a classic group and the counts over them that make each request cheap: who waits, who owes a sync, how
//! many know each strategy. Owns that these counts are right; decides nothing.

use std::collections::HashMap;
use std::sync::Arc;

use crate::machine::Ticket;

use super::member::{Member, MemberId, Strategy};

/// Members by id and, in `iter`, in an order that does not depend on hashing, so that a history can be replayed.
#[derive(Debug, Default)]
pub struct Members {
    slots: Vec<Member>,
    by_id: HashMap<MemberId, usize>,
    by_instance: HashMap<Arc<str>, MemberId>,
    /// How many members know each strategy.
    strategies: HashMap<Arc<str>, usize>,
    joining: usize,
    owing_sync: usize,
}

impl Members {
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.slots.iter()
    }

    pub fn get(&self, id: &str) -> Option<&Member> {
        self.by_id.get(id).and_then(|slot| self.slots.get(*slot))
    }

    pub fn contains(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// The member that holds a group instance id.
    pub fn id_of_instance(&self, instance_id: &str) -> Option<&MemberId> {
        self.by_instance.get(instance_id)
    }

    pub(super) fn ids(&self) -> Vec<MemberId> {
        self.slots.iter().map(|member| Arc::clone(&member.id)).collect()
    }

    /// Fields without a count: assignment, timeouts, deadlines.
    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Member> {
        self.by_id.get(id).and_then(|slot| self.slots.get_mut(*slot))
    }

    /// Members whose JoinGroup waits.
    pub fn joining(&self) -> usize {
        self.joining
    }

    /// Members that were told this generation and have not synced.
    pub fn owing_sync(&self) -> usize {
        self.owing_sync
    }

    /// Whether all members know a strategy.
    pub fn all_know(&self, strategy: &str) -> bool {
        self.strategies.get(strategy).copied().unwrap_or(0) == self.slots.len()
    }

    pub(super) fn insert(&mut self, member: Member) {
        debug_assert!(!self.contains(&member.id));
        if let Some(instance_id) = &member.instance_id {
            self.by_instance.insert(Arc::clone(instance_id), Arc::clone(&member.id));
        }
        self.count(&member.strategies);
        self.joining += usize::from(member.join.is_some());
        self.owing_sync += usize::from(member.owes_sync);
        self.by_id.insert(Arc::clone(&member.id), self.slots.len());
        self.slots.push(member);
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Member> {
        let slot = self.by_id.remove(id)?;
        let member = self.slots.swap_remove(slot);
        if let Some(moved) = self.slots.get(slot) {
            self.by_id.insert(Arc::clone(&moved.id), slot);
        }
        if let Some(instance_id) = &member.instance_id {
            self.by_instance.remove(instance_id);
        }
        self.discount(&member.strategies);
        self.joining -= usize::from(member.join.is_some());
        self.owing_sync -= usize::from(member.owes_sync);
        Some(member)
    }

    pub(super) fn set_strategies(&mut self, id: &str, strategies: Vec<Strategy>) {
        let Some(slot) = self.by_id.get(id).copied() else { return };
        let Some(member) = self.slots.get_mut(slot) else { return };
        let old = std::mem::replace(&mut member.strategies, strategies);
        let new: Vec<Arc<str>> = member.strategies.iter().map(|strategy| Arc::clone(&strategy.name)).collect();
        self.discount(&old);
        for name in new {
            *self.strategies.entry(name).or_default() += 1;
        }
    }

    /// Parks a JoinGroup; gives back the one of this member that waited before.
    pub(super) fn park_join(&mut self, id: &str, ticket: Ticket) -> Option<Ticket> {
        let before = self.get_mut(id)?.join.replace(ticket);
        self.joining += usize::from(before.is_none());
        before
    }

    pub(super) fn take_join(&mut self, id: &str) -> Option<Ticket> {
        let taken = self.get_mut(id)?.join.take();
        self.joining -= usize::from(taken.is_some());
        taken
    }

    pub(super) fn set_owes_sync(&mut self, id: &str, owes: bool) {
        let Some(member) = self.get_mut(id) else { return };
        let before = std::mem::replace(&mut member.owes_sync, owes);
        self.owing_sync = self.owing_sync + usize::from(owes) - usize::from(before);
    }

    pub(super) fn forgive_syncs(&mut self) {
        if self.owing_sync > 0 {
            self.slots.iter_mut().for_each(|member| member.owes_sync = false);
            self.owing_sync = 0;
        }
    }

    /// The longest that any member asked to be waited for.
    pub fn rebalance_timeout_ms(&self) -> i32 {
        self.slots.iter().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0).max(0)
    }

    /// The strategy of the next generation: each member votes for the first of its own that all know; most votes win,
    /// and of equal ones the first by name. `None` if there is no member, or nothing in common.
    pub fn elect_strategy(&self) -> Option<Arc<str>> {
        let mut votes: HashMap<&Arc<str>, usize> = HashMap::new();
        for member in &self.slots {
            if let Some(choice) = member.strategies.iter().find(|strategy| self.all_know(&strategy.name)) {
                *votes.entry(&choice.name).or_default() += 1;
            }
        }
        votes
            .into_iter()
            .max_by(|(name, count), (other, others)| count.cmp(others).then_with(|| other.cmp(name)))
            .map(|(name, _)| Arc::clone(name))
    }

    fn count(&mut self, strategies: &[Strategy]) {
        for strategy in strategies {
            *self.strategies.entry(Arc::clone(&strategy.name)).or_default() += 1;
        }
    }

    fn discount(&mut self, strategies: &[Strategy]) {
        for strategy in strategies {
            if let Some(count) = self.strategies.get_mut(&strategy.name) {
                *count -= 1;
                if *count == 0 {
                    self.strategies.remove(&strategy.name);
                }
            }
        }
    }
}
