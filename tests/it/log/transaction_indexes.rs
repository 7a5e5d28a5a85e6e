//! Transaction indexes that were damaged while nobody looked: the next start makes them anew from the log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stratalog::log::{AbortedTransaction, Log, LogConfig, LogDir, Origin, Pace};
use stratalog_protocol::records::{BatchHeader, EndTransactionMarker};
use stratalog_types::{LeaderEpoch, Offset};

use super::harness::*;

const ENTRY_BYTES: usize = 34;

fn config() -> LogConfig {
    LogConfig { segment_bytes: 1200, ..LogConfig::default() }
}

fn end(log: &Log, producer_id: i64, committed: bool) {
    let marker = EndTransactionMarker { committed, coordinator_epoch: 3 };
    let batch = marker.batch(0, NOW_MS, producer_id, 0, 1).unwrap();
    let header = BatchHeader::decode(&batch).unwrap();
    log.append(&batch, header, LeaderEpoch(1), Origin::EndTransaction { epoch_must_rise: false }).unwrap();
}

/// Two producers whose transactions overlap, over several segments; every second one is aborted.
fn fill(log: &Log) {
    for round in 0..12 {
        append(log, &transactional(&[round], (100, 0, round as i32))).unwrap();
        append(log, &transactional(&[round], (200, 0, round as i32))).unwrap();
        end(log, 100, round % 2 == 0);
        append(log, &batch(&[round], NOW_MS, 0)).unwrap();
        end(log, 200, round % 2 == 1);
    }
    // One is open at the end.
    append(log, &transactional(&[99], (300, 0, 0))).unwrap();
}

fn aborted(log: &Log) -> Vec<AbortedTransaction> {
    log.aborted_transactions(Offset::ZERO, log.log_end_offset()).unwrap()
}

fn indexes(directory: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(directory.join(partition().to_string())).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|it| it == "txnindex")).collect();
    files.sort();
    files
}

fn open(directory: &Path) -> (Arc<LogDir>, Arc<Log>) {
    let dir = open_dir(directory);
    let log = open_log(&dir, &config());
    (dir, log)
}

/// Name of the harm, and what is left of the bytes.
fn harms(whole: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let changed = |at: usize, bits: u8| {
        let mut bytes = whole.to_vec();
        bytes[at] ^= bits;
        bytes
    };
    let last = whole.len() - ENTRY_BYTES;
    let mut swapped = whole.to_vec();
    swapped.rotate_left(ENTRY_BYTES);
    let mut harms = vec![
        ("empty", Vec::new()),
        ("cut inside of an entry", whole[..whole.len() - 5].to_vec()),
        ("with more bytes", [whole, b"more"].concat()),
        ("with an entry twice", [whole, &whole[last..]].concat()),
        ("of zeros", vec![0; whole.len()]),
        ("with another version", changed(last + 1, 1)),
        ("with a first offset below 0", changed(last + 10, 0x80)),
        ("with a first offset behind its marker", changed(last + 16, 0x40)),
        ("with a marker far behind the segment", changed(last + 22, 0x40)),
        ("with a marker before the segment", changed(last + 18, 0x80)),
    ];
    if last > 0 {
        harms.push(("out of order", swapped));
    }
    harms
}

#[test]
fn a_damaged_transaction_index_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (dir, log) = open(directory.path());
    fill(&log);
    let expected = aborted(&log);
    assert_eq!(expected.len(), 12);
    dir.close().unwrap();
    drop((dir, log));
    let files = indexes(directory.path());
    assert!(files.len() >= 3, "{files:?}");
    for file in &files {
        let whole = std::fs::read(file).unwrap();
        for (what, harmed) in harms(&whole) {
            let what = format!("{} {what}", file.display());
            std::fs::write(file, harmed).unwrap();
            let (dir, log) = open(directory.path());
            assert!(dir.was_clean(), "{what}");
            assert_eq!(aborted(&log), expected, "{what}");
            assert_eq!(std::fs::read(file).unwrap(), whole, "{what}");
            dir.close().unwrap();
        }
        std::fs::remove_file(file).unwrap();
        std::fs::create_dir(file).unwrap();
        let (dir, log) = open(directory.path());
        assert_eq!(aborted(&log), expected, "{} does not read", file.display());
        assert_eq!(std::fs::read(file).unwrap(), whole);
        dir.close().unwrap();
    }
}

/// Damage that comes while the log is open is an error, not the end of what was aborted.
#[test]
fn a_transaction_index_that_rots_is_not_half_believed() {
    let directory = tempfile::tempdir().unwrap();
    let (_dir, log) = open(directory.path());
    fill(&log);
    let file = indexes(directory.path()).remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[0] = 7;
    std::fs::write(&file, bytes).unwrap();
    let error = log.aborted_transactions(Offset::ZERO, log.log_end_offset()).unwrap_err();
    assert!(error.to_string().contains("txnindex"), "{error}");
}

/// Under a log that is open, too: the scrub compares each closed segment's with its markers.
#[test]
fn a_scrub_finds_what_the_markers_do_not_say() {
    let directory = tempfile::tempdir().unwrap();
    let (_dir, log) = {
        let dir = open_dir(directory.path());
        let log = Log::create(&dir, partition(), topic_id(), config()).unwrap();
        (dir, log)
    };
    fill(&log);
    let scrub = || {
        let (mut from, mut wrong) = (Offset::ZERO, 0);
        while let Some(scrubbed) = log.scrub(from, &Pace::unlimited()).unwrap() {
            assert!(!scrubbed.is_damaged);
            from = scrubbed.next;
            wrong += scrubbed.indexes_wrong;
        }
        wrong
    };
    let sound = aborted(&log);
    assert_eq!(scrub(), 0);
    let closed = log.closed_segments().last().unwrap().base_offset.0;
    let path = indexes(directory.path()).into_iter().nth(1).unwrap();
    assert!(path.file_stem().unwrap().to_str().unwrap().parse::<i64>().unwrap() <= closed);
    let whole = std::fs::read(&path).unwrap();
    for byte in 0..ENTRY_BYTES {
        let mut bytes = whole.clone();
        bytes[byte] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(scrub(), 1, "byte {byte}");
        assert_eq!(std::fs::read(&path).unwrap(), whole, "byte {byte}");
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(scrub(), 1, "removed");
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert_eq!(scrub(), 1, "cut short");
    assert_eq!((scrub(), aborted(&log)), (0, sound));
}

/// Nothing tells then which transactions were open at its beginning.
#[test]
fn a_scrub_leaves_the_index_of_a_segment_whose_snapshot_does_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let (_dir, log) = open(directory.path());
    append(&log, &transactional(&[1], (400, 0, 0))).unwrap();
    log.roll().unwrap();
    end(&log, 400, false);
    log.roll().unwrap();
    let sound = aborted(&log);
    assert_eq!(sound.len(), 1);
    let snapshot = log.path().join("00000000000000000001.snapshot");
    std::fs::remove_file(&snapshot).unwrap();
    std::fs::create_dir(&snapshot).unwrap();
    let mut from = Offset::ZERO;
    while let Some(scrubbed) = log.scrub(from, &Pace::unlimited()).unwrap() {
        assert_eq!(scrubbed.indexes_wrong, 0);
        from = scrubbed.next;
    }
    assert_eq!(aborted(&log), sound);
}
