//! What can be typed. Each subcommand's arguments stand beside what they do; here is how they hang together.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{consume, demo, group, log, produce, tier, topic};
use crate::config::Sources;

/// A Kafka-compatible broker whose history settles into object storage.
///
/// Without a subcommand it starts a broker on 127.0.0.1:9092 with its data in ./stratalog-data.
#[derive(Debug, Parser)]
#[command(name = "stratalog", version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    broker: BrokerArguments,
}

impl Arguments {
    /// The subcommand; `broker` where none was named.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Broker(self.broker))
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a broker (the default)
    Broker(BrokerArguments),
    /// Create, list, describe, alter and delete topics
    Topic(topic::TopicArguments),
    /// Send the lines of a file or of standard input to a topic
    Produce(produce::ProduceArguments),
    /// Print the records of a topic
    Consume(consume::ConsumeArguments),
    /// See consumer groups and their lag, set and delete their offsets
    Group(group::GroupArguments),
    /// See and control what lies in object storage
    Tier(tier::TierArguments),
    /// Look at the files of a log, check and mend them, without a broker
    Log(log::LogArguments),
    /// Watch it work: a broker of its own, events, tiering, and a replay from offset 0
    Demo(demo::DemoArguments),
}

/// Where a broker takes its configuration from. Any key of a `server.properties` can be set with --set.
#[derive(Debug, Clone, Default, Args)]
pub struct BrokerArguments {
    /// A server.properties; with it Kafka's defaults hold
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of the data [log.dirs]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Addresses to serve, for example PLAINTEXT://127.0.0.1:9092; port 0 takes a free one [listeners]
    #[arg(long, value_name = "LIST")]
    pub listeners: Option<String>,
    /// Addresses that clients are told to use [advertised.listeners]
    #[arg(long, value_name = "LIST")]
    pub advertised_listeners: Option<String>,
    /// Where history settles: file:///directory, s3://bucket/prefix or embedded [stratalog.tier.url]
    #[arg(long, value_name = "URL")]
    pub tier: Option<String>,
    /// Address of HTTP for metrics, health and the tier; '' for none [stratalog.admin.listener]
    #[arg(long, value_name = "ADDRESS")]
    pub admin_listener: Option<String>,
    /// Form of the log lines [stratalog.log.format]
    #[arg(long, value_name = "FORM", value_enum)]
    pub log_format: Option<LogFormat>,
    /// Number of this broker [node.id]
    #[arg(long, value_name = "NUMBER")]
    pub node_id: Option<i32>,
    /// Any key, as often as needed; stronger than file and environment
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

impl BrokerArguments {
    /// The sources of the configuration: the file, this process's environment, and the flags.
    pub fn sources(&self) -> Sources {
        // What is not text concerns none of our keys.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Sources {
            file: self.config.clone(),
            environment: std::env::vars_os().filter_map(text).collect(),
            flags: self.flags(),
        }
    }

    /// The flags as keys; --set is the strongest.
    pub fn flags(&self) -> Vec<(String, String)> {
        let log_format = self.log_format.map(|format| match format {
            LogFormat::Text => "text".to_owned(),
            LogFormat::Json => "json".to_owned(),
        });
        let named = [
            ("log.dirs", self.data_dir.clone()),
            ("listeners", self.listeners.clone()),
            ("advertised.listeners", self.advertised_listeners.clone()),
            ("stratalog.tier.url", self.tier.clone()),
            ("stratalog.admin.listener", self.admin_listener.clone()),
            ("stratalog.log.format", log_format),
            ("node.id", self.node_id.map(|id| id.to_string())),
        ];
        let flags = named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        flags.chain(self.set.iter().cloned()).collect()
    }
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, Default, Args)]
pub struct OutputArguments {
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// `key=value`, for clap.
pub fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}
