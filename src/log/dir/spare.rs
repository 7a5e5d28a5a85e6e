//! Room for what makes room: a file that holds some blocks of the disk, and is given up when there are no others.
//!
//! Before segments go the log start is written down, in a new file. On a disk without a free block that fails, and retention
//! would free nothing for ever. So the file goes first, and the write is tried once more. The directory's own thread makes
//! it again as soon as there is room; a crash leaves it, a part of it, or none.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::LogDir;
use crate::log::error::Error;
use crate::log::names;
use crate::platform::disk::{Disk, is_full};
use crate::platform::lock;

/// Several checkpoints of thousands of partitions.
const SPARE_BYTES: u64 = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody asked for it, and there is none.
    None,
    Kept,
    /// Given up, or there was no room for it.
    GivenUp,
}

pub struct Spare {
    path: PathBuf,
    state: Mutex<State>,
}

impl Spare {
    pub fn of(directory: &Path) -> Spare {
        let path = directory.join(names::SPARE);
        // What a run before has left is there for the recovery, too.
        let state = if is_whole(&path) { State::Kept } else { State::None };
        Spare { path, state: Mutex::new(state) }
    }

    /// Makes it, if it is not there. On a disk without the room nothing is left of the attempt.
    fn keep(&self, disk: &Disk) -> io::Result<()> {
        let mut state = lock(&self.state);
        if *state == State::Kept {
            return Ok(());
        }
        if !is_whole(&self.path) {
            let made = disk.create(&self.path).and_then(|file| {
                file.resize(SPARE_BYTES)?;
                file.sync()
            });
            if let Err(error) = made {
                disk.unlink_if_exists(&self.path)?;
                if is_full(&error) {
                    *state = State::GivenUp;
                }
                return Err(error);
            }
        }
        *state = State::Kept;
        Ok(())
    }

    /// False: there was nothing to give up. That somebody else has just done it is worth a try, too.
    fn give_up(&self, disk: &Disk) -> bool {
        let mut state = lock(&self.state);
        match *state {
            State::None => false,
            State::GivenUp => true,
            State::Kept => {
                *state = State::GivenUp;
                disk.unlink_if_exists(&self.path).is_ok()
            }
        }
    }

    fn is_given_up(&self) -> bool {
        *lock(&self.state) == State::GivenUp
    }
}

fn is_whole(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.len() == SPARE_BYTES)
}

impl LogDir {
    /// Keeps some room for [`LogDir::with_spare`].
    pub fn keep_spare(&self) {
        if let Err(error) = self.spare.keep(&self.disk) {
            tracing::debug!(path = %self.path.display(), %error, "no room is kept for what makes room");
        }
    }

    /// Does what frees room, or is needed before that; where the disk is full once more, with the room that was kept.
    pub(in crate::log) fn with_spare<T>(&self, mut act: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        match act() {
            Err(Error::StorageFull { path }) if self.spare.give_up(&self.disk) => {
                tracing::warn!(path = %path.display(), "the disk is full: this goes into the room that was kept for it");
                act()
            }
            done => done,
        }
    }

    /// Whether the disk is so full that nothing may take room that can do without.
    pub fn is_short_of_room(&self) -> bool {
        self.is_below_reserve() || self.spare.is_given_up()
    }
}
