//! A topic's life in the bucket: live, deleted, purging, gone. `marker` is its record, `purge` removes what it left.

pub mod marker;

pub use marker::{Marker, MarkerState};

/// Whether a marker's bytes say that the topic is deleted; unreadable ones say nothing.
pub(crate) fn says_deleted(bytes: &[u8]) -> bool {
    Marker::decode(bytes).is_ok_and(|marker| marker.state != MarkerState::Live)
}
