//! Bodies cross our codec and that of the `kafka-protocol` crate, and come out the same on both sides.
//!
//! The oracle gets good bytes only: a hostile count aborts it.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable, Message as _};
use stratalog_protocol::messages::*;
use stratalog_protocol::{Decoder, Message};

use crate::list::{for_each_message_of_the_oracle, for_each_other_message};
use crate::{encoded, frames};

const BODIES_PER_VERSION: u64 = 40;

/// Our decoder and encoder agree with the schema's bytes, and the decoded value survives another round.
fn through_ours<M: Message + PartialEq>(body: &Bytes, version: i16, seed: u64) {
    let at = format!("{} v{version} seed {seed}", M::NAME);
    let message = M::decode(&mut Decoder::new(body.clone()), version).unwrap_or_else(|e| panic!("{at}: {e}"));
    let again = encoded(&message, version);
    assert_eq!(again, body, "{at}: our bytes differ");
    assert_eq!(message.size(version).unwrap(), body.len(), "{at}: size");
    assert!(M::decode(&mut Decoder::new(again), version).unwrap() == message, "{at}: value differs");
}

fn through_theirs<M: Message, T: Decodable + Encodable>(body: &Bytes, version: i16, seed: u64) {
    let at = format!("{} v{version} seed {seed}", M::NAME);
    let mut input = body.clone();
    let message = T::decode(&mut input, version).unwrap_or_else(|e| panic!("{at}: the oracle refuses: {e}"));
    assert!(input.is_empty(), "{at}: the oracle leaves {} bytes", input.len());
    let mut output = BytesMut::new();
    message.encode(&mut output, version).unwrap();
    assert_eq!(output, body, "{at}: their bytes differ");
}

fn bodies<M: Message + PartialEq>(oracle: Option<(i16, i16)>, through_theirs: impl Fn(&Bytes, i16, u64)) -> usize {
    let mut compared = 0;
    for version in M::MIN_VERSION..=M::MAX_VERSION {
        for seed in 0..BODIES_PER_VERSION {
            let body = Bytes::from(frames::body::<M>(version, seed));
            through_ours::<M>(&body, version, seed);
            if oracle.is_some_and(|(min, max)| (min..=max).contains(&version)) {
                through_theirs(&body, version, seed);
                compared += 1;
            }
        }
    }
    compared
}

#[test]
fn bodies_agree_with_the_oracle() {
    let mut compared = 0;
    macro_rules! check {
        ($message:ident) => {
            let versions = theirs::$message::VERSIONS;
            let theirs = through_theirs::<$message, theirs::$message>;
            compared += bodies::<$message>(Some((versions.min, versions.max)), theirs);
        };
    }
    for_each_message_of_the_oracle!(check);
    println!("{compared} bodies through both codecs");
    assert!(compared > 400 * BODIES_PER_VERSION as usize);
}

#[test]
fn bodies_without_an_oracle_survive_a_round() {
    macro_rules! check {
        ($message:ident) => {
            bodies::<$message>(None, |_, _, _| {});
        };
    }
    for_each_other_message!(check);
}
