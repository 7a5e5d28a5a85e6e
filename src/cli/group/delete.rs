//! `stratalog group delete` and `delete-offsets`.

use clap::Args;
use serde::Serialize;

use super::partitions::partitions_of;
use super::plan::TopicChoice;
use crate::cli::arguments::{Format, OutputArguments};
use crate::cli::confirm::confirm;
use crate::cli::connect::ConnectArguments;
use crate::cli::{CliError, output};
use crate::net::client::{Error, TopicPartitions};

#[derive(Debug, Args)]
pub struct DeleteArguments {
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// A group that does not exist is no error
    #[arg(long)]
    if_exists: bool,
    #[command(flatten)]
    connect: ConnectArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Args)]
pub struct DeleteOffsetsArguments {
    #[arg(value_name = "GROUP")]
    group: String,
    /// A topic, or some of its partitions, as often as needed
    #[arg(short, long, required = true, value_name = "TOPIC[:0,1]")]
    topic: Vec<TopicChoice>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    connect: ConnectArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Serialize)]
struct Done<'a> {
    group: &'a str,
    result: &'a str,
}

#[derive(Debug, Serialize)]
struct DeletedOffset<'a> {
    group: &'a str,
    topic: &'a str,
    partition: i32,
    result: &'a str,
}

pub async fn run(arguments: DeleteArguments) -> Result<(), CliError> {
    if !arguments.yes {
        confirm("deleting a group", &format!("Delete {} with all offsets?", arguments.groups.join(", ")))?;
    }
    let mut client = arguments.connect.client()?;
    for group in &arguments.groups {
        let result = match client.delete_group(group).await {
            Ok(()) => "deleted",
            Err(Error::UnknownGroup { .. }) if arguments.if_exists => "does not exist",
            Err(error) => return Err(error.into()),
        };
        match arguments.output.format {
            Format::Text => output::line(&format!("{group}: {result}"))?,
            Format::Json => output::json(&Done { group, result })?,
        }
    }
    Ok(())
}

pub async fn run_offsets(arguments: DeleteOffsetsArguments) -> Result<(), CliError> {
    let group = arguments.group.as_str();
    if !arguments.yes {
        confirm("deleting offsets", &format!("Delete the offsets of {group} that were named?"))?;
    }
    let mut client = arguments.connect.client()?;
    let stored = client.committed_offsets(group, None).await?;
    let cluster = client.metadata(None).await?;
    let mut partitions = TopicPartitions::new();
    for choice in &arguments.topic {
        // Offsets of partitions that are gone are just those that one wants to get rid of.
        let mut known = partitions_of(&cluster, &choice.topic);
        known.extend(stored.iter().filter(|stored| stored.topic == choice.topic).map(|stored| stored.partition));
        let chosen = choice.among(&known)?;
        let list = partitions.entry(choice.topic.clone()).or_default();
        list.extend(chosen.iter().filter(|partition| !list.contains(partition)).copied().collect::<Vec<_>>());
        list.sort_unstable();
    }
    client.delete_offsets(group, &partitions).await?;
    for (topic, partitions) in &partitions {
        for partition in partitions.iter().copied() {
            let was = stored.iter().any(|stored| stored.topic == *topic && stored.partition == partition);
            let result = if was { "deleted" } else { "there was none" };
            match arguments.output.format {
                Format::Text => output::line(&format!("{topic}-{partition}: {result}"))?,
                Format::Json => output::json(&DeletedOffset { group, topic, partition, result })?,
            }
        }
    }
    Ok(())
}
