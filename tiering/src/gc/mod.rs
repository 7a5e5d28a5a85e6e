//! What makes objects go: marks after their grace, orphans by the sweeper, whole topics by the purge.
//!
//! The order is always: out of the manifest, wait, delete. Nothing here deletes what a manifest may still name.

mod marks;
mod sweep;
pub mod topic;

pub use marks::Reaped;
pub use sweep::Swept;
