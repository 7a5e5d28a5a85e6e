//! `range`: every topic is cut into as many ranges as it has subscribers, in the order of members. Members with the
//! same subscriptions get the same range of each topic: topics with equally many partitions are co-partitioned. Static
//! members come first, by instance id, so that ranges stay where they are when such a member restarts under a new id.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use stratalog_types::TopicId;

use super::super::partitions::Partitions;
use super::{Problem, TargetMember};

/// What is left of a topic while its subscribers take their ranges.
struct Remainder {
    next: i32,
    end: i32,
    subscribers: i32,
}

impl Remainder {
    /// The next subscriber's range: the quotient, one more while there is a rest.
    fn take(&mut self) -> std::ops::Range<i32> {
        let left = self.end - self.next;
        // Dividing what is left by those who are left gives the larger ranges first, as one division up front would.
        let quota = (left + self.subscribers - 1) / self.subscribers.max(1);
        self.subscribers -= 1;
        let range = self.next..(self.next + quota).min(self.end);
        self.next = range.end;
        range
    }
}

pub(super) fn assign(problem: Problem<'_>) -> Vec<Partitions> {
    let mut topics: BTreeMap<TopicId, Remainder> = BTreeMap::new();
    for topic in problem.members.iter().flat_map(|member| member.topics.iter()) {
        let end = problem.partition_count(topic);
        topics.entry(*topic).or_insert(Remainder { next: 0, end, subscribers: 0 }).subscribers += 1;
    }
    let mut order: Vec<usize> = (0..problem.members.len()).collect();
    order.sort_by(|a, b| match (problem.members.get(*a), problem.members.get(*b)) {
        (Some(a), Some(b)) => static_first(a, b),
        _ => Ordering::Equal,
    });
    let mut targets = vec![Partitions::new(); problem.members.len()];
    for index in order {
        let (Some(member), Some(target)) = (problem.members.get(index), targets.get_mut(index)) else { continue };
        for topic in member.topics.iter() {
            let Some(remainder) = topics.get_mut(topic) else { continue };
            let range = remainder.take();
            if !range.is_empty() {
                target.insert(*topic, range.collect());
            }
        }
    }
    targets
}

fn static_first(a: &TargetMember, b: &TargetMember) -> Ordering {
    match (&a.instance_id, &b.instance_id) {
        (Some(a), Some(b)) => a.cmp(b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.member_id.cmp(&b.member_id),
    }
}
