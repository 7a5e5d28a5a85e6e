//! What stays of a batch that loses records, and which batches are left alone: what readers, producers and later rounds
//! depend on beside the records themselves.

use stratalog::log::offline::{self, Findings, Severity, Target};
use stratalog::log::{CleanOptions, CompactionConfig, LogConfig};
use stratalog_protocol::records::{BatchBuilder, BatchHeader, CodecId, NewRecord};
use stratalog_types::Offset;

use super::{Bench, RETENTION_MS, config, read_everything, record};
use crate::log::harness::{NOW_MS, append};

const CODECS: [CodecId; 5] = [CodecId::NONE, CodecId::GZIP, CodecId::SNAPPY, CodecId::LZ4, CodecId::ZSTD];

fn headers(bench: &Bench) -> Vec<BatchHeader> {
    read_everything(&bench.log(), Offset(0), 1 << 20).0
}

fn header_at(bench: &Bench, base_offset: i64) -> Option<BatchHeader> {
    headers(bench).into_iter().find(|header| header.base_offset == base_offset)
}

/// Makes the log dirty again, and cleans it.
fn next_round(bench: &mut Bench) {
    bench.append(&[record(b"new", Some(b"v"), NOW_MS)], CodecId::NONE, None, false);
    bench.log().roll().unwrap();
    bench.clean(&CleanOptions::default()).unwrap();
}

#[test]
fn a_batch_that_loses_records_keeps_its_offsets_its_codec_and_its_producer() {
    for codec in CODECS {
        for producer in [None, Some((7, false)), Some((8, true))] {
            let mut bench = Bench::new(config());
            let values = [record(b"a", Some(b"v"), NOW_MS + 9), record(b"stays", Some(b"v"), NOW_MS + 3)];
            let all = [values[0], values[1], record(b"b", Some(b"v"), NOW_MS + 8)];
            let (id, transactional) = producer.map_or((None, false), |(id, in_one)| (Some(id), in_one));
            let base = bench.append(&all, codec, id, transactional);
            if let (Some(id), true) = (id, transactional) {
                bench.end_transaction(id, true);
            }
            let before = header_at(&bench, base).unwrap();
            let later = [record(b"a", Some(b"later"), NOW_MS), record(b"b", Some(b"later"), NOW_MS)];
            bench.append(&later, CodecId::NONE, None, false);
            bench.log().roll().unwrap();
            bench.clean(&CleanOptions::default()).unwrap();
            bench.check(false);
            let after = header_at(&bench, base).unwrap();
            let expected = BatchHeader {
                record_count: 1,
                max_timestamp: NOW_MS + 3,
                batch_length: after.batch_length,
                crc: after.crc,
                ..before
            };
            assert_eq!(after, expected, "{codec:?}, {producer:?}");
            assert!(after.batch_length < before.batch_length);
        }
    }
}

#[test]
fn a_batch_that_loses_all_records_keeps_its_offsets_and_its_sequences() {
    for transactional in [false, true] {
        let mut bench = Bench::new(config());
        let keys = [b"a", b"b", b"c"];
        let records = |value: &'static [u8]| keys.map(|key| record(key, Some(value), NOW_MS));
        bench.append(&records(b"first"), CodecId::ZSTD, Some(7), transactional);
        let base = bench.append(&records(b"second"), CodecId::ZSTD, Some(7), transactional);
        if transactional {
            bench.end_transaction(7, true);
        }
        let before = header_at(&bench, base).unwrap();
        bench.append(&records(b"another's"), CodecId::NONE, None, false);
        bench.log().roll().unwrap();
        bench.clean(&CleanOptions::default()).unwrap();
        bench.check(false);
        let after = header_at(&bench, base).unwrap();
        assert_eq!((after.record_count, after.last_offset()), (0, before.last_offset()));
        assert_eq!((after.base_sequence, after.last_sequence()), (3, 5));
        assert_eq!(after.attributes.is_transactional(), transactional);
        assert_eq!(header_at(&bench, 0), None, "only the last one of a producer stays");
    }
}

/// Of whom nothing is known but an epoch, of the marker that raised it.
#[test]
fn the_epoch_of_a_producer_without_sequences_survives() {
    let mut bench = Bench::new(config());
    let marker = bench.end_transaction(9, false);
    bench.append(&[record(b"k", Some(b"v"), NOW_MS)], CodecId::NONE, None, false);
    bench.log().roll().unwrap();
    bench.clean(&CleanOptions::default()).unwrap();
    bench.clock.advance_ms(RETENTION_MS);
    for _ in 0..2 {
        next_round(&mut bench);
        let left = header_at(&bench, marker).unwrap();
        assert_eq!((left.record_count, left.producer_id, left.producer_epoch), (0, 9, 0));
        assert!(left.attributes.is_control_batch());
    }
}

/// As Kafka keeps it: what copies the log finds its end there.
#[test]
fn the_last_offset_of_a_round_stays_without_its_record() {
    let mut bench = Bench::new(config());
    bench.append(&[record(b"k", Some(b"v"), NOW_MS)], CodecId::NONE, None, false);
    let keyless = NewRecord { timestamp: NOW_MS, value: Some(b"v"), ..NewRecord::default() };
    let last = bench.append(&[keyless, keyless], CodecId::GZIP, None, false);
    bench.log().roll().unwrap();
    bench.clean(&CleanOptions::default()).unwrap();
    bench.check(false);
    let left = header_at(&bench, last).unwrap();
    assert_eq!((left.record_count, left.last_offset()), (0, last + 1));
    next_round(&mut bench);
    assert_eq!(header_at(&bench, last), None, "behind it the log goes on");
}

/// Its records have the time of the append, whatever their deltas say.
#[test]
fn a_batch_with_the_time_of_its_append_keeps_it() {
    let mut bench = Bench::new(config());
    let mut builder = BatchBuilder::new(0).codec(CodecId::LZ4).log_append_time(NOW_MS + 50);
    for next in [record(b"a", Some(b"v"), 3), record(b"gone", None, 5), record(b"stays", Some(b"v"), 4)] {
        builder.append(&next).unwrap();
    }
    append(&bench.log(), &builder.build().unwrap()).unwrap();
    let stamp_of = |bench: &Bench| {
        let (_, seen) = read_everything(&bench.log(), Offset(0), 1000);
        let stays = seen.iter().find(|record| record.key.as_deref() == Some(b"stays")).unwrap();
        (header_at(bench, 0).unwrap().max_timestamp, stays.timestamp)
    };
    assert_eq!(stamp_of(&bench), (NOW_MS + 50, NOW_MS + 50));
    bench.append(&[record(b"a", Some(b"later"), NOW_MS)], CodecId::NONE, None, false);
    bench.log().roll().unwrap();
    bench.clean(&CleanOptions::default()).unwrap();
    let aging = header_at(&bench, 0).unwrap();
    assert_eq!((aging.record_count, aging.attributes.has_delete_horizon()), (2, true));
    assert_eq!(stamp_of(&bench), (NOW_MS + 50, NOW_MS + 50));
    bench.clock.advance_ms(RETENTION_MS);
    next_round(&mut bench);
    assert_eq!(header_at(&bench, 0).unwrap().record_count, 1);
    assert_eq!(stamp_of(&bench), (NOW_MS + 50, NOW_MS + 50));
}

/// Of a committed transaction whose records are all gone: the round that finds it alone gives it a time to go.
#[test]
fn a_marker_ages_once_its_transaction_is_gone() {
    for committed in [true, false] {
        let mut bench = Bench::new(config());
        let first = bench.append(&[record(b"k", Some(b"v"), NOW_MS)], CodecId::NONE, Some(9), true);
        let marker = bench.end_transaction(9, committed);
        if !committed {
            bench.aborted.insert(first, marker);
        }
        // Neither the transaction's batch nor its marker is the last that the producer wrote.
        bench.append(&[record(b"k", Some(b"later"), NOW_MS)], CodecId::NONE, Some(9), true);
        let last = bench.end_transaction(9, true);
        bench.append(&[record(b"k", Some(b"last"), NOW_MS)], CodecId::NONE, None, false);
        bench.log().roll().unwrap();
        bench.clean(&CleanOptions::default()).unwrap();
        assert_eq!(header_at(&bench, first), None);
        assert!(!header_at(&bench, marker).unwrap().attributes.has_delete_horizon(), "its records were met");
        next_round(&mut bench);
        let aging = header_at(&bench, marker).unwrap();
        assert!(aging.attributes.has_delete_horizon());
        assert_eq!(aging.base_timestamp, NOW_MS + RETENTION_MS);
        bench.clock.advance_ms(RETENTION_MS - 1);
        next_round(&mut bench);
        assert_eq!(header_at(&bench, marker).map(|header| header.base_timestamp), Some(NOW_MS + RETENTION_MS));
        bench.clock.advance_ms(1);
        next_round(&mut bench);
        assert_eq!(header_at(&bench, marker), None);
        assert!(header_at(&bench, last).is_some_and(|header| header.record_count == 1));
        bench.check(false);
    }
}

#[test]
fn a_marker_does_not_age_while_its_records_are_there() {
    let mut bench = Bench::new(config());
    bench.append(&[record(b"stays", Some(b"v"), NOW_MS)], CodecId::NONE, Some(9), true);
    let marker = bench.end_transaction(9, true);
    bench.append(&[record(b"k", Some(b"v"), NOW_MS)], CodecId::NONE, None, false);
    bench.log().roll().unwrap();
    bench.clean(&CleanOptions::default()).unwrap();
    for _ in 0..3 {
        let header = header_at(&bench, marker).unwrap();
        assert_eq!((header.record_count, header.attributes.has_delete_horizon()), (1, false));
        bench.clock.advance_ms(RETENTION_MS);
        next_round(&mut bench);
    }
}

/// Of what is not here any more and is history still a tombstone that went would bring an older value back.
#[test]
fn a_tombstone_stays_while_older_records_are_elsewhere() {
    let mut bench = Bench::new(config());
    bench.append(&[record(b"k", Some(b"elsewhere"), NOW_MS)], CodecId::NONE, None, false);
    bench.log().roll().unwrap();
    let tombstone = bench.append(&[record(b"k", None, NOW_MS)], CodecId::NONE, None, false);
    bench.log().roll().unwrap();
    bench.dir().sync_queued();
    let log = bench.log();
    log.delete_local_below(Offset(tombstone)).unwrap();
    assert_eq!((log.log_start_offset().0, log.local_log_start_offset().0), (0, tombstone));
    let is_there = || {
        let (_, seen) = read_everything(&log, Offset(tombstone), 1000);
        seen.iter().any(|record| record.offset == tombstone && record.value.is_none())
    };
    for _ in 0..3 {
        next_round(&mut bench);
        assert!(is_there());
        bench.clock.advance_ms(RETENTION_MS);
    }
    log.set_log_start_offset(Offset(tombstone)).unwrap();
    next_round(&mut bench);
    assert!(!is_there());
}

/// Their readers are told by the index here.
#[test]
fn what_tells_of_aborted_records_stays_while_they_are_elsewhere() {
    let mut bench = Bench::new(config());
    bench.append(&[record(b"k", Some(b"elsewhere"), NOW_MS)], CodecId::NONE, Some(9), true);
    bench.log().roll().unwrap();
    let marker = bench.end_transaction(9, false);
    bench.append(&[record(b"other", Some(b"v"), NOW_MS)], CodecId::NONE, None, false);
    bench.log().roll().unwrap();
    bench.dir().sync_queued();
    let log = bench.log();
    log.delete_local_below(Offset(marker)).unwrap();
    let told = || log.aborted_transactions(Offset(0), Offset(marker)).unwrap().len();
    assert_eq!((log.local_log_start_offset().0, told()), (marker, 1));
    for _ in 0..3 {
        next_round(&mut bench);
        assert_eq!(told(), 1);
        bench.clock.advance_ms(RETENTION_MS);
    }
}

/// Index entries too are those that appends of what is left would have made.
#[test]
fn what_was_cleaned_is_found_sound() {
    let mut bench = Bench::new(LogConfig { segment_bytes: 6000, ..config() });
    for round in 0..60i64 {
        let keys = [format!("a{}", round % 3), format!("only {round}"), format!("b{}", round % 7)];
        let records: Vec<_> = keys.iter().map(|key| record(key.as_bytes(), Some(b"v"), NOW_MS + round)).collect();
        bench.append(&records, CodecId::NONE, None, false);
    }
    bench.log().roll().unwrap();
    bench.clean(&CleanOptions::default()).unwrap();
    bench.dir().close().unwrap();
    bench.open = None;
    let mut found = Vec::new();
    let mut findings = Findings::new(|finding| {
        if finding.severity != Severity::Note {
            found.push(finding.to_string());
        }
    });
    offline::verify(&Target::of(bench.directory.path()).unwrap(), &mut findings).unwrap();
    drop(findings);
    assert_eq!(found, [""; 0]);
}

/// Whether its records count is not known yet: they take no older one away, and it none of theirs.
#[test]
fn an_open_transaction_and_what_is_behind_it_is_left_alone() {
    let mut bench = Bench::new(config());
    bench.append(&[record(b"k", Some(b"before"), NOW_MS)], CodecId::NONE, None, false);
    bench.append(&[record(b"k", Some(b"old"), NOW_MS)], CodecId::NONE, None, false);
    bench.log().roll().unwrap();
    let first = bench.append(&[record(b"k", Some(b"in doubt"), NOW_MS)], CodecId::NONE, Some(9), true);
    bench.append(&[record(b"x", Some(b"v"), NOW_MS)], CodecId::NONE, None, false);
    bench.append(&[record(b"x", Some(b"w"), NOW_MS)], CodecId::NONE, None, false);
    bench.log().roll().unwrap();
    let cleaned = bench.clean(&CleanOptions::default()).unwrap();
    assert_eq!(cleaned.end_offset, Offset(first));
    bench.check(false);
    let marker = bench.end_transaction(9, false);
    bench.aborted.insert(first, marker);
    bench.log().roll().unwrap();
    let cleaned = bench.clean(&CleanOptions::default()).unwrap();
    assert_eq!(cleaned.end_offset.0, marker + 1);
    bench.check(false);
    let (_, seen) = read_everything(&bench.log(), Offset(0), 1000);
    let values: Vec<&[u8]> = seen.iter().map(|record| record.value.as_deref().unwrap()).collect();
    assert_eq!(values, [b"old".as_slice(), b"w"]);
}

#[test]
fn what_is_not_synced_is_left_alone() {
    let mut bench = Bench::new(LogConfig { flush_messages: i64::MAX, ..config() });
    for _ in 0..2 {
        bench.append(&[record(b"k", Some(b"v"), NOW_MS)], CodecId::NONE, None, false);
        bench.log().roll().unwrap();
    }
    let log = bench.log();
    let end = log.log_end_offset();
    let dirt = log.dirt(end).unwrap();
    assert_eq!((dirt.end_offset, dirt.dirty_bytes), (Offset(0), 0));
    log.flush();
    bench.dir().sync_queued();
    assert_eq!(log.dirt(end).unwrap().end_offset, end);
}

#[test]
fn what_is_young_is_left_alone_and_what_waits_too_long_is_due() {
    let compaction = CompactionConfig { min_lag_ms: 100, max_lag_ms: Some(500), ..config().compaction };
    let mut bench = Bench::new(LogConfig { compaction, ..config() });
    let log = bench.log();
    for timestamp in [NOW_MS, NOW_MS + 50] {
        bench.append(&[record(b"k", Some(b"v"), timestamp)], CodecId::NONE, None, false);
        log.roll().unwrap();
    }
    bench.append(&[record(b"k", Some(b"v"), NOW_MS + 60)], CodecId::NONE, None, false);
    bench.dir().sync_queued();
    let mut now = 0;
    let mut at = |after: i64| {
        bench.clock.advance_ms(after - now);
        now = after;
        let dirt = log.dirt(log.flushed().get()).unwrap();
        (dirt.end_offset.0, dirt.overdue_ms, log.roll_for_compaction().unwrap())
    };
    assert_eq!(at(99), (0, 0, false));
    assert_eq!(at(100), (1, 0, false));
    assert_eq!(at(150), (2, 0, false));
    assert_eq!(at(500), (2, 0, false));
    assert_eq!(at(501), (2, 1, false));
    assert_eq!(at(560), (2, 60, false));
    assert_eq!(at(561), (2, 61, true));
    assert_eq!(at(562), (3, 62, false));
}
