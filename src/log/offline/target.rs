//! What a path on the command line means.

use std::path::{Path, PathBuf};

use crate::log::error::Error;
use crate::log::names;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Holds partition directories.
    DataDirectory,
    /// Holds segments.
    Partition,
    /// One file of either.
    File,
}

/// A path and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub path: PathBuf,
    pub kind: Kind,
}

/// What a file of a log directory is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// With its base offset, where the name says it.
    Log(Option<i64>),
    OffsetIndex(i64),
    TimeIndex(i64),
    TransactionIndex,
    Snapshot,
    Epochs,
    /// A checkpoint of offsets by partition.
    Offsets,
    Properties,
    Other,
}

pub fn kind_of(path: &Path) -> FileKind {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match names::parse_offset_file(name) {
        Some((base, suffix)) => match suffix.rsplit('.').next().unwrap_or(suffix) {
            names::LOG_SUFFIX => FileKind::Log(Some(base)),
            names::OFFSET_INDEX_SUFFIX => FileKind::OffsetIndex(base),
            names::TIME_INDEX_SUFFIX => FileKind::TimeIndex(base),
            names::TXN_INDEX_SUFFIX => FileKind::TransactionIndex,
            names::SNAPSHOT_SUFFIX => FileKind::Snapshot,
            // What was taken out of a log is batches, or was.
            _ => FileKind::Log(None),
        },
        None => match name {
            names::LEADER_EPOCH_CHECKPOINT => FileKind::Epochs,
            names::RECOVERY_POINTS | names::LOG_STARTS | names::HIGH_WATERMARKS => FileKind::Offsets,
            names::PARTITION_METADATA | names::META_PROPERTIES => FileKind::Properties,
            _ if name.ends_with(".log") => FileKind::Log(None),
            _ => FileKind::Other,
        },
    }
}

impl Target {
    /// The files to be dumped: of a data directory its own alone.
    pub fn files(&self) -> Result<Vec<PathBuf>, Error> {
        if self.kind == Kind::File {
            return Ok(vec![self.path.clone()]);
        }
        let files = entries(&self.path)?.into_iter().map(|name| self.path.join(name));
        Ok(files.filter(|file| file.is_file() && kind_of(file) != FileKind::Other).collect())
    }

    /// Tells by the names that are there, not by where it lies: a copied directory may have any name.
    pub fn of(path: &Path) -> Result<Target, Error> {
        let metadata = path.metadata().map_err(Error::io("look at", path))?;
        let kind = if metadata.is_file() {
            Kind::File
        } else if is_partition(path)? {
            Kind::Partition
        } else {
            Kind::DataDirectory
        };
        Ok(Target { path: path.to_owned(), kind })
    }
}

fn is_partition(path: &Path) -> Result<bool, Error> {
    let mut holds_partitions = false;
    for name in entries(path)? {
        if names::parse_offset_file(&name).is_some() || name == names::PARTITION_METADATA {
            return Ok(true);
        }
        holds_partitions |= name == names::META_PROPERTIES || names::parse_partition_directory(&name).is_some();
    }
    let named_so = path.file_name().and_then(|name| name.to_str()).and_then(names::parse_partition_directory).is_some();
    Ok(named_so && !holds_partitions)
}

/// The names in a directory, sorted; those that are no text are left out: nobody here wrote them.
pub fn entries(path: &Path) -> Result<Vec<String>, Error> {
    let failed = |e| Error::io("list", path)(e);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}
