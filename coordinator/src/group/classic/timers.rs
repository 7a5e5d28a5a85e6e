//! What a classic group waits for.

use super::member::MemberId;

/// What a deadline is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Timer {
    /// The join phase ends.
    Join(JoinPhase),
    /// Members that owe a sync are removed.
    Sync,
    /// A member, or one that has only got its id, was silent for too long. None while its wait stands for heartbeats.
    Session(MemberId),
}

/// How the join phase ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum JoinPhase {
    /// The first rebalance of an empty group waits a moment for others.
    Initial,
    /// Members that have not rejoined by now are left behind.
    Rejoin,
}

/// The first rebalance's delay: each member that comes extends it by at most `delay_ms`, as long as some of
/// `remaining_ms` is left.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct InitialDelay {
    pub delay_ms: i64,
    pub remaining_ms: i64,
    /// Somebody came since the delay was set.
    pub newcomer: bool,
}
