//! A whole batch as bytes, the iterator over consecutive batches, and the records of one.
//!
//! Owns the walk; checks sizes as it goes. Knows nothing of what a producer may send ([`super::validate`]) and does not
//! check the CRC unless asked ([`Batch::crc_matches`]).

use std::borrow::Cow;

use super::compression::{CompressionError, decompress};
use super::record::{RecordBase, RecordError, RecordRef, take_record};
use super::{BATCH_HEADER_BYTES, BatchHeader, CodecId, HeaderError};

/// One batch: its decoded header and exactly its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    pub header: BatchHeader,
    pub bytes: &'a [u8],
}

impl<'a> Batch<'a> {
    /// The batch at the start of `bytes`; what follows it is left alone.
    pub fn at_start(bytes: &'a [u8]) -> Result<Batch<'a>, HeaderError> {
        let header = BatchHeader::decode(bytes)?;
        let batch = bytes.get(..header.batch_bytes()).ok_or(HeaderError::Truncated { have: bytes.len() })?;
        Ok(Batch { header, bytes: batch })
    }

    pub fn crc_matches(&self) -> bool {
        self.header.crc_matches(self.bytes)
    }

    /// The records as stored: still compressed where the batch is.
    pub fn body(&self) -> &'a [u8] {
        self.bytes.get(BATCH_HEADER_BYTES..).unwrap_or_default()
    }

    /// The records, decompressed into memory of at most `output_bytes_max`; borrowed when the batch is not compressed.
    pub fn records(&self, output_bytes_max: usize) -> Result<BatchRecords<'a>, RecordsError> {
        let body = match self.header.attributes.codec() {
            CodecId::NONE => Cow::Borrowed(self.body()),
            codec => Cow::Owned(decompress(codec, self.body(), output_bytes_max)?),
        };
        Ok(BatchRecords { header: self.header, body })
    }
}

/// Consecutive batches of a byte slice, such as a fetch response or a piece of a segment.
///
/// Ends at a batch that is cut short: [`BatchIter::consumed_bytes`] then says where the whole ones end. Bytes that
/// cannot be a batch are one error, then the end.
#[derive(Debug, Clone)]
pub struct BatchIter<'a> {
    bytes: &'a [u8],
    position: usize,
    failed: bool,
}

impl<'a> BatchIter<'a> {
    pub fn new(bytes: &'a [u8]) -> BatchIter<'a> {
        BatchIter { bytes, position: 0, failed: false }
    }

    /// Bytes of the whole batches returned so far.
    pub fn consumed_bytes(&self) -> usize {
        self.position
    }
}

impl<'a> Iterator for BatchIter<'a> {
    type Item = Result<Batch<'a>, HeaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.position..)?;
        if self.failed || rest.is_empty() {
            return None;
        }
        match Batch::at_start(rest) {
            Ok(batch) => {
                self.position += batch.bytes.len();
                Some(Ok(batch))
            }
            Err(HeaderError::Truncated { .. }) => None,
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}

/// Why the records of a batch cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    #[error("the records do not decompress")]
    Compression(#[from] CompressionError),
    #[error("record {index} {error}")]
    Record { index: u32, error: RecordError },
    #[error("{0} bytes are left after the last record")]
    TrailingBytes(usize),
    #[error("the header counts {0} records")]
    ImpossibleCount(i32),
}

/// The records of one batch in memory.
#[derive(Debug, Clone)]
pub struct BatchRecords<'a> {
    header: BatchHeader,
    body: Cow<'a, [u8]>,
}

impl BatchRecords<'_> {
    pub fn iter(&self) -> Records<'_> {
        Records::new(&self.header, &self.body)
    }

    /// Bytes of the records, uncompressed.
    pub fn body_bytes(&self) -> usize {
        self.body.len()
    }
}

impl<'a> IntoIterator for &'a BatchRecords<'_> {
    type Item = Result<RecordRef<'a>, RecordsError>;
    type IntoIter = Records<'a>;

    fn into_iter(self) -> Records<'a> {
        self.iter()
    }
}

/// As many records as the header counts, and then the end of the body; the first error is the last item.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    base: RecordBase,
    body: &'a [u8],
    count: i32,
    next: u32,
    done: bool,
}

impl<'a> Records<'a> {
    /// The records of an uncompressed `body` that `header` opens.
    pub fn new(header: &BatchHeader, body: &'a [u8]) -> Records<'a> {
        Records { base: RecordBase::of(header), body, count: header.record_count, next: 0, done: false }
    }

    fn finish(&mut self) -> Option<RecordsError> {
        self.done = true;
        match self.body.len() {
            _ if self.count < 0 => Some(RecordsError::ImpossibleCount(self.count)),
            0 => None,
            left => Some(RecordsError::TrailingBytes(left)),
        }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordRef<'a>, RecordsError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        if i64::from(self.next) >= i64::from(self.count) {
            return self.finish().map(Err);
        }
        let index = self.next;
        self.next += 1;
        match take_record(&mut self.body, &self.base) {
            Ok(record) => Some(Ok(record)),
            Err(error) => {
                self.done = true;
                Some(Err(RecordsError::Record { index, error }))
            }
        }
    }
}
