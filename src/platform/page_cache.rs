//! Reads that never wait for the disk.

use std::fs::File;
use std::io;

/// Fills `bytes` from `position` if all of it is in the page cache; false, without waiting, where it is not.
#[cfg(target_os = "linux")]
pub fn read_if_cached(file: &File, bytes: &mut [u8], position: u64) -> io::Result<bool> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    let length = bytes.len();
    match preadv2(file, &mut [io::IoSliceMut::new(bytes)], position, ReadWriteFlags::NOWAIT) {
        Ok(read) => Ok(read == length),
        Err(Errno::AGAIN) => Ok(false),
        // A file system that cannot tell is read as ever.
        Err(Errno::OPNOTSUPP | Errno::INVAL) => read(file, bytes, position),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
pub fn read_if_cached(file: &File, bytes: &mut [u8], position: u64) -> io::Result<bool> {
    read(file, bytes, position)
}

fn read(file: &File, bytes: &mut [u8], position: u64) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    file.read_exact_at(bytes, position).map(|()| true)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_was_just_written_is_read_and_what_is_not_there_is_not() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let mut bytes = [0; 4];
        assert!(read_if_cached(&file, &mut bytes, 3).unwrap());
        assert_eq!(&bytes, b"3456");
        assert!(!matches!(read_if_cached(&file, &mut bytes, 8), Ok(true)));
    }
}
