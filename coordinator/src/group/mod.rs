//! A shard of groups: those whose records are in one partition of `__consumer_offsets`.
//!
//! [`GroupMachine`] owns which groups there are, what they have committed and when each wants to be woken. A group of
//! the classic protocol ([`classic`]) and one of the `consumer` protocol ([`consumer`]) know nothing of each other.

pub mod classic;
pub mod consumer;
mod expiry;
mod machine;
mod members;
mod offset_requests;
pub mod offsets;
#[cfg(test)]
mod tests;
pub mod timers;

pub use machine::GroupMachine;
