//! Apache Kafka's own tools read what the log wrote. Needs Java and Kafka's jars:
//! `KAFKA_RUN=<a command that takes a class and its arguments> cargo test --test it kafka_tools -- --ignored`.

use std::path::{Path, PathBuf};
use std::process::Command;

use stratalog::log::{Log, LogConfig, Origin};
use stratalog_protocol::records::{BatchBuilder, BatchHeader, CodecId, EndTransactionMarker, NewRecord};
use stratalog_types::{LeaderEpoch, Offset};

use super::harness::*;

/// A log with everything that its files can hold: every codec, transactions, epochs, rolls, a recovered tail.
pub fn write_log(directory: &Path) {
    let config = LogConfig { segment_bytes: 20_000, index_interval_bytes: 500, ..LogConfig::default() };
    {
        let dir = open_dir(directory);
        let log = open_log(&dir, &config);
        write_some(&log, 1);
    }
    let active = std::fs::read_dir(directory.join("events-0")).unwrap().map(|e| e.unwrap().path());
    let active = active.filter(|path| path.extension().is_some_and(|e| e == "log")).max().unwrap();
    let length = active.metadata().unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&active).unwrap().set_len(length - 7).unwrap();
    let dir = open_dir(directory);
    let log = open_log(&dir, &config);
    assert!(log.cut_bytes() > 0);
    write_some(&log, 2);
    log.set_log_start_offset(Offset(5)).unwrap();
    dir.close().unwrap();
}

fn write_some(log: &Log, epoch: i32) {
    let codecs = [CodecId::NONE, CodecId::GZIP, CodecId::SNAPPY, CodecId::LZ4, CodecId::ZSTD];
    for round in 0..200i64 {
        let producer_id = 100 + round;
        let mut builder = BatchBuilder::new(0).codec(codecs[round as usize % codecs.len()]);
        if round % 3 == 0 {
            builder = builder.producer(producer_id, epoch as i16, 0).transactional();
        }
        for at in 0..1 + round % 4 {
            let value = vec![b'a' + (at as u8); 100 + round as usize];
            // Timestamps go back now and then.
            let timestamp = NOW_MS + round * 10 - (round % 5) * 30 + at;
            builder.append(&NewRecord { timestamp, value: Some(&value), ..NewRecord::default() }).unwrap();
        }
        append_as(log, &builder.build().unwrap(), epoch).unwrap();
        if round % 3 == 0 {
            let marker = EndTransactionMarker { committed: round % 2 == 0, coordinator_epoch: epoch };
            let batch = marker.batch(0, NOW_MS + round * 10, producer_id, epoch as i16, epoch).unwrap();
            let header = BatchHeader::decode(&batch).unwrap();
            let origin = Origin::EndTransaction { epoch_must_rise: false };
            log.append(&batch, header, LeaderEpoch(epoch), origin).unwrap();
        }
    }
}

fn files(directory: &Path, suffix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory.join("events-0")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == suffix)).collect();
    found.sort();
    found
}

fn dump(arguments: &[&str], files: &[PathBuf]) -> String {
    let command = std::env::var("KAFKA_RUN").expect("KAFKA_RUN names the command that runs a class of Kafka");
    let mut words = command.split_whitespace();
    let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let output = Command::new(words.next().expect("a command"))
        .args(words)
        .arg("org.apache.kafka.tools.DumpLogSegments")
        .args(arguments)
        .args(["--files", &files.join(",")])
        .output()
        .expect("the command runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    text
}

#[test]
#[ignore = "needs Apache Kafka: see the module"]
fn kafka_reads_segments_indexes_and_snapshots_without_complaint() {
    let directory = tempfile::tempdir().unwrap();
    write_log(directory.path());
    let logs = files(directory.path(), "log");
    assert!(logs.len() > 3);
    let text = dump(&["--deep-iteration", "--print-data-log"], &logs);
    let records = text.lines().filter(|line| line.contains("| offset:") || line.starts_with("| offset")).count();
    assert!(records > 500, "{records} records in {text}");
    for complaint in ["isvalid: false", "invalid bytes", "Exception", "ERROR"] {
        assert!(!text.contains(complaint), "{complaint} in {text}");
    }
    // The tool begins at offset -1 in every segment, and finds that its first record is not 0: nobody's gap.
    let gaps = text.lines().filter(|line| line.contains("is followed by") && !line.trim().starts_with("-1 is")).count();
    assert_eq!(gaps, 0, "{text}");
    for (suffix, arguments) in
        [("index", vec!["--index-sanity-check"]), ("index", vec!["--verify-index-only"]), ("timeindex", vec![])]
    {
        let text = dump(&arguments, &files(directory.path(), suffix));
        for complaint in
            ["Mismatches", "out of order", "Found timestamp", "Indexed offset", "Exception", "No longer", "corrupt"]
        {
            assert!(!text.contains(complaint), "{complaint} in {text}");
        }
    }
    let text = dump(&[], &files(directory.path(), "snapshot"));
    assert!(text.contains("producerId: 100") && !text.contains("Exception"), "{text}");
    let text = dump(&[], &files(directory.path(), "txnindex"));
    assert!(text.contains("producerId") && !text.contains("Exception"), "{text}");
    println!("{records} records in {} segments", logs.len());
}
