//! What comes between the passes of a round, and what a round that ended early leaves.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use stratalog::log::{CleanError, CleanOptions, Log, ReadError};
use stratalog::platform::disk::{Disk, DiskObserver, DiskOp, FileId};
use stratalog_protocol::records::{BatchIter, CodecId};
use stratalog_types::Offset;

use super::{Bench, config, read_everything, record};
use crate::log::harness::{NOW_MS, range_bytes};

const BEGUN: &str = ".log.cleaned";
const READ: &str = ".txnindex.cleaned";

type Hook = Box<dyn Fn(usize) -> io::Result<()> + Send + Sync>;

/// Calls with the number of each cleaned segment of which a file with this suffix is made: the `.log` when it is begun, the
/// `.txnindex` when all of it was read.
struct AtCleaned {
    suffix: &'static str,
    begun: AtomicUsize,
    hook: Hook,
}

impl DiskObserver for AtCleaned {
    fn file_id(&self, _: &Path) -> FileId {
        FileId::default()
    }

    fn before(&self, operation: DiskOp<'_>) -> io::Result<()> {
        match operation {
            DiskOp::Create(path) if path.to_string_lossy().ends_with(self.suffix) => {
                (self.hook)(self.begun.fetch_add(1, Ordering::SeqCst) + 1)
            }
            _ => Ok(()),
        }
    }
}

fn bench_with(suffix: &'static str, hook: Hook) -> Bench {
    let disk = Disk::observed(Arc::new(AtCleaned { suffix, begun: AtomicUsize::new(0), hook }));
    Bench::on(config(), disk)
}

/// Several closed segments, of which the first keep nothing.
fn fill(bench: &mut Bench) {
    for at in 0..120i64 {
        let key = [u8::try_from(at % 3).unwrap()];
        bench.append(&[record(&key, Some(b"a value of some length"), NOW_MS + at)], CodecId::NONE, None, false);
    }
    bench.log().roll().unwrap();
}

#[test]
fn holes_of_a_round_that_ended_early_are_none_of_a_damaged_log() {
    let mut bench = bench_with(
        BEGUN,
        Box::new(|begun| match begun {
            2 => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }),
    );
    fill(&mut bench);
    let error = bench.clean(&CleanOptions::default()).unwrap_err();
    assert!(matches!(error, CleanError::Log(_)), "{error}");
    assert!(!bench.config.may_have_holes);
    let (_, seen) = read_everything(&bench.log(), Offset(0), 1000);
    assert!(seen.len() < 120 && seen.first().unwrap().offset > 0, "the first segment was swapped");
    assert_eq!(bench.clean_end(), 0);
    bench.reopen();
    let (_, again) = read_everything(&bench.log(), Offset(0), 1000);
    assert_eq!(again, seen);
    assert!(bench.log().offset_for_timestamp(NOW_MS).unwrap().is_some());
    bench.clean(&CleanOptions::default()).unwrap();
    bench.check(false);
}

#[test]
fn an_empty_cleaned_segment_is_passed_over_by_the_upload() {
    let mut bench = Bench::new(config());
    fill(&mut bench);
    bench.clean(&CleanOptions::default()).unwrap();
    let log = bench.log();
    let sizes: Vec<u64> = log.closed_segments().iter().map(|segment| segment.bytes).collect();
    assert!(sizes.len() > 2 && sizes.first() == Some(&0), "{sizes:?}");
    let (end, bytes) = log.closed_segment_beyond(Offset(0)).unwrap();
    let reader = log.segment_for_upload(Offset(0)).unwrap().expect("a segment with batches");
    assert_eq!((reader.end_offset, reader.bytes), (end, bytes));
    assert_eq!(reader.base_offset.0, *bench.expected(120).keys().next().unwrap());
}

/// One record that stays, then many of one key: the first segment keeps a batch, and a hole behind it.
#[test]
fn a_start_in_the_hole_at_the_end_of_a_cleaned_segment_is_passed_by_the_upload() {
    let mut bench = Bench::new(config());
    bench.append(&[record(b"stays", Some(b"v"), NOW_MS)], CodecId::NONE, None, false);
    fill(&mut bench);
    bench.clean(&CleanOptions::default()).unwrap();
    let log = bench.log();
    let first = log.closed_segments()[0];
    assert!(first.bytes > 0 && first.end_offset > Offset(5), "{first:?}");
    log.set_log_start_offset(Offset(5)).unwrap();
    assert_eq!(log.closed_segment_beyond(Offset(5)), Some((first.end_offset, first.bytes)));
    let (mut uploaded, mut at) = (Vec::new(), Offset(5));
    while let Some(mut reader) = log.segment_for_upload(at).unwrap() {
        while let Some(run) = reader.next_run(1).unwrap() {
            uploaded.push(run.base_offset.0);
        }
        at = reader.end_offset;
    }
    let kept: Vec<i64> = bench.expected(121).into_keys().filter(|offset| *offset >= 5).collect();
    assert_eq!((uploaded, at), (kept, log.log_end_offset()));
}

/// The same where no compaction has been: the end of a file is missing, and is not passed over.
#[test]
fn a_closed_segment_that_was_cut_is_no_hole_to_the_upload() {
    let mut bench = Bench::new(config());
    fill(&mut bench);
    bench.dir().sync_queued();
    bench.dir().close().unwrap();
    let (path, first) = (bench.log().path().to_owned(), bench.log().closed_segments()[0]);
    bench.open = None;
    let file = std::fs::OpenOptions::new().write(true).open(path.join("00000000000000000000.log")).unwrap();
    let batch_bytes = first.bytes / u64::try_from(first.end_offset.0).unwrap();
    file.set_len(first.bytes - batch_bytes).unwrap();
    bench.reopen();
    let last = Offset(first.end_offset.0 - 1);
    assert!(bench.log().segment_for_upload(Offset(0)).unwrap().is_some());
    match bench.log().segment_for_upload(last) {
        Err(ReadError::Corrupt { .. }) => {}
        Err(error) => panic!("{error}"),
        Ok(reader) => panic!("the upload goes on at {:?}", reader.map(|reader| reader.base_offset)),
    }
}

/// No checksum covers a base offset: by a wrong one the records of a batch are older or younger than they are.
#[test]
fn a_wrong_base_offset_is_damage_and_takes_nothing_away() {
    let mut bench = Bench::new(config());
    fill(&mut bench);
    let log = bench.log();
    let base = log.closed_segments()[1].base_offset;
    let file = log.path().join(format!("{:020}.log", base.0));
    let whole = std::fs::read(&file).unwrap();
    let before: usize = BatchIter::new(&whole).take(2).map(|batch| batch.unwrap().bytes.len()).sum();
    let before_bytes = log_bytes(log.path());
    for bit in 0..64 {
        let mut wrong = whole.clone();
        wrong[before + bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&file, &wrong).unwrap();
        match bench.clean(&CleanOptions::default()) {
            Err(CleanError::Corrupt { .. }) => {}
            answer => panic!("bit {bit}: {answer:?}"),
        }
        assert_eq!(log_bytes(log.path()), before_bytes, "bit {bit}");
    }
    std::fs::write(&file, &whole).unwrap();
    bench.clean(&CleanOptions::default()).unwrap();
    bench.check(false);
}

/// What was cleaned before is not in the map's pass: the second one reads it, and would give it a right checksum again.
#[test]
fn a_rotten_batch_below_the_dirty_part_is_damage_and_takes_nothing_away() {
    let mut bench = Bench::new(config());
    bench.append(&[record(b"a", Some(b"v"), NOW_MS), record(b"b", Some(b"v"), NOW_MS)], CodecId::NONE, None, false);
    bench.log().roll().unwrap();
    bench.clean(&CleanOptions::default()).unwrap();
    bench.append(&[record(b"a", Some(b"later"), NOW_MS)], CodecId::NONE, None, false);
    bench.log().roll().unwrap();
    let log = bench.log();
    let file = log.path().join("00000000000000000000.log");
    let whole = std::fs::read(&file).unwrap();
    // In the last record; and in the base offset, which no checksum covers.
    for (at, bit) in [(whole.len() - 6, 1), (6, 1)] {
        let mut rotten = whole.clone();
        rotten[at] ^= bit;
        std::fs::write(&file, &rotten).unwrap();
        let answer = bench.clean(&CleanOptions::default());
        assert!(matches!(answer, Err(CleanError::Corrupt { .. })), "byte {at}: {answer:?}");
        assert_eq!(std::fs::read(&file).unwrap(), rotten);
    }
    std::fs::write(&file, &whole).unwrap();
    bench.clean(&CleanOptions::default()).unwrap();
    bench.check(false);
}

/// Replaced segments go at once: who reads one holds its file.
#[test]
fn reads_under_way_keep_what_they_read() {
    let mut bench = Bench::new(config());
    fill(&mut bench);
    let log = bench.log();
    let bases: Vec<Offset> = log.closed_segments().iter().map(|segment| segment.base_offset).collect();
    let read = |at: &Offset| log.read(*at, 1 << 20, log.log_end_offset(), true).unwrap();
    let slices: Vec<_> = bases.iter().map(read).collect();
    let before: Vec<Vec<u8>> = slices.iter().map(|slice| range_bytes(&slice.range)).collect();
    let mut reader = log.segment_for_upload(bases[1]).unwrap().unwrap();
    let bytes = log_bytes(log.path());
    bench.clean(&CleanOptions::default()).unwrap();
    assert!(log_bytes(log.path()) < bytes / 4, "the room is free");
    let after: Vec<Vec<u8>> = slices.iter().map(|slice| range_bytes(&slice.range)).collect();
    assert_eq!(after, before);
    let mut uploaded = Vec::new();
    while let Some(run) = reader.next_run(200).unwrap() {
        uploaded.extend_from_slice(&run.bytes);
    }
    assert_eq!(uploaded, before[1]);
    // A new read finds what took their place.
    let slice = log.read(bases[1], 1 << 20, log.log_end_offset(), true).unwrap();
    assert!(slice.base_offset > bases[1] && range_bytes(&slice.range).len() < before[1].len());
}

fn log_bytes(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let logs = files.filter(|file| file.file_name().to_string_lossy().contains(".log"));
    logs.map(|file| file.metadata().unwrap().len()).sum()
}

/// Of a run of more batches than are copied at a time.
#[test]
fn many_batches_that_stay_whole_are_copied() {
    let mut bench = Bench::new(stratalog::log::LogConfig { segment_bytes: 1 << 20, ..config() });
    for at in 0..9000i64 {
        let batch_key = at.to_be_bytes();
        bench.append(&[record(&batch_key, Some(b"v"), NOW_MS + at)], CodecId::NONE, None, false);
    }
    bench.log().roll().unwrap();
    bench.clean(&CleanOptions::default()).unwrap();
    let (_, seen) = read_everything(&bench.log(), Offset(0), 1 << 16);
    assert_eq!(seen.len(), 9000);
}

#[test]
fn segments_that_are_removed_under_a_round_are_a_change() {
    for moment in [BEGUN, READ] {
        removed_at(moment);
    }
}

fn removed_at(moment: &'static str) {
    let log: Arc<std::sync::OnceLock<Arc<Log>>> = Arc::default();
    let removing = log.clone();
    let mut bench = bench_with(
        moment,
        Box::new(move |begun| {
            if let (1, Some(log)) = (begun, removing.get()) {
                log.set_log_start_offset(Offset(100)).unwrap();
                log.delete_local_below(Offset(100)).unwrap();
            }
            Ok(())
        }),
    );
    fill(&mut bench);
    assert!(log.set(bench.log()).is_ok());
    let error = bench.clean(&CleanOptions::default()).unwrap_err();
    assert!(matches!(error, CleanError::Changed), "{error:?}");
    let names = std::fs::read_dir(bench.log().path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().ends_with(".cleaned")).collect();
    assert!(left.is_empty(), "room that nobody gives back: {left:?}");
    bench.clean(&CleanOptions::default()).unwrap();
    let start = bench.log().local_log_start_offset();
    assert!(start > Offset(0) && start <= Offset(100), "{start}");
}

/// Each round replaces segments that somebody looks through.
#[test]
fn reads_and_looks_by_time_survive_the_swaps() {
    let mut bench = Bench::new(config());
    fill(&mut bench);
    let done = Arc::new(AtomicBool::new(false));
    let reading = {
        let (done, log) = (done.clone(), bench.log());
        std::thread::spawn(move || {
            while !done.load(Ordering::SeqCst) {
                let mut at = Offset(0);
                loop {
                    let slice = log.read(at, 1000, log.log_end_offset(), true).unwrap();
                    let bytes = range_bytes(&slice.range);
                    assert!(BatchIter::new(&bytes).all(|batch| batch.unwrap().crc_matches()));
                    if slice.next_offset <= at {
                        break;
                    }
                    at = slice.next_offset;
                }
                log.aborted_transactions(Offset(0), log.log_end_offset()).unwrap();
            }
        })
    };
    let looking = {
        let (done, log) = (done.clone(), bench.log());
        std::thread::spawn(move || {
            while !done.load(Ordering::SeqCst) {
                log.offset_for_timestamp(i64::MAX).unwrap();
                // What was below that end may be superseded by now.
                log.max_timestamp_offset(log.log_end_offset()).unwrap();
                log.offset_for_timestamp(NOW_MS).unwrap().unwrap();
            }
        })
    };
    for _ in 0..40 {
        if looking.is_finished() || reading.is_finished() {
            break;
        }
        fill(&mut bench);
        bench.clean(&CleanOptions::default()).unwrap();
    }
    done.store(true, Ordering::SeqCst);
    looking.join().unwrap();
    reading.join().unwrap();
}
