//! How much room a volume has, and taking some of it.

use std::fs::File;
use std::io;
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

/// Gives a new file its blocks: `bytes` of them, whatever is written elsewhere afterwards.
pub fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
        allocated => return Ok(allocated?),
    }
    let zeros = [0; 64 << 10];
    let mut at = 0;
    while at < bytes {
        let piece = zeros.get(..usize::try_from(bytes - at).unwrap_or(usize::MAX)).unwrap_or(&zeros);
        file.write_all_at(piece, at)?;
        at += piece.len() as u64;
    }
    Ok(())
}
