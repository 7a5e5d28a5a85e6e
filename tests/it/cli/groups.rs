//! Groups through the binary: `group` and `consume --group`.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::{Value, json};

use super::{Broker, fail, run, stratalog, succeed, text};

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The command against this broker.
fn on(broker: &Broker, line: &str) -> String {
    let mut arguments: Vec<&str> = line.split(' ').collect();
    arguments.extend(["-b", &broker.kafka]);
    succeed(&arguments, "")
}

fn refused(broker: &Broker, line: &str, code: i32) -> String {
    let mut arguments: Vec<&str> = line.split(' ').collect();
    arguments.extend(["-b", &broker.kafka]);
    fail(&arguments, code)
}

/// A topic of two partitions with the numbers from 0 to 9 in partition 0 and from 10 to 14 in partition 1.
fn numbers(broker: &Broker, topic: &str) {
    on(broker, &format!("topic create {topic} -p 2"));
    produce(broker, topic, 0, 0..10);
    produce(broker, topic, 1, 10..15);
}

fn produce(broker: &Broker, topic: &str, partition: i32, numbers: std::ops::Range<i32>) {
    let lines: String = numbers.map(|number| format!("{number}\n")).collect();
    succeed(&["produce", topic, "-p", &partition.to_string(), "-b", &broker.kafka], &lines);
}

/// Committed offsets by partition, as `group lag` tells them.
fn committed(broker: &Broker, group: &str) -> Vec<Option<i64>> {
    let lags = parsed(&on(broker, &format!("group lag {group} --format json")));
    let partitions = lags[0]["partitions"].as_array().expect("partitions");
    partitions.iter().map(|partition| partition["committed"].as_i64()).collect()
}

fn sorted(out: &str) -> Vec<i32> {
    let mut numbers: Vec<i32> = out.lines().map(|line| line.parse().expect("a number")).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn a_group_goes_on_where_it_has_come_to() {
    let broker = Broker::start();
    numbers(&broker, "t");
    assert_eq!(sorted(&on(&broker, "consume t -g g -o start -e")), (0..15).collect::<Vec<_>>());
    assert_eq!(committed(&broker, "g"), [Some(10), Some(5)]);
    assert_eq!(on(&broker, "consume t -g g -o start -e"), "", "all is committed");
    produce(&broker, "t", 1, 15..18);
    // What is printed is committed, and no record more.
    let two = on(&broker, "consume t -g g -n 2");
    assert_eq!(two, "15\n16\n");
    assert_eq!(committed(&broker, "g"), [Some(10), Some(7)]);
    let lag = parsed(&on(&broker, "group lag g --format json"));
    assert_eq!((&lag[0]["sum"], &lag[0]["max"]), (&json!(1), &json!(1)), "{lag}");
    assert_eq!(on(&broker, "consume t -g g -e"), "17\n");
    // Without a commit it is the end, unless --offset says otherwise.
    assert_eq!(on(&broker, "consume t -g other -e"), "");
    assert_eq!(on(&broker, "consume t -g third -o -1 -e").lines().count(), 2);
    assert!(refused(&broker, "consume absent -g g", 1).contains("does not exist"));
    refused(&broker, "consume t -g g -p 0", 2);
}

#[test]
fn offsets_are_reset_in_every_form() {
    let broker = Broker::start();
    numbers(&broker, "t");
    on(&broker, "consume t -g g -o start -e");
    let after = |form: &str| {
        let answer = parsed(&on(&broker, &format!("group reset g {form} --format json")));
        assert_eq!(answer["executed"], json!(form.contains("--execute")));
        let offsets = answer["offsets"].as_array().expect("offsets").clone();
        offsets.iter().map(|planned| planned["after"].as_i64().expect("a number")).collect::<Vec<_>>()
    };
    assert_eq!(after("--all-topics --to-earliest"), [0, 0]);
    assert_eq!(committed(&broker, "g"), [Some(10), Some(5)], "a plan sets nothing");
    assert_eq!(after("--all-topics --to-earliest --execute"), [0, 0]);
    assert_eq!(committed(&broker, "g"), [Some(0), Some(0)]);
    assert_eq!(after("-t t --to-latest"), [10, 5]);
    assert_eq!(after("-t t:1 --to-latest --execute"), [5]);
    assert_eq!(committed(&broker, "g"), [Some(0), Some(5)]);
    assert_eq!(after("-t t --to-offset 7"), [7, 5], "the end of partition 1 is 5");
    assert_eq!(after("-t t:0 --to-offset 7 --execute"), [7]);
    assert_eq!(after("-t t:0 --shift-by -3"), [4]);
    assert_eq!(after("-t t:0 --shift-by 300"), [10]);
    assert_eq!(after("-t t:0 --to-current"), [7]);
    assert_eq!(after("-t t --by-duration PT1H"), [0, 0]);
    assert_eq!(after("-t t --by-duration 0s"), [10, 5], "nothing is that young");
    assert_eq!(after("-t t --to-datetime 2001-01-01T00:00:00.000"), [0, 0]);
    assert_eq!(after("-t t --to-datetime 2101-01-01T00:00:00Z"), [10, 5]);
    assert_eq!(on(&broker, "consume t -g g -e"), "7\n8\n9\n");

    let file = tempfile::NamedTempFile::new().expect("file");
    let path = file.path().to_str().expect("text");
    let exported = on(&broker, "group reset g --all-topics --shift-by -2 --export");
    assert_eq!(exported, "t,0,8\nt,1,3\n");
    std::fs::write(file.path(), &exported).expect("written");
    assert_eq!(after(&format!("--from-file {path} --execute")), [8, 3]);
    assert_eq!(committed(&broker, "g"), [Some(8), Some(3)]);
    std::fs::write(file.path(), "new,t,0,2\ng,t,1,1\n").expect("written");
    on(&broker, &format!("group reset g new --from-file {path} --execute"));
    assert_eq!(committed(&broker, "g"), [Some(8), Some(1)]);
    assert_eq!(committed(&broker, "new"), [Some(2)], "a group comes into being with its first offset");

    assert!(refused(&broker, "group reset g --to-earliest", 2).contains("--all-topics"));
    assert!(refused(&broker, "group reset g -t t", 2).contains("--to-earliest"));
    refused(&broker, "group reset g -t t --to-earliest --to-latest", 2);
    assert!(refused(&broker, "group reset g -t t:2 --to-latest", 1).contains("no partition 2"));
    assert!(refused(&broker, "group reset g -t absent --to-latest", 1).contains("does not exist"));
    assert!(refused(&broker, "group reset nobody -t t --shift-by 1", 1).contains("nothing to shift from"));
    assert!(refused(&broker, "group reset nobody --all-topics --to-latest", 1).contains("--topic"));
    std::fs::write(file.path(), "t,zero,1\n").expect("written");
    assert!(refused(&broker, &format!("group reset g --from-file {path}"), 2).contains("line 1"));
}

#[test]
fn groups_are_listed_and_deleted() {
    let broker = Broker::start();
    numbers(&broker, "t");
    assert_eq!(parsed(&on(&broker, "group list --format json")), json!([]));
    on(&broker, "consume t -g member -o start -e");
    on(&broker, "group reset simple -t t --to-latest --execute");
    let names = |line: &str| {
        let listed = parsed(&on(&broker, &format!("group list --format json{line}")));
        let groups = listed.as_array().expect("groups").clone();
        groups.iter().map(|group| group["group"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(""), ["member", "simple"]);
    assert_eq!(names(" --state Empty --type CLASSIC"), ["member", "simple"]);
    assert_eq!(names(" --state stable,dead"), Vec::<String>::new());
    assert_eq!(names(" --type consumer"), Vec::<String>::new());
    assert_eq!(names(" --protocol consumer"), ["member"]);
    assert_eq!(names(" --protocol="), ["simple"]);
    refused(&broker, "group list --state asleep", 2);
    let table = on(&broker, "group list");
    let first: Vec<&str> = table.lines().next().expect("a header").split_whitespace().collect();
    assert_eq!(first, ["GROUP", "TYPE", "STATE", "PROTOCOL", "COORDINATOR"]);
    assert!(on(&broker, "group describe member").contains("member: classic Empty, protocol consumer"));

    assert!(refused(&broker, "group delete-offsets member -t t:1", 2).contains("--yes"));
    assert_eq!(on(&broker, "group delete-offsets member -t t:1 --yes"), "t-1: deleted\n");
    assert_eq!(committed(&broker, "member"), [Some(10)]);
    assert!(refused(&broker, "group delete-offsets member -t t:7 --yes", 1).contains("no partition 7"));
    assert!(refused(&broker, "group delete simple", 2).contains("--yes"));
    assert_eq!(on(&broker, "group delete simple --yes"), "simple: deleted\n");
    assert_eq!(names(""), ["member"]);
    assert!(refused(&broker, "group delete simple --yes", 1).contains("group simple does not exist"));
    assert_eq!(on(&broker, "group delete simple --yes --if-exists"), "simple: does not exist\n");
    for command in ["describe", "lag"] {
        assert!(refused(&broker, &format!("group {command} simple"), 1).contains("group list"));
    }
    // A topic that is gone leaves no row without an explanation.
    on(&broker, "topic delete t --yes");
    on(&broker, "group lag");
}

/// A `consume --group` that goes on until it is told to stop.
struct Member {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Member {
    fn start(broker: &Broker, topic: &str, group: &str) -> Member {
        let mut child = stratalog(&["consume", topic, "-g", group, "-o", "start", "-b", &broker.kafka])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        Member { child, out }
    }

    fn next(&mut self) -> i32 {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("text");
        line.trim().parse().unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Ends it with a signal; what it still printed, and whether it ended well.
    fn stop(mut self) -> (String, bool) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        let mut rest = String::new();
        while self.out.read_line(&mut rest).expect("text") > 0 {}
        let ended = self.child.wait_with_output().expect("it ends");
        assert_eq!(text(&ended.stderr), "");
        (rest, ended.status.success())
    }
}

/// Asks until a group is as wanted.
fn await_group(broker: &Broker, group: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..600 {
        let output = run(&["group", "describe", group, "--format", "json", "-b", &broker.kafka], "");
        if output.status.success() {
            let described = parsed(&text(&output.stdout));
            if wanted(&described) {
                return described;
            }
        }
    }
    panic!("{group} did not become {what}: {}", on(broker, &format!("group describe {group}")));
}

fn owners(described: &Value) -> Vec<usize> {
    let members = described["members"].as_array().expect("members");
    let owned = |member: &Value| member["assigned"]["t"].as_array().map_or(0, Vec::len);
    let mut owned: Vec<usize> = members.iter().map(owned).collect();
    owned.sort_unstable();
    owned
}

#[test]
fn members_share_and_hand_over() {
    let broker = Broker::start();
    numbers(&broker, "t");
    let mut first = Member::start(&broker, "t", "g");
    let mut read: Vec<i32> = (0..15).map(|_| first.next()).collect();
    read.sort_unstable();
    assert_eq!(read, (0..15).collect::<Vec<_>>());
    let alone = await_group(&broker, "g", "stable", |group| group["state"] == "Stable");
    assert_eq!(owners(&alone), [2]);
    assert!(refused(&broker, "group reset g -t t --to-earliest --execute", 1).contains("stop them"));
    assert!(refused(&broker, "group delete g --yes", 1).contains("has members"));
    assert!(refused(&broker, "group delete-offsets g -t t --yes", 1).contains("subscribed"));
    // A plan may be made of a group that is at work.
    assert!(on(&broker, "group reset g -t t --to-earliest").contains("AFTER"));

    let mut second = Member::start(&broker, "t", "g");
    let shared = await_group(&broker, "g", "shared", |group| group["state"] == "Stable" && owners(group) == [1, 1]);
    assert_eq!(shared["protocol"], "range");
    // Before it gave a partition away the first had committed all of it: the second reads only what is new.
    let member_of = |partition: usize| shared["partitions"][partition]["member_id"].clone();
    assert_ne!(member_of(0), member_of(1));
    produce(&broker, "t", 0, 100..101);
    produce(&broker, "t", 1, 101..102);
    let mut news = [first.next(), second.next()];
    news.sort_unstable();
    assert_eq!(news, [100, 101]);

    assert_eq!(first.stop(), (String::new(), true));
    await_group(&broker, "g", "the second's", |group| group["state"] == "Stable" && owners(group) == [2]);
    produce(&broker, "t", 0, 102..103);
    produce(&broker, "t", 1, 103..104);
    let mut news = [second.next(), second.next()];
    news.sort_unstable();
    assert_eq!(news, [102, 103]);
    assert_eq!(second.stop(), (String::new(), true));
    assert_eq!(committed(&broker, "g"), [Some(12), Some(7)], "a signal commits what was printed");
    await_group(&broker, "g", "empty", |group| group["state"] == "Empty");
}

#[test]
fn lag_is_watched() {
    let broker = Broker::start();
    numbers(&broker, "t");
    on(&broker, "group reset g -t t --to-latest --execute");
    let mut child = stratalog(&["group", "lag", "g", "--watch=20ms", "--format", "json", "-b", &broker.kafka])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut next = || parsed(&lines.next().expect("it goes on").expect("text"))[0]["sum"].as_i64().expect("a number");
    assert_eq!(next(), 0);
    produce(&broker, "t", 0, 0..4);
    while next() != 4 {}
    on(&broker, "group reset g -t t --to-latest --execute");
    while next() != 0 {}
    // Who looked goes away: so does the command.
    drop(lines);
    assert!(child.wait().expect("it ends").success());
}
