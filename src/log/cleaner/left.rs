//! What a crash left of swaps, told by the names alone: of ours, and of Apache Kafka's, which renames in another order.
//!
//! We rename the indexes to `.swap`, then the log, and later the indexes to their names, then the log. Kafka renames
//! the log before its indexes, both times, and syncs no name of it; before the second time what is replaced has become
//! `.deleted`. So of the files of one base offset
//!
//! - `.log.swap` and nothing `.cleaned` is decided;
//! - `.log.swap` and something `.cleaned` is Kafka's and not decided, for nothing was replaced yet: undone, as Kafka
//!   does;
//! - `.log`, indexes in `.swap` with none of their kind beside them and nothing `.cleaned` is Kafka's and all but done:
//!   the indexes take their names;
//! - anything else is not decided: undone.
//!
//! Order of effects of undoing: `.log.swap` goes, then the other `.swap` files, the offset index last, then `.cleaned`,
//! the directory synced after each. A crash in between leaves what is undone again.

use std::collections::BTreeSet;
use std::path::Path;

use crate::log::error::Error;
use crate::log::names::{self, CLEANED_SUFFIX, LOG_SUFFIX, SWAP_SUFFIX};
use crate::platform::disk::Disk;

/// The files of a partition directory, as a start finds them.
pub struct Left<'f>(pub &'f [(i64, String)]);

impl Left<'_> {
    fn has(&self, base: i64, suffix: &str) -> bool {
        self.0.iter().any(|(other, found)| *other == base && found == suffix)
    }

    fn is_in_swap(&self, base: i64, kind: &str) -> bool {
        self.has(base, &in_swap(kind))
    }

    fn is_in_work(&self, base: i64) -> bool {
        self.0.iter().any(|(other, suffix)| *other == base && ends_in(suffix, CLEANED_SUFFIX))
    }

    /// The base offsets that a swap, or a cleaning before one, was at.
    pub fn bases(&self) -> BTreeSet<i64> {
        let is_left = |suffix: &str| ends_in(suffix, SWAP_SUFFIX) || ends_in(suffix, CLEANED_SUFFIX);
        self.0.iter().filter(|(_, suffix)| is_left(suffix)).map(|(base, _)| *base).collect()
    }

    /// Whether the swap is to be completed.
    pub fn is_decided(&self, base: i64) -> bool {
        self.is_in_swap(base, LOG_SUFFIX) && !self.is_in_work(base)
    }

    /// Kafka's: of a decided swap that has no transaction index, while the segment that it replaces has one.
    pub fn has_stale_transactions(&self, base: i64) -> bool {
        let [offsets, times, transactions] = names::INDEX_SUFFIXES;
        let is_kept = |kind| self.is_in_swap(base, kind);
        (is_kept(offsets) || is_kept(times)) && !is_kept(transactions) && self.has(base, transactions)
    }

    fn is_all_but_done(&self, base: i64) -> bool {
        let is_free = |kind: &&str| !(self.is_in_swap(base, kind) && self.has(base, kind));
        let has_log = self.has(base, LOG_SUFFIX) && !self.is_in_swap(base, LOG_SUFFIX);
        has_log && !self.is_in_work(base) && names::INDEX_SUFFIXES.iter().all(is_free)
    }

    /// Deals with all that is not decided.
    pub fn settle_undecided(&self, disk: &Disk, path: &Path) -> Result<(), Error> {
        for base in self.bases() {
            if self.is_all_but_done(base) {
                for kind in names::INDEX_SUFFIXES.iter().filter(|kind| self.is_in_swap(base, kind)) {
                    let before = names::offset_file(path, base, &in_swap(kind));
                    let after = names::offset_file(path, base, kind);
                    disk.rename(&before, &after).map_err(Error::io("rename", &before))?;
                }
                disk.sync_directory(path).map_err(Error::io("sync directory", path))?;
            } else if !self.is_decided(base) {
                self.undo(disk, path, base)?;
            }
        }
        Ok(())
    }

    fn undo(&self, disk: &Disk, path: &Path, base: i64) -> Result<(), Error> {
        let indexes: Vec<String> = names::INDEX_SUFFIXES.iter().rev().map(|kind| in_swap(kind)).collect();
        let of_base = self.0.iter().filter(|(other, suffix)| *other == base && ends_in(suffix, CLEANED_SUFFIX));
        let cleaned: Vec<String> = of_base.map(|(_, suffix)| suffix.clone()).collect();
        for step in [vec![in_swap(LOG_SUFFIX)], indexes, cleaned] {
            for suffix in step.iter().filter(|suffix| self.has(base, suffix)) {
                let file = names::offset_file(path, base, suffix);
                disk.unlink(&file).map_err(Error::io("remove", &file))?;
            }
            disk.sync_directory(path).map_err(Error::io("sync directory", path))?;
        }
        Ok(())
    }
}

fn in_swap(kind: &str) -> String {
    format!("{kind}.{SWAP_SUFFIX}")
}

/// Whether a suffix is a kind of file and this behind it.
fn ends_in(suffix: &str, last: &str) -> bool {
    suffix.strip_suffix(last).is_some_and(|kind| kind.ends_with('.'))
}
