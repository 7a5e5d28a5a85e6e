//! Produce load: noise records in batches of one size, or the lines of a file with running numbers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Outcome;
use crate::arguments::Arguments;
use crate::wire::{BatchBuilder, Connection, produce_frame, produced_at};

/// When a run ends: after so many bytes in all, or so much time.
enum Until {
    Bytes(u64),
    Elapsed(Duration),
}

/// The sent frames of all connections, in bytes of record batches.
struct Budget {
    until: Until,
    sent: AtomicU64,
    began: Instant,
}

impl Budget {
    fn take(&self, bytes: u64) -> bool {
        let before = self.sent.fetch_add(bytes, Ordering::Relaxed);
        let go_on = match self.until {
            Until::Bytes(total) => before < total,
            Until::Elapsed(limit) => self.began.elapsed() < limit,
        };
        if !go_on {
            self.sent.fetch_sub(bytes, Ordering::Relaxed);
        }
        go_on
    }
}

/// Each connection sends to its share of the partitions in turn, `in_flight` requests ahead of the answers.
pub fn produce(arguments: &Arguments) -> Outcome<String> {
    let (bootstrap, topic) = (arguments.text("bootstrap")?, arguments.text("topic")?);
    let partitions: usize = arguments.number_or("partitions", 1)?;
    let connections: usize = arguments.number_or("connections", 1)?;
    let in_flight: usize = arguments.number_or("in_flight", 5)?;
    let until = match arguments.number::<u64>("seconds") {
        Ok(seconds) => Until::Elapsed(Duration::from_secs(seconds)),
        Err(_) => Until::Bytes(arguments.number("total_bytes")?),
    };
    let batch = noise_batch(arguments.number_or("record_bytes", 1024)?, arguments.number("batch_bytes")?);
    let mut lanes = Vec::new();
    for lane in 0..connections {
        let mine = (0..partitions).filter(|partition| connections > partitions || partition % connections == lane);
        let frames = mine.map(|partition| produce_frame(topic, partition as i32, &batch)).collect::<Vec<_>>();
        lanes.push((Connection::open(bootstrap)?, frames));
    }
    let budget = Budget { until, sent: AtomicU64::new(0), began: Instant::now() };
    let size = batch.len() as u64;
    let latencies = thread::scope(|scope| {
        let threads = lanes
            .into_iter()
            .map(|(connection, frames)| scope.spawn(|| pump(connection, frames, in_flight, size, &budget)))
            .collect::<Vec<_>>();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("a connection's thread died".into())))
            .collect::<Outcome<Vec<_>>>()
    })?;
    Ok(report(budget.sent.into_inner(), budget.began.elapsed(), latencies.concat()))
}

fn pump(
    mut connection: Connection,
    frames: Vec<Vec<u8>>,
    in_flight: usize,
    size: u64,
    budget: &Budget,
) -> Outcome<Vec<u32>> {
    let mut latencies = Vec::new();
    let mut waiting = VecDeque::with_capacity(in_flight);
    for frame in frames.iter().cycle() {
        if !budget.take(size) {
            break;
        }
        if waiting.len() == in_flight {
            answered(&mut connection, &mut waiting, &mut latencies)?;
        }
        waiting.push_back(Instant::now());
        connection.send(frame)?;
    }
    while !waiting.is_empty() {
        answered(&mut connection, &mut waiting, &mut latencies)?;
    }
    Ok(latencies)
}

fn answered(connection: &mut Connection, waiting: &mut VecDeque<Instant>, latencies: &mut Vec<u32>) -> Outcome<()> {
    produced_at(connection.receive()?)?;
    let sent_at = waiting.pop_front().ok_or("an answer to nothing")?;
    latencies.push(sent_at.elapsed().as_micros() as u32);
    Ok(())
}

fn report(bytes: u64, took: Duration, mut latencies: Vec<u32>) -> String {
    latencies.sort_unstable();
    let millis = |share: f64| {
        let at = (latencies.len() as f64 * share) as usize;
        f64::from(latencies.get(at).copied().unwrap_or(0)) / 1000.0
    };
    let (p50, p99) = (millis(0.5), millis(0.99));
    let (seconds, requests) = (took.as_secs_f64(), latencies.len());
    format!(r#"{{"bytes":{bytes},"seconds":{seconds:.6},"requests":{requests},"p50_ms":{p50:.3},"p99_ms":{p99:.3}}}"#)
}

/// One batch as near below `batch_bytes` as whole records allow, one record at least.
fn noise_batch(record_bytes: usize, batch_bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::default();
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    loop {
        let value = (0..record_bytes)
            .map(|_| {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                noise as u8
            })
            .collect::<Vec<_>>();
        builder.push(None, &value);
        if builder.bytes() + record_bytes + 16 > batch_bytes {
            return builder.finish(now_ms());
        }
    }
}

/// Lines of JSON with a running number in each, keyed by their `package`, into partition 0. One connection, not timed
/// for comparison: it makes what a replay reads.
pub fn fill(arguments: &Arguments) -> Outcome<String> {
    let topic = arguments.text("topic")?;
    let batch_bytes: usize = arguments.number("batch_bytes")?;
    let total: u64 = arguments.number("total_bytes")?;
    let text = std::fs::read_to_string(arguments.text("data")?)?;
    let lines = text.lines().filter_map(|line| Some((package(line)?, line.strip_prefix('{')?))).collect::<Vec<_>>();
    if lines.is_empty() {
        return Err("no line of the data is a JSON object with a package".into());
    }
    let mut connection = Connection::open(arguments.text("bootstrap")?)?;
    let began = Instant::now();
    let (mut sent, mut latencies, mut waiting) = (0, Vec::new(), VecDeque::new());
    let mut builder = BatchBuilder::default();
    for (number, (key, rest)) in lines.iter().cycle().enumerate() {
        builder.push(Some(key.as_bytes()), format!(r#"{{"n":{number},{rest}"#).as_bytes());
        if builder.bytes() < batch_bytes {
            continue;
        }
        let batch = builder.finish(now_ms());
        sent += batch.len() as u64;
        if waiting.len() == 5 {
            answered(&mut connection, &mut waiting, &mut latencies)?;
        }
        waiting.push_back(Instant::now());
        connection.send(&produce_frame(topic, 0, &batch))?;
        if sent >= total {
            break;
        }
    }
    while !waiting.is_empty() {
        answered(&mut connection, &mut waiting, &mut latencies)?;
    }
    Ok(report(sent, began.elapsed(), latencies))
}

fn package(line: &str) -> Option<&str> {
    line.split_once(r#""package":""#)?.1.split_once('"').map(|(name, _)| name)
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
