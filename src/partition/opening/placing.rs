//! Where each partition is, or is to be: found in the data directories, or placed in one of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use stratalog_types::{PartitionIndex, TopicId, TopicPartition};

use super::{TopicTerms, offline};
use crate::log::{LogDir, PartitionDir};
use crate::metadata::Image;
use crate::partition::registry::{Partitions, Slot};
use crate::partition::tier::chain;

/// Partitions that were made anew which are named one by one; the rest is counted.
const LOST_NAMED_MAX: usize = 10;

/// A partition to be opened or made.
pub(super) struct Wanted {
    pub(super) terms: Arc<TopicTerms>,
    pub(super) topic_partition: TopicPartition,
    pub(super) home: Arc<LogDir>,
    pub(super) there: There,
}

/// What is there of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    Directory,
    /// Nothing, and it is new.
    New,
    /// Nothing, although the metadata knows it.
    Lost,
}

/// What is found in the data directories, by partition.
pub(super) type OnDisk = HashMap<TopicPartition, Vec<(Arc<LogDir>, PartitionDir)>>;

impl Partitions {
    pub(super) fn find_on_disk(&self) -> OnDisk {
        let mut found = OnDisk::new();
        for log_dir in self.log_dirs.online() {
            let dirs = log_dir.partitions_on_disk().unwrap_or_else(|error| {
                log_dir.take_offline(chain(&error));
                Vec::new()
            });
            for dir in dirs {
                found.entry(dir.topic_partition.clone()).or_default().push((log_dir.clone(), dir));
            }
        }
        found
    }

    /// Directories whose topic is not in the image: deleted topics go, unknown ones stay and are named.
    pub(super) fn remove_strays(&self, image: &Image, found: &mut OnDisk) {
        let known: HashSet<TopicId> = image.topics().map(|topic| topic.id).collect();
        for dirs in found.values_mut() {
            dirs.retain(|(log_dir, dir)| {
                let Some(id) = dir.topic_id.filter(|id| !known.contains(id)) else { return true };
                if !image.deleting.contains_key(&id) {
                    tracing::warn!(
                        path = %dir.path.display(),
                        "directory of topic id {id}, which the metadata does not know: left alone; remove it by hand if it is not wanted"
                    );
                } else if let Err(error) = log_dir.remove_partition(dir) {
                    tracing::error!(path = %dir.path.display(), "directory of a deleted topic not removed: {error}");
                } else {
                    return false;
                }
                true
            });
        }
    }

    /// Where each partition is, or why it cannot be opened.
    pub(super) fn plan(
        &self,
        terms: &[Arc<TopicTerms>],
        found: &OnDisk,
    ) -> (Vec<Wanted>, HashMap<(TopicId, PartitionIndex), Slot>) {
        let mut wanted = Vec::new();
        let mut slots = HashMap::new();
        let mut choice = Choice::of(self);
        for dirs in found.values() {
            dirs.iter().for_each(|(log_dir, _)| choice.took(log_dir));
        }
        let missing = self.log_dirs.states().find(|state| state.offline.is_some());
        let mut lost = 0;
        for terms in terms {
            for index in 0..terms.topic.partitions.len() {
                let topic_partition = terms.name_of(index);
                let key = (terms.topic.id, topic_partition.partition);
                let there = found.get(&topic_partition).map(|dirs| of_topic(dirs, terms.topic.id)).unwrap_or_default();
                let (home, there) = match there.as_slice() {
                    [(log_dir, _)] => (log_dir.clone(), There::Directory),
                    [(_, first), (_, second), ..] => {
                        let (first, second) = (first.path.display(), second.path.display());
                        let reason = format!(
                            "it is in two data directories, {first} and {second}: move the one that is not wanted away and restart"
                        );
                        slots.insert(key, offline(topic_partition, None, reason, false));
                        continue;
                    }
                    [] => {
                        if let Some(missing) = &missing {
                            let (path, why) = (missing.path.display(), missing.offline.unwrap_or_default());
                            let reason = format!("it is in no data directory that opened, and {path} did not: {why}");
                            slots.insert(key, offline(topic_partition, None, reason, false));
                            continue;
                        }
                        lost += 1;
                        if lost <= LOST_NAMED_MAX {
                            tracing::error!(partition = %topic_partition, "its directory is in none of log.dirs: made anew");
                        }
                        let Some(home) = choice.next() else { continue };
                        (home, There::Lost)
                    }
                };
                wanted.push(Wanted { terms: terms.clone(), topic_partition, home, there });
            }
        }
        if lost > LOST_NAMED_MAX {
            tracing::error!(partitions = lost, "directories are in none of log.dirs: made anew; is one missing there?");
        }
        (wanted, slots)
    }
}

/// Where new partitions go: to the directory that has the fewest (Kafka's rule), the first of several.
pub(super) struct Choice {
    counts: Vec<(Arc<LogDir>, usize)>,
}

impl Choice {
    pub(super) fn of(partitions: &Partitions) -> Choice {
        let by_directory: BTreeMap<PathBuf, usize> = partitions.partitions_by_directory();
        let count_of = |dir: &Arc<LogDir>| by_directory.get(dir.path()).copied().unwrap_or_default();
        Choice { counts: partitions.log_dirs.online().map(|dir| (dir.clone(), count_of(dir))).collect() }
    }

    pub(super) fn took(&mut self, log_dir: &Arc<LogDir>) {
        if let Some((_, count)) = self.counts.iter_mut().find(|(dir, _)| Arc::ptr_eq(dir, log_dir)) {
            *count += 1;
        }
    }

    pub(super) fn next(&mut self) -> Option<Arc<LogDir>> {
        self.next_where(|_| true)
    }

    pub(super) fn next_where(&mut self, takes: impl Fn(&LogDir) -> bool) -> Option<Arc<LogDir>> {
        let (dir, count) = self.counts.iter_mut().filter(|(dir, _)| takes(dir)).min_by_key(|(_, count)| *count)?;
        *count += 1;
        Some(dir.clone())
    }
}

/// The directories that say they are of this topic; where none does, all of that name.
fn of_topic(dirs: &[(Arc<LogDir>, PartitionDir)], topic: TopicId) -> Vec<&(Arc<LogDir>, PartitionDir)> {
    let of_topic: Vec<_> = dirs.iter().filter(|(_, dir)| dir.topic_id == Some(topic)).collect();
    if of_topic.is_empty() { dirs.iter().collect() } else { of_topic }
}
