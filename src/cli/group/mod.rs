//! `stratalog group`: list, describe, lag, reset, delete, delete-offsets.
//!
//! Asks as any Kafka client does, so that it works on Apache Kafka too. `reset` shows what it would do and does it with
//! `--execute`; what deletes asks first.

mod delete;
mod describe;
mod lag;
mod list;
mod partitions;
mod plan;
mod reset;
#[cfg(test)]
mod tests;

use clap::{Args, Subcommand};

use super::CliError;

#[derive(Debug, Args)]
pub struct GroupArguments {
    #[command(subcommand)]
    command: GroupCommand,
}

#[derive(Debug, Subcommand)]
enum GroupCommand {
    /// List groups
    ///
    /// Example: stratalog group list --state empty
    List(list::ListArguments),
    /// Show the members of groups, their partitions and offsets
    ///
    /// Example: stratalog group describe billing
    Describe(describe::DescribeArguments),
    /// Show how far groups are behind
    ///
    /// Examples: stratalog group lag billing --watch
    ///           stratalog group lag --format json
    #[command(verbatim_doc_comment)]
    Lag(lag::LagArguments),
    /// Set committed offsets; shows what would be set unless --execute is given
    ///
    /// Examples: stratalog group reset billing --topic orders --to-earliest --execute
    ///           stratalog group reset billing --topic orders:0,1 --shift-by -100
    ///           stratalog group reset billing --all-topics --by-duration 1h
    ///           stratalog group reset billing --all-topics --to-current --export > offsets.csv
    ///           stratalog group reset billing --from-file offsets.csv --execute
    #[command(verbatim_doc_comment)]
    Reset(reset::ResetArguments),
    /// Delete groups that have no members, with their offsets
    ///
    /// Example: stratalog group delete billing --yes
    Delete(delete::DeleteArguments),
    /// Delete the offsets that a group committed for topics
    ///
    /// Example: stratalog group delete-offsets billing --topic orders:0,1 --yes
    DeleteOffsets(delete::DeleteOffsetsArguments),
}

pub async fn run(arguments: GroupArguments) -> Result<(), CliError> {
    match arguments.command {
        GroupCommand::List(arguments) => list::run(arguments).await,
        GroupCommand::Describe(arguments) => describe::run(arguments).await,
        GroupCommand::Lag(arguments) => lag::run(arguments).await,
        GroupCommand::Reset(arguments) => reset::run(arguments).await,
        GroupCommand::Delete(arguments) => delete::run(arguments).await,
        GroupCommand::DeleteOffsets(arguments) => delete::run_offsets(arguments).await,
    }
}
