//! `stratalog log verify`: what is wrong, line by line, and an exit code.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{failed, targets};
use crate::cli::CliError;
use crate::cli::arguments::{Format, OutputArguments};
use crate::cli::output::{self, human_bytes};
use crate::log::offline::{Finding, Findings, Severity, verify};

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
pub struct Summary {
    pub sound: bool,
    pub partitions: u64,
    pub segments: u64,
    pub batches: u64,
    pub bytes: u64,
    pub wrong: u64,
    pub lost: u64,
    pub notes: u64,
}

impl Summary {
    pub fn of(findings: &Findings<'_>) -> Summary {
        Summary {
            sound: findings.is_sound(),
            partitions: findings.partitions,
            segments: findings.segments,
            batches: findings.batches,
            bytes: findings.bytes,
            wrong: findings.wrong,
            lost: findings.lost,
            notes: findings.notes,
        }
    }
}

pub fn run(arguments: &VerifyArguments) -> Result<(), CliError> {
    let targets = targets(&arguments.paths)?;
    let mut printing = Printing { format: arguments.output.format, quiet: arguments.quiet, failed: None };
    let summary = {
        let mut findings = Findings::new(|finding| printing.print(&finding));
        for target in &targets {
            verify(target, &mut findings).map_err(|error| failed(&error))?;
        }
        Summary::of(&findings)
    };
    printing.result()?;
    match arguments.output.format {
        Format::Json => output::json(&summary)?,
        Format::Text => output::line(&format!(
            "{} partitions, {} segments, {} batches, {}: {} wrong, {} lost, {} notes",
            summary.partitions,
            summary.segments,
            summary.batches,
            human_bytes(summary.bytes),
            summary.wrong,
            summary.lost,
            summary.notes
        ))?,
    }
    if summary.sound {
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
