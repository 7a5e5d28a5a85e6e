//! `stratalog demo`: the whole way of a record, in one command and a temporary directory.
//!
//! Starts a broker in this process on free ports, makes events, moves them up into the tier, drops the local copies, and
//! reads everything back from offset 0, comparing every record with the event it was made from. The directory is removed
//! at the end, also after Ctrl-C; after kill -9 it stays in the system's temporary directory.

mod events;

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::arguments::{Format, OutputArguments};
use super::error::exit_code;
use super::output::{self, Progress, human_bytes};
use super::tier::saved;
use super::{CliError, http};
use crate::admin::{EvictReport, FlushReport, TierListing};
use crate::broker::{self, Running};
use crate::config::{Sources, load};
use crate::net::client::{
    Address, Client, ClientConfig, IsolationLevel, NewTopic, OutgoingRecord, Producer, ProducerSettings,
    partition_of_key, visible_records,
};

use events::Event;

const TOPIC: &str = "events";
const PARTITIONS: i32 = 3;
const FETCH_WAIT: Duration = Duration::from_millis(500);
const FETCH_BYTES_MAX: i32 = 8 << 20;

/// Example: stratalog demo --events 200000
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Number of events
    #[arg(short, long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=50_000_000))]
    events: u32,
    /// Leave the broker running at the end, until Ctrl-C
    #[arg(short, long)]
    keep: bool,
    #[command(flatten)]
    output: OutputArguments,
}

/// What was stored and what came back.
#[derive(Debug, Default, Serialize)]
struct Summary {
    events: u64,
    produced_per_second: u64,
    segments: u64,
    raw_bytes: u64,
    stored_bytes: u64,
    evicted_bytes: u64,
    replayed: u64,
    replayed_per_second: u64,
    different: u64,
}

pub fn run(arguments: DemoArguments) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit_code(Err(CliError::failed(format!("cannot start: {error}")))),
    };
    exit_code(runtime.block_on(in_directory(&arguments)))
}

/// Removes the directory on every way out.
struct Directory(PathBuf);

impl Directory {
    fn create() -> Result<Directory, CliError> {
        let path = std::env::temp_dir().join(format!("stratalog-demo-{}", std::process::id()));
        std::fs::create_dir(&path)
            .map_err(|error| CliError::failed(format!("cannot create {}: {error}", path.display())))?;
        Ok(Directory(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            output::note(&format!("{} could not be removed: {error}", self.0.display()));
        }
    }
}

async fn in_directory(arguments: &DemoArguments) -> Result<(), CliError> {
    let directory = Directory::create()?;
    let running = start(&directory.0).await?;
    let result = tokio::select! {
        result = show(arguments, &running, &directory.0) => result,
        _ = tokio::signal::ctrl_c() => Err(CliError::failed("interrupted; the directory is removed")),
    };
    let stopped = running.stop().await.map_err(|error| CliError::failed(error.to_string()));
    result.and(stopped)
}

async fn start(directory: &Path) -> Result<Running, CliError> {
    let flags = [
        ("log.dirs", directory.display().to_string()),
        ("listeners", "PLAINTEXT://127.0.0.1:0".to_owned()),
        ("stratalog.admin.listener", "127.0.0.1:0".to_owned()),
    ];
    let flags = flags.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let loaded =
        load(&Sources { flags, ..Sources::default() }).map_err(|errors| CliError::usage(errors.to_string()))?;
    broker::start(loaded.config).await.map_err(|error| CliError::failed(format!("the broker did not start: {error}")))
}

async fn show(arguments: &DemoArguments, running: &Running, directory: &Path) -> Result<(), CliError> {
    let talk = Talk { on: arguments.output.format == Format::Text };
    let kafka = running.address();
    let admin = running.admin.map(|address| address.to_string()).unwrap_or_default();
    let bootstrap = vec![Address { host: kafka.ip().to_string(), port: kafka.port() }];
    let mut client = Client::new(ClientConfig::new(bootstrap));
    talk.say(&format!("A broker serves Kafka on {kafka}, its data is in {}", directory.display()))?;

    let mut summary = Summary { events: u64::from(arguments.events), ..Summary::default() };
    create_topic(&mut client).await?;
    talk.say(&format!("Topic {TOPIC}: {PARTITIONS} partitions, segments of 1 MiB, tiered"))?;

    let made = produce(&mut client, arguments.events, &mut summary).await?;
    talk.say(&format!(
        "{} events produced, {} a second, each acknowledged after its sync",
        arguments.events, summary.produced_per_second
    ))?;

    climb(&talk, &admin, &mut summary).await?;
    replay(&mut client, &made, &mut summary).await?;
    talk.say(&format!(
        "{} events replayed from offset 0, {} a second; compared key, value, header, timestamp and order: {} differ",
        summary.replayed, summary.replayed_per_second, summary.different
    ))?;
    talk.say(&format!(
        "Stored {} of log as {} of objects in {} segments: {} saved",
        human_bytes(summary.raw_bytes),
        human_bytes(summary.stored_bytes),
        summary.segments,
        saved(summary.raw_bytes, summary.stored_bytes)
    ))?;
    if !talk.on {
        output::json(&summary)?;
    }
    if summary.different > 0 || summary.replayed != summary.events {
        return Err(CliError::failed("what came back is not what was sent: please report this"));
    }
    if arguments.keep {
        talk.say(&format!(
            "The broker goes on until Ctrl-C. Try:\n  stratalog consume {TOPIC} -b {kafka} -o start -n 5\n  \
             stratalog tier ls --admin {admin}"
        ))?;
        let _ = tokio::signal::ctrl_c().await;
    }
    Ok(())
}

/// Sentences for a person; silent where JSON was asked for.
struct Talk {
    on: bool,
}

impl Talk {
    fn say(&self, text: &str) -> Result<(), CliError> {
        if self.on {
            output::line(text)?;
            std::io::stdout().flush()?;
        }
        Ok(())
    }
}

async fn create_topic(client: &mut Client) -> Result<(), CliError> {
    let configs = [("segment.bytes", "1048576"), ("remote.storage.enable", "true")];
    let configs = configs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let topic = NewTopic { name: TOPIC.to_owned(), partitions: Some(PARTITIONS), replication_factor: Some(1), configs };
    Ok(client.create_topic(&topic, false).await?)
}

/// The numbers of the events in each partition, in the order they were sent.
type Made = BTreeMap<i32, Vec<u32>>;

async fn produce(client: &mut Client, events: u32, summary: &mut Summary) -> Result<Made, CliError> {
    let settings = ProducerSettings::default();
    let mut producer = Producer::open(client, TOPIC, settings).await?;
    let mut made = Made::new();
    let progress = Progress::new("produced");
    let started = Instant::now();
    for number in 0..events {
        let event = Event::of(number);
        let headers: [(&str, Option<&[u8]>); 1] = [("source", Some(event.source.as_bytes()))];
        let record = OutgoingRecord {
            partition: None,
            key: Some(event.key.as_bytes()),
            value: Some(event.value.as_bytes()),
            headers: &headers,
            timestamp_ms: event.timestamp_ms,
        };
        made.entry(partition_of_key(event.key.as_bytes(), PARTITIONS)).or_default().push(number);
        producer.send(client, record).await?;
        if number % 4096 == 0 {
            progress.records(producer.summary().records, producer.summary().payload_bytes);
        }
    }
    producer.flush(client).await?;
    progress.finish();
    summary.produced_per_second = per_second(u64::from(events), started.elapsed());
    Ok(made)
}

/// Up into the tier, and off the local disk.
async fn climb(talk: &Talk, admin: &str, summary: &mut Summary) -> Result<(), CliError> {
    let flush: FlushReport = http::ask(admin, "POST", "/v1/tier/flush", &[("topic", TOPIC), ("wait", "true")]).await?;
    if !flush.complete {
        return Err(CliError::failed("the segments did not reach the tier"));
    }
    let before: TierListing = http::ask(admin, "GET", "/v1/tier/ls", &[("topic", TOPIC)]).await?;
    talk.say("Closed segments settle into object storage (here: files), a manifest says what is there:")?;
    talk_listing(talk, &before)?;
    let evict: EvictReport = http::ask(admin, "POST", "/v1/tier/evict", &[("topic", TOPIC)]).await?;
    summary.evicted_bytes = evict.partitions.iter().map(|partition| partition.bytes).sum();
    let after: TierListing = http::ask(admin, "GET", "/v1/tier/ls", &[("topic", TOPIC)]).await?;
    talk.say(&format!(
        "Their local copies go ({}): the local log starts further up, the history stays readable:",
        human_bytes(summary.evicted_bytes)
    ))?;
    talk_listing(talk, &after)?;
    let segments = || after.partitions.iter().flat_map(|partition| &partition.segments);
    summary.segments = segments().count() as u64;
    summary.raw_bytes = segments().map(|segment| segment.raw_bytes).sum();
    summary.stored_bytes = segments().map(|segment| segment.stored_bytes).sum();
    Ok(())
}

fn talk_listing(talk: &Talk, listing: &TierListing) -> Result<(), CliError> {
    if !talk.on {
        return Ok(());
    }
    let row = |partition: &crate::admin::TierPartition| {
        vec![
            format!("{}-{}", partition.topic, partition.partition),
            partition.log_start_offset.to_string(),
            partition.local_log_start_offset.to_string(),
            partition.tiered_end_offset.to_string(),
            partition.log_end_offset.to_string(),
            partition.segments.len().to_string(),
            human_bytes(partition.local_bytes),
        ]
    };
    let rows: Vec<Vec<String>> = listing.partitions.iter().map(row).collect();
    output::table(&["partition", "start", "local start", "tiered end", "end", "segments", "on disk"], &rows)
}

async fn replay(client: &mut Client, made: &Made, summary: &mut Summary) -> Result<(), CliError> {
    let mut next: BTreeMap<i32, i64> = made.keys().map(|partition| (*partition, 0)).collect();
    let progress = Progress::new("replayed");
    let started = Instant::now();
    let mut bytes = 0_u64;
    loop {
        let unread = next.iter().filter(|(partition, offset)| {
            let events = made.get(partition).map_or(0, Vec::len);
            usize::try_from(**offset).is_ok_and(|offset| offset < events)
        });
        let positions: Vec<(i32, i64)> = unread.map(|(partition, offset)| (*partition, *offset)).collect();
        if positions.is_empty() {
            break;
        }
        let isolation = IsolationLevel::ReadUncommitted;
        for fetched in client.fetch(TOPIC, &positions, FETCH_WAIT, FETCH_BYTES_MAX, isolation).await? {
            let Some(from) = next.get(&fetched.partition).copied() else { continue };
            if fetched.out_of_range {
                let problem = format!("{TOPIC}-{} has no offset {from}", fetched.partition);
                return Err(CliError::failed(problem));
            }
            let expected = made.get(&fetched.partition).map_or(&[][..], Vec::as_slice);
            let reached = visible_records(&fetched, from, isolation, |record| {
                let number = usize::try_from(record.record.offset).ok().and_then(|at| expected.get(at));
                let same = number.is_some_and(|number| Event::of(*number).is(&record.record));
                summary.different += u64::from(!same);
                summary.replayed += 1;
                bytes += record.record.value.map_or(0, <[u8]>::len) as u64;
                Ok::<_, CliError>(ControlFlow::Continue(()))
            })?;
            next.insert(fetched.partition, reached);
        }
        progress.records(summary.replayed, bytes);
    }
    progress.finish();
    summary.replayed_per_second = per_second(summary.replayed, started.elapsed());
    Ok(())
}

fn per_second(count: u64, elapsed: Duration) -> u64 {
    (count as f64 / elapsed.as_secs_f64().max(0.001)) as u64
}
