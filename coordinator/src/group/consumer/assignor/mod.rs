//! Which member of a consumer group should have which partition: the server-side assignors `uniform` and `range`.
//!
//! Owns the computation only: an [`TargetJob`] carries all that it needs and runs anywhere, off the request path;
//! its [`Targets`] goes back to the group, which decides whether it still wants it. Pure and deterministic:
//! the same job gives the same result on every machine. Members are ordered by id, topics by id.
//!
//! What comes in is not trusted to be consistent. A target may come from the leader of a classic group, which may have
//! named one partition twice or partitions that do not exist; [`TargetJob::run`] keeps of it what is subscribed,
//! exists and is not taken yet, and only then asks the assignor.

mod balance;
mod heterogeneous;
mod homogeneous;
mod range;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stratalog_types::TopicId;

use super::partitions::Partitions;
use super::planted::{Bug, planted};

/// A server-side assignor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Assignor {
    /// Spreads partitions evenly and moves as few as it can.
    Uniform,
    /// Gives each member the same range of every topic, so that topics with as many partitions are co-partitioned.
    Range,
}

impl Assignor {
    pub const ALL: [Assignor; 2] = [Assignor::Uniform, Assignor::Range];

    pub fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    pub fn from_name(name: &str) -> Option<Assignor> {
        Assignor::ALL.into_iter().find(|assignor| assignor.name() == name)
    }
}

/// Topics that one or more members are subscribed to, resolved to those that exist.
pub type Subscription = Arc<BTreeSet<TopicId>>;

/// A member as an assignor sees it.
#[derive(Debug, Clone)]
pub struct TargetMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub topics: Subscription,
    /// What it should have until now.
    pub target: Arc<Partitions>,
}

/// A target assignment to compute.
#[derive(Debug)]
pub struct TargetJob {
    /// The group epoch that the members and topics are of.
    pub group_epoch: i32,
    pub assignor: Assignor,
    /// Whether all members have the same subscription.
    pub homogeneous: bool,
    pub members: Vec<TargetMember>,
    /// How many partitions each subscribed topic has.
    pub partition_counts: BTreeMap<TopicId, i32>,
}

/// What each member should have as of a group epoch.
#[derive(Debug)]
pub struct Targets {
    pub group_epoch: i32,
    pub targets: Vec<MemberTarget>,
}

#[derive(Debug)]
pub struct MemberTarget {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub partitions: Partitions,
}

/// The input of an assignor, made consistent: members by id, each target a subset of what it is subscribed to, no
/// partition in two of them.
struct Problem<'a> {
    members: Vec<&'a TargetMember>,
    targets: Vec<Partitions>,
    partition_counts: &'a BTreeMap<TopicId, i32>,
}

impl TargetJob {
    /// Computes the assignment. Takes time in proportion to members and partitions.
    pub fn run(self) -> Targets {
        let problem = Problem::of(&self);
        let targets = match (self.assignor, self.homogeneous) {
            (Assignor::Uniform, true) => homogeneous::assign(problem),
            (Assignor::Uniform, false) => heterogeneous::assign(problem),
            (Assignor::Range, _) => range::assign(problem),
        };
        let targets = self
            .members_by_id()
            .into_iter()
            .zip(targets)
            .map(|(member, partitions)| MemberTarget {
                member_id: member.member_id.clone(),
                instance_id: member.instance_id.clone(),
                partitions,
            })
            .collect();
        Targets { group_epoch: self.group_epoch, targets }
    }

    fn members_by_id(&self) -> Vec<&TargetMember> {
        let mut members: Vec<&TargetMember> = self.members.iter().collect();
        members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
        members
    }
}

impl<'a> Problem<'a> {
    fn of(job: &'a TargetJob) -> Problem<'a> {
        let members = job.members_by_id();
        let mut taken: BTreeMap<TopicId, BTreeSet<i32>> = BTreeMap::new();
        let mut targets = Vec::with_capacity(members.len());
        for member in &members {
            let mut target = Partitions::new();
            for (topic, partitions) in member.target.iter().filter(|(topic, _)| member.topics.contains(*topic)) {
                let count = job.partition_counts.get(topic).copied().unwrap_or(0);
                let taken = taken.entry(*topic).or_default();
                let kept: BTreeSet<i32> =
                    partitions.iter().copied().filter(|p| (0..count).contains(p) && taken.insert(*p)).collect();
                if !kept.is_empty() {
                    target.insert(*topic, kept);
                }
            }
            targets.push(target);
        }
        Problem { members, targets, partition_counts: &job.partition_counts }
    }

    fn partition_count(&self, topic: &TopicId) -> i32 {
        self.partition_counts.get(topic).copied().unwrap_or(0)
    }

    /// The partitions of these topics that no target has, by topic and number.
    fn unassigned<'t>(&self, topics: impl Iterator<Item = &'t TopicId>) -> Vec<(TopicId, i32)> {
        let mut taken: BTreeMap<TopicId, BTreeSet<i32>> = BTreeMap::new();
        for target in &self.targets {
            for (topic, partitions) in target {
                taken.entry(*topic).or_default().extend(partitions);
            }
        }
        let nothing = BTreeSet::new();
        topics
            .flat_map(|topic| {
                let taken = taken.get(topic).unwrap_or(&nothing);
                let first = i32::from(planted(Bug::PartitionLeftOut));
                (first..self.partition_count(topic)).filter(|p| !taken.contains(p)).map(|p| (*topic, p))
            })
            .collect()
    }
}

/// Takes a partition out of a target, leaving no empty topic behind.
fn remove(target: &mut Partitions, topic: &TopicId, partition: i32) {
    if let Some(partitions) = target.get_mut(topic) {
        partitions.remove(&partition);
        if partitions.is_empty() {
            target.remove(topic);
        }
    }
}
