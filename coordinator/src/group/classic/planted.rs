//! Bugs that the tests plant to see that they are caught. Outside tests `planted` is the constant `false`.

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
