//! The partition directory's copy of the head: start, hot reads and produce need no bucket.
//!
//! The file holds the head's bytes exactly as committed. Order of effects: write a temporary file, sync it, rename it,
//! sync the directory. A crash leaves the old copy or the new one, perhaps a temporary file that the next save replaces.
//! Local segments may go only behind a copy that is durable.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::head::{HEAD_BYTES_MAX, Head};

pub const COPY_FILE: &str = "tier-manifest";
const COPY_FILE_NEW: &str = "tier-manifest.tmp";

#[derive(Debug, Clone)]
pub struct LocalCopy {
    directory: PathBuf,
}

/// What the directory says of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There never was a copy: only then may a missing head be created.
    None,
    Head(Box<Head>),
    /// There was a copy and it is unreadable: the bucket must be asked.
    Damaged,
}

impl LocalCopy {
    pub fn in_directory(directory: impl Into<PathBuf>) -> LocalCopy {
        LocalCopy { directory: directory.into() }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.join(COPY_FILE)
    }

    pub fn open(&self) -> io::Result<Found> {
        let mut bytes = Vec::new();
        match File::open(self.path()) {
            Ok(file) => file.take(HEAD_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::None),
            Err(error) => return Err(error),
        };
        Ok(Head::decode(&bytes).map_or(Found::Damaged, |head| Found::Head(Box::new(head))))
    }

    pub fn save(&self, head: &[u8]) -> io::Result<()> {
        let new = self.directory.join(COPY_FILE_NEW);
        let mut file = File::create(&new)?;
        file.write_all(head)?;
        file.sync_all()?;
        fs::rename(&new, self.path())?;
        sync_directory(&self.directory)
    }
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
