//! How a command ends.

use std::io;
use std::process::ExitCode;

use crate::net::client;

/// Wrong usage or configuration, as clap has it.
pub const USAGE: u8 = 2;
const FAILED: u8 = 1;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The arguments cannot mean anything.
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Failed(String),
    #[error(transparent)]
    Client(#[from] client::Error),
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl CliError {
    pub fn failed(message: impl Into<String>) -> CliError {
        CliError::Failed(message.into())
    }

    pub fn usage(message: impl Into<String>) -> CliError {
        CliError::Usage(message.into())
    }
}

/// Prints what went wrong, causes included, and chooses the exit code.
pub fn exit_code(result: Result<(), CliError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of our output has gone, as `head` does: it has what it wanted.
        Err(CliError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            // A configuration may be wrong in several places: each has its line.
            for line in chain(&error).lines() {
                eprintln!("error: {line}");
            }
            ExitCode::from(if matches!(error, CliError::Usage(_)) { USAGE } else { FAILED })
        }
    }
}

/// The message and its causes, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let said = source.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = source.source();
    }
    text
}
