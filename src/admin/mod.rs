//! HTTP for people and machines: metrics, health, and the tier's control. Floor 6.
//!
//! Owns routes, status codes and JSON. Does not know how a flush or an eviction is done: each request goes over a bounded
//! channel to whoever wires the broker, which answers on the request's own channel. A client that goes away drops its
//! answer, not the work.

mod report;
mod request;
mod routes;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::metrics::Metrics;

pub use report::{
    EvictReport, EvictedPartition, FlushReport, FlushedPartition, TierListing, TierPartition, TierSegment,
    VerifiedPartition, VerifyReport,
};
pub use request::{AdminError, AdminHandle, AdminRequest, Readiness, channel};

/// Why HTTP is not served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot serve HTTP on {listener}: {source}; choose another address with --admin-listener, or none with ''")]
    Bind { listener: String, source: std::io::Error },
    #[error("the HTTP server ended")]
    Serve(#[source] std::io::Error),
}

/// HTTP on a bound socket.
#[derive(Debug)]
pub struct Service {
    listener: TcpListener,
    address: SocketAddr,
    handle: AdminHandle,
    metrics: Arc<Metrics>,
}

impl Service {
    /// Binds `listener`, a `host:port`; port 0 takes a free one, which `address` tells.
    pub async fn bind(listener: &str, handle: AdminHandle, metrics: Arc<Metrics>) -> Result<Service, Error> {
        let bind = |source| Error::Bind { listener: listener.to_owned(), source };
        let socket = TcpListener::bind(listener).await.map_err(bind)?;
        let address = socket.local_addr().map_err(bind)?;
        Ok(Service { listener: socket, address, handle, metrics })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` ends; requests that are under way are answered first.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
        let routes = routes::router(self.handle, self.metrics);
        axum::serve(self.listener, routes).with_graceful_shutdown(stop).await.map_err(Error::Serve)
    }
}
