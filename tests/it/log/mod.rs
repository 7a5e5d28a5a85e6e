//! The local log, against the disk.

mod base_offsets;
mod basics;
mod compaction;
mod crash;
pub mod crash_disk;
mod damage;
mod first_segment;
mod full_disk;
pub mod harness;
pub mod indexes;
pub mod kafka_tools;
mod listing;
mod log_starts;
mod lost;
mod mending;
mod model;
mod offline;
mod refusals;
mod remembered;
mod threads;
mod transaction_indexes;
