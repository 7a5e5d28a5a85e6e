//! `stratalog consume`: the records of a topic, from where to where is said, or as a member of a group.

mod group;
mod position;
mod template;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{BufWriter, Write, stdout};
use std::ops::ControlFlow;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::CliError;
use super::connect::ConnectArguments;
use super::output::{self, Progress};
use super::time::now_ms;
use crate::net::client::{Client, IsolationLevel, OffsetSpec, visible_records};

pub use position::Position;
use template::Template;

/// Longest wait of a fetch for data.
const FETCH_WAIT: Duration = Duration::from_millis(500);
const FETCH_BYTES_MAX: i32 = 32 << 20;
const OUTPUT_BYTES: usize = 1 << 16;

/// How often a lost connection is opened again before that is the end.
const LOST_CONNECTIONS_MAX: u32 = 20;

/// Examples:
///   stratalog consume events -o start -e                    all there is, then stop
///   stratalog consume events -o -10 -e                      the last ten of each partition
///   stratalog consume events -o @-1h -n 100 -f json         of the last hour, a hundred
///   stratalog consume events -f '%t-%p %o %T %k %v\n'
///   stratalog consume events -g billing -o start            as a member of a group, until Ctrl-C
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct ConsumeArguments {
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// Read as a member of this group: go on where it has come to, commit what was printed
    #[arg(short, long, value_name = "GROUP", conflicts_with_all = ["partition", "until"])]
    group: Option<String>,
    /// Where to begin: start, end, 42, +5 (after start), -5 (before end), @TIME, @-1h. With --group only in partitions
    /// that the group has committed nothing of
    #[arg(short, long, value_name = "POSITION", default_value = "end", allow_hyphen_values = true)]
    offset: Position,
    /// Where to stop, in the same forms; not included
    #[arg(short, long, value_name = "POSITION", allow_hyphen_values = true)]
    until: Option<Position>,
    /// Stop at what is the end now, rather than wait for more
    #[arg(short = 'e', long, conflicts_with = "until")]
    exit: bool,
    /// Stop after this many records
    #[arg(short = 'n', long, value_name = "NUMBER")]
    count: Option<u64>,
    /// Only these partitions, separated by commas
    #[arg(short, long, value_name = "LIST", value_delimiter = ',')]
    partition: Vec<i32>,
    /// Whether records of open and aborted transactions are shown
    #[arg(long, value_enum, default_value_t = IsolationName::ReadUncommitted)]
    isolation: IsolationName,
    /// `text`, `json`, or a template: %v value, %k key, %h headers, %T timestamp, %t topic, %p partition, %o offset,
    /// %e leader epoch, %K %V %H lengths of key and value and number of headers; \n \t \0 \xHH
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    format: Template,
    #[command(flatten)]
    connect: ConnectArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum IsolationName {
    #[value(name = "read_uncommitted", alias = "read-uncommitted")]
    ReadUncommitted,
    #[value(name = "read_committed", alias = "read-committed")]
    ReadCommitted,
}

/// A partition being read.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    next: i64,
    /// One past the last offset to show.
    until: Option<i64>,
}

impl Cursor {
    fn is_done(&self) -> bool {
        self.until.is_some_and(|until| self.next >= until)
    }
}

pub async fn run(arguments: ConsumeArguments) -> Result<(), CliError> {
    if let Some(group) = &arguments.group {
        return group::run(&arguments, group).await;
    }
    let mut client = arguments.connect.client()?;
    let mut reading = Reading::open(&mut client, &arguments).await?;
    let progress = Progress::new("consumed");
    let mut out = BufWriter::with_capacity(OUTPUT_BYTES, stdout().lock());
    while !reading.is_done() {
        reading.advance(&mut client, &mut out).await?;
        progress.records(reading.shown, reading.bytes);
    }
    progress.finish();
    Ok(())
}

/// The cursors, and how much was shown.
struct Reading<'a> {
    arguments: &'a ConsumeArguments,
    isolation: IsolationLevel,
    cursors: BTreeMap<i32, Cursor>,
    shown: u64,
    bytes: u64,
    /// In a row.
    lost_connections: u32,
}

impl<'a> Reading<'a> {
    fn new(arguments: &'a ConsumeArguments, cursors: BTreeMap<i32, Cursor>) -> Reading<'a> {
        let isolation = match arguments.isolation {
            IsolationName::ReadUncommitted => IsolationLevel::ReadUncommitted,
            IsolationName::ReadCommitted => IsolationLevel::ReadCommitted,
        };
        Reading { arguments, isolation, cursors, shown: 0, bytes: 0, lost_connections: 0 }
    }

    async fn open(client: &mut Client, arguments: &'a ConsumeArguments) -> Result<Reading<'a>, CliError> {
        let known = client.partitions(&arguments.topic, false).await?;
        let mut partitions: Vec<i32> = known.iter().map(|partition| partition.partition).collect();
        for asked in &arguments.partition {
            if !partitions.contains(asked) {
                return Err(CliError::failed(format!(
                    "{} has no partition {asked}, it has {}",
                    arguments.topic,
                    partitions.len()
                )));
            }
        }
        if !arguments.partition.is_empty() {
            partitions.retain(|partition| arguments.partition.contains(partition));
        }
        let until = if arguments.exit { Some(Position::End) } else { arguments.until };
        let bounds = Bounds::find(client, &arguments.topic, &partitions).await?;
        let from = bounds.resolve(client, &arguments.topic, arguments.offset).await?;
        let until = match until {
            Some(until) => Some(bounds.resolve(client, &arguments.topic, until).await?),
            None => None,
        };
        let cursor = |(partition, next): (&i32, &i64)| {
            let until = until.as_ref().and_then(|until| until.get(partition).copied());
            (*partition, Cursor { next: *next, until })
        };
        Ok(Reading::new(arguments, from.iter().map(cursor).collect()))
    }

    /// Fetches once and writes what came, to the last byte. A connection that was lost is opened again by the next call.
    async fn advance(&mut self, client: &mut Client, out: &mut impl Write) -> Result<(), CliError> {
        let positions = self.positions();
        let topic = &self.arguments.topic;
        let fetched = match client.fetch(topic, &positions, FETCH_WAIT, FETCH_BYTES_MAX, self.isolation).await {
            Err(error) if error.is_connection_lost() && self.lost_connections < LOST_CONNECTIONS_MAX => {
                self.lost_connections += 1;
                tokio::time::sleep(FETCH_WAIT).await;
                return Ok(());
            }
            fetched => fetched?,
        };
        self.lost_connections = 0;
        for partition in &fetched {
            self.show(partition, out)?;
        }
        out.flush()?;
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.count_reached() || self.cursors.values().all(Cursor::is_done)
    }

    fn count_reached(&self) -> bool {
        self.arguments.count.is_some_and(|count| self.shown >= count)
    }

    fn positions(&self) -> Vec<(i32, i64)> {
        let reading = self.cursors.iter().filter(|(_, cursor)| !cursor.is_done());
        reading.map(|(partition, cursor)| (*partition, cursor.next)).collect()
    }

    /// Writes what one partition brought, up to its end or to the count.
    fn show(&mut self, fetched: &crate::net::client::FetchedPartition, out: &mut impl Write) -> Result<(), CliError> {
        let Some(cursor) = self.cursors.get(&fetched.partition).copied() else { return Ok(()) };
        if self.count_reached() {
            return Ok(());
        }
        if fetched.out_of_range {
            return self.skip_gone(fetched, cursor);
        }
        let (topic, template) = (&self.arguments.topic, &self.arguments.format);
        let next = visible_records(fetched, cursor.next, self.isolation, |record| {
            if cursor.until.is_some_and(|until| record.record.offset >= until) {
                return Ok(ControlFlow::Break(()));
            }
            template.write(out, topic, fetched.partition, record)?;
            self.shown += 1;
            let size = record.record.key.map_or(0, <[u8]>::len) + record.record.value.map_or(0, <[u8]>::len);
            self.bytes += size as u64;
            let enough = self.arguments.count.is_some_and(|count| self.shown >= count);
            Ok::<_, CliError>(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if let Some(cursor) = self.cursors.get_mut(&fetched.partition) {
            cursor.next = next;
        }
        Ok(())
    }

    /// Retention overtook the reader: it goes on where the log begins now.
    fn skip_gone(&mut self, fetched: &crate::net::client::FetchedPartition, cursor: Cursor) -> Result<(), CliError> {
        let start = fetched.log_start_offset;
        if start <= cursor.next {
            return Err(CliError::failed(format!(
                "{}-{} has no offset {}: the log ends before it",
                self.arguments.topic, fetched.partition, cursor.next
            )));
        }
        output::note(&format!(
            "{}-{}: offsets {} to {} are gone, going on at {start}",
            self.arguments.topic,
            fetched.partition,
            cursor.next,
            start - 1
        ));
        if let Some(cursor) = self.cursors.get_mut(&fetched.partition) {
            cursor.next = start;
        }
        Ok(())
    }
}

/// Where each partition begins and ends now.
struct Bounds(BTreeMap<i32, (i64, i64)>);

impl Bounds {
    async fn find(client: &mut Client, topic: &str, partitions: &[i32]) -> Result<Bounds, CliError> {
        let ask = |spec| partitions.iter().map(|partition| (*partition, spec)).collect::<Vec<_>>();
        let starts = client.list_offsets(topic, &ask(OffsetSpec::Earliest)).await?;
        let ends = client.list_offsets(topic, &ask(OffsetSpec::Latest)).await?;
        let pairs = starts.iter().zip(&ends).map(|(start, end)| (start.partition, (start.offset, end.offset)));
        Ok(Bounds(pairs.collect()))
    }

    /// The offset of `position` in each partition, within its bounds.
    async fn resolve(
        &self,
        client: &mut Client,
        topic: &str,
        position: Position,
    ) -> Result<BTreeMap<i32, i64>, CliError> {
        let at_time = match position.time(now_ms()) {
            Some(time) => {
                let asked: Vec<(i32, OffsetSpec)> =
                    self.0.keys().map(|partition| (*partition, OffsetSpec::Timestamp(time))).collect();
                let found = client.list_offsets(topic, &asked).await?;
                found.iter().map(|found| (found.partition, found.offset)).collect()
            }
            None => BTreeMap::new(),
        };
        let resolve = |(partition, (start, end)): (&i32, &(i64, i64))| {
            (*partition, position.offset(*start, *end, at_time.get(partition).copied()))
        };
        Ok(self.0.iter().map(resolve).collect())
    }
}
