//! Load on the coordinator of groups: commits, members that join, come and go, idle groups, and a restart.
//!
//! One thread drives all connections, so that on two cores the broker keeps one to itself. What is set up before the
//! measured phase is not in its figures; the broker's CPU is read at both ends of the phase.

mod board;
mod broker;
mod client;
mod commits;
mod idle;
mod members;
mod restart;
mod topic;

use std::future::Future;

use crate::Outcome;
use crate::arguments::Arguments;

pub fn run(command: &str, arguments: &Arguments) -> Option<Outcome<String>> {
    Some(match command {
        "prepare" => alone(topic::prepare(arguments)),
        "configure" => alone(topic::configure(arguments)),
        "commits" => alone(commits::commits(arguments)),
        "fill_offsets" => alone(restart::fill_offsets(arguments)),
        "first_offset" => alone(restart::first_offset(arguments)),
        "join" => alone(members::join(arguments)),
        "rebalance" => alone(members::rebalance(arguments)),
        "idle" => alone(idle::idle(arguments)),
        _ => return None,
    })
}

fn alone<T>(work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, work)
}
