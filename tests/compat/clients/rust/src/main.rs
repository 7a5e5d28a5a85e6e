//! librdkafka through the rdkafka crate: produces with idempotence, consumes by partition; a member of a group.
//! Plans and streams: see clients/python/stream.py. A member: see clients/python/member.py.

mod member;
mod stream;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "member", job] => member::run(&serde_json::from_str(job)?),
        [_, plan] => work(&serde_json::from_reader(File::open(plan)?)?),
        _ => Err("a plan, or `member` and a job".into()),
    }
}

fn text<'a>(object: &'a Value, name: &str) -> Outcome<&'a str> {
    object[name].as_str().ok_or_else(|| format!("no {name} in {object}").into())
}

fn work(plan: &Value) -> Outcome<()> {
    let bootstrap = text(plan, "bootstrap")?;
    let mut failed = false;
    for job in plan["jobs"].as_array().ok_or("no jobs")? {
        let began = Instant::now();
        let done = match text(job, "op")? {
            "produce" => produce(bootstrap, job),
            "consume" => consume(bootstrap, job),
            other => Err(format!("no operation called {other}").into()),
        };
        let mut result = json!({"op": job["op"], "topic": job["topic"], "seconds": began.elapsed().as_secs_f64()});
        match done {
            Ok(records) => result["records"] = records.into(),
            Err(error) => {
                result["error"] = error.to_string().into();
                failed = true;
            }
        }
        println!("{result}");
    }
    std::process::exit(failed.into());
}

fn limit(job: &Value) -> Duration {
    Duration::from_secs(job["timeout_s"].as_u64().unwrap_or(120))
}

#[derive(Default)]
struct Deliveries {
    failures: Mutex<Vec<String>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let (Err((error, _)), Ok(mut failures)) = (result, self.failures.lock()) {
            failures.push(error.to_string());
        }
    }
}

fn produce(bootstrap: &str, job: &Value) -> Outcome<u64> {
    let topic = text(job, "topic")?;
    let producer: BaseProducer<Deliveries> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("compression.type", text(job, "codec")?)
        .set("acks", "all")
        .set("linger.ms", "20")
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", limit(job).as_millis().to_string())
        .set("reconnect.backoff.max.ms", "500")
        .create_with_context(Deliveries::default())?;
    let mut input = BufReader::with_capacity(1 << 20, File::open(text(job, "input")?)?);
    let mut sent = 0;
    while let Some(record) = stream::read(&mut input)? {
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (key, value) in &record.headers {
            headers = headers.insert(Header { key, value: value.as_ref() });
        }
        let mut outgoing = BaseRecord::<[u8], [u8]>::to(topic)
            .partition(record.partition)
            .timestamp(record.timestamp)
            .headers(headers);
        if let Some(key) = &record.key {
            outgoing = outgoing.key(key);
        }
        if let Some(value) = &record.value {
            outgoing = outgoing.payload(value);
        }
        loop {
            match producer.send(outgoing) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    outgoing = back;
                    producer.poll(Duration::from_millis(100));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
        sent += 1;
    }
    producer.flush(limit(job))?;
    let failures = producer.context().failures.lock().map_err(|_| "a callback died")?;
    match failures.first() {
        Some(first) => Err(format!("{} records undelivered, the first: {first}", failures.len()).into()),
        None => Ok(sent),
    }
}

fn consume(bootstrap: &str, job: &Value) -> Outcome<u64> {
    let topic = text(job, "topic")?;
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "compat")
        .set("enable.auto.commit", "false")
        .set("check.crcs", "true")
        .set("reconnect.backoff.max.ms", "500")
        .set("queued.max.messages.kbytes", "16384")
        .create()?;
    let deadline = Instant::now() + limit(job);
    let partitions = i32::try_from(job["partitions"].as_i64().ok_or("no partitions")?)?;
    let (mut left, mut outputs, mut wanted) = (BTreeMap::new(), BTreeMap::new(), TopicPartitionList::new());
    for partition in 0..partitions {
        let end = end_offset(&consumer, topic, partition, deadline)?;
        if end > 0 {
            left.insert(partition, end);
        }
        wanted.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    for partition in 0..partitions {
        let file = File::create(format!("{}/{partition}", text(job, "output")?))?;
        outputs.insert(partition, BufWriter::with_capacity(1 << 20, file));
    }
    consumer.assign(&wanted)?;
    let mut received = 0;
    while !left.is_empty() {
        if Instant::now() > deadline {
            return Err(format!("partitions {:?} not at their end", left.keys()).into());
        }
        let record = match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(record)) => record,
            // The broker may be down just now: what does not pass runs into the deadline.
            Some(Err(KafkaError::MessageConsumption(_))) | None => continue,
            Some(Err(error)) => return Err(error.into()),
        };
        let output = outputs.get_mut(&record.partition()).ok_or("an unknown partition")?;
        let headers: Vec<_> = record
            .headers()
            .map(|headers| headers.iter().map(|header| (header.key, header.value)).collect())
            .unwrap_or_default();
        let timestamp = record.timestamp().to_millis().unwrap_or(-1);
        stream::write(output, record.offset(), timestamp, record.key(), record.payload(), &headers)?;
        received += 1;
        if left.get(&record.partition()).is_some_and(|end| record.offset() + 1 >= *end) {
            left.remove(&record.partition());
        }
    }
    outputs.values_mut().try_for_each(BufWriter::flush)?;
    Ok(received)
}

fn end_offset(consumer: &BaseConsumer, topic: &str, partition: i32, deadline: Instant) -> Outcome<i64> {
    loop {
        match consumer.fetch_watermarks(topic, partition, Duration::from_secs(10)) {
            Ok((_, end)) => return Ok(end),
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => {}
        }
    }
}
