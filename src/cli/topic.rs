//! `stratalog topic`: create, list, describe, alter, delete.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::CliError;
use super::arguments::{Format, OutputArguments, key_value};
use super::confirm::confirm;
use super::connect::ConnectArguments;
use super::output;
use crate::net::client::{Client, ConfigEntry, ConfigOperation, Error, NewTopic, OffsetSpec, TopicView};

#[derive(Debug, Args)]
pub struct TopicArguments {
    #[command(subcommand)]
    command: TopicCommand,
}

#[derive(Debug, Subcommand)]
enum TopicCommand {
    /// Create topics
    ///
    /// Example: stratalog topic create events --partitions 3 --config retention.ms=86400000
    Create(CreateArguments),
    /// List topics
    ///
    /// Example: stratalog topic list --format json
    List(ListArguments),
    /// Show partitions, offsets and configs of topics
    ///
    /// Example: stratalog topic describe events
    Describe(DescribeArguments),
    /// Change configs, or add partitions
    ///
    /// Example: stratalog topic alter events --set local.retention.ms=3600000 --unset retention.bytes
    Alter(AlterArguments),
    /// Delete topics with all their records, in object storage too
    ///
    /// Example: stratalog topic delete events --yes
    Delete(DeleteArguments),
}

#[derive(Debug, Args)]
struct CreateArguments {
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Number of partitions [default: the broker's num.partitions]
    #[arg(short, long)]
    partitions: Option<i32>,
    /// Number of replicas [default: the broker's default.replication.factor]
    #[arg(short, long)]
    replication_factor: Option<i16>,
    /// A topic config, as often as needed
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = key_value)]
    config: Vec<(String, String)>,
    /// A topic that exists already is no error
    #[arg(long)]
    if_not_exists: bool,
    /// Check only
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connect: ConnectArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Args)]
struct ListArguments {
    /// Internal topics too
    #[arg(long)]
    internal: bool,
    #[command(flatten)]
    connect: ConnectArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Args)]
struct DescribeArguments {
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Every config, defaults too
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    connect: ConnectArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Args)]
struct AlterArguments {
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// Set a config
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Give a config its default back
    #[arg(short, long, value_name = "KEY")]
    unset: Vec<String>,
    /// Add to a config that is a list
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    append: Vec<(String, String)>,
    /// Take from a config that is a list
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    subtract: Vec<(String, String)>,
    /// Raise the number of partitions to this
    #[arg(short, long)]
    partitions: Option<i32>,
    /// Check configs only
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connect: ConnectArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Args)]
struct DeleteArguments {
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// A topic that does not exist is no error
    #[arg(long)]
    if_exists: bool,
    #[command(flatten)]
    connect: ConnectArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub async fn run(arguments: TopicArguments) -> Result<(), CliError> {
    match arguments.command {
        TopicCommand::Create(arguments) => create(arguments).await,
        TopicCommand::List(arguments) => list(arguments).await,
        TopicCommand::Describe(arguments) => describe(arguments).await,
        TopicCommand::Alter(arguments) => alter(arguments).await,
        TopicCommand::Delete(arguments) => delete(arguments).await,
    }
}

/// What became of one topic.
#[derive(Debug, Serialize)]
struct Done<'a> {
    topic: &'a str,
    result: &'a str,
}

fn tell(format: Format, topic: &str, result: &str) -> Result<(), CliError> {
    match format {
        Format::Text => output::line(&format!("{topic}: {result}")),
        Format::Json => output::json(&Done { topic, result }),
    }
}

async fn create(arguments: CreateArguments) -> Result<(), CliError> {
    let mut client = arguments.connect.client()?;
    for name in &arguments.topics {
        let topic = NewTopic {
            name: name.clone(),
            partitions: arguments.partitions,
            replication_factor: arguments.replication_factor,
            configs: arguments.config.iter().cloned().collect(),
        };
        let result = match client.create_topic(&topic, arguments.dry_run).await {
            Ok(()) if arguments.dry_run => "can be created",
            Ok(()) => "created",
            Err(Error::TopicExists { .. }) if arguments.if_not_exists => "exists",
            Err(error) => return Err(error.into()),
        };
        tell(arguments.output.format, name, result)?;
    }
    Ok(())
}

#[derive(Debug, Serialize)]
struct ListedTopic {
    name: String,
    topic_id: String,
    partitions: usize,
    replication_factor: usize,
    internal: bool,
}

async fn list(arguments: ListArguments) -> Result<(), CliError> {
    let mut client = arguments.connect.client()?;
    let cluster = client.metadata(None).await?;
    let topics: Vec<ListedTopic> = cluster
        .topics
        .into_iter()
        .filter(|topic| arguments.internal || !topic.is_internal)
        .map(|topic| ListedTopic {
            partitions: topic.partitions.len(),
            replication_factor: replication_factor(&topic),
            internal: topic.is_internal,
            name: topic.name,
            topic_id: topic.topic_id,
        })
        .collect();
    if arguments.output.format == Format::Json {
        return output::json(&topics);
    }
    let row = |topic: &ListedTopic| {
        vec![topic.name.clone(), topic.partitions.to_string(), topic.replication_factor.to_string()]
    };
    output::table(&["name", "partitions", "replicas"], &topics.iter().map(row).collect::<Vec<_>>())
}

fn replication_factor(topic: &TopicView) -> usize {
    topic.partitions.first().map_or(0, |partition| partition.replicas.len())
}

#[derive(Debug, Serialize)]
struct DescribedTopic {
    name: String,
    topic_id: String,
    internal: bool,
    partitions: Vec<DescribedPartition>,
    configs: Vec<DescribedConfig>,
}

#[derive(Debug, Serialize)]
struct DescribedPartition {
    partition: i32,
    leader: i32,
    leader_epoch: i32,
    replicas: Vec<i32>,
    isr: Vec<i32>,
    log_start_offset: i64,
    high_watermark: i64,
}

#[derive(Debug, Serialize)]
struct DescribedConfig {
    name: String,
    value: Option<String>,
    source: &'static str,
}

async fn describe(arguments: DescribeArguments) -> Result<(), CliError> {
    let mut client = arguments.connect.client()?;
    for (at, name) in arguments.topics.iter().enumerate() {
        let topic = describe_one(&mut client, name, arguments.all).await?;
        if arguments.output.format == Format::Json {
            output::json(&topic)?;
            continue;
        }
        if at > 0 {
            output::line("")?;
        }
        print_described(&topic)?;
    }
    Ok(())
}

async fn describe_one(client: &mut Client, name: &str, all: bool) -> Result<DescribedTopic, CliError> {
    let names = [name.to_owned()];
    let cluster = client.metadata(Some(&names)).await?;
    let unknown = || Error::UnknownTopic { topic: name.to_owned() };
    let view = cluster.topics.into_iter().next().ok_or_else(unknown)?;
    let ends = |spec| view.partitions.iter().map(|partition| (partition.partition, spec)).collect::<Vec<_>>();
    let starts = client.list_offsets(name, &ends(OffsetSpec::Earliest)).await?;
    let latest = client.list_offsets(name, &ends(OffsetSpec::Latest)).await?;
    let configs = client.topic_configs(name).await?;
    let shown = |entry: &ConfigEntry| all || entry.source == "topic";
    let partitions = view.partitions.into_iter().zip(starts.iter().zip(&latest));
    Ok(DescribedTopic {
        name: view.name,
        topic_id: view.topic_id,
        internal: view.is_internal,
        partitions: partitions
            .map(|(partition, (start, end))| DescribedPartition {
                partition: partition.partition,
                leader: partition.leader,
                leader_epoch: partition.leader_epoch,
                replicas: partition.replicas,
                isr: partition.isr,
                log_start_offset: start.offset,
                high_watermark: end.offset,
            })
            .collect(),
        configs: configs
            .into_iter()
            .filter(shown)
            .map(|entry| DescribedConfig { name: entry.name, value: entry.value, source: entry.source })
            .collect(),
    })
}

fn print_described(topic: &DescribedTopic) -> Result<(), CliError> {
    output::line(&format!("{} (id {})", topic.name, topic.topic_id))?;
    let join = |ids: &[i32]| ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
    let row = |partition: &DescribedPartition| {
        vec![
            partition.partition.to_string(),
            partition.leader.to_string(),
            partition.leader_epoch.to_string(),
            join(&partition.replicas),
            join(&partition.isr),
            partition.log_start_offset.to_string(),
            partition.high_watermark.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = topic.partitions.iter().map(row).collect();
    output::table(&["partition", "leader", "epoch", "replicas", "isr", "start", "end"], &rows)?;
    if topic.configs.is_empty() {
        return Ok(());
    }
    output::line("")?;
    let row = |config: &DescribedConfig| {
        vec![config.name.clone(), config.value.clone().unwrap_or_else(|| "-".to_owned()), config.source.to_owned()]
    };
    output::table(&["config", "value", "source"], &topic.configs.iter().map(row).collect::<Vec<_>>())
}

async fn alter(arguments: AlterArguments) -> Result<(), CliError> {
    let mut operations: Vec<(String, ConfigOperation)> = Vec::new();
    let pairs = |pairs: &[(String, String)], make: fn(String) -> ConfigOperation| {
        pairs.iter().map(|(key, value)| (key.clone(), make(value.clone()))).collect::<Vec<_>>()
    };
    operations.extend(pairs(&arguments.set, ConfigOperation::Set));
    operations.extend(arguments.unset.iter().map(|key| (key.clone(), ConfigOperation::Delete)));
    operations.extend(pairs(&arguments.append, ConfigOperation::Append));
    operations.extend(pairs(&arguments.subtract, ConfigOperation::Subtract));
    if operations.is_empty() && arguments.partitions.is_none() {
        return Err(CliError::usage("nothing to alter: give --set, --unset, --append, --subtract or --partitions"));
    }
    let mut client = arguments.connect.client()?;
    if !operations.is_empty() {
        client.alter_topic_configs(&arguments.topic, &operations, arguments.dry_run).await?;
    }
    if let Some(partitions) = arguments.partitions
        && !arguments.dry_run
    {
        client.create_partitions(&arguments.topic, partitions).await?;
    }
    let result = if arguments.dry_run { "can be altered" } else { "altered" };
    tell(arguments.output.format, &arguments.topic, result)
}

async fn delete(arguments: DeleteArguments) -> Result<(), CliError> {
    if !arguments.yes {
        let question = format!("Delete {} with all records, in object storage too?", arguments.topics.join(", "));
        confirm("deleting a topic", &question)?;
    }
    let mut client = arguments.connect.client()?;
    for topic in &arguments.topics {
        let result = match client.delete_topic(topic).await {
            Ok(()) => "deleted",
            Err(Error::UnknownTopic { .. }) if arguments.if_exists => "does not exist",
            Err(error) => return Err(error.into()),
        };
        tell(arguments.output.format, topic, result)?;
    }
    Ok(())
}
