//! The pure parts: names, checkpoints, epochs, producers and their snapshot, index files.

use proptest::prelude::*;
use stratalog_protocol::records::{BatchBuilder, BatchHeader, EndTransactionMarker, NewRecord};
use stratalog_types::{LeaderEpoch, Offset, TopicPartition};

use super::checkpoint;
use super::epochs::{EpochStart, LeaderEpochs};
use super::error::AppendError;
use super::names;
use super::producers::{Origin, Producers, Verdict, decode_snapshot, encode_snapshot, first_undecided_offset};
use super::transactions::AbortedTransaction;
use super::unstable::Unstable;
use crate::platform::disk::Disk;

#[test]
fn directory_names_are_partitions_only_in_their_one_form() {
    for (name, expected) in [
        ("events-0", Some(("events", 0))),
        ("a-b.c_d-17", Some(("a-b.c_d", 17))),
        ("events-00", None),
        ("events", None),
        ("-1", None),
        ("events-", None),
        ("events-99999999999", None),
        ("events-0.0123456789abcdef0123456789abcdef-delete", None),
    ] {
        let expected = expected.map(|(topic, partition)| TopicPartition::new(topic, partition));
        assert_eq!(names::parse_partition_directory(name), expected, "{name}");
    }
    assert_eq!(names::parse_offset_file("00000000000000000042.log"), Some((42, "log")));
    assert_eq!(names::parse_offset_file("42.log"), None);
    assert_eq!(names::parse_offset_file("99999999999999999999.log"), None);
}

#[test]
fn checkpoints_come_back_and_damaged_ones_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("recovery-point-offset-checkpoint");
    assert!(checkpoint::read_offsets(&path).unwrap().is_empty());
    let offsets = checkpoint::OffsetsByPartition::from([
        (TopicPartition::new("b", 1), Offset(7)),
        (TopicPartition::new("a", 0), Offset(0)),
    ]);
    checkpoint::write_offsets(&Disk::default(), &path, &offsets).unwrap();
    // What Kafka reads of it: it splits at white space, and drops what is empty at the end.
    let text = std::fs::read_to_string(&path).unwrap();
    let bare: Vec<&str> = text.lines().map(|line| line.trim_end_matches([' ', '\t'])).collect();
    assert_eq!(bare, ["0", "2", "a 0 0", "b 1 7"]);
    assert_eq!(checkpoint::read_offsets(&path).unwrap(), offsets);
    std::fs::write(&path, "0\n2\na 0 0\nb 1 7\n").unwrap();
    assert_eq!(checkpoint::read_offsets(&path).unwrap(), offsets);
    // No flipped bit of a line goes unseen, and what is whole is kept.
    for at in text.find('a').unwrap()..text.len() {
        for bit in 0..8 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            std::fs::write(&path, &bytes).unwrap();
            assert!(checkpoint::read_offsets(&path).is_err(), "byte {at}, bit {bit}");
            let (kept, problem) = checkpoint::salvage_offsets(&path).unwrap();
            assert!(problem.is_some() && kept.iter().all(|(name, offset)| offsets.get(name) == Some(offset)));
        }
    }
    let mut lines: Vec<&str> = text.lines().collect();
    lines[3] = "b 1 7";
    let one_sum = lines.join("\n") + "\n";
    // Nor does a file that lost its end, with sums or without: digits may have gone with it.
    for whole in [text.as_str(), "0\n2\na 0 10\nb 1 7777\n"] {
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(checkpoint::read_offsets(&path).is_err(), "{:?}", &whole[..length]);
        }
    }
    for damaged in ["", "1\n0\n", "0\n2\na 0 0\n", "0\n1\na 0 -5\n", "0\n1\na zero 5\n", "0\nmany\n", &one_sum] {
        std::fs::write(&path, damaged).unwrap();
        let error = checkpoint::read_offsets(&path).expect_err(damaged).to_string();
        assert!(error.contains("recovery-point-offset-checkpoint"), "{error}");
    }
}

#[test]
fn ends_of_epochs_are_kafkas() {
    let entries = [(1, 0), (3, 10), (7, 25)];
    let entries = entries.map(|(epoch, start)| EpochStart { epoch: LeaderEpoch(epoch), start_offset: Offset(start) });
    let epochs = LeaderEpochs::new(entries.to_vec());
    let end = |epoch| epochs.end_offset_for(LeaderEpoch(epoch), Offset(40)).map(|(epoch, end)| (epoch.0, end.0));
    assert_eq!(end(7), Some((7, 40)));
    assert_eq!(end(8), None);
    assert_eq!(end(5), Some((3, 25)));
    assert_eq!(end(1), Some((1, 10)));
    assert_eq!(end(0), Some((0, 0)));
    assert_eq!(end(-1), None);
    assert_eq!(LeaderEpochs::default().end_offset_for(LeaderEpoch(1), Offset(4)), None);
}

#[test]
fn epochs_are_cut_at_both_ends() {
    let entries = [(1, 0), (3, 10), (7, 25)];
    let entries = entries.map(|(epoch, start)| EpochStart { epoch: LeaderEpoch(epoch), start_offset: Offset(start) });
    let mut epochs = LeaderEpochs::new(entries.to_vec());
    assert!(epochs.truncate_from_start(Offset(12)));
    assert_eq!(epochs.entries()[0], EpochStart { epoch: LeaderEpoch(3), start_offset: Offset(12) });
    assert!(epochs.truncate_from_end(Offset(25)));
    assert_eq!(epochs.latest(), LeaderEpoch(3));
    assert!(!epochs.assign(LeaderEpoch(3), Offset(30)));
    assert!(epochs.assign(LeaderEpoch(4), Offset(30)));
    // A new leadership that begins before what an older one is said to have written.
    assert!(epochs.assign(LeaderEpoch(5), Offset(20)));
    assert_eq!(epochs.entries().len(), 2);
    assert_eq!(epochs.epoch_of(Offset(19)), Some(LeaderEpoch(3)));
    assert_eq!(epochs.epoch_of(Offset(20)), Some(LeaderEpoch(5)));
    assert_eq!(epochs.epoch_of(Offset(11)), None);
}

fn header(producer: (i64, i16, i32), records: i32, base_offset: i64, transactional: bool) -> BatchHeader {
    let mut builder = BatchBuilder::new(base_offset).producer(producer.0, producer.1, producer.2);
    if transactional {
        builder = builder.transactional();
    }
    for _ in 0..records {
        builder.append(&NewRecord { timestamp: 5, value: Some(b"v"), ..NewRecord::default() }).unwrap();
    }
    BatchHeader::decode(&builder.build().unwrap()).unwrap()
}

fn marker(
    producer: (i64, i16),
    committed: bool,
    coordinator_epoch: i32,
    offset: i64,
) -> (BatchHeader, EndTransactionMarker) {
    let marker = EndTransactionMarker { committed, coordinator_epoch };
    let batch = marker.batch(offset, 5, producer.0, producer.1, 0).unwrap();
    (BatchHeader::decode(&batch).unwrap(), marker)
}

#[test]
fn sequences_wrap_and_the_last_five_batches_are_retries() {
    let mut producers = Producers::default();
    let mut sequence = i32::MAX - 6;
    let mut batches = Vec::new();
    for batch in 0..7i64 {
        let header = header((1, 0, sequence), 3, batch * 3, false);
        // The first may begin anywhere: its predecessors may have been deleted.
        assert_eq!(producers.check(&header, Origin::Client).unwrap(), Verdict::Append);
        producers.note(&header);
        batches.push(header);
        sequence = if sequence > i32::MAX - 3 { sequence - i32::MAX + 2 } else { sequence + 3 };
    }
    for (at, header) in batches.iter().enumerate() {
        match producers.check(header, Origin::Client) {
            Ok(Verdict::Duplicate(note)) => {
                assert!(at >= 2);
                assert_eq!((note.first_offset(), note.last_offset), (at as i64 * 3, at as i64 * 3 + 2));
            }
            Err(AppendError::OutOfOrderSequence { .. }) => assert!(at < 2, "{at}"),
            other => panic!("{at}: {other:?}"),
        }
    }
    // A part of a batch is no retry of it.
    let part = header((1, 0, batches[6].base_sequence), 2, 0, false);
    assert!(matches!(producers.check(&part, Origin::Client), Err(AppendError::OutOfOrderSequence { .. })));
    // A new epoch begins at 0.
    assert!(producers.check(&header((1, 1, 4), 1, 0, false), Origin::Client).is_err());
    assert!(producers.check(&header((1, 1, 0), 1, 0, false), Origin::Client).is_ok());
}

#[test]
fn the_stable_offset_follows_transactions_and_the_high_watermark() {
    let mut producers = Producers::default();
    producers.note(&header((1, 0, 0), 2, 10, true));
    producers.note(&header((2, 0, 0), 1, 12, true));
    let unstable = Unstable::new(&mut producers);
    assert_eq!(unstable.first_offset(13), Some(10));
    assert!(matches!(
        producers.check(&header((1, 0, 2), 1, 13, false), Origin::Client),
        Err(AppendError::InvalidTransactionState { producer_id: 1 })
    ));
    let (abort, what) = marker((1, 0), false, 4, 13);
    assert_eq!(
        producers.aborted_by(&abort, what),
        Some(AbortedTransaction { producer_id: 1, first_offset: 10, last_offset: 13, last_stable_offset: 12 })
    );
    producers.note_marker(&abort, what);
    // The marker is not replicated yet: its transaction still holds readers back.
    unstable.follow(&mut producers);
    assert_eq!(unstable.first_offset(13), Some(10));
    assert_eq!(unstable.first_offset(14), Some(12));
    let (stale, what) = marker((2, 0), true, 3, 14);
    producers.note_marker(&stale, what);
    unstable.follow(&mut producers);
    assert_eq!(unstable.first_offset(14), Some(12));
    assert_eq!(unstable.first_offset(15), None);
    assert!(producers.all_stable());
}

#[test]
fn markers_are_fenced_by_coordinator_and_producer_epoch() {
    let mut producers = Producers::default();
    producers.note(&header((1, 5, 0), 1, 0, true));
    let coordinator = |epoch_must_rise| Origin::EndTransaction { epoch_must_rise };
    let (same, what) = marker((1, 5), true, 2, 1);
    assert!(producers.check_marker(&same, what, coordinator(false)).is_ok());
    assert!(matches!(
        producers.check_marker(&same, what, coordinator(true)),
        Err(AppendError::InvalidProducerEpoch { current: 5, got: 5, .. })
    ));
    let (older, older_what) = marker((1, 4), true, 2, 1);
    assert!(producers.check_marker(&older, older_what, coordinator(false)).is_err());
    producers.note_marker(&same, what);
    let (fenced, fenced_what) = marker((1, 6), true, 1, 2);
    assert!(matches!(
        producers.check_marker(&fenced, fenced_what, coordinator(true)),
        Err(AppendError::TransactionCoordinatorFenced { current: 2, got: 1, .. })
    ));
}

#[test]
fn idle_producers_expire_but_not_inside_a_transaction() {
    let mut producers = Producers::default();
    producers.note(&header((1, 0, 0), 1, 0, false));
    producers.note(&header((2, 0, 0), 1, 1, true));
    assert_eq!(producers.expire(104, 100), 0);
    assert_eq!(producers.expire(105, 100), 1);
    assert!(producers.entries().all(|state| state.producer_id == 2));
}

/// A snapshot as Kafka writes it: field by field, not by our own encoder.
#[test]
fn a_snapshot_has_kafkas_bytes() {
    let mut producers = Producers::default();
    producers.note(&header((0x0102, 3, 8), 2, 40, true));
    let bytes = encode_snapshot(&producers);
    let mut body = Vec::new();
    body.extend_from_slice(&1i32.to_be_bytes());
    body.extend_from_slice(&0x0102i64.to_be_bytes());
    body.extend_from_slice(&3i16.to_be_bytes());
    body.extend_from_slice(&9i32.to_be_bytes());
    body.extend_from_slice(&41i64.to_be_bytes());
    body.extend_from_slice(&1i32.to_be_bytes());
    body.extend_from_slice(&5i64.to_be_bytes());
    body.extend_from_slice(&(-1i32).to_be_bytes());
    body.extend_from_slice(&40i64.to_be_bytes());
    assert_eq!(bytes[..2], [0, 1]);
    assert_eq!(bytes[2..6], crc32c::crc32c(&body).to_be_bytes());
    assert_eq!(bytes[6..], body);
    let restored = Producers::restore(decode_snapshot(&bytes).unwrap());
    assert_eq!(restored.first_undecided_offset(), Some(40));
    assert_eq!(first_undecided_offset(&bytes), Ok(Some(40)));
    assert_eq!(encode_snapshot(&restored), bytes);
}

proptest! {
    #[test]
    fn arbitrary_snapshot_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (decode_snapshot(&bytes), first_undecided_offset(&bytes));
    }

    #[test]
    fn a_snapshot_with_a_flipped_bit_is_refused(at in 0usize..54, bit in 0u8..8) {
        let mut producers = Producers::default();
        producers.note(&header((7, 0, 0), 1, 0, false));
        let mut bytes = encode_snapshot(&producers);
        prop_assert!(at < bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(decode_snapshot(&bytes).is_err());
    }

    #[test]
    fn aborted_transactions_come_back(fields in any::<[i64; 4]>()) {
        let [producer_id, first_offset, last_offset, last_stable_offset] = fields;
        let entry = AbortedTransaction { producer_id, first_offset, last_offset, last_stable_offset };
        prop_assert_eq!(AbortedTransaction::decode(&entry.encode()), Some(entry));
    }
}
