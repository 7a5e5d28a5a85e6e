//! From a frame to its handler and back to a reply.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use stratalog_protocol::{ApiKey, Decoder, ErrorCode, Request, RequestHeader, Response, encode_response};
use tokio::sync::oneshot;

use super::node::Node;
use super::{api_versions, find};
use crate::metrics::Measured;
use crate::net::{Dispatch, Placed, Reply, RequestContext};

/// A request that was matched to its API, body unread.
pub struct Call {
    node: Arc<Node>,
    context: RequestContext,
    header: RequestHeader,
    body: Decoder,
    measured: Option<Measured>,
}

pub type Handler = fn(Call) -> Placed;

/// Begins to place a request; the future completes it.
type Place<Q, S> = fn(Arc<Node>, RequestContext, Q, i16) -> S;

/// What a handler says besides an answer.
pub enum Outcome<R> {
    Answer(R),
    /// acks=0.
    Silent,
    /// acks=0 and it failed: closing is the only way to tell.
    Close(String),
}

/// A request whose placing was begun.
pub struct Started<R> {
    pub completion: BoxFuture<'static, Outcome<R>>,
    /// Told, or dropped, by the completion when everything has its place; `None`: it had when the request was begun.
    pub admitted: Option<oneshot::Receiver<()>>,
}

impl<R> From<BoxFuture<'static, Outcome<R>>> for Started<R> {
    fn from(completion: BoxFuture<'static, Outcome<R>>) -> Started<R> {
        Started { completion, admitted: None }
    }
}

/// A row's handler: `async fn handle(Arc<Node>, RequestContext, Request, version) -> Response` of the module, run when
/// all earlier requests of the connection have completed.
macro_rules! serial {
    ($module:ident) => {
        |call: crate::api::call::Call| call.serial($module::handle)
    };
}
pub(super) use serial;

/// A row's handler: `fn place(Arc<Node>, RequestContext, Request, version)` of the module, which places, mostly at once,
/// and completes later; it answers a `BoxFuture<Outcome<Response>>` or a `Started`.
macro_rules! overlapping {
    ($module:ident) => {
        |call: crate::api::call::Call| call.overlapping($module::place)
    };
}
pub(super) use overlapping;

/// The function that connections hand their frames to.
pub fn dispatch(node: Arc<Node>) -> Dispatch {
    Arc::new(move |context, frame| place(node.clone(), context, frame))
}

fn place(node: Arc<Node>, mut context: RequestContext, frame: Bytes) -> Placed {
    let mut body = Decoder::new(frame);
    let mut header = match RequestHeader::decode(&mut body) {
        Ok(header) => header,
        Err(error) => return close(format!("request header: {error}")),
    };
    let Some(api) = find(header.api_key) else {
        return close(format!("{} is not served; the client should ask ApiVersions first", header.api_key));
    };
    let measured = node.begin_request(header.api_key, context.received_at);
    if !api.answers(header.api_version) {
        if header.api_key == ApiKey::API_VERSIONS {
            let refusal = api_versions::response(&node, ErrorCode::UNSUPPORTED_VERSION, 0);
            return Placed::Serial(std::future::ready(encode(&refusal, 0, header.correlation_id)).boxed());
        }
        return close(format!("{} version {} is not served", header.api_key, header.api_version));
    }
    context.client_id = header.client_id.take().unwrap_or_default();
    (api.handler)(Call { node, context, header, body, measured })
}

fn close(reason: String) -> Placed {
    Placed::Serial(std::future::ready(Reply::Close(reason)).boxed())
}

fn encode<R: Response>(response: &R, version: i16, correlation_id: i32) -> Reply {
    match encode_response(response, version, correlation_id) {
        Ok(parts) => Reply::Parts(parts),
        Err(error) => Reply::Close(format!("response not encodable: {error}")),
    }
}

impl Call {
    pub fn serial<Q, F>(mut self, handle: fn(Arc<Node>, RequestContext, Q, i16) -> F) -> Placed
    where
        Q: Request + Send + 'static,
        Q::Response: Response<Request = Q> + Send,
        F: Future<Output = Q::Response> + Send + 'static,
    {
        let version = self.header.api_version;
        let request = match Q::decode(&mut self.body, version) {
            Ok(request) => request,
            Err(error) => return close(format!("{}: {error}", self.header.api_key)),
        };
        let correlation_id = self.header.correlation_id;
        let reply = async move {
            let response = handle(self.node, self.context, request, version).await;
            let reply = encode(&response, version, correlation_id);
            if let Some(measured) = self.measured {
                measured.answered();
            }
            reply
        };
        Placed::Serial(reply.boxed())
    }

    pub fn overlapping<Q, S>(mut self, place: Place<Q, S>) -> Placed
    where
        S: Into<Started<Q::Response>>,
        Q: Request + Send + 'static,
        Q::Response: Response<Request = Q> + Send,
    {
        let version = self.header.api_version;
        let request = match Q::decode(&mut self.body, version) {
            Ok(request) => request,
            Err(error) => return close(format!("{}: {error}", self.header.api_key)),
        };
        // The frame is released when all is placed: what was placed is in the log.
        drop(self.body);
        let correlation_id = self.header.correlation_id;
        let Started { completion, admitted } = place(self.node, self.context, request, version).into();
        let measured = self.measured;
        let reply = async move {
            let reply = match completion.await {
                Outcome::Answer(response) => encode(&response, version, correlation_id),
                Outcome::Silent => Reply::Silent,
                Outcome::Close(reason) => Reply::Close(reason),
            };
            if let Some(measured) = measured {
                measured.answered();
            }
            reply
        };
        let completion = reply.boxed();
        match admitted {
            Some(admitted) => Placed::Admitting { admitted, completion },
            None => Placed::Overlapping(completion),
        }
    }
}
