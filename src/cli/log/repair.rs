//! `stratalog log repair`: a plan, and with `--apply` what it says.

use std::path::PathBuf;

use clap::Args;

use super::verify::Printing;
use super::{failed, targets};
use crate::cli::CliError;
use crate::cli::arguments::{Format, OutputArguments};
use crate::cli::output;
use crate::log::offline::{Findings, plan, plan_to_apply};

#[derive(Debug, Args)]
pub struct RepairArguments {
    /// A data directory or a partition's directory; no broker may hold it
    path: PathBuf,
    /// Do what the plan says; without it nothing is changed
    #[arg(long)]
    apply: bool,
    /// Give up records that cannot be read: their bytes move to a file beside the log, their offsets are lost here
    #[arg(long)]
    drop_damaged: bool,
    #[command(flatten)]
    output: OutputArguments,
}

pub fn run(arguments: &RepairArguments) -> Result<(), CliError> {
    let targets = targets(std::slice::from_ref(&arguments.path))?;
    let format = arguments.output.format;
    let mut printing = Printing { format, quiet: true, failed: None };
    let mut plans = Vec::new();
    {
        let mut findings = Findings::new(|finding| printing.print(&finding));
        for target in &targets {
            let look = if arguments.apply { plan_to_apply } else { plan };
            plans.push(look(target, arguments.drop_damaged, &mut findings).map_err(|error| failed(&error))?);
        }
    }
    printing.result()?;
    let count: usize = plans.iter().map(|plan| plan.actions.len()).sum();
    for plan in &plans {
        for action in &plan.actions {
            match format {
                Format::Json => output::json(action)?,
                Format::Text => output::line(&format!("plan: {action}"))?,
            }
        }
    }
    if count == 0 {
        output::note("nothing is to be done");
        return Ok(());
    }
    if !arguments.apply {
        output::note("nothing was changed: --apply does it");
        return Err(CliError::failed(format!("{count} steps are to be done")));
    }
    for plan in &plans {
        plan.apply(|action| output::note(&action.to_string())).map_err(|error| failed(&error))?;
    }
    if plans.iter().any(crate::log::offline::Repair::leaves_damage) {
        return Err(CliError::failed("damage is left as it is: --drop-damaged gives up what cannot be read"));
    }
    Ok(())
}
