//! Bugs that the tests plant to see that they are caught; see `planting`.

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
    /// What members of a classic group have is forgotten as it is upgraded.
    UpgradeForgets,
    /// The epochs of a group that is upgraded begin anew.
    UpgradeRestarts,
    /// A group that is downgraded leaves its records behind.
    DowngradeLeavesRecords,
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
    /// Of groups that change over.
    pub(super) const MIGRATION: [Bug; 3] = [Bug::UpgradeForgets, Bug::UpgradeRestarts, Bug::DowngradeLeavesRecords];
}

crate::planting::planting!(Bug);
