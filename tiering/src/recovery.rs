//! Leadership start: what a leader says of its log, and whether that log agrees with the tier.
//!
//! The rule: a log that is not clean appends nothing before the head is fenced, and is judged against the **fenced**
//! head, because an old leader may commit until then. Where it disagrees it is set aside, and the partition goes on at
//! the tier's next offset with the epochs and the producer state of the newest segment's footer.

use stratalog_types::{LeaderEpoch, Offset};

use crate::entry::Entry;
use crate::manifest::head::{Head, Token};

/// Where an epoch's records begin: a line of the leader epoch checkpoint, or of a footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochStart {
    pub leader_epoch: LeaderEpoch,
    pub start_offset: Offset,
}

/// What a partition knows of itself when it becomes leader.
#[derive(Debug, Clone)]
pub struct Leadership {
    /// Of the cluster's claim on the bucket.
    pub owner_epoch: u64,
    pub leader_epoch: LeaderEpoch,
    /// Elected from the in-sync replicas (or eligible ones), and recovery cut nothing below the recovery point. When
    /// false, nothing may be appended before `start` has returned and its reconcile is done.
    pub clean: bool,
    pub log_end_offset: Offset,
    /// The topic was just created and nothing of this partition was ever tiered: only then may a missing head be made.
    pub topic_is_new: bool,
}

impl Leadership {
    pub fn token(&self) -> Token {
        Token { owner_epoch: self.owner_epoch, leader_epoch: self.leader_epoch }
    }
}

/// How a leadership began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// The session is active. The log start was checkpointed before it was exposed.
    Active { log_start_offset: Offset, next_offset: Offset },
    /// A newer leader or owner was here: stop.
    Fenced { by: Token },
    /// The head is fenced, commits wait for `PartitionManifest::reconciled`.
    ReconcileNeeded(Reconcile),
}

/// What to do before the first append of a log that was not clean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconcile {
    pub cause: ReconcileCause,
    pub log_start_offset: Offset,
    /// Where the log goes on once it is set aside.
    pub next_offset: Offset,
    /// Its footer has the epochs and the producer state of the tiered range.
    pub last_entry: Option<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReconcileCause {
    /// The log ends below the tier: set it aside.
    LogEndsBelowTier,
    /// Read the footer's epochs and ask `lineage_agrees`; if it does not, set the log aside.
    CompareEpochs,
}

pub(crate) fn cause(head: &Head, leadership: &Leadership) -> Option<ReconcileCause> {
    if leadership.log_end_offset < head.next_offset {
        return Some(ReconcileCause::LogEndsBelowTier);
    }
    (!leadership.clean && head.tiered_end().is_some()).then_some(ReconcileCause::CompareEpochs)
}

/// Whether a log's epochs are the tier's between `log_start` and the tier's `end`: the same epoch at every offset.
pub fn lineage_agrees(log: &[EpochStart], tier: &[EpochStart], log_start: Offset, end: Offset) -> bool {
    let epoch_at = |epochs: &[EpochStart], offset: Offset| {
        epochs.iter().rev().find(|epoch| epoch.start_offset <= offset).map(|epoch| epoch.leader_epoch)
    };
    let borders = log.iter().chain(tier).map(|epoch| epoch.start_offset);
    borders
        .chain([log_start])
        .filter(|offset| *offset >= log_start && *offset < end)
        .all(|offset| epoch_at(log, offset) == epoch_at(tier, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(starts: &[(i32, i64)]) -> Vec<EpochStart> {
        let start = |(epoch, offset): &(i32, i64)| EpochStart {
            leader_epoch: LeaderEpoch(*epoch),
            start_offset: Offset(*offset),
        };
        starts.iter().map(start).collect()
    }

    #[test]
    fn lineages_agree_only_when_every_tiered_offset_has_one_epoch() {
        let tier = epochs(&[(0, 0), (2, 50)]);
        let agrees =
            |log: &[(i32, i64)], start: i64, end: i64| lineage_agrees(&epochs(log), &tier, Offset(start), Offset(end));
        assert!(agrees(&[(0, 0), (2, 50)], 0, 100));
        assert!(agrees(&[(0, 0), (2, 50), (7, 100)], 0, 100), "beyond the tier the log is alone");
        assert!(agrees(&[(0, 10), (2, 50)], 20, 100), "below the log start nothing counts");
        assert!(!agrees(&[(0, 0), (2, 49)], 0, 100));
        assert!(!agrees(&[(0, 0), (2, 51)], 0, 100));
        assert!(!agrees(&[(0, 0), (1, 20), (2, 50)], 0, 100));
        assert!(!agrees(&[(0, 0), (2, 50), (3, 99)], 0, 100));
        assert!(!agrees(&[(0, 60)], 0, 100), "the log does not know the epoch of its start");
        assert!(agrees(&[(9, 0)], 100, 100), "nothing is tiered above the log start");
    }
}
