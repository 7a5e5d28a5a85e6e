//! The accept loop of one listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::admission::Admission;
use super::answers::AnswerMemory;
use super::connection::{Connection, ConnectionConfig, log_end};
use super::memory::RequestMemory;
use super::request::{Dispatch, RequestContext};

static CONNECTION_ID: AtomicU64 = AtomicU64::new(1);
/// How long the accept loop rests when the process is out of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

pub struct Config {
    /// The listener's name, as in `listeners`.
    pub listener: Arc<str>,
    pub address: SocketAddr,
    /// `socket.request.max.bytes`.
    pub frame_bytes_max: usize,
    /// `connections.max.idle.ms`.
    pub idle_max: Duration,
    /// `socket.listen.backlog.size`.
    pub backlog: u32,
    /// `socket.receive.buffer.bytes`; `None` leaves it to the system.
    pub receive_buffer_bytes: Option<u32>,
    /// `socket.send.buffer.bytes`; `None` leaves it to the system.
    pub send_buffer_bytes: Option<u32>,
    pub admission: Arc<Admission>,
    pub memory: Arc<RequestMemory>,
    pub answers: Arc<AnswerMemory>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "cannot listen on {address}: {source}; free the port, or choose another with --listeners PLAINTEXT://HOST:PORT (port 0 takes a free one)"
    )]
    Bind { address: SocketAddr, source: io::Error },
}

/// Connections take the buffers over from the socket that accepted them.
fn listen(config: &Config) -> io::Result<TcpListener> {
    let socket = if config.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    if let Some(bytes) = config.receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = config.send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.bind(config.address)?;
    socket.listen(config.backlog)
}

/// A bound listener; `run` serves it.
pub struct Server {
    listener: TcpListener,
    config: Config,
    local_address: SocketAddr,
}

impl Server {
    pub async fn bind(config: Config) -> Result<Server, Error> {
        let bound = async {
            let listener = listen(&config)?;
            let local_address = listener.local_addr()?;
            Ok((listener, local_address))
        };
        match bound.await {
            Ok((listener, local_address)) => Ok(Server { listener, config, local_address }),
            Err(source) => Err(Error::Bind { address: config.address, source }),
        }
    }

    /// The address that was bound: with port 0 this names the port taken.
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// Serves until `shutdown` turns true, then drains: placed requests are answered, no new ones are read.
    pub async fn run(self, dispatch: Dispatch, mut shutdown: watch::Receiver<bool>) {
        let admission = &self.config.admission;
        let connection_config = ConnectionConfig {
            frame_bytes_max: self.config.frame_bytes_max,
            idle_max: self.config.idle_max,
            metrics: admission.metrics().clone(),
            memory: self.config.memory.clone(),
        };
        let mut connections = JoinSet::new();
        while !*shutdown.borrow() {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = shutdown.changed() => continue,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            };
            let (stream, client) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(listener = %self.config.listener, "accept failed: {error}; raise the limit of open files if it says too many");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            let admitted = match admission.admit(client.ip()) {
                Ok(admitted) => admitted,
                Err(full) => {
                    tracing::warn!(%client, "connection refused: {full}");
                    continue;
                }
            };
            let Some(context) = self.context(&stream, client) else { continue };
            let connection =
                Connection::new(stream, context.clone(), dispatch.clone(), &connection_config, shutdown.clone());
            let admission = admission.clone();
            connections.spawn(async move {
                let ended = connection.run().await;
                log_end(&ended, &context);
                if let Some(reason) = ended.by_broker() {
                    admission.refused(reason);
                }
                drop(admitted);
            });
        }
        drop(self.listener);
        while connections.join_next().await.is_some() {}
    }

    fn context(&self, stream: &TcpStream, client: SocketAddr) -> Option<RequestContext> {
        let local = stream.local_addr().and_then(|local| stream.set_nodelay(true).map(|()| local)).ok()?;
        let id = CONNECTION_ID.fetch_add(1, Ordering::Relaxed);
        Some(RequestContext::new(self.config.listener.clone(), client, local, id, self.config.answers.account()))
    }
}
