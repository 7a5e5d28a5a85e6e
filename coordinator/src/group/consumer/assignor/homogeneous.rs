//! `uniform` when all members have the same subscription: sizes differ by one at most, and no more partitions move than
//! that takes.

use super::super::partitions::{Partitions, count};
use super::{Problem, remove};

pub(super) fn assign(mut problem: Problem<'_>) -> Vec<Partitions> {
    let members = problem.members.len();
    let Some(topics) = problem.members.first().map(|member| member.topics.clone()) else { return Vec::new() };
    let total: usize = topics.iter().map(|topic| usize::try_from(problem.partition_count(topic)).unwrap_or(0)).sum();
    let smallest = total / members;
    // So many members have one more than the others. Those who have it already keep it, as long as there are any left.
    let mut larger_left = total % members;
    let mut unassigned = problem.unassigned(topics.iter());
    let mut room = Vec::with_capacity(members);
    for (index, target) in problem.targets.iter_mut().enumerate() {
        let has = count(target);
        let members_left = members - index;
        // One of the last members takes the extra partition even if it does not fill it now.
        let larger = larger_left > 0 && (has > smallest || members_left <= larger_left);
        let quota = smallest + usize::from(larger);
        if larger {
            larger_left -= 1;
        }
        give_up(target, has.saturating_sub(quota), &mut unassigned);
        room.push(quota.saturating_sub(has));
    }
    let mut next = unassigned.into_iter();
    for (target, room) in problem.targets.iter_mut().zip(room) {
        for (topic, partition) in next.by_ref().take(room) {
            target.entry(topic).or_default().insert(partition);
        }
    }
    problem.targets
}

/// Moves the last `excess` partitions of a target to those without a member.
fn give_up(target: &mut Partitions, excess: usize, unassigned: &mut Vec<(stratalog_types::TopicId, i32)>) {
    for _ in 0..excess {
        let last = target.iter().next_back().and_then(|(topic, set)| set.last().map(|partition| (*topic, *partition)));
        let Some((topic, partition)) = last else { return };
        remove(target, &topic, partition);
        unassigned.push((topic, partition));
    }
}
