//! Against Apache Kafka 4.3.1: `golden.txt` has random groups and what its assignors made of them. Ranges have to be the
//! same. Uniform assignments depend on Kafka's hash order, so they have to be as balanced, and to move no more.
//!
//! ```text
//! case SUBSCRIPTIONS PARTITIONS-BY-TOPIC
//! member ID INSTANCE TOPICS TARGET
//! range ID ASSIGNMENT
//! uniform SUM-OF-SQUARED-SIZES PARTITIONS-THAT-STAYED
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stratalog_types::TopicId;

use super::super::partitions::{Partitions, count};
use super::{Assignor, TargetJob, TargetMember};

const GOLDEN: &str = include_str!("golden.txt");

#[derive(Debug, Default)]
struct Case {
    homogeneous: bool,
    counts: Vec<i32>,
    members: Vec<TargetMember>,
    range: BTreeMap<String, Partitions>,
    squares: usize,
    kept: usize,
}

fn topic(index: usize) -> TopicId {
    TopicId::from_bytes((index as u128 + 1).to_be_bytes())
}

fn numbers<T: std::str::FromStr>(text: &str) -> Vec<T> {
    text.split(',').filter(|text| *text != "-").filter_map(|text| text.parse().ok()).collect()
}

fn assignment(text: &str) -> Partitions {
    let topics = text.split(';').filter_map(|text| text.split_once(':'));
    topics.map(|(index, list)| (topic(index.parse().expect("an index")), numbers(list).into_iter().collect())).collect()
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in GOLDEN.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if words[0] == "case" {
            let homogeneous = words[1] == "homogeneous";
            cases.push(Case { homogeneous, counts: numbers(words[2]), ..Case::default() });
            continue;
        }
        let case = cases.last_mut().expect("a case");
        match words[0] {
            "member" => case.members.push(TargetMember {
                member_id: words[1].to_owned(),
                instance_id: (words[2] != "-").then(|| words[2].to_owned()),
                topics: Arc::new(numbers(words[3]).into_iter().map(topic).collect()),
                target: Arc::new(assignment(words[4])),
            }),
            "range" => {
                case.range.insert(words[1].to_owned(), assignment(words[2]));
            }
            "uniform" => {
                case.squares = words[1].parse().expect("a number");
                case.kept = words[2].parse().expect("a number");
            }
            other => panic!("{other}"),
        }
    }
    cases
}

fn run(case: &Case, assignor: Assignor) -> BTreeMap<String, Partitions> {
    let counts = case.counts.iter().enumerate().map(|(index, count)| (topic(index), *count));
    let job = TargetJob {
        group_epoch: 1,
        assignor,
        homogeneous: case.homogeneous,
        members: case.members.clone(),
        partition_counts: counts.collect(),
    };
    job.run().targets.into_iter().map(|target| (target.member_id, target.partitions)).collect()
}

/// Every partition of a subscribed topic is with one member, which is subscribed.
fn check(case: &Case, targets: &BTreeMap<String, Partitions>) {
    let mut all: BTreeSet<(TopicId, i32)> = BTreeSet::new();
    for member in &case.members {
        for (topic, partitions) in &targets[&member.member_id] {
            assert!(member.topics.contains(topic), "{case:?}");
            assert!(!partitions.is_empty(), "{case:?}");
            for partition in partitions {
                assert!(all.insert((*topic, *partition)), "{topic}-{partition} twice in {case:?}");
            }
        }
    }
    let subscribed: BTreeSet<TopicId> = case.members.iter().flat_map(|member| member.topics.iter().copied()).collect();
    let partitions = (0..case.counts.len()).map(topic).zip(&case.counts);
    let expected = partitions.filter(|(topic, _)| subscribed.contains(topic));
    let expected: BTreeSet<_> = expected.flat_map(|(topic, count)| (0..*count).map(move |p| (topic, p))).collect();
    assert_eq!(all, expected);
}

fn stayed(case: &Case, targets: &BTreeMap<String, Partitions>) -> usize {
    let of = |member: &TargetMember| -> usize {
        let new = &targets[&member.member_id];
        let kept = member.target.iter().filter_map(|(topic, old)| Some(old.intersection(new.get(topic)?).count()));
        kept.sum()
    };
    case.members.iter().map(of).sum()
}

#[test]
fn ranges_are_kafkas() {
    for case in cases() {
        let targets = run(&case, Assignor::Range);
        check(&case, &targets);
        assert_eq!(targets, case.range, "{case:?}");
    }
}

#[test]
fn uniform_is_as_balanced_as_kafkas_and_as_sticky() {
    for case in cases() {
        let targets = run(&case, Assignor::Uniform);
        check(&case, &targets);
        let squares: usize = targets.values().map(|target| count(target).pow(2)).sum();
        assert!(squares <= case.squares, "{squares} against {}: {targets:?} of {case:?}", case.squares);
        let kept = stayed(&case, &targets);
        assert!(kept >= case.kept, "{kept} against {}: {targets:?} of {case:?}", case.kept);
    }
}

#[test]
fn an_assignment_of_its_own_making_stays_as_it_is() {
    for mut case in cases() {
        for assignor in Assignor::ALL {
            let first = run(&case, assignor);
            for member in &mut case.members {
                member.target = Arc::new(first[&member.member_id].clone());
            }
            assert_eq!(run(&case, assignor), first, "{assignor:?}");
        }
    }
}

#[test]
fn targets_that_make_no_sense_are_cleaned_first() {
    // Of a classic group's leader: one partition twice, some that do not exist, a topic nobody subscribes to.
    let member = |id: &str, target: &str| TargetMember {
        member_id: id.to_owned(),
        instance_id: None,
        topics: Arc::new([topic(0)].into()),
        target: Arc::new(assignment(target)),
    };
    for homogeneous in [true, false] {
        let members = vec![member("a", "0:0,1,7,-3;1:0"), member("b", "0:1,2"), member("c", "0:0,1,2,3")];
        let case = Case { homogeneous, counts: vec![4], members, ..Case::default() };
        for assignor in Assignor::ALL {
            check(&case, &run(&case, assignor));
        }
    }
}

#[test]
fn a_large_group_is_assigned_in_no_time() {
    let topics: Arc<BTreeSet<TopicId>> = Arc::new((0..50).map(topic).collect());
    let some: Arc<BTreeSet<TopicId>> = Arc::new((0..25).map(topic).collect());
    for homogeneous in [true, false] {
        let members = (0..1_000).map(|index| TargetMember {
            member_id: format!("m{index}"),
            instance_id: None,
            topics: if homogeneous || index % 2 == 0 { topics.clone() } else { some.clone() },
            target: Arc::default(),
        });
        let case = Case { homogeneous, counts: vec![100; 50], members: members.collect(), ..Case::default() };
        let targets = run(&case, Assignor::Uniform);
        check(&case, &targets);
        assert!(targets.values().all(|target| count(target) == 5), "{homogeneous}");
    }
}
