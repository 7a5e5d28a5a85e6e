//! Files that can be made anew from the log, and do not read: a bad sector under an index, a snapshot or the epochs is
//! not the log's.
//!
//! Such a file keeps its sectors under another name (`.damaged`), and the new one is written elsewhere. A crash in
//! between leaves a file that is missing, or one that the next look finds as this one did.

use std::io;
use std::path::{Path, PathBuf};

use super::names;
use crate::platform::disk::{Disk, DiskFile};

/// Whether an error is one of the bytes that were to be read. A name that is gone may be a file that was removed; that
/// this process may not open a file, or no more of them, or that the disk takes no more writes, says nothing of what is in
/// it.
pub fn tells_of_bytes(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let of_the_process =
        [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::ACCESS, Errno::PERM, Errno::INTR, Errno::AGAIN];
    let of_writes = [Errno::ROFS, Errno::NOSPC, Errno::DQUOT];
    let says_nothing = |errno| of_the_process.contains(&errno) || of_writes.contains(&errno);
    error.kind() != io::ErrorKind::NotFound && !Errno::from_io_error(error).is_some_and(says_nothing)
}

/// Takes the name from a file that does not read.
pub fn set_aside(disk: &Disk, file: &Path, error: &io::Error) -> io::Result<()> {
    let aside = free_name(file, names::DAMAGED_SUFFIX);
    tracing::error!(file = %file.display(), %error, "a file does not read: set aside, and made anew from the log");
    disk.rename(file, &aside)
}

/// Creates a file, or empties the one that is there; one that cannot be emptied is set aside.
pub fn create(disk: &Disk, file: &Path) -> io::Result<DiskFile> {
    match disk.create(file) {
        Err(error) if tells_of_bytes(&error) && file.exists() => {
            set_aside(disk, file, &error)?;
            disk.create(file)
        }
        created => created,
    }
}

/// A name beside `file` that nothing has yet.
pub fn free_name(file: &Path, suffix: &str) -> PathBuf {
    let named = |number: u32| {
        let mut name = file.as_os_str().to_owned();
        name.push(if number == 0 { format!(".{suffix}") } else { format!(".{number}.{suffix}") });
        PathBuf::from(name)
    };
    (0..).map(named).find(|name| !name.exists()).unwrap_or_default()
}
