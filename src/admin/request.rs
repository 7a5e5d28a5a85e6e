//! What HTTP asks of the broker, and the two ends of the channel between them.

use tokio::sync::{mpsc, oneshot, watch};

use super::report::{EvictReport, FlushReport, TierListing, VerifyReport};

/// Requests that may wait for the broker; more are refused as unavailable.
const REQUESTS_WAITING_MAX: usize = 64;

/// One request; the answer goes to `reply`, whose loss means that nobody waits any more.
#[derive(Debug)]
pub enum AdminRequest {
    /// Roll, upload and commit. With `wait`, the answer comes when all that is in the log now is tiered.
    Flush { topic: String, wait: bool, reply: Reply<FlushReport> },
    /// Drop the local copies of what is tiered.
    Evict { topic: String, reply: Reply<EvictReport> },
    /// Without a topic: all.
    List { topic: Option<String>, reply: Reply<TierListing> },
    /// Read every object of the topic and check it.
    Verify { topic: String, reply: Reply<VerifyReport> },
}

pub type Reply<T> = oneshot::Sender<Result<T, AdminError>>;

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    #[error("unknown topic {topic}")]
    UnknownTopic { topic: String },
    #[error("topic {topic} is not tiered: set remote.storage.enable=true on it")]
    NotTiered { topic: String },
    #[error("this broker has no tier: start it with stratalog.tier.url")]
    NoTier,
    #[error("not possible now: {reason}")]
    Unavailable { reason: String },
    #[error("stored bytes are damaged: {what}")]
    Corrupt { what: String },
}

/// Whether the broker serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    Starting {
        what: String,
    },
    Ready,
    /// Serves, but something that the operator must see to is wrong.
    Degraded {
        why: String,
    },
    /// Up, but what it was set up with does not let it keep its promises.
    NotReady {
        why: String,
    },
    Stopping,
}

/// The asking end, cheap to clone.
#[derive(Debug, Clone)]
pub struct AdminHandle {
    requests: mpsc::Sender<AdminRequest>,
    readiness: watch::Receiver<Readiness>,
}

/// The two ends. The broker reads the requests and tells its readiness.
pub fn channel() -> (AdminHandle, mpsc::Receiver<AdminRequest>, watch::Sender<Readiness>) {
    let (requests, received) = mpsc::channel(REQUESTS_WAITING_MAX);
    let (told, readiness) = watch::channel(Readiness::Starting { what: "opening the data directory".to_owned() });
    (AdminHandle { requests, readiness }, received, told)
}

impl AdminHandle {
    pub fn readiness(&self) -> Readiness {
        self.readiness.borrow().clone()
    }

    pub async fn flush(&self, topic: String, wait: bool) -> Result<FlushReport, AdminError> {
        self.ask(|reply| AdminRequest::Flush { topic, wait, reply }).await
    }

    pub async fn evict(&self, topic: String) -> Result<EvictReport, AdminError> {
        self.ask(|reply| AdminRequest::Evict { topic, reply }).await
    }

    pub async fn list(&self, topic: Option<String>) -> Result<TierListing, AdminError> {
        self.ask(|reply| AdminRequest::List { topic, reply }).await
    }

    pub async fn verify(&self, topic: String) -> Result<VerifyReport, AdminError> {
        self.ask(|reply| AdminRequest::Verify { topic, reply }).await
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> AdminRequest) -> Result<T, AdminError> {
        let (reply, answer) = oneshot::channel();
        let unavailable = |reason: &str| AdminError::Unavailable { reason: reason.to_owned() };
        match self.requests.try_send(request(reply)) {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(unavailable("the broker is stopping"))),
            Err(mpsc::error::TrySendError::Full(_)) => Err(unavailable("too many requests wait")),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(unavailable("the broker is stopping")),
        }
    }
}
