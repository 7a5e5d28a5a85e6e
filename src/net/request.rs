//! What passes between a connection and the handlers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use futures::future::BoxFuture;
use stratalog_protocol::part::Part;
use tokio::sync::{oneshot, watch};

use super::answers::AnswerAccount;
use crate::security::Principal;

/// What the client said of itself in ApiVersions (KIP-511).
#[derive(Debug, Clone, Default)]
pub struct ClientInfo {
    pub software_name: String,
    pub software_version: String,
}

/// Who asks, from where, and when: the same for every handler.
#[derive(Debug, Clone)]
pub struct RequestContext {
    pub principal: Principal,
    pub listener: Arc<str>,
    pub client_address: SocketAddr,
    /// The address the client connected to: what an unset `advertised.listeners` advertises.
    pub local_address: SocketAddr,
    pub received_at: Instant,
    /// Unique among the connections of this process.
    pub connection_id: u64,
    /// Turns true when the peer has closed its side: nobody may be there to read a late answer.
    pub peer_gone: watch::Receiver<bool>,
    /// Where an answer whose bytes stay in memory until they are sent takes room for them.
    pub answers: Arc<AnswerAccount>,
    /// Of the request's header; empty if it has none.
    pub client_id: String,
    client_info: Arc<Mutex<ClientInfo>>,
}

impl RequestContext {
    pub fn new(
        listener: Arc<str>,
        client: SocketAddr,
        local: SocketAddr,
        connection_id: u64,
        answers: Arc<AnswerAccount>,
    ) -> RequestContext {
        RequestContext {
            principal: Principal::anonymous(),
            listener,
            client_address: client,
            local_address: local,
            received_at: Instant::now(),
            connection_id,
            peer_gone: watch::channel(false).1,
            answers,
            client_id: String::new(),
            client_info: Arc::default(),
        }
    }

    pub fn client_info(&self) -> ClientInfo {
        self.client_info.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_client_info(&self, info: ClientInfo) {
        *self.client_info.lock().unwrap_or_else(PoisonError::into_inner) = info;
    }
}

/// The answer to one request.
#[derive(Debug)]
pub enum Reply {
    /// A whole response frame, length prefix included, in wire order.
    Parts(Vec<Part>),
    /// Nothing is answered (acks=0).
    Silent,
    /// The peer broke the protocol: the connection closes after what was answered before. The reason is for the log.
    Close(String),
}

/// A request that has been placed, or waits to be.
pub enum Placed {
    /// Already placed: later requests of the connection may be placed while this completes.
    Overlapping(BoxFuture<'static, Reply>),
    /// Being placed while `completion` is polled: later requests wait until `admitted` is told, or dropped. The request's
    /// bytes are held until then.
    Admitting { admitted: oneshot::Receiver<()>, completion: BoxFuture<'static, Reply> },
    /// To be polled only when all earlier requests have completed; nothing later is placed until it has.
    Serial(BoxFuture<'static, Reply>),
}

/// Turns a request frame (without its length prefix) into its placed form. Runs on the connection's worker.
pub type Dispatch = Arc<dyn Fn(RequestContext, Bytes) -> Placed + Send + Sync>;
