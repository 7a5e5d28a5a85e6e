//! What can go wrong with a call, told so that the next step is clear.

use std::time::Duration;

use stratalog_protocol::{ApiKey, DecodeError, EncodeError, ErrorCode};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no broker address was given")]
    NoBootstrap,
    #[error("cannot connect to {address}: {source}; is a broker running there? Name another with --bootstrap-server")]
    Connect { address: String, source: std::io::Error },
    #[error(
        "the broker at {address} closed the connection; is it a Kafka listener without TLS? Its log says why it closed"
    )]
    ConnectionLost { address: String },
    #[error("the connection to {address} failed: {source}")]
    Io { address: String, source: std::io::Error },
    #[error("no answer within {} s to {what}", after.as_secs())]
    Timeout { what: String, after: Duration },
    #[error("{address} did not answer as a Kafka broker does: {problem}")]
    NotKafka { address: String, problem: String },
    #[error("the answer cannot be read")]
    Decode(#[from] DecodeError),
    #[error("the request cannot be written")]
    Encode(#[from] EncodeError),
    #[error("the broker has no version of {api} that we speak; it is too old or too new")]
    Unsupported { api: String },
    #[error("topic {topic} does not exist; create it with `stratalog topic create {topic}`")]
    UnknownTopic { topic: String },
    #[error("topic {topic} exists already; --if-not-exists passes over that")]
    TopicExists { topic: String },
    #[error("topic {topic} has no partition {partition}")]
    UnknownPartition { topic: String, partition: i32 },
    #[error("a partition of {topic} has no leader now")]
    NoLeader { topic: String },
    #[error("offset {offset} of {topic}-{partition} is out of range")]
    OffsetOutOfRange { topic: String, partition: i32, offset: i64 },
    #[error("a record of {bytes} bytes is too large for {topic}: raise max.message.bytes of the topic")]
    TooLarge { topic: String, bytes: usize },
    #[error("{what}: {code}{}", message.as_ref().map(|text| format!(": {text}")).unwrap_or_default())]
    Broker { what: String, code: ErrorCode, message: Option<String> },
    #[error("group {group} does not exist; `stratalog group list` tells which do")]
    UnknownGroup { group: String },
    #[error("group {group} has members: stop them first")]
    GroupNotEmpty { group: String },
    #[error("{doing} group {group}: its members are subscribed to the topic; stop them first")]
    GroupSubscribed { group: String, doing: String },
    #[error("a batch that the broker sent is damaged: {problem}")]
    Damaged { problem: String },
    #[error("the records cannot be put into a batch: {problem}")]
    Build { problem: String },
}

impl Error {
    pub(super) fn topic(code: ErrorCode, topic: &str) -> Error {
        if Error::is_unknown_topic(code) {
            return Error::UnknownTopic { topic: topic.to_owned() };
        }
        Error::broker(format!("topic {topic}"), code, None)
    }

    pub(super) fn broker(what: impl Into<String>, code: ErrorCode, message: Option<String>) -> Error {
        Error::Broker { what: what.into(), code, message: message.filter(|text| !text.is_empty()) }
    }

    /// What the coordinator answered to `doing` something with `group`.
    pub(super) fn group(code: ErrorCode, group: &str, doing: &str) -> Result<(), Error> {
        match code {
            ErrorCode::NONE => Ok(()),
            ErrorCode::GROUP_ID_NOT_FOUND => Err(Error::UnknownGroup { group: group.to_owned() }),
            ErrorCode::NON_EMPTY_GROUP => Err(Error::GroupNotEmpty { group: group.to_owned() }),
            ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC => {
                Err(Error::GroupSubscribed { group: group.to_owned(), doing: doing.to_owned() })
            }
            code => Err(Error::broker(format!("{doing} group {group}"), code, None)),
        }
    }

    pub(super) fn is_unknown_topic(code: ErrorCode) -> bool {
        code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION || code == ErrorCode::UNKNOWN_TOPIC_ID
    }

    pub(super) fn unsupported(key: ApiKey) -> Error {
        let api = key.name().map_or_else(|| format!("API {}", key.0), str::to_owned);
        Error::Unsupported { api }
    }

    /// Whether the connection cannot be used again.
    pub(super) fn breaks_connection(&self) -> bool {
        matches!(
            self,
            Error::ConnectionLost { .. }
                | Error::Io { .. }
                | Error::Timeout { .. }
                | Error::NotKafka { .. }
                | Error::Decode(_)
        )
    }

    /// Whether the broker went away, rather than refused.
    pub fn is_connection_lost(&self) -> bool {
        matches!(self, Error::ConnectionLost { .. } | Error::Io { .. } | Error::Connect { .. })
    }
}
