//! A member of a consumer group. What it is told and what it says: see clients/python/member.py.

use std::collections::BTreeSet;
use std::io::{BufRead as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::bindings::{
    rd_kafka_consumer_group_metadata, rd_kafka_consumer_group_metadata_destroy,
    rd_kafka_consumer_group_metadata_generation_id,
};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, ClientContext, Message as _, TopicPartitionList};
use serde_json::{Value, json};

use crate::{Outcome, text};

static ENDED: AtomicBool = AtomicBool::new(false);
static PAUSED: AtomicBool = AtomicBool::new(false);

fn tell(event: &str, what: Value) {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let mut told = json!({"event": event, "at": now.tv_sec * 1_000_000_000 + now.tv_nsec});
    if let (Some(told), Value::Object(what)) = (told.as_object_mut(), what) {
        told.extend(what);
    }
    let mut out = std::io::stdout().lock();
    // Who reads is gone: so is the reason to go on.
    if writeln!(out, "{told}").and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

fn complain(error: &KafkaError) {
    tell("error", json!({"errors": [error.to_string()]}));
}

struct Told;

impl ClientContext for Told {}

impl ConsumerContext for Told {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, change: &Rebalance<'_>) {
        match change {
            Rebalance::Assign(given) => {
                tell("given", json!({"partitions": numbers(given), "epoch": epoch(consumer)}));
            }
            Rebalance::Revoke(taken) => {
                let event = if consumer.assignment_lost() { "lost" } else { "taken" };
                tell(event, json!({"partitions": numbers(taken)}));
            }
            Rebalance::Error(error) => complain(error),
        }
    }

    fn commit_callback(&self, result: Result<(), KafkaError>, _: &TopicPartitionList) {
        if let Err(error) = result {
            complain(&error);
        }
    }
}

fn numbers(partitions: &TopicPartitionList) -> Vec<i32> {
    partitions.elements().iter().map(|element| element.partition()).collect()
}

/// The generation or the member epoch, which the crate keeps to itself.
fn epoch(consumer: &BaseConsumer<Told>) -> Option<i32> {
    // SAFETY: the consumer outlives the call; what it answers is ours, read once and destroyed once.
    unsafe {
        let metadata = rd_kafka_consumer_group_metadata(consumer.client().native_ptr());
        if metadata.is_null() {
            return None;
        }
        let epoch = rd_kafka_consumer_group_metadata_generation_id(metadata);
        rd_kafka_consumer_group_metadata_destroy(metadata);
        Some(epoch)
    }
}

fn obey() {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        PAUSED.store(line.trim() == "pause", Ordering::SeqCst);
    }
    ENDED.store(true, Ordering::SeqCst);
}

pub fn run(job: &Value) -> Outcome<()> {
    std::thread::spawn(obey);
    let commit = text(job, "commit")?;
    let consumer = subscribed(job, commit)?;
    let mut held = BTreeSet::new();
    while !ENDED.load(Ordering::SeqCst) {
        let mut count = 0;
        let mut next = consumer.poll(Duration::from_millis(100));
        while let Some(record) = next.take() {
            match record {
                Ok(record) => {
                    tell("records", json!({"records": [[record.partition(), record.offset()]]}));
                    count += 1;
                }
                Err(error @ KafkaError::MessageConsumptionFatal(_)) => return Err(error.into()),
                Err(error) => complain(&error),
            }
            if count < 100 {
                next = consumer.poll(Duration::ZERO);
            }
        }
        if count > 0 && commit != "auto" {
            let mode = if commit == "sync" { CommitMode::Sync } else { CommitMode::Async };
            match consumer.commit_consumer_state(mode) {
                Ok(()) if commit == "sync" => tell("committed", json!({})),
                Ok(()) => {}
                Err(error) => complain(&error), // a rebalance came first; what was not committed is processed again
            }
        }
        hold(&consumer, &mut held)?;
    }
    drop(consumer); // leaves the group
    tell("ended", json!({}));
    Ok(())
}

/// A partition that was paused, taken, and is given again is still paused.
fn hold(consumer: &BaseConsumer<Told>, held: &mut BTreeSet<i32>) -> Outcome<()> {
    let paused = PAUSED.load(Ordering::SeqCst);
    let mut change = TopicPartitionList::new();
    for element in consumer.assignment()?.elements() {
        if held.contains(&element.partition()) != paused {
            change.add_partition(element.topic(), element.partition());
        }
    }
    if change.count() == 0 {
        return Ok(());
    }
    if paused {
        consumer.pause(&change)?;
        held.extend(numbers(&change));
    } else {
        consumer.resume(&change)?;
        let resumed = numbers(&change);
        held.retain(|partition| !resumed.contains(partition));
    }
    Ok(())
}

fn subscribed(job: &Value, commit: &str) -> Outcome<BaseConsumer<Told>> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", text(job, "bootstrap")?)
        .set("group.id", text(job, "group")?)
        .set("group.protocol", text(job, "protocol")?)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", if commit == "auto" { "true" } else { "false" })
        .set("auto.commit.interval.ms", "300")
        .set("max.poll.interval.ms", "30000")
        .set("reconnect.backoff.max.ms", "1000");
    if text(job, "protocol")? == "classic" {
        config
            .set("partition.assignment.strategy", text(job, "strategy")?)
            .set("session.timeout.ms", job["session_ms"].to_string())
            .set("heartbeat.interval.ms", "500");
    } else {
        config.set("group.remote.assignor", text(job, "strategy")?);
    }
    if let Some(instance) = job["instance"].as_str() {
        config.set("group.instance.id", instance);
    }
    let consumer: BaseConsumer<Told> = config.create_with_context(Told)?;
    consumer.subscribe(&[text(job, "topic")?])?;
    Ok(consumer)
}
