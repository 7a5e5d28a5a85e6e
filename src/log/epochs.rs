//! Which leader epoch begins where (KIP-101): `leader-epoch-checkpoint`, in memory.
//!
//! Pure; the log writes the file. Epochs and offsets rise strictly from entry to entry.

use stratalog_types::{LeaderEpoch, Offset};

/// The first offset that a leader epoch wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochStart {
    pub epoch: LeaderEpoch,
    pub start_offset: Offset,
}

/// The epochs of a log from its start on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaderEpochs {
    entries: Vec<EpochStart>,
}

impl LeaderEpochs {
    /// Entries that do not rise are left out: a later one wins.
    pub fn new(entries: Vec<EpochStart>) -> LeaderEpochs {
        let mut epochs = LeaderEpochs::default();
        for entry in entries {
            epochs.assign(entry.epoch, entry.start_offset);
        }
        epochs
    }

    pub fn entries(&self) -> &[EpochStart] {
        &self.entries
    }

    pub fn latest(&self) -> LeaderEpoch {
        self.entries.last().map_or(LeaderEpoch::NONE, |entry| entry.epoch)
    }

    /// Notes that `epoch` writes from `start_offset` on; answers whether that is news. Entries that contradict it
    /// (same or later epoch, or same or later start) are dropped first.
    pub fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> bool {
        if epoch.0 < 0 || start_offset.0 < 0 {
            return false;
        }
        if let Some(last) = self.entries.last()
            && last.epoch == epoch
            && last.start_offset <= start_offset
        {
            return false;
        }
        self.entries.retain(|entry| entry.epoch < epoch && entry.start_offset < start_offset);
        self.entries.push(EpochStart { epoch, start_offset });
        true
    }

    /// The largest known epoch not after `epoch`, and where it ends (KIP-101, KIP-279). An epoch newer than all known
    /// ones has no answer; one older than all known ends where the first known begins.
    pub fn end_offset_for(&self, epoch: LeaderEpoch, log_end_offset: Offset) -> Option<(LeaderEpoch, Offset)> {
        if epoch.0 < 0 {
            return None;
        }
        let latest = self.entries.last()?;
        if latest.epoch == epoch {
            return Some((epoch, log_end_offset));
        }
        if epoch > latest.epoch {
            return None;
        }
        let above = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let next = self.entries.get(above)?;
        match above.checked_sub(1).and_then(|floor| self.entries.get(floor)) {
            Some(floor) => Some((floor.epoch, next.start_offset)),
            None => Some((epoch, next.start_offset)),
        }
    }

    /// The epoch that wrote `offset`, if the entries reach back to it.
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        let above = self.entries.partition_point(|entry| entry.start_offset <= offset);
        above.checked_sub(1).and_then(|floor| self.entries.get(floor)).map(|entry| entry.epoch)
    }

    /// Forgets what begins at `offset` or later. Answers whether anything changed.
    pub fn truncate_from_end(&mut self, offset: Offset) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.start_offset < offset);
        self.entries.len() != before
    }

    /// The log starts at `offset` now: the entry that covers it starts there, older ones go.
    pub fn truncate_from_start(&mut self, offset: Offset) -> bool {
        let above = self.entries.partition_point(|entry| entry.start_offset <= offset);
        let Some(floor) = above.checked_sub(1) else {
            return false;
        };
        let changed = floor > 0 || self.entries.first().is_some_and(|first| first.start_offset < offset);
        self.entries.drain(..floor);
        if let Some(first) = self.entries.first_mut() {
            first.start_offset = first.start_offset.max(offset);
        }
        changed
    }
}
