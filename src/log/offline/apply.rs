//! Doing what a plan says.
//!
//! A batch that is whole but for its base offset, which lies under no CRC, stays: where its neighbours say what that
//! was, it is set again, in place.
//!
//! Order of effects, of each other action: the side file is written and synced, then the log is replaced by rename (or
//! cut) and synced, then its indexes go, to be written anew from what is left. A crash in between leaves a side file
//! too many, or a log without indexes: the next start, or the next repair, makes them.

use std::ops::Range;
use std::path::{Path, PathBuf};

use stratalog_types::{LeaderEpoch, Offset};

use super::action::Action;
use super::batches::{Batches, Found};
use super::filler;
use super::target::entries;
use crate::log::checkpoint;
use crate::log::config::LogConfig;
use crate::log::epochs::LeaderEpochs;
use crate::log::error::Error;
use crate::log::names;
use crate::log::segment::Indexes;
use crate::log::unreadable::free_name;
use crate::platform::disk::{Disk, DiskFile};

const COPY_BYTES: usize = 1 << 20;

pub fn apply(disk: &Disk, action: &Action) -> Result<(), Error> {
    match action {
        Action::RebuildIndexes { log } => rebuild_indexes(disk, log),
        Action::CutTail { log, position, .. } => cut_tail(disk, log, *position),
        Action::DropDamaged { log, position, end, first_offset, last_offset, .. } => {
            let filler = filler::bytes(log, *position, *first_offset, *last_offset)?;
            drop_bytes(disk, log, *position..*end, &filler)
        }
        Action::SetBaseOffset { log, position, from, to, .. } => set_base_offset(disk, log, *position, *from, *to),
        Action::SetAside { file } => {
            let aside = free_name(file, names::DAMAGED_SUFFIX);
            disk.rename(file, &aside).map_err(Error::io("set aside", file))?;
            sync_parent(disk, file)
        }
        Action::RebuildEpochs { file } => rebuild_epochs(disk, file),
        Action::LowerRecoveryPoint { file, partition, to, .. } => {
            let mut offsets = checkpoint::read_offsets(file)?;
            if let Some(partition) = names::parse_partition_directory(partition) {
                offsets.insert(partition, Offset(*to));
            }
            checkpoint::write_offsets(disk, file, &offsets)
        }
        Action::AcceptMissing { file } => {
            let text = b"offsets are missing in this log: stratalog log repair --drop-damaged\n";
            disk.replace(file, text).map_err(Error::io("write", file))
        }
        Action::Leave { .. } => Ok(()),
    }
}

fn sync_parent(disk: &Disk, file: &Path) -> Result<(), Error> {
    let parent = file.parent().unwrap_or(Path::new("."));
    disk.sync_directory(parent).map_err(Error::io("sync directory", parent))
}

/// Copies a range to where `end` says, and answers where that ends.
fn copy(source: &DiskFile, range: Range<u64>, to: &DiskFile, end: u64) -> std::io::Result<u64> {
    let start = range.start;
    let reached =
        source.read_pieces(range, &mut vec![0; COPY_BYTES], |piece, at| to.write_at(piece, end + (at - start)))?;
    Ok(end + (reached - start))
}

fn keep_aside(disk: &Disk, log: &Path, source: &DiskFile, range: Range<u64>, suffix: &str) -> Result<(), Error> {
    let aside = free_name(&log.with_extension(range.start.to_string()), suffix);
    let failed = |e| Error::io("write", &aside)(e);
    let to = disk.create_new(&aside).map_err(failed)?;
    copy(source, range, &to, 0).map_err(failed)?;
    to.sync().map_err(failed)?;
    sync_parent(disk, log)
}

fn cut_tail(disk: &Disk, log: &Path, position: u64) -> Result<(), Error> {
    let failed = |e| Error::io("repair", log)(e);
    let file = disk.open(log).map_err(failed)?;
    let size_bytes = file.length().map_err(failed)?;
    keep_aside(disk, log, &file, position..size_bytes, names::CUT_SUFFIX)?;
    file.truncate(position).and_then(|()| file.sync()).map_err(failed)
}

/// Takes bytes out of the middle of a log, and puts `filler` in their place.
fn drop_bytes(disk: &Disk, log: &Path, bad: Range<u64>, filler: &[u8]) -> Result<(), Error> {
    let failed = |e| Error::io("repair", log)(e);
    let file = disk.open(log).map_err(failed)?;
    let size_bytes = file.length().map_err(failed)?;
    keep_aside(disk, log, &file, bad.clone(), names::DAMAGED_SUFFIX)?;
    let mut name = log.as_os_str().to_owned();
    name.push(".tmp");
    let whole = PathBuf::from(name);
    let to = disk.create(&whole).map_err(failed)?;
    let copied = copy(&file, 0..bad.start, &to, 0)
        .and_then(|at| to.write_at(filler, at).map(|()| at + filler.len() as u64))
        .and_then(|at| copy(&file, bad.end..size_bytes, &to, at));
    copied.and_then(|_| to.sync()).map_err(failed)?;
    // The indexes of what was there must not outlive it.
    remove_indexes(disk, log)?;
    disk.rename(&whole, log).map_err(failed)?;
    sync_parent(disk, log)
}

/// Eight bytes in place: a crash half way leaves a batch at another wrong offset, which the next repair sets right.
fn set_base_offset(disk: &Disk, log: &Path, position: u64, from: i64, to: i64) -> Result<(), Error> {
    let failed = |e| Error::io("repair", log)(e);
    let file = disk.open(log).map_err(failed)?;
    let mut bytes = [0; 8];
    let read = file.read_at(&mut bytes, position).map_err(failed)?;
    if read < bytes.len() || i64::from_be_bytes(bytes) != from {
        return Err(Error::invalid(log, format!("no base offset {from} is at byte {position} any more")));
    }
    file.write_at(&to.to_be_bytes(), position).and_then(|()| file.sync()).map_err(failed)
}

fn remove_indexes(disk: &Disk, log: &Path) -> Result<(), Error> {
    for suffix in [names::OFFSET_INDEX_SUFFIX, names::TIME_INDEX_SUFFIX] {
        let file = log.with_extension(suffix);
        disk.unlink_if_exists(&file).map_err(Error::io("remove", &file))?;
    }
    Ok(())
}

/// Every index is written aside and renamed: a crash leaves the old one, which the next start judges.
fn rebuild_indexes(disk: &Disk, log: &Path) -> Result<(), Error> {
    let base_offset = base_of(log)?;
    let interval_bytes = u64::from(LogConfig::default().index_interval_bytes);
    let mut indexes = Indexes::empty();
    let mut bytes_since_entry = 0;
    let mut batches = Batches::open(log, Some(base_offset))?;
    while let Some(found) = batches.next_found()? {
        let Found::Batch(at) = found else { continue };
        indexes.note_timestamp(at.header.max_timestamp, at.header.last_offset());
        if bytes_since_entry > interval_bytes {
            indexes.push_offset(base_offset, at.header.last_offset(), at.position);
            indexes.push_time(base_offset);
            bytes_since_entry = 0;
        }
        bytes_since_entry += at.header.batch_bytes() as u64;
    }
    indexes.push_time(base_offset);
    for suffix in [names::OFFSET_INDEX_SUFFIX, names::TIME_INDEX_SUFFIX] {
        let path = log.with_extension(suffix);
        let aside = log.with_extension(format!("{suffix}.tmp"));
        let failed = |e| Error::io("write", &path)(e);
        let file = disk.create(&aside).map_err(failed)?;
        let written = if suffix == names::OFFSET_INDEX_SUFFIX {
            indexes.offsets.flush(&file)
        } else {
            indexes.times.flush(&file)
        };
        written.and_then(|()| file.sync()).and_then(|()| disk.rename(&aside, &path)).map_err(failed)?;
    }
    sync_parent(disk, log)
}

fn base_of(log: &Path) -> Result<i64, Error> {
    let name = log.file_name().and_then(|name| name.to_str()).and_then(names::parse_offset_file);
    name.map(|(base, _)| base).ok_or_else(|| Error::invalid(log, "its name is no offset"))
}

fn rebuild_epochs(disk: &Disk, file: &Path) -> Result<(), Error> {
    let directory = file.parent().unwrap_or(Path::new("."));
    let mut epochs = LeaderEpochs::default();
    for name in entries(directory)? {
        let Some((base, names::LOG_SUFFIX)) = names::parse_offset_file(&name) else { continue };
        let mut batches = Batches::open(&directory.join(&name), Some(base))?;
        while let Some(found) = batches.next_found()? {
            let Found::Batch(at) = found else { continue };
            let epoch = LeaderEpoch(at.header.partition_leader_epoch);
            if epoch > epochs.latest() {
                epochs.assign(epoch, Offset(at.header.base_offset));
            }
        }
    }
    if file.exists() {
        let aside = free_name(file, names::DAMAGED_SUFFIX);
        disk.rename(file, &aside).map_err(Error::io("set aside", file))?;
    }
    checkpoint::write_epochs(disk, file, epochs.entries())
}
