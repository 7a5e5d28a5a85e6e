//! The data directories of one broker (`log.dirs`): one that fails leaves the others serving.
//!
//! Owns which of them are open and why the others are not. Each has its own lock, identity, checkpoints, clean mark and
//! sync threads. A directory that cannot be opened is kept by its name and the reason; that somebody else holds it, or
//! that it belongs to another cluster or node, is a mistake in the set-up and an error.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stratalog_types::TopicPartition;

use super::{DirectoryLock, LogDir, LogDirOptions, meta, read_meta_properties};
use crate::log::append::Chain;
use crate::log::error::Error;
use crate::log::names;

/// One of `log.dirs`.
enum Slot {
    Open(Arc<LogDir>),
    Failed { path: PathBuf, reason: String },
}

impl Slot {
    /// The directory is let go of.
    fn fail(&mut self, reason: String) {
        let Slot::Open(dir) = self else { return };
        let path = dir.path().to_owned();
        tracing::error!(path = %path.display(), reason, "data directory is offline, with its partitions");
        *self = Slot::Failed { path, reason };
    }
}

/// All of `log.dirs`, in their order. At least one could be opened.
pub struct LogDirs {
    slots: Vec<Slot>,
}

/// A directory as it is now.
pub struct LogDirState<'d> {
    pub path: &'d Path,
    /// `None`: it could not be opened at start.
    pub dir: Option<&'d Arc<LogDir>>,
    /// Why it takes no writes, if so.
    pub offline: Option<&'d str>,
}

impl LogDirs {
    /// Opens what can be opened. An error: none could, or one is in use, or belongs to somebody else.
    pub fn open(paths: &[PathBuf], options: &LogDirOptions) -> Result<LogDirs, Error> {
        let mut options = options.clone();
        if options.cluster_id.is_none() {
            options.cluster_id = LogDirs::cluster_of_any(paths);
        }
        if options.cluster_id.is_none() {
            // Before one of the others gets a new id, which would be theirs.
            paths.iter().filter(|path| path.is_dir()).try_for_each(|path| meta::check_not_lost(path))?;
        }
        let mut slots: Vec<Slot> = Vec::with_capacity(paths.len());
        let mut first_error = None;
        for path in paths {
            match LogDir::open(path, options.clone()) {
                Ok(dir) => {
                    options.cluster_id.get_or_insert_with(|| dir.cluster_id().to_owned());
                    refuse_twin(&slots, &dir)?;
                    slots.push(Slot::Open(dir));
                }
                Err(error @ (Error::Locked { .. } | Error::WrongOwner { .. })) => return Err(error),
                Err(error) => {
                    let reason = Chain(&error).to_string();
                    first_error.get_or_insert(error);
                    slots.push(Slot::Failed { path: path.clone(), reason });
                }
            }
        }
        let dirs = LogDirs { slots };
        match first_error {
            Some(error) if dirs.opened().next().is_none() => return Err(error),
            Some(_) | None => {}
        }
        for state in dirs.states() {
            if let (None, Some(reason)) = (state.dir, state.offline) {
                tracing::error!(
                    path = %state.path.display(), reason,
                    "data directory cannot be opened and is offline, with its partitions: mend the disk and restart"
                );
            }
        }
        Ok(dirs)
    }

    /// The cluster that a data directory says it is of, without opening it.
    pub fn cluster_of_any(paths: &[PathBuf]) -> Option<String> {
        paths.iter().find_map(|path| read_meta_properties(path).ok().flatten()?.remove("cluster.id"))
    }

    /// While nobody has any of them open.
    pub fn while_locked<T>(paths: &[PathBuf], holder: &str, look: impl FnOnce() -> T) -> Result<T, Error> {
        let there = paths.iter().filter(|path| path.is_dir());
        let _locks: Vec<DirectoryLock> =
            there.map(|path| DirectoryLock::take(path, holder)).collect::<Result<_, _>>()?;
        Ok(look())
    }

    /// Decides which new directories may be one, by the partitions that the metadata knows. Where some of those are
    /// nowhere, an empty directory may be a mount point whose disk is not mounted: it is offline, and what would be in it is
    /// not made anew. The one that has the metadata is none. A directory that cannot be listed is offline too. An error:
    /// none is left.
    pub fn settle(&mut self, known: &[TopicPartition], metadata_dir: &Path) -> Result<(), Error> {
        let mut found = HashSet::new();
        for slot in &mut self.slots {
            let Slot::Open(dir) = slot else { continue };
            match dir.partitions_on_disk() {
                Ok(partitions) => found.extend(partitions.into_iter().map(|dir| dir.topic_partition)),
                Err(error) => slot.fail(Chain(&error).to_string()),
            }
        }
        let mut lost = known.iter().filter(|partition| !found.contains(partition));
        let (first, others) = (lost.next(), lost.count());
        for slot in &mut self.slots {
            let Slot::Open(dir) = slot else { continue };
            match (dir.is_new(), first) {
                (Ok(false), _) => {}
                (Ok(true), Some(first)) if dir.path() != metadata_dir => {
                    let mark = dir.path().join(names::NEW_DIRECTORY);
                    slot.fail(format!(
                        "it is empty, and {first} and {others} other partitions are in none of log.dirs: is its disk not \
                         mounted? Mount it and restart; or, to have them made anew, empty, remove {} and restart",
                        mark.display()
                    ));
                }
                (Ok(true), _) => dir.settle()?,
                (Err(error), _) => slot.fail(Chain(&error).to_string()),
            }
        }
        match self.slots.first() {
            Some(Slot::Failed { path, reason }) if self.opened().next().is_none() => {
                Err(Error::Offline { path: path.clone(), reason: reason.clone() })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// In the order of `log.dirs`.
    pub fn states(&self) -> impl Iterator<Item = LogDirState<'_>> {
        self.slots.iter().map(|slot| match slot {
            Slot::Open(dir) => LogDirState { path: dir.path(), dir: Some(dir), offline: dir.offline() },
            Slot::Failed { path, reason } => LogDirState { path, dir: None, offline: Some(reason) },
        })
    }

    /// Those that were opened at start, also when they failed since.
    pub fn opened(&self) -> impl Iterator<Item = &Arc<LogDir>> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Open(dir) => Some(dir),
            Slot::Failed { .. } => None,
        })
    }

    /// Those that take writes.
    pub fn online(&self) -> impl Iterator<Item = &Arc<LogDir>> {
        self.opened().filter(|dir| dir.offline().is_none())
    }

    pub fn offline_count(&self) -> usize {
        self.states().filter(|state| state.offline.is_some()).count()
    }

    /// Why nothing takes writes any more: the first reason, when every directory is offline.
    pub fn all_offline(&self) -> Option<&str> {
        if self.online().next().is_some() {
            return None;
        }
        self.states().find_map(|state| state.offline)
    }

    /// Some cluster's; all directories have the same.
    pub fn cluster_id(&self) -> &str {
        self.opened().next().map_or("", |dir| dir.cluster_id())
    }

    /// Writes the recovery points of each directory that is online.
    pub fn checkpoint_recovery_points(&self) -> Result<(), Error> {
        self.online().map(|dir| dir.checkpoint_recovery_points()).fold(Ok(()), Result::and)
    }

    /// The clean stop of each; one that is offline does not keep the others from theirs. The first error is the answer.
    pub fn close(&self) -> Result<(), Error> {
        self.opened().map(|dir| dir.close()).fold(Ok(()), Result::and)
    }
}

impl From<Arc<LogDir>> for LogDirs {
    fn from(dir: Arc<LogDir>) -> LogDirs {
        LogDirs { slots: vec![Slot::Open(dir)] }
    }
}

/// Two directories of one id are a directory and its copy: which of them is the log nobody can tell.
fn refuse_twin(slots: &[Slot], dir: &LogDir) -> Result<(), Error> {
    let twin = slots.iter().find_map(|slot| match slot {
        Slot::Open(other) if other.directory_id() == dir.directory_id() => Some(other),
        Slot::Open(_) | Slot::Failed { .. } => None,
    });
    match twin {
        Some(other) => Err(Error::TwinDirectories {
            first: other.path().to_owned(),
            second: dir.path().to_owned(),
            directory_id: dir.directory_id().to_owned(),
        }),
        None => Ok(()),
    }
}
