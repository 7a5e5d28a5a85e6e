//! Classic groups: JoinGroup, SyncGroup, Heartbeat and LeaveGroup of one group (KIP-62, 345, 394, 429, 814).
//!
//! Owns the state of a group, its deadlines and its record. Does not own: which groups there are, offsets, answers of a
//! group that is not there. A group hands out at most one record at a time, and gets no other input before that record
//! was replayed or failed ([`ClassicGroup::replay`], [`ClassicGroup::append_failed`]).
//!
//! ```text
//!            join                    all have joined, or time is up            the leader's sync is in the log
//!   Empty ---------> PreparingRebalance ---------> CompletingRebalance ---------> Stable
//!     ^                |        ^                        |                          |
//!     +----------------+        +------------------------+--------------------------+
//!      nobody is left              a member comes, goes, or says something new
//! ```
//!
//! Every parked request is answered: by the phase that it waits for, by a later request of the same member, when its
//! member is removed or replaced, or by [`ClassicGroup::close`].

mod group;
mod heartbeat;
mod join;
mod leave;
mod member;
mod members;
mod offsets;
mod outcome;
mod planted;
mod rebalance;
mod replay;
mod state;
mod sync;
#[cfg(test)]
mod tests;
mod timers;

pub use group::{CONSUMER_PROTOCOL_TYPE, ClassicGroup};
pub use join::check_join;
pub use leave::{leaving, left, left_without_group};
pub use member::{Member, MemberId, Strategy};
pub use members::Members;
pub use offsets::ExpireFrom;
pub use outcome::{Outcome, refused_join, refused_sync};
pub use state::State;
pub use sync::check_sync;
