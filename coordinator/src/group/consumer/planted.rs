//! Bugs that the tests plant to see that they are caught. Outside tests `planted` is the constant `false`.

/// One wrong step each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    /// A partition is given to a member while another has it.
    HeldIsGranted,
    /// A member is taken to have given up what it still works on.
    RevocationAssumed,
    /// What a member has to give up is not in its record.
    RevocationForgotten,
    /// A member that went leaves the group's epoch as it was.
    EpochNotBumped,
    EpochGoesBack,
    /// A member that went is still taken to have its partitions.
    HolderKept,
    /// Topics of a subscription that ended are still counted.
    SubscriptionKept,
    /// A failed append answers nobody who waits.
    WaitingForgotten,
    /// After a load or a failed append nobody has a session.
    NoSessions,
    /// A partition is left out of an assignment.
    PartitionLeftOut,
    /// A result that nobody waits for any more is taken.
    LateResultTaken,
    /// A rebalance timeout is not acted on.
    StallTolerated,
}

#[cfg(test)]
impl Bug {
    pub(super) const ALL: [Bug; 12] = [
        Bug::HeldIsGranted,
        Bug::RevocationAssumed,
        Bug::RevocationForgotten,
        Bug::EpochNotBumped,
        Bug::EpochGoesBack,
        Bug::HolderKept,
        Bug::SubscriptionKept,
        Bug::WaitingForgotten,
        Bug::NoSessions,
        Bug::PartitionLeftOut,
        Bug::LateResultTaken,
        Bug::StallTolerated,
    ];
}

#[cfg(not(test))]
#[inline(always)]
pub(super) const fn planted(_: Bug) -> bool {
    false
}

#[cfg(test)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
pub(super) fn planted(bug: Bug) -> bool {
    PLANTED.with(|planted| planted.get() == Some(bug))
}

/// Plants `bug` on this thread until the guard goes.
#[cfg(test)]
pub(super) fn plant(bug: Option<Bug>) -> Planting {
    PLANTED.with(|planted| planted.set(bug));
    Planting
}

#[cfg(test)]
pub(super) struct Planting;

#[cfg(test)]
impl Drop for Planting {
    fn drop(&mut self) {
        PLANTED.with(|planted| planted.set(None));
    }
}
