//! A shard of groups: those whose records are in one partition of `__consumer_offsets`.

pub mod classic;
pub mod consumer;
pub mod timers;
