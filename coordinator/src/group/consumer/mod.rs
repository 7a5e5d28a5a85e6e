//! Groups of the `consumer` protocol (KIP-848).

use std::sync::Arc;

/// A target assignment to compute, away from the shard's lock.
#[derive(Debug)]
pub struct AssignmentJob {
    pub group_id: Arc<str>,
}

/// What a job came to: an input of the shard that gave it out.
#[derive(Debug)]
pub struct Assigned {
    pub group_id: Arc<str>,
}

impl AssignmentJob {
    pub fn run(self) -> Assigned {
        Assigned { group_id: self.group_id }
    }
}
