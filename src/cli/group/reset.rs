//! `stratalog group reset`: Kafka's forms of setting a group's offsets.
//!
//! Everything is planned and checked before the first offset is set. Groups are set one after the other, each with one
//! commit; a failure between two leaves the first ones set, and the same command can be given again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::partitions::{or_dash, partitions_of};
use super::plan::{FileOffsets, Planned, Standing, Target, TopicChoice, aim, parse_csv, within, write_csv};
use crate::cli::arguments::{Format, OutputArguments};
use crate::cli::connect::ConnectArguments;
use crate::cli::time::{now_ms, parse_duration, parse_time};
use crate::cli::{CliError, output};
use crate::net::client::{Client, ClusterView, Error, NewOffset, OffsetSpec, TopicPartitions};

#[derive(Debug, Args)]
pub struct ResetArguments {
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    /// A topic, or some of its partitions, as often as needed
    #[arg(short, long, value_name = "TOPIC[:0,1]")]
    topic: Vec<TopicChoice>,
    /// Every topic that the group committed offsets of
    #[arg(long, conflicts_with = "topic")]
    all_topics: bool,
    #[command(flatten)]
    target: TargetArguments,
    /// Set the offsets
    #[arg(long)]
    execute: bool,
    /// Only show what would be set (the default)
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
    /// Print the offsets as --from-file reads them
    #[arg(long)]
    export: bool,
    #[command(flatten)]
    connect: ConnectArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct TargetArguments {
    /// To where the log begins
    #[arg(long)]
    to_earliest: bool,
    /// To where the log ends
    #[arg(long)]
    to_latest: bool,
    /// To what is committed; to the end where nothing is
    #[arg(long)]
    to_current: bool,
    /// To an offset
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(0..))]
    to_offset: Option<i64>,
    /// Forward, or back with a negative number
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    shift_by: Option<i64>,
    /// To the first record of this last span of time: 1h30m or PT1H30M
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    by_duration: Option<i64>,
    /// To the first record at or after this time: 2026-11-21T08:00:00.000, UTC unless it says otherwise
    #[arg(long, value_name = "TIME")]
    to_datetime: Option<String>,
    /// To what a file says, one line topic,partition,offset or group,topic,partition,offset for each partition
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
}

/// Where to, once files are read and times are known.
enum Goal {
    Target(Target),
    File(FileOffsets),
}

#[derive(Debug, Serialize)]
struct Answer<'a> {
    executed: bool,
    offsets: &'a [Planned],
}

pub async fn run(arguments: ResetArguments) -> Result<(), CliError> {
    let goal = arguments.goal()?;
    let scoped = !arguments.topic.is_empty() || arguments.all_topics;
    match (&goal, scoped) {
        (Goal::Target(_), false) => return Err(CliError::usage("say which topics: --topic TOPIC or --all-topics")),
        (Goal::File(_), true) => {
            return Err(CliError::usage("--from-file names the topics itself: leave --topic and --all-topics out"));
        }
        _ => {}
    }
    let mut client = arguments.connect.client()?;
    let cluster = client.metadata(None).await?;
    let mut planned = Vec::new();
    for group in &arguments.groups {
        refuse_active(&mut client, group, arguments.execute).await?;
        planned.extend(plan_group(&mut client, &cluster, group, &goal, &arguments).await?);
    }
    if arguments.execute {
        execute(&mut client, &planned).await?;
    }
    print(&arguments, &planned)?;
    if !arguments.execute {
        output::note("nothing was set: --execute sets these offsets");
    }
    Ok(())
}

impl ResetArguments {
    fn goal(&self) -> Result<Goal, CliError> {
        let target = &self.target;
        if let Some(file) = &target.from_file {
            let shown = file.display();
            let text = std::fs::read_to_string(file)
                .map_err(|error| CliError::usage(format!("cannot read --from-file {shown}: {error}")))?;
            let offsets = parse_csv(&text, &self.groups)
                .map_err(|problem| CliError::usage(format!("--from-file {shown}: {problem}")))?;
            return Ok(Goal::File(offsets));
        }
        let now = now_ms();
        let time = |text: &String| {
            parse_time(text, now).map_err(|problem| CliError::usage(format!("--to-datetime {text}: {problem}")))
        };
        let named = [
            target.to_earliest.then_some(Target::Earliest),
            target.to_latest.then_some(Target::Latest),
            target.to_current.then_some(Target::Current),
            target.to_offset.map(Target::Offset),
            target.shift_by.map(Target::Shift),
            target.by_duration.map(|span| Target::Time(now.saturating_sub(span))),
            target.to_datetime.as_ref().map(time).transpose()?.map(Target::Time),
        ];
        let target = named.into_iter().flatten().next();
        target.map(Goal::Target).ok_or_else(|| CliError::usage("say where to, for example --to-earliest"))
    }
}

/// A group with members commits by itself: what is set under it would be lost.
async fn refuse_active(client: &mut Client, group: &str, execute: bool) -> Result<(), CliError> {
    let described = match client.describe_group(group).await {
        Ok(described) => described,
        Err(Error::UnknownGroup { .. }) => {
            output::note(&format!("group {group} does not exist yet: its first offset creates it"));
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    if described.state.is_empty() {
        return Ok(());
    }
    let members = described.members.len();
    let problem = format!("group {group} is {} with {members} members: stop them before --execute", described.state);
    if execute {
        return Err(CliError::failed(problem));
    }
    output::note(&problem);
    Ok(())
}

async fn plan_group(
    client: &mut Client,
    cluster: &ClusterView,
    group: &str,
    goal: &Goal,
    arguments: &ResetArguments,
) -> Result<Vec<Planned>, CliError> {
    let stored = client.committed_offsets(group, None).await?;
    let committed: BTreeMap<(&str, i32), i64> =
        stored.iter().map(|stored| ((stored.topic.as_str(), stored.partition), stored.offset)).collect();
    let mut partitions = TopicPartitions::new();
    match goal {
        Goal::File(offsets) => {
            for (_, topic, partition) in offsets.keys().filter(|(of, _, _)| of == group) {
                partitions.entry(topic.clone()).or_default().push(*partition);
            }
        }
        Goal::Target(_) if arguments.all_topics => {
            for (topic, partition) in committed.keys() {
                partitions.entry((*topic).to_owned()).or_default().push(*partition);
            }
        }
        Goal::Target(_) => {
            for choice in &arguments.topic {
                let chosen = choice.among(&partitions_of(cluster, &choice.topic))?;
                partitions.entry(choice.topic.clone()).or_default().extend(chosen);
            }
        }
    }
    if partitions.is_empty() && arguments.all_topics {
        return Err(CliError::failed(format!("group {group} has committed nothing: name topics with --topic")));
    }
    let mut planned = Vec::new();
    for (topic, numbers) in partitions {
        let choice = TopicChoice { topic, partitions: numbers };
        let numbers = choice.among(&partitions_of(cluster, &choice.topic))?;
        let time = if let Goal::Target(Target::Time(time)) = goal { Some(*time) } else { None };
        let bounds = bounds(client, &choice.topic, &numbers, time).await?;
        for (partition, standing) in bounds {
            let before = committed.get(&(choice.topic.as_str(), partition)).copied();
            let standing = Standing { committed: before, ..standing };
            let after = decide(goal, group, &choice.topic, partition, standing)?;
            planned.push(Planned { group: group.to_owned(), topic: choice.topic.clone(), partition, before, after });
        }
    }
    Ok(planned)
}

fn decide(goal: &Goal, group: &str, topic: &str, partition: i32, standing: Standing) -> Result<i64, CliError> {
    let aimed = match goal {
        Goal::Target(target) => aim(*target, standing),
        Goal::File(offsets) => offsets.get(&(group.to_owned(), topic.to_owned(), partition)).copied(),
    };
    let nothing =
        || CliError::failed(format!("{topic}-{partition}: group {group} has committed nothing to shift from"));
    let aimed = aimed.ok_or_else(nothing)?;
    let after = within(aimed, standing);
    if after != aimed {
        let (start, end) = (standing.start, standing.end);
        output::note(&format!("{topic}-{partition} reaches from {start} to {end}: {after} is taken for {aimed}"));
    }
    Ok(after)
}

/// Where each partition begins and ends, and what it has at `time`.
async fn bounds(
    client: &mut Client,
    topic: &str,
    partitions: &[i32],
    time: Option<i64>,
) -> Result<Vec<(i32, Standing)>, CliError> {
    let ask = |spec| partitions.iter().map(|partition| (*partition, spec)).collect::<Vec<_>>();
    let starts = client.list_offsets(topic, &ask(OffsetSpec::Earliest)).await?;
    let ends = client.list_offsets(topic, &ask(OffsetSpec::Latest)).await?;
    let times: BTreeMap<i32, i64> = match time {
        Some(time) => {
            let found = client.list_offsets(topic, &ask(OffsetSpec::Timestamp(time))).await?;
            found.iter().map(|found| (found.partition, found.offset)).collect()
        }
        None => BTreeMap::new(),
    };
    let standing = |(start, end): (&crate::net::client::FoundOffset, &crate::net::client::FoundOffset)| {
        let at_time = times.get(&start.partition).copied();
        (start.partition, Standing { start: start.offset, end: end.offset, committed: None, at_time })
    };
    Ok(starts.iter().zip(&ends).map(standing).collect())
}

async fn execute(client: &mut Client, planned: &[Planned]) -> Result<(), CliError> {
    for of_group in planned.chunk_by(|a, b| a.group == b.group) {
        let Some(first) = of_group.first() else { continue };
        let offsets: Vec<NewOffset> = of_group
            .iter()
            .map(|planned| NewOffset {
                topic: planned.topic.clone(),
                partition: planned.partition,
                offset: planned.after,
                leader_epoch: -1,
            })
            .collect();
        client.set_offsets(&first.group, &offsets).await?;
    }
    Ok(())
}

fn print(arguments: &ResetArguments, planned: &[Planned]) -> Result<(), CliError> {
    if arguments.export {
        return write_csv(planned, arguments.groups.len() > 1).iter().try_for_each(|line| output::line(line));
    }
    if arguments.output.format == Format::Json {
        return output::json(&Answer { executed: arguments.execute, offsets: planned });
    }
    let row = |planned: &Planned| {
        vec![
            planned.group.clone(),
            planned.topic.clone(),
            planned.partition.to_string(),
            or_dash(planned.before),
            planned.after.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = planned.iter().map(row).collect();
    output::table(&["group", "topic", "partition", "before", "after"], &rows)
}
