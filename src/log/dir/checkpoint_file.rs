//! One checkpoint: an offset for each partition, in memory and in its file.
//!
//! Owns the entries, and who writes them. A file is written as a whole: a write for one entry costs as much as one for
//! all of them. So who comes while a write is under way waits for the next one, which has the changes of all who wait.
//! What [`CheckpointFile::get`] answers is durable, and so is a change when its call returns.
//!
//! Order of effects of a write: written aside, synced, renamed, directory synced; then the entries count in memory, then
//! the callers go on. A crash leaves the file of before or of after. When a write fails its changes are taken back and
//! each caller has the error; which of the two files is there nobody knows then, so the next call writes, whatever it
//! asks.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use stratalog_types::{Offset, TopicPartition};

use super::checkpoints::Read;
use crate::log::checkpoint::{self, OffsetsByPartition};
use crate::log::error::Error;
use crate::platform::disk::Disk;
use crate::platform::lock;

/// An entry's new value; `None` removes it.
pub type Change = (TopicPartition, Option<Offset>);

pub struct CheckpointFile {
    path: PathBuf,
    disk: Disk,
    /// False: partitions without an entry may have had one.
    whole: bool,
    state: Mutex<State>,
    written: Condvar,
}

struct State {
    /// As last written.
    durable: OffsetsByPartition,
    /// With what is being written, and what waits.
    wanted: OffsetsByPartition,
    /// What waits for the next write.
    waiting: Vec<Change>,
    next: Arc<Round>,
    is_writing: bool,
    /// A write failed, and none went well since.
    is_unsure: bool,
}

/// A write, and how it went.
#[derive(Default)]
struct Round {
    outcome: OnceLock<Result<(), io::Error>>,
}

/// What a change is decided by.
pub struct Entries<'s> {
    durable: &'s OffsetsByPartition,
    wanted: &'s OffsetsByPartition,
    is_unsure: bool,
}

impl Entries<'_> {
    /// With every change that was asked for, durable or not.
    pub fn wanted(&self, partition: &TopicPartition) -> Option<Offset> {
        self.wanted.get(partition).copied()
    }

    /// Whether the entry is known to be, and to stay, as `is_so` asks.
    pub fn is_settled(&self, partition: &TopicPartition, is_so: impl Fn(Option<Offset>) -> bool) -> bool {
        let durable = self.durable.get(partition).copied();
        !self.is_unsure && is_so(durable) && is_so(self.wanted(partition))
    }
}

impl CheckpointFile {
    pub fn new(disk: Disk, path: PathBuf, found: Read) -> CheckpointFile {
        let state = State {
            durable: found.offsets.clone(),
            wanted: found.offsets,
            waiting: Vec::new(),
            next: Arc::default(),
            is_writing: false,
            is_unsure: false,
        };
        CheckpointFile { path, disk, whole: found.whole, state: Mutex::new(state), written: Condvar::new() }
    }

    /// False: partitions without an entry may have had one.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    pub fn len(&self) -> usize {
        lock(&self.state).durable.len()
    }

    pub fn get(&self, partition: &TopicPartition) -> Option<Offset> {
        lock(&self.state).durable.get(partition).copied()
    }

    /// Durable when this returns.
    pub fn put(&self, partition: &TopicPartition, offset: Offset) -> Result<(), Error> {
        self.change(|_| Some(vec![(partition.clone(), Some(offset))]))
    }

    /// Gives an entry to each partition that has none; all of them durable when this returns.
    pub fn put_missing(&self, offsets: &[(TopicPartition, Offset)]) -> Result<(), Error> {
        self.change(|entries| {
            let missing = offsets.iter().filter(|(partition, _)| !entries.is_settled(partition, |at| at.is_some()));
            let missing: Vec<&(TopicPartition, Offset)> = missing.collect();
            // One that is being written is waited for.
            let is_new = |(partition, _): &&&(TopicPartition, Offset)| entries.wanted(partition).is_none();
            let new = missing.iter().filter(is_new).map(|(partition, offset)| (partition.clone(), Some(*offset)));
            (!missing.is_empty()).then(|| new.collect())
        })
    }

    /// Lowers the entries that are above `offset`; durable when this returns.
    pub fn lower(&self, partition: &TopicPartition, offset: Offset) -> Result<(), Error> {
        self.change(|entries| {
            if entries.is_settled(partition, |at| at.is_none_or(|at| at <= offset)) {
                return None;
            }
            let lowered = entries.wanted(partition).map(|at| at.min(offset));
            Some(lowered.map(|lowered| (partition.clone(), Some(lowered))).into_iter().collect())
        })
    }

    /// Removes entries; durable when this returns.
    pub fn remove(&self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.change(|entries| {
            let is_gone = |partition: &TopicPartition| entries.is_settled(partition, |at| at.is_none());
            let there = partitions.iter().filter(|partition| !is_gone(partition));
            let there: Vec<Change> = there.map(|partition| (partition.clone(), None)).collect();
            (!there.is_empty()).then_some(there)
        })
    }

    /// Makes the changes that `decide` asks for, by the entries as they are at this moment: nobody changes them
    /// meanwhile. `None`: there is nothing to do. `Some` is written, even without a change.
    pub fn change(&self, decide: impl FnOnce(&Entries<'_>) -> Option<Vec<Change>>) -> Result<(), Error> {
        let mut state = lock(&self.state);
        let entries = Entries { durable: &state.durable, wanted: &state.wanted, is_unsure: state.is_unsure };
        let Some(changes) = decide(&entries) else { return Ok(()) };
        apply(&mut state.wanted, &changes);
        state.waiting.extend(changes);
        let round = Arc::clone(&state.next);
        loop {
            if let Some(outcome) = round.outcome.get() {
                let failed = outcome.as_ref().err().map(same_again);
                return failed.map_or(Ok(()), |error| Err(Error::io("write", &self.path)(error)));
            }
            state = match state.is_writing {
                true => self.written.wait(state).unwrap_or_else(PoisonError::into_inner),
                false => self.write(state),
            };
        }
    }

    /// Writes what is wanted now.
    fn write<'s>(&'s self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        let round = std::mem::take(&mut state.next);
        let offsets = state.wanted.clone();
        state.waiting.clear();
        state.is_writing = true;
        drop(state);
        let written = self.disk.replace(&self.path, checkpoint::text_of(&offsets).as_bytes());
        let mut state = lock(&self.state);
        state.is_writing = false;
        state.is_unsure = written.is_err();
        if written.is_ok() {
            state.durable = offsets;
        } else {
            let mut wanted = state.durable.clone();
            apply(&mut wanted, &state.waiting);
            state.wanted = wanted;
        }
        let _ = round.outcome.set(written);
        self.written.notify_all();
        state
    }

    /// Callers that wait for the write behind the one under way.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        Arc::strong_count(&lock(&self.state).next) - 1
    }
}

fn apply(offsets: &mut OffsetsByPartition, changes: &[Change]) {
    for (partition, offset) in changes {
        match offset {
            Some(offset) => drop(offsets.insert(partition.clone(), *offset)),
            None => drop(offsets.remove(partition)),
        }
    }
}

/// For one more caller.
fn same_again(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| io::Error::new(error.kind(), error.to_string()), io::Error::from_raw_os_error)
}
