//! A response is parts: bytes in memory, or a range of a file that the transport sends with `sendfile`.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;

/// A range of an open file. Holding it keeps the file's bytes readable after the file is unlinked.
#[derive(Debug, Clone)]
pub struct FileRange {
    pub file: Arc<File>,
    /// Bytes from the start of the file.
    pub position: u64,
    /// Bytes.
    pub length: u32,
}

/// One piece of an encoded response, in wire order.
#[derive(Debug, Clone)]
pub enum Part {
    Bytes(Bytes),
    File(FileRange),
}

impl Part {
    /// Bytes on the wire.
    pub fn length(&self) -> usize {
        match self {
            Part::Bytes(bytes) => bytes.len(),
            Part::File(range) => range.length as usize,
        }
    }
}
