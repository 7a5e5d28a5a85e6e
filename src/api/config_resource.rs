//! The kinds of resources that configs are asked and altered of.

use stratalog_protocol::ErrorCode;

use super::refusal::Refusal;
use crate::config::{CLEANER_KEYS, Key, SCRUB_KEY, Stance, catalog};

pub const TOPIC: i8 = 2;
pub const BROKER: i8 = 4;
pub const BROKER_LOGGER: i8 = 8;
pub const CLIENT_METRICS: i8 = 16;
pub const GROUP: i8 = 32;

/// A broker is named by its id. `word` and `expected` are Kafka's, which differ from API to API.
pub fn check_broker_id(name: &str, node_id: i32, word: &str, expected: &str) -> Result<(), Refusal> {
    let invalid = |problem: String| Err(Refusal::new(ErrorCode::INVALID_REQUEST, problem));
    match name.parse::<i32>() {
        Ok(id) if id == node_id => Ok(()),
        Ok(_) => invalid(format!("{expected} received {name}")),
        Err(_) => invalid(format!("{word} id must be an integer, but it is: {name}")),
    }
}

/// Keys of the broker that coordinators look up each time.
const COORDINATORS: &[&str] = &["group.consumer.assignment.interval.ms"];

/// Whether a running broker acts on a new value: what topics inherit is passed on to them, and what has no effect, or
/// none yet, cannot be missed. Kafka changes a few more; here they are read once, at start.
pub fn can_change(key: &Key) -> bool {
    let inherited = || {
        let mut synonyms = catalog::TOPIC.iter().flat_map(|topic_key| catalog::topic_synonyms(topic_key.name));
        synonyms.any(|synonym| synonym.name == key.name)
    };
    key.dynamic
        && match key.stance {
            Stance::Honoured => {
                let looked_up = [COORDINATORS, CLEANER_KEYS, &[SCRUB_KEY]];
                inherited() || looked_up.iter().any(|keys| keys.contains(&key.name))
            }
            Stance::NoEffect | Stance::Pending(_) => true,
            Stance::Refused(_) => false,
        }
}
