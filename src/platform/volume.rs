//! How much room a volume has, and taking some of it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
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

/// Gives a range of a file that was not written yet its blocks, whatever is written elsewhere afterwards. The file reaches
/// to its end, at least.
pub fn allocate(file: &File, range: Range<u64>) -> io::Result<()> {
    if range.is_empty() {
        return Ok(());
    }
    #[cfg(target_os = "linux")]
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), range.start, range.end - range.start) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
        allocated => return Ok(allocated?),
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

/// Sets blocks aside behind the end of a file, for it to grow into. Where the system has no such thing, or no room,
/// nothing happens.
pub fn set_aside(file: &File, range: Range<u64>) {
    #[cfg(target_os = "linux")]
    if !range.is_empty() {
        let keep_size = rustix::fs::FallocateFlags::KEEP_SIZE;
        let _ = rustix::fs::fallocate(file, keep_size, range.start, range.end - range.start);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, range);
}
