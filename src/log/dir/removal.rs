//! Removing a partition directory.
//!
//! Order of effects: renamed to `topic-partition.<32 hex digits>-delete`, data directory synced, then emptied and
//! removed. A crash before the sync may bring the partition back; its owner removes it again. A crash after it leaves a
//! directory whose name says what it is: the next start removes it.

use std::path::Path;

use crate::log::error::Error;
use crate::log::names;
use crate::platform::disk::Disk;

/// Kafka keeps a directory's name below this many bytes, and shortens the topic for it.
const NAME_BYTES_MAX: usize = 255;

pub fn remove(disk: &Disk, data_directory: &Path, partition: &Path) -> Result<(), Error> {
    let name = partition.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let suffix = format!(".{}{}", uuid::Uuid::new_v4().simple(), names::DELETED_DIRECTORY_SUFFIX);
    let kept = name.get(..name.len().min(NAME_BYTES_MAX - suffix.len())).unwrap_or_default();
    let away = data_directory.join(format!("{kept}{suffix}"));
    disk.rename(partition, &away).map_err(Error::io("rename", partition))?;
    disk.sync_directory(data_directory).map_err(Error::io("sync directory", data_directory))?;
    empty_and_remove(disk, &away)
}

/// Removes what an earlier removal left.
pub fn finish(disk: &Disk, data_directory: &Path) -> Result<(), Error> {
    let failed = |e| Error::io("list", data_directory)(e);
    for entry in std::fs::read_dir(data_directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(names::DELETED_DIRECTORY_SUFFIX) && name.contains('.') && path.is_dir() {
            empty_and_remove(disk, &path)?;
        }
    }
    Ok(())
}

fn empty_and_remove(disk: &Disk, directory: &Path) -> Result<(), Error> {
    let failed = |e| Error::io("remove", directory)(e);
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        disk.unlink(&path).map_err(Error::io("remove", &path))?;
    }
    disk.remove_directory(directory).map_err(failed)
}
