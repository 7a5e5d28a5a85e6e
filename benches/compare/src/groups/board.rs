//! What the members of a group have seen, for whoever waits until all agree.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::Outcome;

/// Longer than any rebalance that is worth a figure.
const AGREED_MAX: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub member_id: String,
    /// The generation or the member epoch.
    pub epoch: i32,
    pub partitions_owned: usize,
    pub fetched_at: Option<Instant>,
    /// Left, and does not count any more.
    pub gone: bool,
}

#[derive(Default)]
struct State {
    members: Vec<Seen>,
    failure: Option<String>,
}

#[derive(Default)]
pub struct Board {
    state: RefCell<State>,
    changed: Notify,
}

impl Board {
    /// The number of a new member.
    pub fn enter(&self) -> usize {
        let members = &mut self.state.borrow_mut().members;
        members.push(Seen::default());
        members.len() - 1
    }

    pub fn change(&self, member: usize, change: impl FnOnce(&mut Seen)) {
        if let Some(seen) = self.state.borrow_mut().members.get_mut(member) {
            change(seen);
        }
        self.changed.notify_one();
    }

    pub fn fail(&self, problem: String) {
        self.state.borrow_mut().failure.get_or_insert(problem);
        self.changed.notify_one();
    }

    pub fn members(&self) -> Vec<Seen> {
        self.state.borrow().members.clone()
    }

    /// Until `agreed` says so of the members that are there, or one has failed.
    pub async fn wait(self: &Rc<Board>, what: &str, agreed: impl Fn(&[Seen]) -> bool) -> Outcome<Duration> {
        let began = Instant::now();
        loop {
            {
                let state = self.state.borrow();
                if let Some(problem) = &state.failure {
                    return Err(problem.clone().into());
                }
                if agreed(&state.members) {
                    return Ok(began.elapsed());
                }
            }
            let left = AGREED_MAX.saturating_sub(began.elapsed());
            if tokio::time::timeout(left, self.changed.notified()).await.is_err() {
                return Err(format!("after {} s still waiting until {what}", AGREED_MAX.as_secs()).into());
            }
        }
    }
}

/// All in one epoch later than `after`, and every partition owned by one.
pub fn settled(members: &[Seen], after: i32, partitions: usize) -> bool {
    let mut there = members.iter().filter(|seen| !seen.gone);
    let Some(first) = there.next() else { return false };
    let mut owned = first.partitions_owned;
    first.epoch > after
        && there.all(|seen| {
            owned += seen.partitions_owned;
            seen.epoch == first.epoch
        })
        && owned == partitions
}
