//! `consume --group`: as one member of a group, from where the group has come to.
//!
//! Order: a record is written, the output is flushed, and only then is its offset committed, each few seconds, before
//! partitions are given back, and at the end. Whatever ends the command in between, the group reads those records again
//! rather than never. Who does not take our output for longer than the session lasts costs us the membership; we join
//! again and go on from what was committed.

use std::collections::BTreeMap;
use std::io::{BufWriter, IsTerminal, StdoutLock, stderr, stdout};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::{Bounds, ConsumeArguments, Cursor, FETCH_WAIT, OUTPUT_BYTES, Position, Reading};
use crate::cli::CliError;
use crate::cli::broker::wait_for_signal;
use crate::cli::output::{self, Progress};
use crate::net::client::{Client, GroupMember, MemberSettings, Membership, NewOffset, TopicPartitions};

const COMMIT_INTERVAL: Duration = Duration::from_secs(5);

/// Last words to the coordinator: longer than a broker needs that is there.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads until the count or the end is reached, the output is gone, or a signal comes.
pub async fn run(arguments: &ConsumeArguments, group: &str) -> Result<(), CliError> {
    let mut client = arguments.connect.client()?;
    // A topic that does not exist is told, not waited for.
    client.partitions(&arguments.topic, false).await?;
    let mut session = Session::new(arguments, group);
    let mut stop = std::pin::pin!(wait_for_signal());
    let ended = loop {
        let step = tokio::select! {
            biased;
            () = &mut stop => {
                // Whatever was under way is given up, and its answer must not be taken for another one.
                client.close_connections();
                break Ok(());
            }
            step = session.step(&mut client) => step,
        };
        match step {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    session.progress.finish();
    let farewell = tokio::time::timeout(FAREWELL_TIMEOUT, session.end(&mut client)).await;
    ended?;
    farewell.unwrap_or_else(|_| Err(CliError::failed(format!("group {group} did not answer the last commit"))))
}

struct Session<'a> {
    arguments: &'a ConsumeArguments,
    group: &'a str,
    member: GroupMember,
    /// Partitions are ours.
    joined: bool,
    reading: Reading<'a>,
    /// Up to where the output was flushed, and what of it is committed.
    written: BTreeMap<i32, i64>,
    committed: BTreeMap<i32, i64>,
    next_commit: Instant,
    out: BufWriter<StdoutLock<'static>>,
    progress: Progress,
}

impl<'a> Session<'a> {
    fn new(arguments: &'a ConsumeArguments, group: &'a str) -> Session<'a> {
        let topics = [arguments.topic.clone()];
        Session {
            arguments,
            group,
            member: GroupMember::new(group, &topics, MemberSettings::default()),
            joined: false,
            reading: Reading::new(arguments, BTreeMap::new()),
            written: BTreeMap::new(),
            committed: BTreeMap::new(),
            next_commit: Instant::now() + COMMIT_INTERVAL,
            out: BufWriter::with_capacity(OUTPUT_BYTES, stdout().lock()),
            progress: Progress::new("consumed"),
        }
    }

    async fn step(&mut self, client: &mut Client) -> Result<ControlFlow<()>, CliError> {
        if !self.joined {
            let assigned = self.member.join(client).await?;
            self.begin(client, &assigned).await?;
            self.joined = true;
        }
        if self.is_done() {
            return Ok(ControlFlow::Break(()));
        }
        match self.member.heartbeat(client).await? {
            Membership::Stable => {}
            Membership::Rebalancing => {
                self.commit(client).await?;
                self.joined = false;
                return Ok(ControlFlow::Continue(()));
            }
            Membership::Lost => {
                self.joined = false;
                return Ok(ControlFlow::Continue(()));
            }
        }
        if self.reading.positions().is_empty() {
            // More members than partitions, or all read that was to be read by us.
            tokio::time::sleep(FETCH_WAIT).await;
        } else {
            self.reading.advance(client, &mut self.out).await?;
            self.written = self.reading.cursors.iter().map(|(at, cursor)| (*at, cursor.next)).collect();
            self.progress.records(self.reading.shown, self.reading.bytes);
        }
        if Instant::now() >= self.next_commit && self.commit(client).await? != Membership::Stable {
            self.joined = false;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn is_done(&self) -> bool {
        let at_end = self.arguments.exit && self.reading.cursors.values().all(Cursor::is_done);
        at_end || self.reading.count_reached()
    }

    /// Where to begin in what was assigned: where the group has come to, or where --offset says.
    async fn begin(&mut self, client: &mut Client, assigned: &TopicPartitions) -> Result<(), CliError> {
        let topic = &self.arguments.topic;
        let partitions = assigned.get(topic).cloned().unwrap_or_default();
        self.tell(&partitions);
        (self.written, self.committed) = (BTreeMap::new(), BTreeMap::new());
        self.reading.cursors.clear();
        if partitions.is_empty() {
            return Ok(());
        }
        let asked = TopicPartitions::from([(topic.clone(), partitions.clone())]);
        let stored = client.committed_offsets(self.group, Some(&asked)).await?;
        self.committed = stored.iter().map(|stored| (stored.partition, stored.offset)).collect();
        let bounds = Bounds::find(client, topic, &partitions).await?;
        let otherwise = bounds.resolve(client, topic, self.arguments.offset).await?;
        let ends = bounds.resolve(client, topic, Position::End).await?;
        for partition in partitions {
            let committed = self.committed.get(&partition).copied();
            let Some(next) = committed.or_else(|| otherwise.get(&partition).copied()) else { continue };
            let until = if self.arguments.exit { ends.get(&partition).copied() } else { None };
            self.reading.cursors.insert(partition, Cursor { next, until });
            self.written.insert(partition, next);
        }
        Ok(())
    }

    fn tell(&self, partitions: &[i32]) {
        if stderr().is_terminal() {
            let (group, generation) = (self.group, self.member.generation());
            let list: Vec<String> = partitions.iter().map(i32::to_string).collect();
            let list = if list.is_empty() { "nothing".to_owned() } else { list.join(",") };
            output::note(&format!("group {group}, generation {generation}: {}:{list} is ours", self.arguments.topic));
        }
    }

    /// Commits what was written since the last time.
    async fn commit(&mut self, client: &mut Client) -> Result<Membership, CliError> {
        let news: Vec<NewOffset> = self
            .written
            .iter()
            .filter(|(partition, offset)| self.committed.get(partition) != Some(offset))
            .map(|(partition, offset)| NewOffset {
                topic: self.arguments.topic.clone(),
                partition: *partition,
                offset: *offset,
                leader_epoch: -1,
            })
            .collect();
        let membership = self.member.commit(client, &news).await?;
        if membership == Membership::Stable {
            self.committed.extend(news.into_iter().map(|new| (new.partition, new.offset)));
        }
        self.next_commit = Instant::now() + COMMIT_INTERVAL;
        Ok(membership)
    }

    /// Commits what was written, and leaves.
    async fn end(&mut self, client: &mut Client) -> Result<(), CliError> {
        let mut committed = Ok(());
        if self.joined {
            committed = match self.commit(client).await {
                Ok(Membership::Stable) => Ok(()),
                Ok(_) => {
                    let group = self.group;
                    let message = "rebalanced before the last commit: some records will be read again";
                    Err(CliError::failed(format!("group {group} {message}")))
                }
                Err(error) => Err(error),
            };
        }
        // Nothing is lost if the coordinator does not hear it: the session ends by itself.
        let _ = self.member.leave(client).await;
        committed
    }
}
