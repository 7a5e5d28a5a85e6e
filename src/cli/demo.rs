//! `stratalog demo`.
use std::process::ExitCode;

use clap::Args;

#[derive(Debug, Args)]
pub struct DemoArguments {}

pub fn run(_arguments: DemoArguments) -> ExitCode {
    ExitCode::FAILURE
}
