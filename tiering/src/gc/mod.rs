//! What makes objects go: marks after their grace, orphans by the sweeper, whole topics by the purge.
//!
//! The order is always: out of the manifest, wait, delete. Nothing here deletes what a manifest may still name.

pub mod topic;
