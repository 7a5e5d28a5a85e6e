//! Cuts a byte stream into request frames: a 4-byte big-endian length, then that many bytes.
//!
//! Memory follows the bytes that arrived, not the length that was claimed: past `ALLOCATE_AT_ONCE_BYTES` the buffer
//! grows by doubling. The buffer is reused once the frames cut from it are dropped.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

const LENGTH_BYTES: usize = 4;
const READ_AT_ONCE_BYTES: usize = 64 * 1024;
const ALLOCATE_AT_ONCE_BYTES: usize = 2 * 1024 * 1024;

/// Why a connection's bytes are no Kafka frames. `Display` is the log line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error(
        "a TLS handshake came in on a plaintext listener: set security.protocol=PLAINTEXT on the client or use a TLS port"
    )]
    TlsOnPlaintext,
    #[error("an HTTP request came in on the Kafka port: metrics and health are served on the admin port (9644)")]
    Http,
    #[error("frame of {bytes} bytes is over socket.request.max.bytes={max}")]
    TooLarge { bytes: i64, max: usize },
    #[error("frame length {0} is negative: the peer does not speak the Kafka protocol")]
    NegativeLength(i32),
}

pub struct FrameReader {
    buffer: BytesMut,
    frame_bytes_max: usize,
}

impl FrameReader {
    /// Frames over `frame_bytes_max` bytes (length prefix apart) are refused.
    pub fn new(frame_bytes_max: usize) -> FrameReader {
        FrameReader { buffer: BytesMut::new(), frame_bytes_max }
    }

    /// The length of the next frame, once it is known; a stranger's is `None`, and `next_frame` says what it is.
    pub fn frame_length(&self) -> Option<usize> {
        self.claimed_length().ok().flatten()
    }

    /// The next whole frame among the bytes read so far, without its length prefix.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(length) = self.claimed_length()? else { return Ok(None) };
        if self.buffer.len() < LENGTH_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(LENGTH_BYTES);
        let frame = self.buffer.split_to(length).freeze();
        if length > ALLOCATE_AT_ONCE_BYTES {
            // The buffer of a large frame goes with it: an idle connection keeps no more than it reads at once.
            self.buffer = BytesMut::from(self.buffer.as_ref());
        }
        Ok(Some(frame))
    }

    /// Reads once from `stream`; 0 is the end of the stream. Safe to cancel: bytes are either unread or buffered. Memory
    /// for a whole frame is taken only where `has_room`.
    pub async fn fill(&mut self, stream: &mut (impl AsyncRead + Unpin), has_room: bool) -> io::Result<usize> {
        let have = self.buffer.len();
        let missing = match self.claimed_length() {
            Ok(Some(length)) if has_room => (LENGTH_BYTES + length).saturating_sub(have),
            _ => 0,
        };
        let step = if have + missing <= ALLOCATE_AT_ONCE_BYTES {
            missing
        } else {
            missing.min(have.max(ALLOCATE_AT_ONCE_BYTES))
        };
        self.buffer.reserve(step.max(READ_AT_ONCE_BYTES));
        stream.read_buf(&mut self.buffer).await
    }

    /// Bytes that were read and are not yet handed out.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Whether bytes of an unfinished frame are waiting for the rest.
    pub fn is_mid_frame(&self) -> bool {
        !self.buffer.is_empty()
    }

    fn claimed_length(&self) -> Result<Option<usize>, FrameError> {
        let Some(prefix) = self.buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = i32::from_be_bytes(*prefix);
        if prefix[0] == 0x16 && prefix[1] == 0x03 {
            return Err(FrameError::TlsOnPlaintext);
        }
        if [b"GET ", b"POST", b"PUT ", b"HEAD", b"PRI ", b"OPTI", b"DELE"].contains(&prefix) {
            return Err(FrameError::Http);
        }
        let Ok(bytes) = usize::try_from(length) else { return Err(FrameError::NegativeLength(length)) };
        if bytes > self.frame_bytes_max {
            return Err(FrameError::TooLarge { bytes: i64::from(length), max: self.frame_bytes_max });
        }
        Ok(Some(bytes))
    }
}
