//! Bugs that the tests plant to see that they are caught; see `planting`.

/// One wrong step each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    GenerationNotBumped,
    StaleHeartbeat,
    StaleSync,
    StaleCommit,
    StaticNotFenced,
    MemberNeverExpired,
    WaitingMemberExpired,
    LostJoinAnswer,
    SessionLostOnSync,
    LeadLostOnReplace,
    NoSessionAfterLoad,
    AssignmentBeforeCommit,
    FailedAppendStands,
    SyncOwedForEver,
    MissingKept,
}

crate::planting::planting!(Bug);
