//! Sends parts over a plain socket: bytes by vectored writes, file ranges by `sendfile`.
//!
//! A file range whose pages are not in the page cache would block the worker: each piece is probed first
//! (`preadv2` with `RWF_NOWAIT`) and, on a miss, read ahead on the blocking pool before it is sent.
//!
//! A peer that reads nothing for `stall_max` is given up; one that reads slowly is not.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::{Buf, Bytes};
use stratalog_protocol::part::{FileRange, Part};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::platform;

/// Slices given to one write.
const SLICES_MAX: usize = 64;
/// Bytes of a file sent between two yields; performance notes: bounded bursts are faster and fair.
const SEND_PIECE_BYTES: u64 = 512 * 1024;

/// Sends everything in `parts`, in order. Returns the bytes sent; [`io::ErrorKind::TimedOut`] once the socket took
/// nothing for `stall_max`.
pub async fn send_parts(stream: &TcpStream, parts: &mut VecDeque<Part>, stall_max: Duration) -> io::Result<u64> {
    let mut sent = 0;
    while let Some(front) = parts.front() {
        match front {
            Part::Bytes(_) => sent += send_bytes(stream, parts, stall_max).await?,
            Part::File(_) => {
                let Some(Part::File(range)) = parts.pop_front() else { continue };
                sent += send_file(stream, &range, !parts.is_empty(), stall_max).await?;
            }
        }
    }
    Ok(sent)
}

/// Sends the run of memory parts at the front; tells the kernel to wait for the file part behind it, if one is.
async fn send_bytes(stream: &TcpStream, parts: &mut VecDeque<Part>, stall_max: Duration) -> io::Result<u64> {
    let run: usize = parts.iter().take_while(|part| matches!(part, Part::Bytes(_))).count();
    let more_follows = run < parts.len();
    let mut run: VecDeque<Bytes> = parts
        .drain(..run)
        .filter_map(|part| match part {
            Part::Bytes(bytes) if !bytes.is_empty() => Some(bytes),
            _ => None,
        })
        .collect();
    let mut sent = 0;
    while !run.is_empty() {
        let written = write(stream, stall_max, || {
            let slices: Vec<IoSlice<'_>> = run.iter().take(SLICES_MAX).map(|bytes| IoSlice::new(bytes)).collect();
            platform::send_vectored(stream, &slices, more_follows || run.len() > SLICES_MAX)
        })
        .await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        sent += written as u64;
        consume(&mut run, written);
    }
    Ok(sent)
}

fn consume(run: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(front) = run.front_mut() {
        if written < front.len() {
            front.advance(written);
            return;
        }
        written -= front.len();
        run.pop_front();
    }
}

/// One write, as soon as the socket takes some of it.
async fn write(stream: &TcpStream, stall_max: Duration, some: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    timeout(stall_max, stream.async_io(Interest::WRITABLE, some)).await.map_err(|_| io::ErrorKind::TimedOut)?
}

async fn send_file(stream: &TcpStream, range: &FileRange, more_follows: bool, stall_max: Duration) -> io::Result<u64> {
    let end = range.position + u64::from(range.length);
    let mut position = range.position;
    while position < end {
        let piece = (end - position).min(SEND_PIECE_BYTES);
        if !platform::is_cached(&range.file, position, piece) {
            let file = range.file.clone();
            // A failed read-ahead shows itself in the sendfile below.
            let _ = tokio::task::spawn_blocking(move || platform::read_ahead(&file, position, piece)).await;
        }
        let mut left = piece;
        while left > 0 {
            let more = more_follows || position + left < end;
            let piece = || platform::send_file(stream, &range.file, position, left, more);
            let sent = write(stream, stall_max, piece).await?;
            if sent == 0 {
                // The frame's length is already out: only closing tells the client that the rest will not come.
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a segment is shorter than its index says"));
            }
            position += sent as u64;
            left -= sent as u64;
        }
        tokio::task::yield_now().await;
    }
    Ok(u64::from(range.length))
}
