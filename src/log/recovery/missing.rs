//! Segments that are not there, although something says that they were; and what stands beside segments that went.
//!
//! Owns the signs of a loss: an index without its segment, a recovery point past the end, a directory with remains and
//! no segment. Removes what a removal that was cut short left, and nothing else.

use stratalog_types::Offset;

use super::{Recovery, is_file_empty};
use crate::log::dir::RecoveryPoint;
use crate::log::error::Error;
use crate::log::names;

impl Recovery<'_> {
    /// No segment at all: a creation that was cut short left no more than empty indexes, and wrote no recovery point.
    pub(super) fn check_for_first(&self, bases: &[i64]) -> Result<(), Error> {
        if !bases.is_empty() {
            return Ok(());
        }
        let start = self.end;
        let is_left = |(offset, suffix): &&(i64, String)| {
            let had_batches =
                names::is_index(suffix) && !is_file_empty(&names::offset_file(self.path, *offset, suffix));
            had_batches || (suffix == names::SNAPSHOT_SUFFIX && *offset > start)
        };
        let left = self.files.iter().filter(is_left).map(|(offset, _)| *offset);
        let left: Vec<i64> = left.collect();
        let point = self.recovery_point.or(Offset(start)).0;
        if point <= start && left.is_empty() {
            return Ok(());
        }
        let first = left.iter().copied().min().unwrap_or(start);
        let last = left.iter().copied().max().unwrap_or(start).max(point);
        let what = "the file is missing, and so is every other segment, although there were records".to_owned();
        Err(self.damage(first.min(start), 0, Offset(start), Offset(last.max(start + 1)), what))
    }

    /// An index before the first segment whose `.log` is gone. A log begins where its first epoch does, and every move of
    /// its start is written down before a segment goes.
    pub(super) fn check_for_beginning(&self, bases: &[i64]) -> Result<(), Error> {
        let (Some(first), Some(began)) = (bases.first(), self.epochs.entries().first()) else { return Ok(()) };
        let began = began.start_offset;
        let is_left = |(offset, suffix): &(i64, String)| names::is_index(suffix) && (began.0..*first).contains(offset);
        if !self.files.iter().any(is_left)
            || self.dir.may_have_moved_start(self.partition)
            || self.path.join(names::GIVEN_UP).exists()
        {
            return Ok(());
        }
        let what = "the file is missing; the log began here, and nothing moved its start".to_owned();
        Err(self.damage(began.0, 0, began, Offset(*first), what))
    }

    /// An index between two segments whose `.log` is gone: removals go from the front, oldest first and the `.log` before
    /// its indexes, or from the end, newest first.
    pub(super) fn check_for_missing(&self, bases: &[i64]) -> Result<(), Error> {
        let (Some(first), Some(last)) = (bases.first(), bases.last()) else { return Ok(()) };
        if self.path.join(names::GIVEN_UP).exists() {
            return Ok(());
        }
        let between =
            self.files.iter().filter(|(offset, suffix)| offset > first && offset < last && names::is_index(suffix));
        for (offset, _) in between {
            if bases.binary_search(offset).is_err() {
                let next = bases.iter().find(|base| *base > offset).copied().unwrap_or(*last);
                let what = "the file is missing; its index is there".to_owned();
                return Err(self.damage(*offset, 0, Offset(*offset), Offset(next), what));
            }
        }
        Ok(())
    }

    /// What a write that was cut short left, and index and other files whose segment is gone: a removal that was cut short.
    pub(super) fn remove_orphans(&self, bases: &[i64]) -> Result<(), Error> {
        for (offset, suffix) in self.files {
            let orphan = names::is_index(suffix) && bases.binary_search(offset).is_err();
            let file = names::offset_file(self.path, *offset, suffix);
            if suffix.ends_with(names::DELETED_SUFFIX) {
                self.dir.remove_left(file);
            } else if orphan || suffix.ends_with(names::IN_WORK_SUFFIX) {
                self.dir.disk.unlink(&file).map_err(Error::io("remove", &file))?;
            }
        }
        Ok(())
    }

    /// A log that ends below its recovery point lost what was synced, unless all of that was deleted.
    pub(super) fn check_end(&self, start: Offset) -> Result<(), Error> {
        if let RecoveryPoint::At(point) = self.recovery_point
            && self.end < point.0
            && start < point
            && let Some((base, segment)) = self.segments.last_key_value()
        {
            let what = "the log ends here: the file was cut short, or a later one is missing".to_owned();
            return Err(self.damage(*base, segment.size_bytes(), Offset(self.end), point, what));
        }
        Ok(())
    }
}
