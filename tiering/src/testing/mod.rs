//! The manifest protocol under test: a bucket whose answers the test decides, brokers that follow the callers' rules, and
//! a checker that watches every write.
//!
//! `bucket` is the store, `truth` the checker of the invariants I1-I12, `world` the brokers. `scenarios` plants each bug and
//! sees it caught, `crashes` stops at every call, `histories` walks at random.

pub mod bucket;
mod crashes;
mod histories;
mod scenarios;
mod truth;
mod world;

/// A directory that a sync costs nothing in, where there is one: these tests count on order, not on disks.
pub fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
