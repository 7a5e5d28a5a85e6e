//! Record batches, magic 2 (KIP-98): header, records, codecs, builder, and what a producer may send.
//!
//! Owns the format and its bounds: nothing here panics or allocates out of proportion on hostile bytes. Does no I/O and
//! has no clock. A batch passes through the broker as bytes; only [`accept_produce`] looks inside one on the hot path.

mod batch;
mod builder;
pub mod compression;
mod control;
mod frame;
mod header;
mod lookup;
mod record;
mod rewrite;
mod stamp;
#[cfg(test)]
mod tests;
mod validate;
mod varint;

pub use batch::{Batch, BatchIter, BatchRecords, Records, RecordsError};
pub use builder::{BatchBuilder, BuildError};
pub use control::{ControlType, EndTransactionMarker};
pub use frame::{RecordFrame, RecordFrames};
pub use header::{
    Attributes, BATCH_HEADER_BYTES, BatchHeader, CodecId, HeaderError, LOG_OVERHEAD_BYTES, TimestampType,
};
pub use lookup::{RecordTime, first_record_at_or_after, record_of_max_timestamp};
pub use record::{Headers, NewRecord, RecordError, RecordHeaderRef, RecordRef};
pub use rewrite::{BatchRewriter, Compression};
pub use stamp::set_max_timestamp;
pub use validate::{
    AcceptedBatch, BatchError, Corruption, FAULTS_MAX, FaultReason, InvalidReason, RecordFault, RecordFaults,
    ValidatedBatch, ValidationRules, accept_produce, needs_unpacking, validate_produce,
};
