//! `stratalog group lag`: how many records groups have yet to read.

use std::io::{IsTerminal, stdout};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::partitions::{PartitionLag, of_group, or_dash};
use crate::cli::arguments::{Format, OutputArguments};
use crate::cli::connect::ConnectArguments;
use crate::cli::time::parse_duration;
use crate::cli::{CliError, output};
use crate::net::client::{Client, Error};

#[derive(Debug, Args)]
pub struct LagArguments {
    /// Groups [default: all]
    #[arg(value_name = "GROUP")]
    groups: Vec<String>,
    /// Again and again until Ctrl-C, at this distance
    #[arg(short, long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "2s",
          value_parser = pause)]
    watch: Option<Duration>,
    #[command(flatten)]
    connect: ConnectArguments,
    #[command(flatten)]
    output: OutputArguments,
}

fn pause(text: &str) -> Result<Duration, String> {
    let millis = parse_duration(text)?;
    u64::try_from(millis)
        .ok()
        .filter(|millis| *millis > 0)
        .map(Duration::from_millis)
        .ok_or_else(|| "more than 0".into())
}

/// What a group has before it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct GroupLag {
    pub group: String,
    /// Of all partitions together.
    pub sum: i64,
    /// Of the partition that is farthest behind.
    pub max: i64,
    pub partitions: Vec<PartitionLag>,
}

impl GroupLag {
    /// Partitions whose lag is unknown do not count; one that is ahead of its log counts as 0.
    pub fn new(group: &str, partitions: Vec<PartitionLag>) -> GroupLag {
        let behind = || partitions.iter().filter_map(|partition| partition.lag).map(|lag| lag.max(0));
        let sum = behind().fold(0_i64, i64::saturating_add);
        GroupLag { group: group.to_owned(), sum, max: behind().max().unwrap_or(0), partitions }
    }
}

pub async fn run(arguments: LagArguments) -> Result<(), CliError> {
    let mut client = arguments.connect.client()?;
    loop {
        let lags = lags(&mut client, &arguments.groups).await?;
        if arguments.watch.is_some() && arguments.output.format == Format::Text && stdout().is_terminal() {
            // Home, and clear what is below: the table stays where it is.
            output::line("\u{1b}[H\u{1b}[2J")?;
        }
        match arguments.output.format {
            Format::Text => print(&lags)?,
            Format::Json => output::json(&lags)?,
        }
        match arguments.watch {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Ok(()),
        }
    }
}

async fn lags(client: &mut Client, groups: &[String]) -> Result<Vec<GroupLag>, CliError> {
    let names = if groups.is_empty() {
        client.list_groups().await?.into_iter().map(|listed| listed.group).collect()
    } else {
        groups.to_vec()
    };
    let mut lags = Vec::with_capacity(names.len());
    for name in &names {
        let described = match client.describe_group(name).await {
            Ok(described) => described,
            // It went since it was listed.
            Err(Error::UnknownGroup { .. }) if groups.is_empty() => continue,
            Err(error) => return Err(error.into()),
        };
        lags.push(GroupLag::new(name, of_group(client, name, Some(&described)).await?));
    }
    Ok(lags)
}

fn print(lags: &[GroupLag]) -> Result<(), CliError> {
    let row = |group: &GroupLag, partition: &PartitionLag| {
        vec![
            group.group.clone(),
            partition.topic.clone(),
            partition.partition.to_string(),
            or_dash(partition.committed),
            or_dash(partition.end),
            or_dash(partition.lag),
        ]
    };
    let rows: Vec<Vec<String>> =
        lags.iter().flat_map(|group| group.partitions.iter().map(|partition| row(group, partition))).collect();
    output::table(&["group", "topic", "partition", "committed", "end", "lag"], &rows)?;
    for group in lags {
        output::line(&format!("{}: lag {}, at most {} in a partition", group.group, group.sum, group.max))?;
    }
    Ok(())
}
