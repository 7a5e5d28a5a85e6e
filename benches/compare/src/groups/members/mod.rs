//! Members of one group: how long until they read, and how long until they agree again.

pub mod classic;
pub mod consumer;

use std::rc::Rc;
use std::time::{Duration, Instant};

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::FetchRequest;
use stratalog_protocol::messages::fetch::{FetchPartition, FetchTopic};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::board::{Board, Seen, settled};
use super::broker::Broker;
use super::client::{Client, good};
use super::topic;
use crate::Outcome;
use crate::arguments::Arguments;

#[derive(Clone, Copy)]
pub enum Protocol {
    Classic,
    Consumer,
}

/// What all members of a run share.
pub struct Plan {
    protocol: Protocol,
    bootstrap: String,
    group: String,
    topic: String,
    topic_id: Uuid,
    partitions: usize,
    heartbeat: Duration,
}

/// A group under way: its members' tasks, by their number on the board.
struct Group {
    plan: Rc<Plan>,
    board: Rc<Board>,
    tasks: Vec<JoinHandle<()>>,
}

impl Group {
    async fn new(arguments: &Arguments) -> Outcome<Group> {
        let bootstrap = arguments.text("bootstrap")?.to_owned();
        let topic = arguments.text("topic")?.to_owned();
        let (topic_id, partitions) = topic::describe(&mut Client::open(&bootstrap).await?, &topic).await?;
        let protocol = match arguments.text("protocol")? {
            "classic" => Protocol::Classic,
            "consumer" => Protocol::Consumer,
            other => return Err(format!("no protocol called {other}").into()),
        };
        let heartbeat = Duration::from_millis(arguments.number("heartbeat_ms")?);
        let group = arguments.text("group")?.to_owned();
        let plan = Plan { protocol, bootstrap, group, topic, topic_id, partitions, heartbeat };
        Ok(Group { plan: Rc::new(plan), board: Rc::default(), tasks: Vec::new() })
    }

    async fn connect(&self, count: usize) -> Outcome<Vec<Client>> {
        let mut clients = Vec::new();
        for _ in 0..count {
            clients.push(Client::open(&self.plan.bootstrap).await?);
        }
        Ok(clients)
    }

    /// From here on the members join.
    fn start(&mut self, clients: Vec<Client>) {
        for client in clients {
            let (plan, board) = (self.plan.clone(), self.board.clone());
            let number = board.enter();
            self.tasks.push(tokio::task::spawn_local(async move {
                let Err(problem) = match plan.protocol {
                    Protocol::Classic => classic::live(&plan, &board, number, client).await,
                    Protocol::Consumer => consumer::live(&plan, &board, number, client).await,
                };
                board.fail(format!("member {number}: {problem}"));
            }));
        }
    }

    fn epoch(&self) -> i32 {
        self.board.members().iter().map(|seen| seen.epoch).max().unwrap_or(0)
    }

    async fn settle(&self, after: i32) -> Outcome<Duration> {
        let partitions = self.plan.partitions;
        self.board.wait("all members agree", |members| settled(members, after, partitions)).await
    }

    /// The member's task ends, and the coordinator is told.
    async fn leave(&self, client: &mut Client, number: usize) -> Outcome<()> {
        if let Some(task) = self.tasks.get(number) {
            task.abort();
        }
        let members = self.board.members();
        let member_id = &members.get(number).ok_or("no such member")?.member_id;
        self.board.change(number, |seen| seen.gone = true);
        match self.plan.protocol {
            Protocol::Classic => classic::leave(client, &self.plan.group, &[member_id]).await,
            Protocol::Consumer => consumer::leave(client, &self.plan.group, member_id).await,
        }
    }

    /// Nothing of the group is left to disturb the next run.
    async fn end(self) -> Outcome<()> {
        self.tasks.iter().for_each(JoinHandle::abort);
        let members = self.board.members();
        let there = members.iter().filter(|seen| !seen.gone && !seen.member_id.is_empty());
        let there = there.map(|seen| &seen.member_id).collect::<Vec<_>>();
        let mut client = Client::open(&self.plan.bootstrap).await?;
        match self.plan.protocol {
            Protocol::Classic => classic::leave(&mut client, &self.plan.group, &there).await?,
            Protocol::Consumer => {
                for member_id in there {
                    consumer::leave(&mut client, &self.plan.group, member_id).await?;
                }
            }
        }
        Ok(())
    }
}

/// From the first request to join until the first record, and until every member has one.
pub async fn join(arguments: &Arguments) -> Outcome<String> {
    let mut group = Group::new(arguments).await?;
    let clients = group.connect(arguments.number("members")?).await?;
    let broker = Broker::watch(arguments)?;
    let began = Instant::now();
    group.start(clients);
    let all_read = |members: &[Seen]| members.iter().all(|seen| seen.fetched_at.is_some());
    let all_ms = group.board.wait("every member has a record", all_read).await?.as_secs_f64() * 1000.0;
    let cost = broker.report()?;
    let fetched = group.board.members().into_iter().filter_map(|seen| seen.fetched_at);
    let first_ms = fetched.min().ok_or("nobody read")?.duration_since(began).as_secs_f64() * 1000.0;
    group.end().await?;
    Ok(format!(r#"{{"all_ms":{all_ms:.2},"first_ms":{first_ms:.2},{cost}}}"#))
}

/// A settled group, one who joins, then one who leaves: each until all agree again.
pub async fn rebalance(arguments: &Arguments) -> Outcome<String> {
    let mut group = Group::new(arguments).await?;
    let clients = group.connect(arguments.number("members")?).await?;
    group.start(clients);
    group.settle(0).await?;
    let mut newcomer = group.connect(2).await?;
    let mut outsider = newcomer.pop().ok_or("no connection")?;
    let broker = Broker::watch(arguments)?;
    let before = group.epoch();
    group.start(newcomer);
    let join_ms = group.settle(before).await?.as_secs_f64() * 1000.0;
    let before = group.epoch();
    let began = Instant::now();
    group.leave(&mut outsider, 0).await?;
    group.settle(before).await?;
    let leave_ms = began.elapsed().as_secs_f64() * 1000.0;
    let cost = broker.report()?;
    group.end().await?;
    Ok(format!(r#"{{"join_ms":{join_ms:.2},"leave_ms":{leave_ms:.2},{cost}}}"#))
}

impl Plan {
    /// The record that is in each partition; the last thing that a new member waits for.
    async fn fetch(&self, client: &mut Client, partition: i32) -> Outcome<()> {
        let wanted = FetchPartition { partition, partition_max_bytes: 1 << 20, ..FetchPartition::default() };
        let topic = FetchTopic { topic: self.topic.clone(), partitions: vec![wanted], ..FetchTopic::default() };
        let request = FetchRequest { max_wait_ms: 500, min_bytes: 1, topics: vec![topic], ..FetchRequest::default() };
        loop {
            let response = client.ask(&request, 12).await?;
            good("Fetch", response.error_code)?;
            let mut partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
            let answer = partitions.next().ok_or("no partition in the answer")?;
            good("Fetch of a partition", answer.error_code)?;
            if !answer.records.is_empty() {
                return Ok(());
            }
        }
    }

    /// When a member sends its first heartbeat: spread over the interval, as in a group that has lived for a while.
    fn first_heartbeat(&self, number: usize) -> Duration {
        let share = (number as f64 * 0.618_034).fract();
        self.heartbeat.mul_f64(share.max(0.01))
    }
}

fn gone(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_MEMBER_EPOCH)
}
