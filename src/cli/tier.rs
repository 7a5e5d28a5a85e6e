//! `stratalog tier`: what lies in object storage, over the broker's admin address.

use clap::{Args, Subcommand};

use super::CliError;
use super::arguments::{Format, OutputArguments};
use super::http;
use super::output::{self, human_bytes};
use crate::admin::{EvictReport, FlushReport, TierListing, TierPartition, TierSegment, VerifyReport};

#[derive(Debug, Args)]
pub struct TierArguments {
    #[command(subcommand)]
    command: TierCommand,
}

#[derive(Debug, Subcommand)]
enum TierCommand {
    /// Show what is tiered, by partition
    ///
    /// Example: stratalog tier ls --topic events --segments
    Ls(ListArguments),
    /// Read every object of a topic and check it; fails when something is damaged
    ///
    /// Example: stratalog tier verify --topic events
    Verify(TopicArguments),
    /// Close the active segments and upload them
    ///
    /// Example: stratalog tier flush --topic events --wait
    Flush(FlushArguments),
    /// Drop the local copies of what is tiered
    ///
    /// Example: stratalog tier evict --topic events
    Evict(TopicArguments),
}

#[derive(Debug, Clone, Args)]
struct AdminArguments {
    /// The broker's HTTP address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9644")]
    admin: String,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Args)]
struct ListArguments {
    /// Of this topic only
    #[arg(short, long)]
    topic: Option<String>,
    /// Each segment on its own line
    #[arg(short, long)]
    segments: bool,
    #[command(flatten)]
    admin: AdminArguments,
}

#[derive(Debug, Args)]
struct TopicArguments {
    #[arg(short, long)]
    topic: String,
    #[command(flatten)]
    admin: AdminArguments,
}

#[derive(Debug, Args)]
struct FlushArguments {
    #[arg(short, long)]
    topic: String,
    /// Return when all that is in the log now is in object storage
    #[arg(short, long)]
    wait: bool,
    #[command(flatten)]
    admin: AdminArguments,
}

pub async fn run(arguments: TierArguments) -> Result<(), CliError> {
    match arguments.command {
        TierCommand::Ls(arguments) => list(&arguments).await,
        TierCommand::Verify(arguments) => verify(&arguments).await,
        TierCommand::Flush(arguments) => flush(&arguments).await,
        TierCommand::Evict(arguments) => evict(&arguments).await,
    }
}

async fn list(arguments: &ListArguments) -> Result<(), CliError> {
    let query: Vec<(&str, &str)> = arguments.topic.iter().map(|topic| ("topic", topic.as_str())).collect();
    let listing: TierListing = http::ask(&arguments.admin.admin, "GET", "/v1/tier/ls", &query).await?;
    if arguments.admin.output.format == Format::Json {
        return output::json(&listing);
    }
    if arguments.segments {
        let of_partition = |partition: &TierPartition| {
            let name = format!("{}-{}", partition.topic, partition.partition);
            partition.segments.iter().map(move |segment| segment_row(&name, segment)).collect::<Vec<_>>()
        };
        let rows: Vec<Vec<String>> = listing.partitions.iter().flat_map(of_partition).collect();
        return output::table(&["partition", "first", "last", "raw", "stored", "local", "object"], &rows);
    }
    let rows: Vec<Vec<String>> = listing.partitions.iter().map(partition_row).collect();
    let header =
        ["topic", "partition", "start", "local start", "tiered end", "end", "segments", "raw", "stored", "saved"];
    output::table(&header, &rows)
}

fn segment_row(partition: &str, segment: &TierSegment) -> Vec<String> {
    vec![
        partition.to_owned(),
        segment.base_offset.to_string(),
        segment.last_offset.to_string(),
        human_bytes(segment.raw_bytes),
        human_bytes(segment.stored_bytes),
        if segment.local { "yes" } else { "no" }.to_owned(),
        segment.object.clone(),
    ]
}

fn partition_row(partition: &TierPartition) -> Vec<String> {
    let raw: u64 = partition.segments.iter().map(|segment| segment.raw_bytes).sum();
    let stored: u64 = partition.segments.iter().map(|segment| segment.stored_bytes).sum();
    vec![
        partition.topic.clone(),
        partition.partition.to_string(),
        partition.log_start_offset.to_string(),
        partition.local_log_start_offset.to_string(),
        partition.tiered_end_offset.to_string(),
        partition.log_end_offset.to_string(),
        partition.segments.len().to_string(),
        human_bytes(raw),
        human_bytes(stored),
        saved(raw, stored),
    ]
}

/// How much smaller the objects are than the log, in percent.
pub fn saved(raw: u64, stored: u64) -> String {
    if raw == 0 {
        return "-".to_owned();
    }
    format!("{:.0}%", (1.0 - stored as f64 / raw as f64) * 100.0)
}

async fn flush(arguments: &FlushArguments) -> Result<(), CliError> {
    let wait = if arguments.wait { "true" } else { "false" };
    let query = [("topic", arguments.topic.as_str()), ("wait", wait)];
    let report: FlushReport = http::ask(&arguments.admin.admin, "POST", "/v1/tier/flush", &query).await?;
    if arguments.admin.output.format == Format::Json {
        output::json(&report)?;
    } else {
        let row = |partition: &crate::admin::FlushedPartition| {
            vec![
                partition.partition.to_string(),
                partition.segments_uploaded.to_string(),
                human_bytes(partition.raw_bytes),
                human_bytes(partition.stored_bytes),
                partition.tiered_end_offset.to_string(),
                partition.log_end_offset.to_string(),
            ]
        };
        let rows: Vec<Vec<String>> = report.partitions.iter().map(row).collect();
        output::table(&["partition", "uploaded", "raw", "stored", "tiered end", "end"], &rows)?;
    }
    if arguments.wait && !report.complete {
        return Err(CliError::failed(format!("{} is not tiered to its end; see the broker's log", report.topic)));
    }
    Ok(())
}

async fn evict(arguments: &TopicArguments) -> Result<(), CliError> {
    let query = [("topic", arguments.topic.as_str())];
    let report: EvictReport = http::ask(&arguments.admin.admin, "POST", "/v1/tier/evict", &query).await?;
    if arguments.admin.output.format == Format::Json {
        return output::json(&report);
    }
    let row = |partition: &crate::admin::EvictedPartition| {
        vec![
            partition.partition.to_string(),
            partition.segments.to_string(),
            human_bytes(partition.bytes),
            partition.local_log_start_offset.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = report.partitions.iter().map(row).collect();
    output::table(&["partition", "evicted", "bytes", "local start"], &rows)
}

async fn verify(arguments: &TopicArguments) -> Result<(), CliError> {
    let query = [("topic", arguments.topic.as_str())];
    let report: VerifyReport = http::ask(&arguments.admin.admin, "POST", "/v1/tier/verify", &query).await?;
    if arguments.admin.output.format == Format::Json {
        output::json(&report)?;
    } else {
        let row = |partition: &crate::admin::VerifiedPartition| {
            vec![
                partition.partition.to_string(),
                partition.objects.to_string(),
                partition.chunks.to_string(),
                human_bytes(partition.stored_bytes),
                if partition.problems.is_empty() { "sound".to_owned() } else { "DAMAGED".to_owned() },
            ]
        };
        let rows: Vec<Vec<String>> = report.partitions.iter().map(row).collect();
        output::table(&["partition", "objects", "chunks", "read", "result"], &rows)?;
    }
    if report.is_sound() {
        return Ok(());
    }
    let problems: Vec<&str> =
        report.partitions.iter().flat_map(|partition| &partition.problems).map(String::as_str).collect();
    Err(CliError::failed(format!("{} is damaged: {}", report.topic, problems.join("; "))))
}
