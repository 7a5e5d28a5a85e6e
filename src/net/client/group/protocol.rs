//! What the members of a classic consumer group tell each other, and how partitions are shared out by range.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use stratalog_protocol::codec::{Structure, Version};
use stratalog_protocol::messages::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};
use stratalog_protocol::part::Part;
use stratalog_protocol::{DecodeError, Decoder, EncodeError, Encoder, Message};

use super::TopicPartitions;

/// An eager member has nothing to say that version 0 lacks. Every later version begins with its fields.
const VERSION: i16 = 0;

/// A member as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriber {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub topics: Vec<String>,
}

pub fn write_subscription(topics: &[String]) -> Result<Bytes, EncodeError> {
    write(&ConsumerProtocolSubscription { topics: topics.to_vec(), ..Default::default() })
}

pub fn write_assignment(assigned: &TopicPartitions) -> Result<Bytes, EncodeError> {
    let topic = |(topic, partitions): (&String, &Vec<i32>)| TopicPartition {
        topic: topic.clone(),
        partitions: partitions.clone(),
    };
    let assigned_partitions = assigned.iter().map(topic).collect();
    write(&ConsumerProtocolAssignment { assigned_partitions, user_data: None })
}

pub fn read_subscription(bytes: Bytes) -> Result<Vec<String>, DecodeError> {
    read::<ConsumerProtocolSubscription>(bytes).map(|subscription| subscription.topics)
}

pub fn read_assignment(bytes: Bytes) -> Result<TopicPartitions, DecodeError> {
    let assignment = read::<ConsumerProtocolAssignment>(bytes)?;
    let mut assigned = TopicPartitions::new();
    for topic in assignment.assigned_partitions {
        assigned.entry(topic.topic).or_default().extend(topic.partitions);
    }
    Ok(assigned)
}

fn write<M: Message>(message: &M) -> Result<Bytes, EncodeError> {
    let mut encoder = Encoder::new();
    encoder.write_i16(VERSION);
    message.encode(&mut encoder, VERSION)?;
    let mut joined = BytesMut::new();
    for part in encoder.into_parts() {
        // Nothing here is a range of a file.
        if let Part::Bytes(bytes) = part {
            joined.extend_from_slice(&bytes);
        }
    }
    Ok(joined.freeze())
}

fn read<S: Structure>(bytes: Bytes) -> Result<S, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    decoder.read_i16()?;
    S::read_fields(&mut decoder, Version::classic(VERSION))
}

/// Kafka's range assignor: of each topic every subscriber gets a run of neighbours, the first ones get one more where it
/// does not divide. Static members come first, in the order of their instance ids; the others in that of their ids.
/// A topic that does not exist has no partitions. Every subscriber is answered, if with nothing.
pub fn assign_range(
    subscribers: &[Subscriber],
    partitions: &BTreeMap<String, Vec<i32>>,
) -> BTreeMap<String, TopicPartitions> {
    let mut ordered: Vec<&Subscriber> = subscribers.iter().collect();
    ordered.sort_by(|a, b| {
        let key = |of: &Subscriber| (of.instance_id.is_none(), of.instance_id.clone(), of.member_id.clone());
        key(a).cmp(&key(b))
    });
    let mut assigned: BTreeMap<String, TopicPartitions> =
        subscribers.iter().map(|subscriber| (subscriber.member_id.clone(), TopicPartitions::new())).collect();
    for (topic, partitions) in partitions {
        let takers: Vec<&&Subscriber> = ordered.iter().filter(|member| member.topics.contains(topic)).collect();
        let mut rest = partitions.as_slice();
        for (at, taker) in takers.iter().enumerate() {
            // What is left, shared among who is left, rounded up: the first get the odd ones.
            let (share, left) = rest.split_at(rest.len().div_ceil(takers.len() - at).min(rest.len()));
            rest = left;
            if let (false, Some(member)) = (share.is_empty(), assigned.get_mut(&taker.member_id)) {
                member.insert(topic.clone(), share.to_vec());
            }
        }
    }
    assigned
}
