//! Bugs that the tests plant to see that the checker catches them.
//!
//! Outside this crate's own tests `planted` is the constant `false`: the product has no switch.

/// One wrong step each. Some are a caller's: the simulated broker of the tests takes them.
#[cfg_attr(not(test), expect(dead_code, reason = "only tests plant bugs"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    NoTokenCompare,
    SameBytes,
    UnlinkBeforeCommit,
    SweepWithoutFence,
    SweeperIgnoresPages,
    SweeperIgnoresPending,
    UploadBeforeBump,
    NameReuse,
    CommitUnverified,
    DeleteOnDoubt,
    GraceFromDeletedAt,
    NoGrace,
    LogStartFromFiles,
    NoLogStartCheckpoint,
    TierAboveCommitted,
    UncleanAppendOnCopy,
    ReconcileUnfenced,
    PageDeletedAtOnce,
    TrustLostAnswer,
    PutWithoutIfMatch,
    RestoreWithoutHeadFence,
    TokenWithoutOwner,
    PurgeWithoutCas,
    MarkerDroppedEarly,
    MarkerWithoutNonce,
    BaseIsFirstLocal,
    PageCommittedBeforePut,
    CreateOverMissingHead,
}

#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}

#[cfg(test)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
pub(crate) fn planted(bug: Bug) -> bool {
    PLANTED.with(|planted| planted.get() == Some(bug))
}

/// Plants `bug` on this thread until the guard goes.
#[cfg(test)]
pub(crate) fn plant(bug: Option<Bug>) -> Planting {
    PLANTED.with(|planted| planted.set(bug));
    Planting
}

#[cfg(test)]
pub(crate) struct Planting;

#[cfg(test)]
impl Drop for Planting {
    fn drop(&mut self) {
        PLANTED.with(|planted| planted.set(None));
    }
}
