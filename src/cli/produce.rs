//! `stratalog produce`: a record for each line.
//!
//! Lines are read on a thread of their own and handed over in small groups, at most [`GROUPS_WAITING_MAX`] ahead, so that
//! a slow terminal and a fast file are both sent without delay and in bounded memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, stdin};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio::sync::mpsc;

use super::CliError;
use super::arguments::{Format, OutputArguments, key_value};
use super::connect::ConnectArguments;
use super::output::{self, Progress, human_bytes};
use super::time::now_ms;
use crate::net::client::{Acks, Client, Compression, OutgoingRecord, Producer, ProducerSettings};

const GROUPS_WAITING_MAX: usize = 8;
const GROUP_LINES_MAX: usize = 1_000;
const GROUP_BYTES_MAX: usize = 1 << 20;
const LINE_BYTES_MAX: u64 = 64 << 20;

/// How long lines wait for company when no more come.
const LINGER: Duration = Duration::from_millis(50);

/// Examples:
///   stratalog produce events data.jsonl --key-field user.id --compression zstd
///   echo 'k:v' | stratalog produce events --key-separator :
#[derive(Debug, Args)]
pub struct ProduceArguments {
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// File of lines [default: standard input]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// What stands before this in a line is the key
    #[arg(short = 'k', long, value_name = "TEXT", conflicts_with = "key_field")]
    key_separator: Option<String>,
    /// Lines are JSON, and this field is the key; dots lead into objects
    #[arg(long, value_name = "FIELD")]
    key_field: Option<String>,
    /// A header of every record, as often as needed
    #[arg(short = 'H', long, value_name = "KEY=VALUE", value_parser = key_value)]
    header: Vec<(String, String)>,
    /// Partition of every record [default: by key as Java's producer does]
    #[arg(short, long, value_name = "NUMBER")]
    partition: Option<i32>,
    #[arg(short = 'z', long, value_enum, default_value_t = CompressionName::None)]
    compression: CompressionName,
    /// Whose acknowledgement to wait for
    #[arg(short, long, value_enum, default_value_t = AcksName::All)]
    acks: AcksName,
    /// Record bytes of a batch, before compression
    #[arg(long, value_name = "BYTES", default_value_t = 512 << 10)]
    batch_bytes: usize,
    /// Without a producer id: a retry may store a record twice
    #[arg(long)]
    no_idempotence: bool,
    /// Fail if the topic does not exist, rather than let the broker create it
    #[arg(long)]
    no_create: bool,
    #[command(flatten)]
    connect: ConnectArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CompressionName {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AcksName {
    #[value(name = "0", alias = "none")]
    None,
    #[value(name = "1", alias = "leader")]
    Leader,
    #[value(name = "all", alias = "-1")]
    All,
}

impl ProduceArguments {
    fn settings(&self) -> ProducerSettings {
        ProducerSettings {
            acks: match self.acks {
                AcksName::None => Acks::None,
                AcksName::Leader => Acks::Leader,
                AcksName::All => Acks::All,
            },
            compression: match self.compression {
                CompressionName::None => Compression::None,
                CompressionName::Gzip => Compression::Gzip,
                CompressionName::Snappy => Compression::Snappy,
                CompressionName::Lz4 => Compression::Lz4,
                CompressionName::Zstd => Compression::Zstd,
            },
            batch_bytes: self.batch_bytes,
            idempotent: !self.no_idempotence,
            create_topic: !self.no_create,
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    topic: String,
    records: u64,
    payload_bytes: u64,
    batches: u64,
    batch_bytes: u64,
    elapsed_ms: u64,
}

pub async fn run(arguments: ProduceArguments) -> Result<(), CliError> {
    let keys = KeyRule::of(&arguments)?;
    let mut lines = lines(arguments.file.clone())?;
    let mut client = arguments.connect.client()?;
    let mut producer = Producer::open(&mut client, &arguments.topic, arguments.settings()).await?;
    let progress = Progress::new("produced");
    let started = std::time::Instant::now();
    let mut line_number = 0_u64;
    loop {
        let group = match tokio::time::timeout(LINGER, lines.recv()).await {
            Ok(Some(group)) => group?,
            Ok(None) => break,
            Err(_) => {
                producer.flush(&mut client).await?;
                progress.records(producer.summary().records, producer.summary().payload_bytes);
                // Nothing to do until more lines come.
                match lines.recv().await {
                    Some(group) => group?,
                    None => break,
                }
            }
        };
        for line in group {
            line_number += 1;
            send_line(&mut producer, &mut client, &arguments, &keys, &line, line_number).await?;
        }
        progress.records(producer.summary().records, producer.summary().payload_bytes);
    }
    producer.flush(&mut client).await?;
    progress.finish();
    report(&arguments, &producer, started.elapsed())
}

async fn send_line(
    producer: &mut Producer,
    client: &mut Client,
    arguments: &ProduceArguments,
    keys: &KeyRule,
    line: &[u8],
    line_number: u64,
) -> Result<(), CliError> {
    let (key, value) =
        keys.split(line).map_err(|problem| CliError::failed(format!("line {line_number}: {problem}")))?;
    let headers: Vec<(&str, Option<&[u8]>)> =
        arguments.header.iter().map(|(name, value)| (name.as_str(), Some(value.as_bytes()))).collect();
    let record = OutgoingRecord {
        partition: arguments.partition,
        key: key.as_deref(),
        value: Some(value),
        headers: &headers,
        timestamp_ms: now_ms(),
    };
    producer.send(client, record).await?;
    Ok(())
}

fn report(arguments: &ProduceArguments, producer: &Producer, elapsed: Duration) -> Result<(), CliError> {
    let summary = producer.summary();
    match arguments.output.format {
        Format::Json => output::json(&Report {
            topic: arguments.topic.clone(),
            records: summary.records,
            payload_bytes: summary.payload_bytes,
            batches: summary.batches,
            batch_bytes: summary.batch_bytes,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        }),
        Format::Text => {
            output::note(&format!(
                "produced {} records ({}) to {} in {:.1} s",
                summary.records,
                human_bytes(summary.payload_bytes),
                arguments.topic,
                elapsed.as_secs_f64()
            ));
            Ok(())
        }
    }
}

/// Where a line's key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyRule {
    None,
    Separator(Vec<u8>),
    /// Names from the outermost object inwards.
    Field(Vec<String>),
}

impl KeyRule {
    fn of(arguments: &ProduceArguments) -> Result<KeyRule, CliError> {
        match (&arguments.key_separator, &arguments.key_field) {
            (Some(separator), _) if separator.is_empty() => Err(CliError::usage("--key-separator must not be empty")),
            (Some(separator), _) => Ok(KeyRule::Separator(separator.clone().into_bytes())),
            (None, Some(field)) => Ok(KeyRule::Field(field.split('.').map(str::to_owned).collect())),
            (None, None) => Ok(KeyRule::None),
        }
    }

    /// Key and value of a line. A JSON line stays whole as the value.
    pub(super) fn split<'a>(&self, line: &'a [u8]) -> Result<(Option<Vec<u8>>, &'a [u8]), String> {
        match self {
            KeyRule::None => Ok((None, line)),
            KeyRule::Separator(separator) => {
                let at = line.windows(separator.len()).position(|window| window == separator);
                let at =
                    at.ok_or_else(|| format!("no key: {:?} is not in the line", String::from_utf8_lossy(separator)))?;
                let (key, rest) = line.split_at(at);
                Ok((Some(key.to_vec()), rest.get(separator.len()..).unwrap_or_default()))
            }
            KeyRule::Field(names) => json_field(line, names).map(|key| (Some(key), line)),
        }
    }
}

fn json_field(line: &[u8], names: &[String]) -> Result<Vec<u8>, String> {
    let value: serde_json::Value = serde_json::from_slice(line).map_err(|error| format!("not JSON: {error}"))?;
    let mut found = &value;
    for name in names {
        found = found.get(name).ok_or_else(|| format!("no key: the field {} is missing", names.join(".")))?;
    }
    match found {
        serde_json::Value::Null => Err(format!("no key: the field {} is null", names.join("."))),
        serde_json::Value::String(text) => Ok(text.clone().into_bytes()),
        other => Ok(other.to_string().into_bytes()),
    }
}

type Group = Vec<Vec<u8>>;

/// Starts the reader. It ends with the input, with an error, or when nobody takes its lines any more.
fn lines(file: Option<PathBuf>) -> Result<mpsc::Receiver<Result<Group, CliError>>, CliError> {
    let input: Box<dyn Read + Send> = match &file {
        Some(path) => {
            let opened = File::open(path);
            Box::new(opened.map_err(|error| CliError::failed(format!("cannot open {}: {error}", path.display())))?)
        }
        None => Box::new(stdin()),
    };
    let (groups, received) = mpsc::channel(GROUPS_WAITING_MAX);
    let reader = move || read_groups(BufReader::with_capacity(1 << 16, input), &groups);
    let started = std::thread::Builder::new().name("lines".to_owned()).spawn(reader);
    started.map_err(|error| CliError::failed(format!("cannot start a thread: {error}")))?;
    Ok(received)
}

fn read_groups(mut input: BufReader<Box<dyn Read + Send>>, groups: &mpsc::Sender<Result<Group, CliError>>) {
    loop {
        let group = match read_group(&mut input) {
            Ok(group) if group.is_empty() => return,
            Ok(group) => Ok(group),
            Err(error) => Err(CliError::failed(format!("cannot read the input: {error}"))),
        };
        let failed = group.is_err();
        if groups.blocking_send(group).is_err() || failed {
            return;
        }
    }
}

/// The lines that are there, one at least unless the input ended.
fn read_group(input: &mut BufReader<Box<dyn Read + Send>>) -> io::Result<Group> {
    let mut group = Vec::new();
    let mut bytes = 0;
    while group.len() < GROUP_LINES_MAX && bytes < GROUP_BYTES_MAX {
        let mut line = Vec::new();
        input.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        match line.pop() {
            None => break,
            Some(b'\n') => {}
            Some(_) if line.len() as u64 + 1 >= LINE_BYTES_MAX => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is longer than 64 MiB"));
            }
            // The last line has no end.
            Some(last) => line.push(last),
        }
        bytes += line.len();
        group.push(line);
        // More only if it needs no wait: a person at a terminal is not kept waiting.
        if !input.buffer().contains(&b'\n') {
            break;
        }
    }
    Ok(group)
}
