use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use super::{FileCache, Segment};
use crate::log::scan::ScanError;
use crate::metrics::Metrics;
use crate::platform::disk::Disk;

/// A segment that is taken for damaged is renamed when the tier has it: a limit of the process must not do that.
#[test]
fn errors_of_the_process_are_no_damage() {
    let metrics = Arc::new(Metrics::new());
    let files = Arc::new(FileCache::new(Disk::default(), 10, Arc::clone(&metrics)));
    let directory = tempfile::tempdir().unwrap();
    let segment = Segment::new(&files, directory.path(), 0, 100, 10, None);
    for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::ACCESS, Errno::PERM, Errno::NOENT] {
        segment.read_error(ScanError::Io(io::Error::from(errno)));
        assert_eq!(segment.damage(), None, "{errno:?}");
    }
    assert_eq!(metrics.log_segments_damaged.get(), 0);
    segment.read_error(ScanError::Io(io::Error::from(Errno::IO)));
    assert!(segment.damage().is_some());
    assert_eq!(metrics.log_segments_damaged.get(), 1);
}
