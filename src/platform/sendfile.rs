//! Sending to a socket: vectored with MSG_MORE, and file ranges without copying through user space.
//!
//! On Linux these are `sendmsg`, `sendfile` and `preadv2(RWF_NOWAIT)`; elsewhere plain writes and reads stand in.

use std::fs::File;
use std::io::{self, IoSlice};

use tokio::net::TcpStream;

/// One non-blocking vectored write; `more` says that further bytes follow at once (no small packet for a header).
#[cfg(target_os = "linux")]
pub fn send_vectored(stream: &TcpStream, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
    use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
    let flags = SendFlags::NOSIGNAL | if more { SendFlags::MORE } else { SendFlags::empty() };
    Ok(sendmsg(stream, slices, &mut SendAncillaryBuffer::default(), flags)?)
}

#[cfg(not(target_os = "linux"))]
pub fn send_vectored(stream: &TcpStream, slices: &[IoSlice<'_>], _more: bool) -> io::Result<usize> {
    stream.try_write_vectored(slices)
}

/// Sends up to `bytes` of `file` from `position`; returns the bytes sent, 0 at the end of the file.
#[cfg(target_os = "linux")]
pub fn send_file(stream: &TcpStream, file: &File, position: u64, bytes: u64, _more: bool) -> io::Result<usize> {
    let mut offset = position;
    Ok(rustix::fs::sendfile(stream, file, Some(&mut offset), usize::try_from(bytes).unwrap_or(usize::MAX))?)
}

#[cfg(not(target_os = "linux"))]
pub fn send_file(stream: &TcpStream, file: &File, position: u64, bytes: u64, _more: bool) -> io::Result<usize> {
    use std::os::unix::fs::FileExt;
    let mut piece = vec![0; bytes.min(64 * 1024) as usize];
    let read = file.read_at(&mut piece, position)?;
    stream.try_write(piece.get(..read).unwrap_or_default())
}

/// Whether the first and the last page of a range are in the page cache: a cheap probe, not a promise.
#[cfg(target_os = "linux")]
pub fn is_cached(file: &File, position: u64, bytes: u64) -> bool {
    use rustix::io::{ReadWriteFlags, preadv2};
    let probe = |at: u64| {
        let mut byte = [0u8; 1];
        match preadv2(file, &mut [io::IoSliceMut::new(&mut byte)], at, ReadWriteFlags::NOWAIT) {
            Ok(_) => true,
            Err(error) => error != rustix::io::Errno::AGAIN,
        }
    };
    bytes == 0 || (probe(position) && probe(position + bytes - 1))
}

#[cfg(not(target_os = "linux"))]
pub fn is_cached(_file: &File, _position: u64, _bytes: u64) -> bool {
    true
}

/// Brings a range into the page cache. Blocks: for the blocking pool only.
pub fn read_ahead(file: &File, position: u64, bytes: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let mut page = vec![0; 128 * 1024];
    let end = position + bytes;
    let mut at = position;
    while at < end {
        let piece = usize::try_from((end - at).min(page.len() as u64)).unwrap_or(page.len());
        let Some(target) = page.get_mut(..piece) else { break };
        let read = file.read_at(target, at)?;
        if read == 0 {
            break;
        }
        at += read as u64;
    }
    Ok(())
}
