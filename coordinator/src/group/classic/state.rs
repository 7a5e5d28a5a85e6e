//! The states of a classic group, and which may follow which.

use std::fmt;

/// Where a group stands between two assignments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// No member; kept for its offsets, or for a member that has only got its id.
    Empty,
    /// Members are being gathered: joins wait.
    PreparingRebalance,
    /// The generation is made, the leader works out the assignment: syncs wait.
    CompletingRebalance,
    /// Every member can have its assignment.
    Stable,
    /// Removed, or given up with its shard.
    Dead,
}

impl State {
    /// The name in DescribeGroups and ListGroups.
    pub const fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
            State::Dead => "Dead",
        }
    }

    /// Whether a rebalance may start here; it is under way in the others.
    pub const fn can_rebalance(self) -> bool {
        matches!(self, State::Empty | State::CompletingRebalance | State::Stable)
    }

    pub(super) const fn may_become(self, next: State) -> bool {
        match next {
            State::Empty => matches!(self, State::PreparingRebalance),
            State::PreparingRebalance => self.can_rebalance(),
            State::CompletingRebalance => matches!(self, State::PreparingRebalance),
            State::Stable => matches!(self, State::CompletingRebalance),
            State::Dead => true,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
