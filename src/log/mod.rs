//! The local log: Apache Kafka's files, appended to under a short lock, synced before they are acknowledged.
//!
//! Owns partition directories and what is in them. Knows no socket, no replica, no group, no tier: who may append, what
//! consumers may see and what may be deleted is decided above. Calls are synchronous; an append, a read of cached bytes
//! and every getter take microseconds, while opening, rolling, closing and the checkpoints wait for the disk.
//!
//! `log_start_offset <= local_log_start_offset <= flushed <= log_end_offset`, except that a start may pass `flushed`'s
//! past: offsets below `local_log_start_offset` are not here any more.

mod aborted;
mod append;
mod checkpoint;
mod cleaner;
mod config;
mod dir;
mod epochs;
mod error;
mod log_start;
mod names;
pub mod offline;
mod open;
mod partition_log;
mod producers;
mod read;
mod recovery;
mod replay;
mod scan;
mod scrub;
mod segment;
mod sync;
mod times;
mod transactions;
mod trim;
mod unreadable;
mod unstable;
mod upload;

pub use append::Appended;
pub use cleaner::{CleanError, CleanOptions, Cleaned, Dirt, Pace};
pub use config::{CompactionConfig, LogConfig};
pub use dir::{LogDir, LogDirOptions, LogDirState, LogDirs, PartitionDir, read_meta_properties};
pub use epochs::EpochStart;
pub use error::{AppendError, Damage, Error, ReadError};
pub use partition_log::{Log, SegmentInfo};
pub use producers::{BatchNote, Origin, ProducerState, first_undecided_offset};
pub use read::LogSlice;
pub use recovery::segment_bytes;
pub use scrub::Scrubbed;
pub use segment::Effort;
pub use sync::OfflineHook;
pub use times::{LOOKUP_OUTPUT_BYTES_MAX, TimestampedOffset};
pub use transactions::AbortedTransaction;
pub use unstable::Unstable;
pub use upload::{BatchRun, SegmentReader};

#[cfg(test)]
mod tests;
