//! Log directories looked at from outside: dump, verify, repair. Ours and Apache Kafka's.
//!
//! Owns the knowledge of what is wrong with files, not of what a broker does about it when it starts. Looking opens files
//! for reading alone, and may be done beside a running broker: what is being appended then reads as a torn tail. Repair
//! changes only what its plan said, under the directory's lock, and only files that are as the plan saw them.

mod action;
mod apply;
mod batches;
mod filler;
mod findings;
pub(in crate::log) mod indexes;
mod partition;
mod repair;
mod seen;
mod segment;
mod target;

pub use super::segment::index::{OffsetEntry, TimeEntry};
pub use action::Action;
pub use batches::{Batches, Found};
pub use findings::{Finding, Findings, Severity, Tally};
pub use indexes::{read_offset_index, read_time_index};
pub use repair::{Repair, plan, plan_to_apply};
pub use target::{FileKind, Kind, Target, kind_of};

use std::path::Path;

use super::checkpoint;
use super::epochs::EpochStart;
use super::error::Error;
use super::producers::{ProducerState, decode_snapshot};
use super::transactions::{self, AbortedTransaction};

/// The entries of a transaction index.
pub fn read_transaction_index(path: &Path) -> Result<Vec<AbortedTransaction>, Error> {
    transactions::read(path).map_err(Error::io("read", path))
}

/// The producers of a snapshot.
pub fn read_snapshot(path: &Path) -> Result<Vec<ProducerState>, Error> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    decode_snapshot(&bytes).map_err(|error| Error::invalid(path, error.to_string()))
}

/// The entries of a leader epoch checkpoint.
pub fn read_epochs(path: &Path) -> Result<Vec<EpochStart>, Error> {
    checkpoint::read_epochs(path)
}

/// The lines of a checkpoint of offsets by partition.
pub fn read_offsets(path: &Path) -> Result<checkpoint::OffsetsByPartition, Error> {
    checkpoint::read_offsets(path)
}

/// Checks everything below `target` and tells what is wrong. An error is a disk that does not answer, not damage.
pub fn verify(target: &Target, findings: &mut Findings) -> Result<(), Error> {
    match target.kind {
        Kind::DataDirectory => partition::verify_directory(&target.path, findings),
        Kind::Partition => partition::verify_partition(&target.path, None, findings).map(drop),
        Kind::File => partition::verify_file(&target.path, findings),
    }
}
