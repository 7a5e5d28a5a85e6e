//! The state machines of coordinators: what they decide, without I/O, clock or threads.
//!
//! A machine is one shard: one partition of a coordinator's topic. A request becomes records and answers
//! ([`machine::Step`]); records change replayed state in `replay` alone, whether they were appended a moment ago or ten
//! restarts back. Who appends, waits for the high watermark and keeps time is the runtime of the broker.
//!
//! Owns: groups ([`group`]), the records of `__consumer_offsets` ([`records`]). Does not own: a log, a socket, a task,
//! the wall clock, randomness.

pub mod group;
pub mod machine;
mod planting;
pub mod records;
