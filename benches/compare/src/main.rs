//! Raw-protocol load for comparing brokers. Frames of records are made once and sent again and again, so that on two
//! cores the client costs little and the figure is the broker's; groups have members that behave as clients do.
//!
//! `loadgen COMMAND key=value…` prints one line of JSON. Anything unexpected ends the program with exit code 1:
//! a figure is only printed for a run in which every answer was good.

mod arguments;
mod fetch;
mod groups;
mod produce;
mod wire;

use std::process::ExitCode;

use arguments::Arguments;

const USAGE: &str =
    "loadgen produce bootstrap=H:P topic=T partitions=1 connections=1 record_bytes=1024 batch_bytes=16384
                in_flight=5 total_bytes=N | seconds=N
loadgen fill    bootstrap=H:P topic=T data=FILE batch_bytes=65536 total_bytes=N
loadgen fetch   bootstrap=H:P topic=T max_bytes=1048576 until=OFFSET
loadgen prepare      bootstrap=H:P [topic=T partitions=N]
loadgen configure    bootstrap=H:P topic=T name=KEY value=V
loadgen commits      bootstrap=H:P broker_pid=N topic=T connections=N groups=N seconds=N
loadgen join         bootstrap=H:P broker_pid=N topic=T group=G protocol=classic|consumer members=N heartbeat_ms=N
loadgen rebalance    as join
loadgen idle         bootstrap=H:P broker_pid=N topic=T group=PREFIX protocol=P groups=N heartbeat_ms=N seconds=N
loadgen fill_offsets bootstrap=H:P topic=T groups=N partitions=N
loadgen first_offset bootstrap=H:P groups=N partitions=N since_ns=N";

fn main() -> ExitCode {
    let mut given = std::env::args().skip(1);
    let command = given.next().unwrap_or_default();
    let outcome = Arguments::parse(given).and_then(|arguments| match command.as_str() {
        "produce" => produce::produce(&arguments),
        "fill" => produce::fill(&arguments),
        "fetch" => fetch::fetch(&arguments),
        other => groups::run(other, &arguments).unwrap_or_else(|| Err(USAGE.into())),
    });
    match outcome {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("loadgen {command}: {problem}");
            ExitCode::FAILURE
        }
    }
}

pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
