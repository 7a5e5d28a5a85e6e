//! Record batches, magic 2 (KIP-98): the header, and later its records, codecs and builder.

mod header;

pub use header::{
    Attributes, BATCH_HEADER_BYTES, BatchHeader, CodecId, HeaderError, LOG_OVERHEAD_BYTES, TimestampType,
};
