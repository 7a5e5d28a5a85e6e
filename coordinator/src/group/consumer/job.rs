//! What is computed for a group away from the shard's lock: its target assignment, the topics that its expressions
//! match. A job has all that it needs in it; what it comes to goes back to the shard that gave it out.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::assignor::{TargetJob, Targets};
use super::regex::{Pattern, RegexJob, RegexMatches};

/// Work for a group, to be [run](AssignmentJob::run) on any thread.
#[derive(Debug)]
pub struct AssignmentJob {
    pub group_id: Arc<str>,
    pub(super) job_id: u64,
    pub(super) work: Work,
}

#[derive(Debug)]
pub(super) enum Work {
    Targets(TargetJob),
    Topics(RegexJob),
}

/// What a job came to: an input of the shard that gave it out.
#[derive(Debug)]
pub struct Assigned {
    pub group_id: Arc<str>,
    pub(super) job_id: u64,
    pub(super) outcome: Outcome,
}

#[derive(Debug)]
pub(super) enum Outcome {
    Targets(Targets),
    Topics(RegexMatches),
}

impl AssignmentJob {
    /// Does the work.
    pub fn run(self) -> Assigned {
        self.run_permitting(&|_| true)
    }

    /// Does the work, passing over topics that those who asked may not know of.
    pub fn run_permitting(self, permitted: &dyn Fn(&str) -> bool) -> Assigned {
        let outcome = match self.work {
            Work::Targets(job) => Outcome::Targets(job.run()),
            Work::Topics(job) => Outcome::Topics(job.run(permitted)),
        };
        Assigned { group_id: self.group_id, job_id: self.job_id, outcome }
    }
}

impl RegexJob {
    fn run(self, permitted: &dyn Fn(&str) -> bool) -> RegexMatches {
        let matches = self
            .regexes
            .into_iter()
            .map(|regex| {
                // One that does not compile was refused when it came; from records of others it matches nothing.
                let topics: BTreeSet<String> = match Pattern::compile(&regex) {
                    Ok(pattern) => {
                        let names = self.topics.iter().filter(|name| pattern.matches(name) && permitted(name));
                        names.map(|name| name.to_string()).collect()
                    }
                    Err(_) => BTreeSet::new(),
                };
                (regex, Arc::new(topics))
            })
            .collect();
        RegexMatches { matches, version: self.version, asked_ms: self.asked_ms }
    }
}
