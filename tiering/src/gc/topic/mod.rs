//! A topic's life in the bucket: live, deleted, purging, gone. `marker` is its record, `life` moves it, `purge` removes
//! what it left.
//!
//! Deleting a topic: metadata intent, marker live to deleted, metadata dropped. Undelete: deleted to live. Purge: deleted
//! to purging by compare-and-swap (the point of no return), heads to tombstones, objects, heads, marker. Each step can be
//! repeated; a crash anywhere is resumed from the marker.

mod life;
pub mod marker;
mod purge;

pub use life::{Deletion, TopicError, TopicLife};
pub use marker::{Marker, MarkerState};
pub use purge::{Purge, PurgeProgress};

/// Whether a marker's bytes say that the topic is deleted; unreadable ones say nothing.
pub(crate) fn says_deleted(bytes: &[u8]) -> bool {
    Marker::decode(bytes).is_ok_and(|marker| marker.state != MarkerState::Live)
}
