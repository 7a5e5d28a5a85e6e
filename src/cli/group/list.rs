//! `stratalog group list`: the groups of the cluster, and which of them.

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::cli::arguments::{Format, OutputArguments};
use crate::cli::connect::ConnectArguments;
use crate::cli::{CliError, output};
use crate::net::client::ListedGroup;

#[derive(Debug, Args)]
pub struct ListArguments {
    /// Only groups in these states, separated by commas
    #[arg(long, value_name = "LIST", value_enum, value_delimiter = ',', ignore_case = true)]
    state: Vec<State>,
    /// Only groups of these types, separated by commas
    #[arg(long = "type", value_name = "LIST", value_enum, value_delimiter = ',', ignore_case = true)]
    types: Vec<Type>,
    /// Only groups of these protocol types, separated by commas; '' is a group that only commits
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    protocol: Vec<String>,
    #[command(flatten)]
    connect: ConnectArguments,
    #[command(flatten)]
    output: OutputArguments,
}

/// Kafka's states of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
enum State {
    Empty,
    Stable,
    PreparingRebalance,
    CompletingRebalance,
    Assigning,
    Reconciling,
    NotReady,
    Dead,
}

/// Kafka's types of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
enum Type {
    Classic,
    Consumer,
    Share,
    Streams,
}

#[derive(Debug, Serialize)]
struct Listed<'a> {
    group: &'a str,
    #[serde(rename = "type")]
    group_type: &'a str,
    state: &'a str,
    protocol_type: &'a str,
    coordinator: i32,
}

impl ListArguments {
    fn takes(&self, group: &ListedGroup) -> bool {
        let is = |value: &Option<clap::builder::PossibleValue>, told: &str| {
            value.as_ref().is_some_and(|value| value.get_name().eq_ignore_ascii_case(told))
        };
        let states: Vec<_> = self.state.iter().map(ValueEnum::to_possible_value).collect();
        let types: Vec<_> = self.types.iter().map(ValueEnum::to_possible_value).collect();
        (states.is_empty() || states.iter().any(|state| is(state, &group.state.0)))
            && (types.is_empty() || types.iter().any(|kind| is(kind, &group.group_type.0)))
            && (self.protocol.is_empty() || self.protocol.contains(&group.protocol_type))
    }
}

pub async fn run(arguments: ListArguments) -> Result<(), CliError> {
    let mut client = arguments.connect.client()?;
    let mut groups = client.list_groups().await?;
    groups.retain(|group| arguments.takes(group));
    let listed: Vec<Listed<'_>> = groups
        .iter()
        .map(|group| Listed {
            group: &group.group,
            group_type: &group.group_type.0,
            state: &group.state.0,
            protocol_type: &group.protocol_type,
            coordinator: group.coordinator,
        })
        .collect();
    if arguments.output.format == Format::Json {
        return output::json(&listed);
    }
    let text = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let row = |group: &Listed<'_>| {
        vec![
            group.group.to_owned(),
            text(group.group_type),
            text(group.state),
            text(group.protocol_type),
            group.coordinator.to_string(),
        ]
    };
    output::table(&["group", "type", "state", "protocol", "coordinator"], &listed.iter().map(row).collect::<Vec<_>>())
}
