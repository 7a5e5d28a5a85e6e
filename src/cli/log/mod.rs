//! `stratalog log`: the files of a log, looked at and mended without a broker.

mod dump;
mod repair;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::CliError;
use crate::log::offline::Target;

#[derive(Debug, Args)]
pub struct LogArguments {
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// Print what is in the files of a log, ours or Apache Kafka's
    ///
    /// Example: stratalog log dump stratalog-data/events-0 --records --offsets 100..200
    Dump(dump::DumpArguments),
    /// Check every batch, index, snapshot and checkpoint; fails when something is wrong
    ///
    /// Example: stratalog log verify stratalog-data
    Verify(verify::VerifyArguments),
    /// Say how what is wrong can be mended; with --apply, do it
    ///
    /// Example: stratalog log repair stratalog-data/events-0 --apply
    Repair(repair::RepairArguments),
}

pub fn run(arguments: &LogArguments) -> Result<(), CliError> {
    match &arguments.command {
        LogCommand::Dump(arguments) => dump::run(arguments),
        LogCommand::Verify(arguments) => verify::run(arguments),
        LogCommand::Repair(arguments) => repair::run(arguments),
    }
}

/// What the paths are; one that is not there is wrong usage.
fn targets(paths: &[PathBuf]) -> Result<Vec<Target>, CliError> {
    paths.iter().map(|path| Target::of(path).map_err(|error| CliError::usage(with_causes(&error)))).collect()
}

fn failed(error: &crate::log::Error) -> CliError {
    CliError::failed(with_causes(error))
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(&format!(": {source}"));
        cause = source.source();
    }
    text
}
