//! A bucket for the protocol's tests, with its own answers under the test's control.

pub mod bucket;

/// A directory that a sync costs nothing in, where there is one: these tests count on order, not on disks.
pub fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
