//! Topics, records and the tier through the binary.

use std::io::Read;
use std::process::Stdio;

use super::{Broker, fail, stratalog, succeed};

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn topics_live_and_die() {
    let broker = Broker::start();
    let on = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(["-b", &broker.kafka]);
        succeed(&all, "")
    };
    assert_eq!(on(&["topic", "create", "a", "-p", "3", "-c", "retention.ms=3600000"]), "a: created\n");
    let again = fail(&["topic", "create", "a", "-b", &broker.kafka], 1);
    assert!(again.contains("exists already"), "{again}");
    assert_eq!(on(&["topic", "create", "a", "--if-not-exists"]), "a: exists\n");
    assert_eq!(on(&["topic", "create", "dry", "--dry-run"]), "dry: can be created\n");

    let listed = json(&on(&["topic", "list", "--format", "json"]));
    assert_eq!(listed[0]["name"], "a");
    assert_eq!(listed[0]["partitions"], 3);
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    let table = on(&["topic", "list"]);
    let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words, [["NAME", "PARTITIONS", "REPLICAS"], ["a", "3", "1"]]);

    let wrong = fail(&["topic", "alter", "a", "--set", "retention.ms=x", "-b", &broker.kafka], 1);
    assert!(wrong.contains("Invalid value x for configuration retention.ms"), "{wrong}");
    on(&["topic", "alter", "a", "--set", "max.message.bytes=2000000", "--unset", "retention.ms"]);
    let described = json(&on(&["topic", "describe", "a", "--format", "json"]));
    let configs = described["configs"].as_array().expect("configs").clone();
    let find = |name: &str| configs.iter().find(|config| config["name"] == name).map(|config| config["value"].clone());
    assert_eq!(find("max.message.bytes"), Some("2000000".into()));
    assert_eq!(find("retention.ms"), None);
    assert_eq!(described["partitions"].as_array().map(Vec::len), Some(3));

    assert_eq!(on(&["topic", "delete", "a", "--yes"]), "a: deleted\n");
    assert!(fail(&["topic", "describe", "a", "-b", &broker.kafka], 1).contains("does not exist"));
    assert_eq!(on(&["topic", "delete", "a", "--yes", "--if-exists"]), "a: does not exist\n");
}

#[test]
fn lines_come_back_as_they_went() {
    let broker = Broker::start();
    let b = broker.kafka.as_str();
    succeed(&["topic", "create", "lines", "-p", "1", "-b", b], "");
    for (at, codec) in ["none", "gzip", "snappy", "lz4", "zstd"].iter().enumerate() {
        let input = format!("key{at}:a {codec} \u{fc}\nother:\n:no key text\n");
        let report =
            succeed(&["produce", "lines", "-b", b, "-k", ":", "-z", codec, "-H", "h=1", "--format", "json"], &input);
        assert_eq!(json(&report)["records"], 3, "{report}");
    }
    let all = succeed(&["consume", "lines", "-b", b, "-o", "start", "-e", "-f", "%o %k=%v [%h]\\n"], "");
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!(lines.len(), 15);
    assert_eq!(lines[0], "0 key0=a none \u{fc} [h=1]");
    assert_eq!(lines[14], "14 =no key text [h=1]");

    let offsets = |arguments: &[&str]| {
        let mut all = vec!["consume", "lines", "-b", b, "-f", "%o "];
        all.extend(arguments);
        succeed(&all, "")
    };
    assert_eq!(offsets(&["-o", "-2", "-e"]), "13 14 ");
    assert_eq!(offsets(&["-o", "+3", "-n", "2"]), "3 4 ");
    assert_eq!(offsets(&["-o", "4", "--until", "6"]), "4 5 ");
    assert_eq!(offsets(&["-o", "@-1h", "-n", "1"]), "0 ");
    assert_eq!(offsets(&["-o", "@2100-01-01", "-e"]), "");
    let one = json(&succeed(&["consume", "lines", "-b", b, "-o", "2", "-n", "1", "-f", "json"], ""));
    assert_eq!((one["key"].as_str(), one["value"].as_str()), (Some(""), Some("no key text")));
    assert_eq!(one["headers"][0]["value"], "1");

    assert!(fail(&["produce", "absent", "--no-create", "-b", b], 1).contains("stratalog topic create absent"));
    assert!(fail(&["consume", "absent", "-b", b], 1).contains("does not exist"));
}

#[test]
fn keys_go_where_javas_producer_sends_them() {
    let broker = Broker::start();
    let b = broker.kafka.as_str();
    succeed(&["topic", "create", "keyed", "-p", "10", "-b", b], "");
    let input = "{\"id\":21}\n{\"id\":\"foobar\"}\n{\"id\":\"abc\"}\n";
    succeed(&["produce", "keyed", "-b", b, "--key-field", "id"], input);
    let mut placed: Vec<String> = succeed(&["consume", "keyed", "-b", b, "-o", "start", "-e", "-f", "%k %p\\n"], "")
        .lines()
        .map(str::to_owned)
        .collect();
    placed.sort();
    // Kafka's hash of the key, its sign bit cleared, modulo ten.
    assert_eq!(placed, ["21 0", "abc 7", "foobar 6"]);
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let broker = Broker::start();
    let b = broker.kafka.as_str();
    let lines: String = (0..20_000).map(|number| format!("line {number} with some more text\n")).collect();
    succeed(&["produce", "pipe", "-b", b], &lines);
    let mut child = stratalog(&["consume", "pipe", "-b", b, "-o", "start"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut out = child.stdout.take().expect("piped");
    let mut first = [0; 6];
    out.read_exact(&mut first).expect("a line");
    drop(out);
    let ended = child.wait_with_output().expect("ends by itself");
    assert_eq!(&first, b"line 0");
    assert!(ended.status.success(), "{:?}", ended.status);
    assert_eq!(super::text(&ended.stderr), "");
}

#[test]
fn the_tier_through_the_binary() {
    let broker = Broker::start();
    let (b, admin) = (broker.kafka.as_str(), broker.admin.as_str());
    succeed(&["topic", "create", "cold", "-p", "1", "-c", "segment.bytes=1048576", "-b", b], "");
    let lines: String = (0..20_000).map(|number| format!("{number} {}\n", "abcdefgh".repeat(16))).collect();
    succeed(&["produce", "cold", "-b", b], &lines);
    let flushed =
        json(&succeed(&["tier", "flush", "--topic", "cold", "--wait", "--admin", admin, "--format", "json"], ""));
    assert_eq!(flushed["complete"], true, "{flushed}");
    succeed(&["tier", "evict", "--topic", "cold", "--admin", admin], "");
    let listed = json(&succeed(&["tier", "ls", "--topic", "cold", "--admin", admin, "--format", "json"], ""));
    let partition = &listed["partitions"][0];
    assert_eq!(partition["tiered_end_offset"], 20_000, "{listed}");
    assert_eq!(partition["local_log_start_offset"], 20_000, "{listed}");
    let back = succeed(&["consume", "cold", "-b", b, "-o", "start", "-e"], "");
    assert!(back == lines, "{} bytes came back of {}", back.len(), lines.len());
    succeed(&["tier", "verify", "--topic", "cold", "--admin", admin], "");
    succeed(&["tier", "ls", "--segments", "--admin", admin], "");
    let unknown = fail(&["tier", "evict", "--topic", "absent", "--admin", admin], 1);
    assert!(unknown.contains("unknown topic absent"), "{unknown}");
}

#[test]
fn the_demonstration_compares_every_record() {
    let summary = json(&succeed(&["demo", "--events", "20000", "--format", "json"], ""));
    assert_eq!(summary["replayed"], 20_000, "{summary}");
    assert_eq!(summary["different"], 0, "{summary}");
    assert!(summary["segments"].as_u64().is_some_and(|segments| segments >= 3), "{summary}");
    assert!(summary["evicted_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{summary}");
}
