//! The command line: floor 7.
//!
//! Owns arguments, exit codes and what is printed. Data goes to standard output, everything else to standard error;
//! progress shows on a terminal only. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration. A reader that goes
//! away (`| head`) ends a command quietly.

mod arguments;
pub mod broker;
mod confirm;
mod connect;
mod consume;
mod demo;
mod error;
mod group;
mod http;
mod log;
mod output;
mod produce;
#[cfg(test)]
mod tests;
mod tier;
mod time;
mod topic;

use std::future::Future;
use std::process::ExitCode;

use clap::Parser;

pub use arguments::{Arguments, BrokerArguments, Command};
pub use error::CliError;

/// The whole program.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    match arguments.into_command() {
        Command::Broker(arguments) => serve(&arguments),
        Command::Topic(arguments) => client(topic::run(arguments)),
        Command::Produce(arguments) => client(produce::run(arguments)),
        Command::Consume(arguments) => client(consume::run(arguments)),
        Command::Group(arguments) => client(group::run(arguments)),
        Command::Tier(arguments) => client(tier::run(arguments)),
        Command::Log(arguments) => error::exit_code(log::run(&arguments)),
        Command::Demo(arguments) => demo::run(arguments),
    }
}

/// Loads the configuration and serves. A configuration that does not hold is wrong usage.
fn serve(arguments: &BrokerArguments) -> ExitCode {
    match crate::config::load(&arguments.sources()) {
        Ok(loaded) => broker::run(loaded),
        Err(errors) => error::exit_code(Err(CliError::Usage(errors.to_string()))),
    }
}

/// Help and version are no failures; the rest is wrong usage.
fn usage(error: &clap::Error) -> ExitCode {
    // Nothing is left to do when the terminal itself is gone.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(error::USAGE))
}

/// Runs a client command to its end on this thread.
fn client(command: impl Future<Output = Result<(), CliError>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => Err(CliError::failed(format!("cannot start: {error}"))),
    };
    error::exit_code(result)
}
