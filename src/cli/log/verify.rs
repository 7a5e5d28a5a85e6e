//! `stratalog log verify`: what is wrong, line by line, and an exit code.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{failed, targets};
use crate::cli::CliError;
use crate::cli::arguments::{Format, OutputArguments};
use crate::cli::output::{self, human_bytes};
use crate::log::offline::{Finding, Findings, Severity, Tally, verify};

#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// Data directories, partition directories or single files
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Do not tell what is only worth knowing
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    output: OutputArguments,
}

/// The last line of `--format json`; each finding has one of its own before.
#[derive(Serialize)]
struct Summary {
    sound: bool,
    #[serde(flatten)]
    tally: Tally,
}

pub fn run(arguments: &VerifyArguments) -> Result<(), CliError> {
    let targets = targets(&arguments.paths)?;
    let mut printing = Printing { format: arguments.output.format, quiet: arguments.quiet, failed: None };
    let tally = {
        let mut findings = Findings::new(|finding| printing.print(&finding));
        for target in &targets {
            verify(target, &mut findings).map_err(|error| failed(&error))?;
        }
        findings.tally
    };
    printing.result()?;
    match arguments.output.format {
        Format::Json => output::json(&Summary { sound: tally.is_sound(), tally })?,
        Format::Text => output::line(&format!(
            "{} partitions, {} segments, {} batches, {}: {} wrong, {} lost, {} notes",
            tally.partitions,
            tally.segments,
            tally.batches,
            human_bytes(tally.bytes),
            tally.wrong,
            tally.lost,
            tally.notes
        ))?,
    }
    if tally.is_sound() {
        return Ok(());
    }
    Err(CliError::failed("something is wrong; `stratalog log repair` with the same path says what can be done"))
}

/// Prints findings as they come; the first failure to print ends it.
pub struct Printing {
    pub format: Format,
    pub quiet: bool,
    pub failed: Option<CliError>,
}

impl Printing {
    pub fn print(&mut self, finding: &Finding) {
        if self.failed.is_some() || (self.quiet && finding.severity == Severity::Note) {
            return;
        }
        let printed = match self.format {
            Format::Json => output::json(finding),
            Format::Text => output::line(&finding.to_string()),
        };
        self.failed = printed.err();
    }

    pub fn result(&mut self) -> Result<(), CliError> {
        self.failed.take().map_or(Ok(()), Err)
    }
}
