//! `uniform` when subscriptions differ: what is free goes to the least loaded subscriber of each topic, topics with
//! many partitions per subscriber first; then partitions move from the most to the least loaded subscriber of a topic
//! until no topic has subscribers that differ by more than one, or a bound on rounds is reached.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use stratalog_types::TopicId;

use super::super::partitions::{Partitions, count};
use super::balance::ByLoad;
use super::{Problem, remove};

/// Where all subscribers of a topic have the same subscriptions one round balances and a second finds nothing to do.
/// With overlapping subscriptions each round roughly halves the imbalance.
const ROUNDS_MAX: usize = 16;

struct State<'a> {
    problem: Problem<'a>,
    /// Partitions by member, over all topics.
    loads: Vec<usize>,
    subscribers: BTreeMap<TopicId, Vec<usize>>,
}

pub(super) fn assign(problem: Problem<'_>) -> Vec<Partitions> {
    let mut subscribers: BTreeMap<TopicId, Vec<usize>> = BTreeMap::new();
    for (index, member) in problem.members.iter().enumerate() {
        for topic in member.topics.iter() {
            subscribers.entry(*topic).or_default().push(index);
        }
    }
    let loads = problem.targets.iter().map(count).collect();
    let mut state = State { problem, loads, subscribers };
    let order = state.topics_in_order();
    state.assign_free(&order);
    state.balance(&order);
    state.problem.targets
}

impl State<'_> {
    /// Most partitions per subscriber first, then fewest subscribers, then by id.
    fn topics_in_order(&self) -> Vec<TopicId> {
        let mut topics: Vec<(TopicId, i64, i64)> = self
            .subscribers
            .iter()
            .map(|(topic, members)| {
                let members = i64::try_from(members.len()).unwrap_or(i64::MAX);
                (*topic, i64::from(self.problem.partition_count(topic)), members)
            })
            .collect();
        topics.sort_by(|(topic_a, partitions_a, members_a), (topic_b, partitions_b, members_b)| {
            // a/b compared by cross-multiplication: exact, where a quotient would round.
            let per_subscriber = partitions_b.saturating_mul(*members_a).cmp(&partitions_a.saturating_mul(*members_b));
            per_subscriber.then(members_a.cmp(members_b)).then(topic_a.cmp(topic_b))
        });
        topics.into_iter().map(|(topic, ..)| topic).collect()
    }

    fn assign_free(&mut self, order: &[TopicId]) {
        let mut free: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in self.problem.unassigned(self.subscribers.keys()) {
            free.entry(topic).or_default().push(partition);
        }
        for topic in order {
            let (Some(partitions), Some(subscribers)) = (free.get(topic), self.subscribers.get(topic)) else {
                continue;
            };
            let mut by_load = ByLoad::new(subscribers, &self.loads);
            for partition in partitions {
                let Some(member) = by_load.receive() else { break };
                give(&mut self.problem.targets, &mut self.loads, member, topic, *partition);
            }
        }
    }

    /// Goes round the topics until a whole round moved nothing.
    fn balance(&mut self, order: &[TopicId]) {
        let movable: Vec<TopicId> = order
            .iter()
            .copied()
            .filter(|topic| self.subscribers.get(topic).is_some_and(|subscribers| subscribers.len() > 1))
            .collect();
        let mut quiet = 0;
        for topic in movable.iter().cycle().take(movable.len().saturating_mul(ROUNDS_MAX)) {
            match self.balance_topic(topic) {
                0 => quiet += 1,
                _ => quiet = 0,
            }
            if quiet >= movable.len() {
                return;
            }
        }
    }

    /// Returns how many partitions moved.
    fn balance_topic(&mut self, topic: &TopicId) -> usize {
        let Some(subscribers) = self.subscribers.get(topic) else { return 0 };
        if spread(subscribers, &self.loads) <= 1 {
            return 0;
        }
        let mut by_load = ByLoad::new(subscribers, &self.loads);
        // What is received in this turn is not given away again.
        let mut to_give: BTreeMap<usize, Vec<i32>> = BTreeMap::new();
        for member in subscribers {
            let held = self.problem.targets.get(*member).and_then(|target| target.get(topic));
            to_give.insert(*member, held.map(|set| set.iter().copied().collect()).unwrap_or_default());
        }
        let mut moved = 0;
        while let Some(donor) = by_load.heaviest() {
            let Some(partition) = to_give.get_mut(&donor).and_then(Vec::pop) else {
                by_load.dismiss();
                continue;
            };
            by_load.gave();
            if let (Some(target), Some(load)) = (self.problem.targets.get_mut(donor), self.loads.get_mut(donor)) {
                remove(target, topic, partition);
                *load = load.saturating_sub(1);
            }
            let Some(member) = by_load.receive() else { break };
            give(&mut self.problem.targets, &mut self.loads, member, topic, partition);
            moved += 1;
        }
        moved
    }
}

fn give(targets: &mut [Partitions], loads: &mut [usize], member: usize, topic: &TopicId, partition: i32) {
    if let (Some(target), Some(load)) = (targets.get_mut(member), loads.get_mut(member)) {
        target.entry(*topic).or_default().insert(partition);
        *load += 1;
    }
}

/// How many partitions the most loaded of these has more than the least loaded.
fn spread(members: &[usize], loads: &[usize]) -> usize {
    let loads = members.iter().filter_map(|member| loads.get(*member));
    let (least, most) = loads.fold((usize::MAX, 0), |(least, most), load| (least.min(*load), most.max(*load)));
    match most.cmp(&least) {
        Ordering::Greater => most - least,
        Ordering::Less | Ordering::Equal => 0,
    }
}
