//! The runtime with another machine than that of groups: it owes them nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use stratalog_coordinator::machine::{Durable, Machine, Step, StepOf, Ticket};
use stratalog_coordinator::records::NotRead;
use stratalog_protocol::ErrorCode;
use stratalog_protocol::codec::EncodeError;
use stratalog_protocol::records::CodecId;
use stratalog_types::{LeaderEpoch, Offset, TopicId, TopicPartition};

use super::load::load;
use super::shard::{After, Appending, Shard, Submitted};
use crate::clock::Clock;
use crate::config::{self, Sources, TopicConfig};
use crate::log::{Log, LogConfig, LogDir, LogDirOptions};
use crate::metrics::Metrics;
use crate::partition::{Counters, Partition};

/// Counts by name; its log says how often.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    counts: BTreeMap<String, u8>,
    failed: Vec<ErrorCode>,
}

#[derive(Debug, Clone)]
struct Count(String, u8);

impl Durable for Count {
    fn encode(&self) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        Ok((Bytes::from(self.0.clone()), Some(Bytes::from(vec![self.1]))))
    }

    fn decode(key: Bytes, value: Option<Bytes>) -> Result<Count, NotRead> {
        let name = String::from_utf8_lossy(&key).into_owned();
        Ok(Count(name, value.and_then(|value| value.first().copied()).unwrap_or(0)))
    }

    fn keeps_value(_key: &[u8]) -> bool {
        false
    }
}

impl Machine for Tally {
    type Record = Count;
    type Reply = u8;
    type Job = ();

    fn replay(&mut self, _offset: i64, _producer: Option<i64>, Count(name, count): Count) {
        self.counts.insert(name, count);
    }

    fn end_transaction(&mut self, _producer: i64, _committed: bool) {}

    fn next_deadline(&self) -> Option<i64> {
        Some(self.counts.len() as i64)
    }
}

impl Tally {
    fn count(&self, ticket: Ticket, name: &str) -> StepOf<Tally> {
        let count = self.counts.get(name).copied().unwrap_or(0) + 1;
        Step { records: vec![Count(name.to_owned(), count)], ..Step::reply(ticket, count) }
    }
}

fn open(dir: &Arc<LogDir>) -> Arc<Partition> {
    let settings = config::load(&Sources::default()).unwrap().config.settings;
    let config = TopicConfig::resolve(&settings, &BTreeMap::new()).unwrap();
    let name = TopicPartition::new("__tally", 0);
    let (id, log) = (TopicId::from_bytes([3; 16]), LogConfig::default());
    let log = match dir.contains(&name) {
        true => Log::open(dir, name, id, log),
        false => Log::create(dir, name, id, log),
    };
    let counters = Counters::of(&Metrics::new(), "__tally");
    Partition::new(log.unwrap(), Arc::new(config), LeaderEpoch(0), Clock::System, counters, false)
}

fn submit(shard: &Shard<Tally>, name: &str) -> Result<(u8, Offset), super::Error> {
    let mut state = shard.lock();
    let ticket = state.next_ticket();
    let step = state.machine.count(ticket, name);
    let appending = Appending { now_ms: 1, codec: CodecId::NONE };
    let submitted = state.carry_out(shard, step, ticket, appending, |machine, after| {
        if let After::Failed(_, error) = after {
            machine.failed.push(error);
        }
        Step::default()
    });
    match submitted {
        Submitted::Answered(delivery) => delivery,
        Submitted::Waiting(_) => panic!("nobody answers it later"),
    }
}

#[test]
fn another_machine_appends_replays_answers_and_loads() {
    let directory = tempfile::tempdir().unwrap();
    let dir = LogDir::open(directory.path(), LogDirOptions::default()).unwrap();
    let partition = open(&dir);
    let shard = Shard::new(partition.clone(), Tally::default());
    shard.lock().activate(Tally::default(), Offset::ZERO);
    assert_eq!(submit(&shard, "a"), Ok((1, Offset(1))), "to be told when the log is durable up to 1");
    assert_eq!(submit(&shard, "a"), Ok((2, Offset(2))));
    assert_eq!(submit(&shard, "b"), Ok((1, Offset(3))));
    assert_eq!(shard.deadline_ms(), 2, "what was replayed decides");
    let counts = shard.lock().machine.counts.clone();
    dir.close().unwrap();
    assert!(submit(&shard, "a").is_err());
    let state = shard.lock();
    assert_eq!((&state.machine.counts, state.machine.failed.len()), (&counts, 1), "a failed append changes nothing");
    drop(state);
    drop((shard, partition, dir));

    let dir = LogDir::open(directory.path(), LogDirOptions::default()).unwrap();
    let mut loaded = Tally::default();
    let read = load(&open(&dir), &mut loaded, 64).unwrap();
    assert_eq!((read.records, read.malformed, read.end_offset), (3, 0, Offset(3)));
    assert_eq!(loaded.counts, counts);
}
