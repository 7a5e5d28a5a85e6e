//! Members by load: who is to get a partition next, who is to give one.

use std::collections::BTreeSet;

/// The subscribers of one topic, ordered by how many partitions they have. Ties fall by the order in which they stood
/// when the topic's turn came, so that partitions go round.
pub(super) struct ByLoad {
    /// (load, position in the order at the start)
    receivers: BTreeSet<(usize, usize)>,
    /// Those of them who may still have a partition of this topic to give.
    donors: BTreeSet<(usize, usize)>,
    /// Member by position.
    members: Vec<usize>,
}

impl ByLoad {
    pub(super) fn new(subscribers: &[usize], loads: &[usize]) -> ByLoad {
        let load = |member: usize| loads.get(member).copied().unwrap_or(0);
        let mut members = subscribers.to_vec();
        members.sort_by_key(|member| (load(*member), *member));
        let receivers: BTreeSet<_> = members.iter().enumerate().map(|(at, member)| (load(*member), at)).collect();
        ByLoad { donors: receivers.clone(), receivers, members }
    }

    /// The member with the fewest partitions, which then has one more.
    pub(super) fn receive(&mut self) -> Option<usize> {
        let (load, at) = self.receivers.pop_first()?;
        self.receivers.insert((load + 1, at));
        if self.donors.remove(&(load, at)) {
            self.donors.insert((load + 1, at));
        }
        self.members.get(at).copied()
    }

    /// The member with the most partitions, unless it has at most one more than the one with the fewest.
    pub(super) fn heaviest(&self) -> Option<usize> {
        let (most, at) = self.donors.last()?;
        let (fewest, _) = self.receivers.first()?;
        if *most <= fewest + 1 { None } else { self.members.get(*at).copied() }
    }

    /// The heaviest member gave one away.
    pub(super) fn gave(&mut self) {
        if let Some((load, at)) = self.donors.pop_last() {
            self.receivers.remove(&(load, at));
            self.receivers.insert((load.saturating_sub(1), at));
            self.donors.insert((load.saturating_sub(1), at));
        }
    }

    /// The heaviest member has nothing of this topic to give.
    pub(super) fn dismiss(&mut self) {
        self.donors.pop_last();
    }
}
