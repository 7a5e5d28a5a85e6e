use super::lag::GroupLag;
use super::partitions::PartitionLag;
use super::plan::{Planned, Standing, Target, TopicChoice, aim, parse_csv, within, write_csv};

const HERE: Standing = Standing { start: 10, end: 20, committed: Some(15), at_time: Some(12) };

#[test]
fn where_a_reset_leads() {
    for (target, expected) in [
        (Target::Earliest, 10),
        (Target::Latest, 20),
        (Target::Offset(17), 17),
        (Target::Offset(3), 10),
        (Target::Offset(30), 20),
        (Target::Shift(-2), 13),
        (Target::Shift(3), 18),
        (Target::Shift(-200), 10),
        (Target::Shift(i64::MAX), 20),
        (Target::Time(1), 12),
        (Target::Current, 15),
    ] {
        let aimed = aim(target, HERE).expect("something is committed");
        assert_eq!(within(aimed, HERE), expected, "{target:?}");
    }
    let fresh = Standing { committed: None, at_time: Some(-1), ..HERE };
    assert_eq!(aim(Target::Shift(1), fresh), None);
    assert_eq!(aim(Target::Current, fresh), Some(20));
    assert_eq!(aim(Target::Time(1), fresh), Some(20), "nothing is that young");
}

#[test]
fn topics_and_their_partitions() {
    let choice = |text: &str| text.parse::<TopicChoice>();
    assert_eq!(choice("a:1,0,1").expect("valid").among(&[0, 1, 2]).expect("known"), [0, 1]);
    assert_eq!(choice("a").expect("valid").among(&[2, 0]).expect("known"), [0, 2]);
    for wrong in ["", ":0", "a:", "a:x", "a:0,", "a:-1"] {
        assert!(choice(wrong).is_err(), "{wrong}");
    }
    let error = |text: &str, known: &[i32]| choice(text).expect("valid").among(known).expect_err("refused").to_string();
    assert!(error("a:3", &[0, 1]).contains("no partition 3"));
    assert!(error("a", &[]).contains("does not exist"));
}

#[test]
fn files_as_kafka_writes_them() {
    let (one, two) = (["g".to_owned()], ["g".to_owned(), "h,\"1\"".to_owned()]);
    let read = parse_csv("t,0,5\n\n \"a topic\" , 1 , 7 \n", &one).expect("valid");
    let all: Vec<(&str, &str, i32, i64)> = read
        .iter()
        .map(|((group, topic, partition), offset)| (group.as_str(), topic.as_str(), *partition, *offset))
        .collect();
    assert_eq!(all, [("g", "a topic", 1, 7), ("g", "t", 0, 5)]);
    assert_eq!(parse_csv("g,t,0,5", &one), parse_csv("t,0,5", &one));
    for (wrong, groups, says) in [
        ("t,0", &one[..], "line 1"),
        ("t,0,1\nt,0,x", &one, "line 2"),
        ("t,-1,1", &one, "from 0 on"),
        ("t,0,-1", &one, "from 0 on"),
        ("t,0,1\nt,0,2", &one, "already"),
        ("other,t,0,1", &one, "was not named"),
        ("t,0,1", &two, "several groups"),
        ("\"t,0,1", &one, "quotation"),
        ("\n", &one, "no offset"),
    ] {
        let problem = parse_csv(wrong, groups).expect_err(wrong);
        assert!(problem.contains(says), "{wrong}: {problem}");
    }
    let planned = |group: &str, topic: &str, partition, after| Planned {
        group: group.to_owned(),
        topic: topic.to_owned(),
        partition,
        before: None,
        after,
    };
    let plan = [planned("g", "t", 0, 5), planned("h,\"1\"", "u", 3, 0)];
    assert_eq!(write_csv(&plan, true), ["g,t,0,5", "\"h,\"\"1\"\"\",u,3,0"]);
    assert_eq!(write_csv(&plan[..1], false), ["t,0,5"]);
    let back = parse_csv(&write_csv(&plan, true).join("\n"), &two).expect("what was written is read");
    let expected = plan.map(|planned| ((planned.group, planned.topic, planned.partition), planned.after));
    assert_eq!(back, expected.into_iter().collect());
}

#[test]
fn sums_leave_out_what_is_unknown() {
    let lag = |partition, lag| PartitionLag {
        topic: "t".to_owned(),
        partition,
        committed: None,
        end: None,
        lag,
        member_id: None,
        client_id: None,
        client_host: None,
    };
    let group = GroupLag::new("g", vec![lag(0, Some(5)), lag(1, None), lag(2, Some(-3)), lag(3, Some(7))]);
    assert_eq!((group.sum, group.max), (12, 7));
    let group = GroupLag::new("g", Vec::new());
    assert_eq!((group.sum, group.max), (0, 0));
}
