//! An index that is missing is made anew by who needs it first; nobody else waits for that.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stratalog::log::{Effort, Log, LogConfig, LogDir, LogDirOptions, ReadError};
use stratalog::platform::disk::{Disk, DiskObserver, DiskOp, FileId};
use stratalog_types::Offset;

use super::harness::*;

/// A test that hangs says so.
const HANG: Duration = Duration::from_secs(20);
pub const FIRST_INDEX: &str = "00000000000000000000.index";

/// Whoever makes the first segment's offset index waits until the test lets it go on.
pub struct HeldDisk {
    holds: AtomicBool,
    pub made: AtomicUsize,
    /// Nobody let it go on.
    pub hung: AtomicBool,
    begun: Sender<()>,
    go_on: Mutex<Receiver<()>>,
}

impl HeldDisk {
    /// The disk, word of each making that begins, and what lets it go on. Holds nobody before [`HeldDisk::hold`].
    pub fn new() -> (Arc<HeldDisk>, Receiver<()>, Sender<()>) {
        let ((begun, is_begun), (release, go_on)) = (channel(), channel());
        let disk = HeldDisk {
            holds: AtomicBool::new(false),
            made: AtomicUsize::new(0),
            hung: AtomicBool::new(false),
            begun,
            go_on: Mutex::new(go_on),
        };
        (Arc::new(disk), is_begun, release)
    }

    pub fn hold(&self) {
        self.holds.store(true, Ordering::SeqCst);
    }
}

impl DiskObserver for HeldDisk {
    fn file_id(&self, _path: &Path) -> FileId {
        FileId(0)
    }

    fn before(&self, operation: DiskOp<'_>) -> io::Result<()> {
        let is_first = |path: &Path| path.file_name().is_some_and(|name| name == FIRST_INDEX);
        if matches!(operation, DiskOp::Create(path) if is_first(path)) && self.holds.load(Ordering::SeqCst) {
            self.made.fetch_add(1, Ordering::SeqCst);
            let _ = self.begun.send(());
            if self.go_on.lock().unwrap().recv_timeout(HANG).is_err() {
                self.hung.store(true, Ordering::SeqCst);
            }
        }
        Ok(())
    }
}

fn config() -> LogConfig {
    LogConfig { segment_bytes: 1000, index_interval_bytes: 100, ..LogConfig::default() }
}

fn fill(directory: &Path) {
    fill_as(directory, &config(), 100);
}

fn fill_as(directory: &Path, config: &LogConfig, padding_bytes: usize) {
    let dir = open_dir(directory);
    let log = open_log(&dir, config);
    for value in 0..40 {
        append(&log, &batch(&[value], NOW_MS, padding_bytes)).unwrap();
    }
    assert!(log.closed_segments().len() > 3);
    dir.sync_queued();
    dir.close().unwrap();
}

fn open_on(directory: &Path, disk: &Arc<HeldDisk>) -> (Arc<LogDir>, Arc<Log>) {
    let options = LogDirOptions { disk: Disk::observed(disk.clone()), ..manual_options() };
    let dir = LogDir::open(directory, options).unwrap();
    let log = open_log(&dir, &config());
    (dir, log)
}

#[test]
fn an_index_that_is_made_anew_holds_up_nobody_who_does_not_need_it() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    std::fs::remove_file(directory.path().join("events-0").join(FIRST_INDEX)).unwrap();
    let (disk, begun, release) = HeldDisk::new();
    let (dir, log) = open_on(directory.path(), &disk);
    disk.hold();
    let end = log.log_end_offset();
    let read = |at: i64| log.read(Offset(at), 100, end, true).unwrap().next_offset;
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3).map(|at| scope.spawn(move || read(at))).collect();
        begun.recv_timeout(HANG).unwrap();
        let others = scope.spawn(|| {
            assert!(log.size_bytes() > 0 && log.bytes_beyond(Offset::ZERO) > 0);
            assert_eq!(log.local_log_start_offset(), Offset::ZERO);
            assert!(log.closed_segment_beyond(Offset::ZERO).is_some());
            assert_eq!(log.roll().unwrap(), end);
            append(&log, &batch(&[40], NOW_MS, 0)).unwrap();
            assert_eq!(read(39), Offset(40));
            release.send(()).unwrap();
        });
        others.join().unwrap();
        for (at, reader) in readers.into_iter().enumerate() {
            assert_eq!(reader.join().unwrap(), Offset(at as i64 + 1));
        }
    });
    assert!(!disk.hung.load(Ordering::SeqCst), "somebody waited for an index that is not his");
    assert_eq!(disk.made.load(Ordering::SeqCst), 1, "of three who needed it one made it");
    dir.close().unwrap();
}

/// What a fetch may do on a worker of the runtime: no index is read there for the first time, and none made anew.
#[test]
fn who_may_not_wait_is_told_that_an_index_is_not_read_yet() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let dir = open_dir(directory.path());
    let log = open_log(&dir, &config());
    let end = log.log_end_offset();
    let read = |at, effort| log.read_with(effort, Offset(at), 300, end, true);
    let next = |at| read(at, Effort::Little).map(|slice| slice.next_offset.0);
    // The active segment's was read at the start.
    assert_eq!(next(39).unwrap(), 40);
    for at in [0, 4] {
        assert!(matches!(next(at), Err(ReadError::Unindexed)), "{at}");
    }
    assert_eq!(read(4, Effort::Any).unwrap().next_offset.0, 5);
    assert_eq!((next(0).unwrap(), next(4).unwrap()), (1, 5));
    // An index of which the batches say otherwise: every entry names a place in the middle of one.
    let index = log.path().join(FIRST_INDEX);
    let mut bytes = std::fs::read(&index).unwrap();
    bytes.chunks_exact_mut(8).for_each(|entry| entry[7] ^= 1);
    std::fs::write(&index, bytes).unwrap();
    for _ in 0..2 {
        assert!(matches!(next(4), Err(ReadError::Unindexed)));
    }
    assert_eq!(read(4, Effort::Any).unwrap().next_offset.0, 5);
    assert_eq!(next(4).unwrap(), 5);
    dir.close().unwrap();
}

fn replace_by_directory(file: &Path) {
    std::fs::remove_file(file).unwrap();
    std::fs::create_dir(file).unwrap();
}

/// A sector that goes bad under an index is not the log's: it keeps its place under another name, and the index is made
/// anew elsewhere. Before the start, and while the log is open.
#[test]
fn an_index_that_does_not_read_is_set_aside_and_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    // So large that an index which is made anew has entries.
    let config = LogConfig { segment_bytes: 12_000, ..config() };
    fill_as(directory.path(), &config, 2000);
    let log_directory = directory.path().join("events-0");
    for name in [FIRST_INDEX, "00000000000000000000.timeindex"] {
        let file = log_directory.join(name);
        // Nothing stays open: the next look opens the file that is there then.
        let options = || LogDirOptions { open_files_max: 1, ..manual_options() };
        let check = |log: &Log, aside: &str| {
            assert_eq!(read_all(log, Offset::ZERO, 3000).len(), 40);
            assert_eq!(log.offset_for_timestamp(NOW_MS + 1).unwrap(), None);
            assert_eq!(log.offset_for_timestamp(NOW_MS).unwrap().unwrap().offset, Offset::ZERO);
            assert_eq!(log.damaged_until(), None);
            assert!(file.is_file() && log_directory.join(format!("{name}.{aside}")).is_dir(), "{name}");
        };
        replace_by_directory(&file);
        let dir = LogDir::open(directory.path(), options()).unwrap();
        let log = open_log(&dir, &config);
        check(&log, "damaged");
        replace_by_directory(&file);
        check(&log, "1.damaged");
        dir.close().unwrap();
    }
}
