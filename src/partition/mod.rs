//! A partition: one log over two tiers, and the registry of those this broker leads.
//!
//! Owns what may be seen (`high_watermark`), where an offset is answered from (local log or tier), retention over both,
//! and the tasks that move closed segments up. Knows no Kafka error codes and no sockets.
//!
//! `log_start_offset <= local_log_start_offset <= last_stable_offset <= high_watermark <= log_end_offset`; where
//! acknowledgements wait for the sync, `high_watermark` is the flushed offset.

mod aborted;
mod append;
mod cleaning;
mod error;
mod leader;
mod off_worker;
mod offsets;
mod opening;
mod registry;
mod remote;
mod retention;
mod scrubbing;
pub mod tier;

pub use append::{Appended, Handed, Preparation, Prepared, prepared_at_once};
pub use cleaning::Cleaner;
pub use error::{AppendError, ReadError};
pub use leader::{Counters, Ended, Isolation, Located, Partition};
pub use offsets::{ListedOffset, OffsetSpec};
pub use opening::OpenError;
pub use registry::{OfflinePartition, Partitions, Slot, Unserved};
pub use remote::RemoteRecords;
pub use scrubbing::Scrubber;
