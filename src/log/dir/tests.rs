use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use stratalog_types::{Offset, TopicPartition};

use super::checkpoint_file::CheckpointFile;
use super::checkpoints;
use crate::log::checkpoint;
use crate::log::error::Error;
use crate::platform::disk::{Disk, DiskObserver, DiskOp, FileId};
use crate::platform::lock;

/// A disk whose syncs of files wait at a gate, are counted, and may be refused.
#[derive(Default)]
struct Gate {
    /// Syncs that may pass; after them they wait.
    open_for: Mutex<usize>,
    opened: Condvar,
    arrived: AtomicUsize,
    refused: Mutex<Vec<usize>>,
}

impl DiskObserver for Gate {
    fn file_id(&self, _path: &Path) -> FileId {
        FileId(1)
    }

    fn before(&self, operation: DiskOp<'_>) -> io::Result<()> {
        let DiskOp::Sync(_) = operation else { return Ok(()) };
        let number = self.arrived.fetch_add(1, Ordering::SeqCst);
        let mut open_for = lock(&self.open_for);
        while *open_for <= number {
            open_for = self.opened.wait(open_for).unwrap();
        }
        let refused = lock(&self.refused).contains(&number);
        if refused { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}

impl Gate {
    fn open_for(&self, syncs: usize) {
        *lock(&self.open_for) = syncs;
        self.opened.notify_all();
    }

    /// Nobody waits for ever behind a test that failed.
    fn opens_at_last(&self) -> impl Drop {
        struct OpenAtLast<'g>(&'g Gate);
        impl Drop for OpenAtLast<'_> {
            fn drop(&mut self) {
                self.0.open_for(usize::MAX);
            }
        }
        OpenAtLast(self)
    }

    fn writes(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }
}

struct Bench {
    gate: Arc<Gate>,
    directory: tempfile::TempDir,
    file: CheckpointFile,
}

/// Only a test that fails needs it.
const PATIENCE: Duration = Duration::from_secs(20);
const NAME: &str = "log-start-offset-checkpoint";

fn name(partition: i32) -> TopicPartition {
    TopicPartition::new("events", partition)
}

fn bench() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let gate = Arc::new(Gate::default());
    let path = directory.path().join(NAME);
    let found = checkpoints::read(&Disk::default(), &path).unwrap();
    Bench { file: CheckpointFile::new(Disk::observed(gate.clone()), path, found), gate, directory }
}

impl Bench {
    fn written(&self) -> checkpoint::OffsetsByPartition {
        checkpoint::read_offsets(&self.directory.path().join(NAME)).unwrap()
    }

    fn put(&self, partition: i32, offset: i64) -> Result<(), Error> {
        self.file.put(&name(partition), Offset(offset))
    }

    /// Waits for so many writes to have begun, and callers to wait for the next.
    fn until(&self, writes: usize, waiting: usize) {
        let begun = Instant::now();
        while (self.gate.writes(), self.file.waiting()) != (writes, waiting) {
            let found = (self.gate.writes(), self.file.waiting());
            assert!(begun.elapsed() < PATIENCE, "{found:?} writes and callers that wait, not {:?}", (writes, waiting));
            std::thread::yield_now();
        }
    }
}

#[test]
fn callers_that_come_during_a_write_share_the_next_one() {
    let bench = bench();
    std::thread::scope(|scope| {
        let _opens = bench.gate.opens_at_last();
        let first = scope.spawn(|| bench.put(0, 100));
        bench.until(1, 0);
        let bench = &bench;
        let others: Vec<_> = (1..64).map(|at| scope.spawn(move || bench.put(at, 100 + i64::from(at)))).collect();
        bench.until(1, 63);
        assert_eq!(bench.file.get(&name(0)), None, "not durable yet");
        bench.gate.open_for(1);
        first.join().unwrap().unwrap();
        assert_eq!(bench.written()[&name(0)], Offset(100));
        bench.until(2, 0);
        assert!(others.iter().all(|other| !other.is_finished()), "nobody goes on before its write is done");
        assert_eq!((bench.file.get(&name(0)), bench.file.get(&name(7))), (Some(Offset(100)), None));
        bench.gate.open_for(2);
        others.into_iter().map(ScopedJoinHandle::join).for_each(|put| put.unwrap().unwrap());
    });
    assert_eq!(bench.gate.writes(), 2);
    let expected = (0..64).map(|at| (name(at), Offset(100 + i64::from(at)))).collect();
    assert_eq!(bench.written(), expected);
    assert!((0..64).all(|at| bench.file.get(&name(at)) == Some(Offset(100 + i64::from(at)))));
}

#[test]
fn a_write_that_fails_fails_all_of_its_callers_and_nobody_else() {
    let bench = bench();
    bench.gate.open_for(1);
    bench.put(0, 1).unwrap();
    lock(&bench.gate.refused).extend([1, 2]);
    std::thread::scope(|scope| {
        let _opens = bench.gate.opens_at_last();
        let bench = &bench;
        let first = scope.spawn(|| bench.put(1, 11));
        bench.until(2, 0);
        let second = [2, 3].map(|at| scope.spawn(move || bench.put(at, 12)));
        bench.until(2, 2);
        bench.gate.open_for(2);
        assert!(first.join().unwrap().is_err());
        bench.until(3, 0);
        let third = scope.spawn(|| bench.put(4, 14));
        bench.until(3, 1);
        bench.gate.open_for(4);
        for put in second {
            let error = put.join().unwrap().unwrap_err();
            let Error::Io { source, .. } = &error else { panic!("{error}") };
            assert_eq!(source.raw_os_error(), Some(5));
        }
        third.join().unwrap().unwrap();
    });
    let expected = checkpoint::OffsetsByPartition::from([(name(0), Offset(1)), (name(4), Offset(14))]);
    assert_eq!(bench.written(), expected);
    assert!([1, 2, 3].iter().all(|at| bench.file.get(&name(*at)).is_none()));
}

#[test]
fn after_a_failure_what_is_settled_is_written_again() {
    let bench = bench();
    bench.gate.open_for(usize::MAX);
    bench.put(0, 50).unwrap();
    let below = |bench: &Bench| bench.file.lower(&name(0), Offset(60));
    below(&bench).unwrap();
    bench.file.remove(&[name(9)]).unwrap();
    bench.file.put_missing(&[(name(0), Offset(70))]).unwrap();
    assert_eq!(bench.gate.writes(), 1, "nothing was to be done");
    lock(&bench.gate.refused).push(1);
    assert!(bench.put(0, 100).is_err());
    // The file may say 100 now.
    std::fs::write(bench.directory.path().join(NAME), "0\n1\nevents 0 100\n").unwrap();
    below(&bench).unwrap();
    assert_eq!((bench.gate.writes(), bench.written()[&name(0)]), (3, Offset(50)));
    below(&bench).unwrap();
    assert_eq!(bench.gate.writes(), 3);
}

/// A recovery point that is on its way up while its log is cut back must not come to rest above the cut.
#[test]
fn an_entry_is_lowered_also_while_it_is_being_raised() {
    let bench = bench();
    bench.gate.open_for(1);
    bench.put(0, 40).unwrap();
    std::thread::scope(|scope| {
        let _opens = bench.gate.opens_at_last();
        let raised = scope.spawn(|| bench.put(0, 100));
        bench.until(2, 0);
        let lowered = scope.spawn(|| bench.file.lower(&name(0), Offset(50)));
        bench.until(2, 1);
        bench.gate.open_for(3);
        raised.join().unwrap().unwrap();
        lowered.join().unwrap().unwrap();
    });
    assert_eq!(bench.written()[&name(0)], Offset(50));
}

/// Two that give the same missing entry: the second goes on when it is durable, not when it was asked for.
#[test]
fn an_entry_that_is_being_written_is_waited_for() {
    let bench = bench();
    std::thread::scope(|scope| {
        let _opens = bench.gate.opens_at_last();
        let missing = |offset| bench.file.put_missing(&[(name(0), Offset(offset))]);
        let first = scope.spawn(move || missing(5));
        bench.until(1, 0);
        let second = scope.spawn(move || missing(6));
        bench.until(1, 1);
        bench.gate.open_for(usize::MAX);
        [first, second].into_iter().for_each(|put| put.join().unwrap().unwrap());
    });
    assert_eq!(bench.written()[&name(0)], Offset(5));
}
