//! A shard's log, read from its start to its end into the machine.
//!
//! Memory is bounded by one piece of the log and one decompressed batch. A record that this coordinator does not keep is
//! passed over; one that does not read is reported and passed over, as a reader of a compacted log has to.

use bytes::{Bytes, BytesMut};
use stratalog_coordinator::machine::{Durable, Machine};
use stratalog_coordinator::records::NotRead;
use stratalog_protocol::records::{Batch, BatchIter, EndTransactionMarker, RecordsError};
use stratalog_types::Offset;

use crate::log::{self, LogSlice};
use crate::partition::Partition;
use crate::platform::disk::read_at;

/// Memory that the records of one compressed batch may take.
const BATCH_OUTPUT_BYTES_MAX: usize = 256 << 20;

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Log(#[from] log::ReadError),
    #[error("cannot read the log: {0}")]
    Io(#[from] std::io::Error),
    #[error("no whole batch at offset {0}")]
    Torn(Offset),
    #[error("the records of the batch at offset {offset} do not read: {source}")]
    Records { offset: i64, source: RecordsError },
}

/// What was read.
#[derive(Debug, Default, Clone, Copy)]
pub struct Loaded {
    pub records: u64,
    /// Records that did not decode.
    pub malformed: u64,
    pub end_offset: Offset,
}

/// Replays all that is in the log. `piece_bytes` are read at a time, or one batch if it is larger.
pub fn load<M: Machine>(partition: &Partition, machine: &mut M, piece_bytes: u32) -> Result<Loaded, LoadError> {
    let end = partition.log().log_end_offset();
    let mut loaded = Loaded { end_offset: end, ..Loaded::default() };
    let mut at = partition.log().local_log_start_offset();
    while at < end {
        let slice = partition.log().read(at, piece_bytes, end, true)?;
        if slice.is_empty() {
            break;
        }
        let piece = read_slice(&slice)?;
        let mut batches = BatchIter::new(&piece);
        for batch in &mut batches {
            let batch = batch.map_err(|_| LoadError::Torn(at))?;
            replay_batch(machine, &batch, &piece, &mut loaded)?;
        }
        if slice.next_offset <= at {
            return Err(LoadError::Torn(at));
        }
        at = slice.next_offset;
    }
    Ok(loaded)
}

fn read_slice(slice: &LogSlice) -> std::io::Result<Bytes> {
    let mut piece = BytesMut::zeroed(slice.range.length as usize);
    let read = read_at(&slice.range.file, &mut piece, slice.range.position)?;
    piece.truncate(read);
    Ok(piece.freeze())
}

fn replay_batch<M: Machine>(
    machine: &mut M,
    batch: &Batch<'_>,
    piece: &Bytes,
    loaded: &mut Loaded,
) -> Result<(), LoadError> {
    let header = &batch.header;
    let failed = |source| LoadError::Records { offset: header.base_offset, source };
    let records = batch.records(BATCH_OUTPUT_BYTES_MAX).map_err(failed)?;
    let transactional = header.attributes.is_transactional();
    for record in &records {
        let record = record.map_err(failed)?;
        if header.attributes.is_control_batch() {
            if let Some(marker) = EndTransactionMarker::of_record(&record) {
                machine.end_transaction(header.producer_id, marker.committed);
            }
            continue;
        }
        loaded.records += 1;
        let Some(key) = record.key else { continue };
        // Keys are decoded into memory of their own.
        let value = record.value.map(|value| match M::Record::keeps_value(key) {
            true => Bytes::copy_from_slice(value),
            false => shared(piece, value),
        });
        match M::Record::decode(shared(piece, key), value) {
            Ok(decoded) => {
                let producer = transactional.then_some(header.producer_id);
                machine.replay(record.offset, producer, decoded);
            }
            Err(NotRead::UnknownType(_)) => {}
            Err(NotRead::Malformed(error)) => {
                loaded.malformed += 1;
                tracing::error!(
                    offset = record.offset,
                    "a coordinator's record does not read and is passed over: {error}"
                );
            }
        }
    }
    Ok(())
}

/// Part of the piece, or of a batch that was decompressed aside.
fn shared(piece: &Bytes, part: &[u8]) -> Bytes {
    if piece.as_ptr_range().contains(&part.as_ptr()) { piece.slice_ref(part) } else { Bytes::copy_from_slice(part) }
}
