//! What stands in a log in place of records that were given up: one empty batch, as compaction leaves where all records of a
//! batch go. Readers step over it, and nothing is missing between the batches: a gap that is found later is damage.

use std::path::Path;

use stratalog_protocol::records::BatchHeader;
use stratalog_types::{LeaderEpoch, Offset};

use crate::log::checkpoint;
use crate::log::cleaner::rebuild::put_empty;
use crate::log::epochs::LeaderEpochs;
use crate::log::error::Error;
use crate::log::names;

use super::batches::{Batches, Found};

/// Whether one batch can have all these offsets.
pub fn fits(first_offset: i64, last_offset: i64) -> bool {
    delta(first_offset, last_offset).is_some()
}

fn delta(first_offset: i64, last_offset: i64) -> Option<i32> {
    i32::try_from(last_offset.checked_sub(first_offset)?).ok()
}

/// The batch in place of the bytes from `position` of a log. Empty: no offset was there, or more than one batch can have.
pub fn bytes(log: &Path, position: u64, first_offset: i64, last_offset: i64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let Some(last_offset_delta) = delta(first_offset, last_offset).filter(|delta| *delta >= 0) else {
        return Ok(bytes);
    };
    let partition_leader_epoch = epoch_at(log, position, first_offset)?.0;
    let header = BatchHeader { partition_leader_epoch, last_offset_delta, ..BatchHeader::empty(first_offset) };
    put_empty(&header, &mut bytes).map_err(|what| Error::invalid(log, what))?;
    Ok(bytes)
}

/// The epoch that the records were of, or that of the batch before them, or after them.
fn epoch_at(log: &Path, position: u64, first_offset: i64) -> Result<LeaderEpoch, Error> {
    let file = log.with_file_name(names::LEADER_EPOCH_CHECKPOINT);
    match checkpoint::read_epochs(&file) {
        Ok(entries) => {
            if let Some(epoch) = LeaderEpochs::new(entries).epoch_of(Offset(first_offset)) {
                return Ok(epoch);
            }
        }
        Err(Error::InvalidFile { .. }) => {}
        Err(error) => return Err(error),
    }
    let mut before = None;
    let mut batches = Batches::open(log, None)?;
    while let Some(found) = batches.next_found()? {
        let Found::Batch(at) = found else { continue };
        let epoch = LeaderEpoch(at.header.partition_leader_epoch);
        if at.position > position {
            return Ok(before.unwrap_or(epoch));
        }
        before = Some(epoch);
    }
    Ok(before.unwrap_or(LeaderEpoch(0)))
}
