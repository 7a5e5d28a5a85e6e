//! `stratalog group describe`: state, members, partitions.

use clap::Args;
use serde::Serialize;

use super::partitions::{PartitionLag, of_group, or_dash};
use crate::cli::arguments::{Format, OutputArguments};
use crate::cli::connect::ConnectArguments;
use crate::cli::{CliError, output};
use crate::net::client::{DescribedGroup, DescribedMember, TopicPartitions};

#[derive(Debug, Args)]
pub struct DescribeArguments {
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    #[command(flatten)]
    connect: ConnectArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Serialize)]
struct Group<'a> {
    group: &'a str,
    #[serde(rename = "type")]
    group_type: &'a str,
    state: &'a str,
    protocol_type: &'a str,
    protocol: &'a str,
    epoch: Option<i32>,
    coordinator: i32,
    members: Vec<Member<'a>>,
    partitions: Vec<PartitionLag>,
}

#[derive(Debug, Serialize)]
struct Member<'a> {
    member_id: &'a str,
    instance_id: Option<&'a str>,
    client_id: &'a str,
    client_host: &'a str,
    subscribed: &'a [String],
    subscribed_regex: Option<&'a str>,
    epoch: Option<i32>,
    assigned: &'a TopicPartitions,
    target: Option<&'a TopicPartitions>,
}

pub async fn run(arguments: DescribeArguments) -> Result<(), CliError> {
    let mut client = arguments.connect.client()?;
    for (at, name) in arguments.groups.iter().enumerate() {
        let described = client.describe_group(name).await?;
        let partitions = of_group(&mut client, name, Some(&described)).await?;
        let group = group(&described, partitions);
        if arguments.output.format == Format::Json {
            output::json(&group)?;
            continue;
        }
        if at > 0 {
            output::line("")?;
        }
        print(&group)?;
    }
    Ok(())
}

fn group(described: &DescribedGroup, partitions: Vec<PartitionLag>) -> Group<'_> {
    Group {
        group: &described.group,
        group_type: &described.group_type.0,
        state: &described.state.0,
        protocol_type: &described.protocol_type,
        protocol: &described.protocol,
        epoch: described.epoch,
        coordinator: described.coordinator,
        members: described.members.iter().map(member).collect(),
        partitions,
    }
}

fn member(member: &DescribedMember) -> Member<'_> {
    Member {
        member_id: &member.member_id,
        instance_id: member.instance_id.as_deref(),
        client_id: &member.client_id,
        client_host: &member.client_host,
        subscribed: &member.subscribed,
        subscribed_regex: member.subscribed_regex.as_deref(),
        epoch: member.epoch,
        assigned: &member.assigned,
        target: member.target.as_ref(),
    }
}

fn print(group: &Group<'_>) -> Result<(), CliError> {
    let mut facts = format!("{}: {} {}", group.group, group.group_type, group.state);
    for (name, value) in [("protocol", group.protocol_type), ("assignor", group.protocol)] {
        if !value.is_empty() {
            facts.push_str(&format!(", {name} {value}"));
        }
    }
    if let Some(epoch) = group.epoch {
        facts.push_str(&format!(", epoch {epoch}"));
    }
    output::line(&format!("{facts}, coordinator {}", group.coordinator))?;
    if !group.members.is_empty() {
        output::line("")?;
        let row = |member: &Member<'_>| {
            vec![
                member.member_id.to_owned(),
                or_dash(member.instance_id),
                member.client_id.to_owned(),
                member.client_host.to_owned(),
                or_dash(member.epoch),
                written(member.assigned),
                member.target.map_or_else(|| "-".to_owned(), written),
            ]
        };
        let rows: Vec<Vec<String>> = group.members.iter().map(row).collect();
        output::table(&["member", "instance", "client", "host", "epoch", "assigned", "target"], &rows)?;
    }
    if !group.partitions.is_empty() {
        output::line("")?;
        let row = |partition: &PartitionLag| {
            vec![
                partition.topic.clone(),
                partition.partition.to_string(),
                or_dash(partition.committed),
                or_dash(partition.end),
                or_dash(partition.lag),
                or_dash(partition.member_id.as_deref()),
            ]
        };
        let rows: Vec<Vec<String>> = group.partitions.iter().map(row).collect();
        output::table(&["topic", "partition", "committed", "end", "lag", "member"], &rows)?;
    }
    Ok(())
}

/// `orders:0,1 payments:0`, as `--topic` takes it.
fn written(partitions: &TopicPartitions) -> String {
    let topic = |(topic, partitions): (&String, &Vec<i32>)| {
        let numbers: Vec<String> = partitions.iter().map(i32::to_string).collect();
        format!("{topic}:{}", numbers.join(","))
    };
    let all: Vec<String> = partitions.iter().map(topic).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(" ") }
}
