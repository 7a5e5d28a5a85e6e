//! The runtime of coordinators: loads shards, appends what their machines decide, replays it, keeps their time.
//!
//! Owns which shards there are (one for each partition of `__consumer_offsets` that this broker leads), their locks, and
//! when an answer leaves. What is decided is in the crate `stratalog-coordinator`, which does no I/O.
//!
//! Order of effects of a request, under its shard's lock: the machine handles it, its records are appended as one batch,
//! then replayed. The answer leaves when the high watermark has passed the batch. An answer without records leaves at
//! once, or, where it shows replayed state, when all that the shard has appended is committed: nothing is shown that a
//! power cut could take back. A crash between append and answer leaves records that nobody was told of: the client asks
//! again. An append that fails changes no replayed state.
//!
//! A shard that loads, has stopped, or was never made answers with an [`Error`]; clients look for the coordinator again.

mod config;
mod groups;
mod load;
mod shard;
#[cfg(test)]
mod tests;
mod topics;

pub use config::group_config;
pub use groups::{Groups, OFFSETS_TOPIC, offsets_topic_configs, offsets_topic_partitions};

/// Why a request got no answer from a machine. All are retriable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the group's records are still being read")]
    Loading,
    /// The shard stopped, failed, or is not here.
    #[error("this broker does not coordinate the group")]
    NotCoordinator,
    /// What the answer says was not durable in time, or the disk is full.
    #[error("the coordinator cannot store anything now")]
    NotAvailable,
    /// The records of one step are too large for a segment.
    #[error("the group's records do not fit a segment")]
    TooLarge,
}
