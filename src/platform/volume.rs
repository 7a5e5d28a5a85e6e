//! How much room a volume has, and taking some of it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// The size of a volume, and what of it this process may still write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    pub total_bytes: u64,
    pub usable_bytes: u64,
}

/// The volume that holds `path`.
pub fn space(path: &Path) -> io::Result<Space> {
    let volume = rustix::fs::statvfs(path)?;
    Ok(Space {
        total_bytes: volume.f_blocks.saturating_mul(volume.f_frsize),
        usable_bytes: volume.f_bavail.saturating_mul(volume.f_frsize),
    })
}

/// Gives a range of a file that was not written yet its blocks, whatever is written elsewhere afterwards. The file may
/// reach to the end of it then, or be as long as before.
pub fn allocate(file: &File, range: Range<u64>) -> io::Result<()> {
    if let Some(reserved) = reserve(file, &range, 0) {
        return reserved;
    }
    let zeros = [0; 64 << 10];
    let mut at = range.start;
    while at < range.end {
        let piece = zeros.get(..usize::try_from(range.end - at).unwrap_or(usize::MAX)).unwrap_or(&zeros);
        file.write_all_at(piece, at)?;
        at += piece.len() as u64;
    }
    Ok(())
}

/// Sets blocks aside behind the end of a file, for it to grow into. False: there is no room for them and for `left_bytes`
/// more. Where the system has no such thing nothing happens.
pub fn set_aside(file: &File, range: Range<u64>, left_bytes: u64) -> bool {
    reserve(file, &range, left_bytes).is_none_or(|reserved| reserved.is_ok())
}

/// Blocks for a range, without a change of the length. `None`: the file system has no such thing.
fn reserve(file: &File, range: &Range<u64>, left_bytes: u64) -> Option<io::Result<()>> {
    if range.is_empty() {
        return Some(Ok(()));
    }
    // A file system may give what it has, and keep it, before it says that this is not enough.
    if !has_room(file, range.end, left_bytes) {
        return Some(Err(io::ErrorKind::StorageFull.into()));
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::io::Errno;
        let keep_size = rustix::fs::FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(file, keep_size, range.start, range.end - range.start) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => None,
            reserved => Some(reserved.map_err(Into::into)),
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        None
    }
}

/// Whether the volume has what a file lacks of so many bytes, and `left_bytes` more. One that does not tell has it.
fn has_room(file: &File, until: u64, left_bytes: u64) -> bool {
    let (Ok(metadata), Ok(volume)) = (file.metadata(), rustix::fs::fstatvfs(file)) else { return true };
    let lacking = until.saturating_sub(metadata.blocks().saturating_mul(512));
    volume.f_bavail.saturating_mul(volume.f_frsize) >= lacking.saturating_add(left_bytes)
}
