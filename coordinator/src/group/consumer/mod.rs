//! Groups of the `consumer` protocol (KIP-848): the coordinator assigns, members follow at their own pace.
//!
//! ```text
//! group       replayed state: members, targets, epochs     replay       records to state and back
//! heartbeat   the protocol's one request                   presence     soft state: sessions, waiting joins, jobs
//! subscribe   from what a member says to records           reconcile    a member's next step to its target
//! fence       members that go                              assign       time, and jobs that come back
//! assignor/   uniform, range                               regex        subscriptions by expression
//! classic_member  members of the classic protocol          migration    groups that change protocol
//! ```
//!
//! Handlers read a [`ConsumerGroup`] and never change it; what is to change goes into the [`Turn`]'s step as records,
//! and changes with their replay. [`Presence`] is what handlers change. Computing assignments and matching expressions
//! are [jobs](AssignmentJob) that run elsewhere: meanwhile the group lives on with the target that it has.
//!
//! Absent: I/O, clocks, randomness, anything of classic groups but their conversion.

mod assign;
pub mod assignor;
pub mod classic_member;
mod consumer_protocol;
mod describe;
mod fence;
mod group;
mod heartbeat;
mod job;
mod member;
mod metadata_hash;
pub mod migration;
mod offsets;
pub mod partitions;
mod planted;
mod presence;
mod reconcile;
mod refusal;
pub mod regex;
mod replay;
mod settings;
mod subscribe;
#[cfg(test)]
mod tests;
mod turn;

pub use assign::{append_failed, assigned, tick};
pub use fence::Downgrade;
pub use group::{ConsumerGroup, GroupState};
pub use heartbeat::{check_heartbeat, heartbeat, refuse_heartbeat};
pub use job::{Assigned, AssignmentJob};
pub use member::{JOIN_EPOCH, LEAVE_EPOCH, LEAVE_STATIC_EPOCH, Member, MemberState};
pub use offsets::CommitScope;
pub use presence::Presence;
pub use refusal::Refusal;
pub use replay::Replayed;
pub use settings::Settings;
pub use turn::Turn;
