//! Producers as of the log end, from snapshots and the segments behind them; and the transaction indexes of what was
//! walked, and of what cannot be right.

use std::collections::BTreeSet;

use super::Recovery;
use crate::log::error::{Error, ReadError};
use crate::log::names;
use crate::log::producers::Producers;
use crate::log::replay::replay;
use crate::log::{transactions, unreadable};
use stratalog_types::Offset;

impl Recovery<'_> {
    /// Producers as of the log end, and the transaction indexes of segments that were walked or whose own cannot be right.
    /// Snapshots of a future that was cut go, and damaged ones.
    pub(super) fn load_producers(&mut self) -> Result<Producers, Error> {
        let mut snapshots: Vec<i64> = self
            .files
            .iter()
            .filter(|(_, suffix)| suffix == names::SNAPSHOT_SUFFIX)
            .map(|(offset, _)| *offset)
            .collect();
        let kept = snapshots.partition_point(|offset| *offset <= self.end);
        let mut unwanted = snapshots.split_off(kept);
        let damaged = self.damaged_transactions()?;
        let rebuilt_from = damaged.first().copied().into_iter().chain(self.first_rebuilt).min();
        let snapshot_max = rebuilt_from.unwrap_or(self.end);
        let replayed = replay(self.path, &self.segments, &snapshots, snapshot_max, self.end);
        let replayed = replayed.map_err(|source| self.unreadable(source))?;
        for (offset, error) in &replayed.unreadable_snapshots {
            let path = names::offset_file(self.path, *offset, names::SNAPSHOT_SUFFIX);
            unreadable::set_aside(&self.dir.disk, &path, error).map_err(Error::io("set aside", &path))?;
        }
        unwanted.extend(&replayed.damaged_snapshots);
        for offset in unwanted {
            let path = names::offset_file(self.path, offset, names::SNAPSHOT_SUFFIX);
            self.dir.disk.unlink(&path).map_err(Error::io("remove", &path))?;
        }
        if let Some(rebuilt_from) = rebuilt_from {
            let mut changed = false;
            let was_walked = |base: i64| self.first_rebuilt.is_some_and(|first| first <= base);
            let bases = self.segments.range(rebuilt_from..).map(|(base, _)| *base);
            for base in bases.filter(|base| was_walked(*base) || damaged.contains(base)) {
                let path = names::offset_file(self.path, base, names::TXN_INDEX_SUFFIX);
                let aborted = replayed.aborted.get(&base).map(Vec::as_slice).unwrap_or_default();
                let exists = self.files.iter().any(|(at, suffix)| *at == base && suffix == names::TXN_INDEX_SUFFIX);
                if !exists && aborted.is_empty() {
                    continue;
                }
                transactions::rewrite(&self.dir.disk, &path, aborted).map_err(Error::io("write", &path))?;
                changed = true;
            }
            if changed {
                self.dir.disk.sync_directory(self.path).map_err(Error::io("sync directory", self.path))?;
            }
        }
        Ok(replayed.producers)
    }

    /// Segments that are believed and whose transaction index cannot be right.
    fn damaged_transactions(&self) -> Result<BTreeSet<i64>, Error> {
        let walked_from = self.first_rebuilt.unwrap_or(i64::MAX);
        let mut damaged = BTreeSet::new();
        for (base, _) in self.files.iter().filter(|(at, suffix)| suffix == names::TXN_INDEX_SUFFIX && *at < walked_from)
        {
            let Some(segment) = self.segments.get(base) else { continue };
            let path = segment.path(names::TXN_INDEX_SUFFIX);
            let may_be_empty = self.dir.was_compacted(self.partition);
            let is_sound = match std::fs::read(&path) {
                Ok(bytes) => {
                    (may_be_empty || !bytes.is_empty())
                        && transactions::are_of_segment(&bytes, *base..segment.next_offset())
                }
                Err(error) if unreadable::tells_of_bytes(&error) => {
                    unreadable::set_aside(&self.dir.disk, &path, &error).map_err(Error::io("set aside", &path))?;
                    false
                }
                Err(error) => return Err(Error::io("read", &path)(error)),
            };
            if !is_sound {
                tracing::error!(path = %path.display(), "transaction index is damaged: made anew from the log");
                damaged.insert(*base);
            }
        }
        Ok(damaged)
    }

    /// A walk of headers for the producers' sake read further back than the walk for the log's.
    fn unreadable(&self, source: ReadError) -> Error {
        let ReadError::Corrupt { path, position, what } = source else {
            return Error::Unreadable { path: self.path.to_owned(), source };
        };
        let name = path.file_name().and_then(|name| name.to_str()).and_then(names::parse_offset_file);
        let base = name.map_or(0, |(base, _)| base);
        let next = self.segments.get(&base).map_or(self.end, |segment| segment.next_offset());
        self.damage(base, position, Offset(base), Offset(next), what)
    }
}
