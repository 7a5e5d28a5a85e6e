//! `stratalog log`: what it prints, and its exit codes.

use std::fs;

use serde_json::Value;

use super::{fail, succeed};
use crate::log::kafka_tools::write_log;

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_log_is_dumped_verified_and_mended() {
    let directory = tempfile::tempdir().unwrap();
    write_log(directory.path());
    let path = directory.path().to_str().unwrap();
    let partition = directory.path().join("events-0");
    let partition_path = partition.to_str().unwrap();

    let summary = succeed(&["log", "verify", path], "");
    assert!(summary.contains("1 partitions") && summary.contains("0 wrong, 0 lost"), "{summary}");
    let dumped =
        rows(&succeed(&["log", "dump", partition_path, "--records", "--format", "json", "--offsets", "100..120"], ""));
    let of_kind = |kind: &str| dumped.iter().filter(|row| row["kind"] == kind).collect::<Vec<_>>();
    let offsets: Vec<_> = of_kind("record").iter().map(|row| row["offset"].as_i64().unwrap()).collect();
    assert_eq!(offsets, (100..120).collect::<Vec<_>>());
    assert!(of_kind("record").iter().any(|row| row["marker"] == "COMMIT" || row["marker"] == "ABORT"));
    assert!(of_kind("batch").iter().all(|row| row["last_offset"].as_i64().unwrap() >= 100));
    assert!(!of_kind("leader_epoch").is_empty() && !of_kind("producer").is_empty() && !of_kind("property").is_empty());
    let text = succeed(&["log", "dump", partition_path], "");
    assert!(text.contains("batch ") && text.contains("codec: zstd") && text.contains("time_index "), "{text}");

    let log = fs::read_dir(&partition).unwrap().map(|entry| entry.unwrap().path());
    let log = log.filter(|path| path.extension().is_some_and(|e| e == "log")).min().unwrap();
    let mut bytes = fs::read(&log).unwrap();
    bytes[3000] ^= 1;
    fs::write(&log, &bytes).unwrap();
    assert!(fail(&["log", "verify", path], 1).contains("log repair"));
    assert!(fail(&["log", "repair", path], 1).contains("to be done"));
    assert_eq!(fs::read(&log).unwrap(), bytes, "a plan changes nothing");
    assert!(fail(&["log", "repair", path, "--apply"], 1).contains("--drop-damaged"));
    let done = succeed(&["log", "repair", path, "--apply", "--drop-damaged", "--format", "json"], "");
    assert!(rows(&done).iter().any(|row| row["action"] == "drop_damaged" && row["first_offset"].is_i64()), "{done}");
    succeed(&["log", "verify", path], "");
    let repaired = succeed(&["log", "repair", path], "");
    assert_eq!(repaired, "");
}

#[test]
fn what_is_no_log_is_said() {
    assert!(fail(&["log", "verify", "/nowhere"], 2).contains("/nowhere"));
    assert!(fail(&["log", "dump", "/nowhere", "--offsets", "5"], 2).contains("FROM..TO"));
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    assert!(fail(&["log", "verify", path], 1).contains("nothing is known to check"));
    assert!(fail(&["log", "repair", path], 1).contains("directory"));
}
