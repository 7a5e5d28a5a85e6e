//! Why a request is refused, as the client is told; and the way to the blocking pool that every change takes.

use stratalog_protocol::ErrorCode;

use super::error;
use crate::config::ConfigError;
use crate::metadata;

/// Kafka's code and the sentence beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: ErrorCode,
    /// `None` where Kafka leaves the code to speak for itself.
    pub message: Option<String>,
}

impl Refusal {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Refusal {
        Refusal { code, message: Some(message.into()) }
    }

    pub fn bare(code: ErrorCode) -> Refusal {
        Refusal { code, message: None }
    }

    /// Kafka's words for a name that the metadata does not know.
    pub fn unknown_topic() -> Refusal {
        metadata::Error::UnknownTopic.into()
    }

    pub fn invalid_config(error: &ConfigError) -> Refusal {
        Refusal::new(ErrorCode::INVALID_CONFIG, error.to_string())
    }
}

impl From<metadata::Error> for Refusal {
    fn from(error: metadata::Error) -> Refusal {
        Refusal::new(error::of_metadata(&error), error.to_string())
    }
}

/// Runs what commits to the metadata or touches directories: off the workers that carry connections.
pub async fn blocking<T: Send + 'static>(
    change: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let ran = tokio::task::spawn_blocking(change).await;
    ran.unwrap_or_else(|_| Err(Refusal::new(ErrorCode::UNKNOWN_SERVER_ERROR, "the change was cut off")))
}
